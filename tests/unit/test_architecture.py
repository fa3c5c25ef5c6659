"""ARCHITECTURE.md and CONTRIBUTING.md name what is there."""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("hitl_bot", "metaflow_extensions", "metaflow_hitl")
PAGE = (REPOSITORY / "ARCHITECTURE.md").read_text(encoding="utf-8")
CHANGES = re.findall(r"^\| ([^|]+) \| (\d+) \| (.+) \|$", PAGE.partition("## Twelve changes")[2], re.MULTILINE)


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_every_file_that_is_named_is_there(page: str) -> None:
    """Each path in code quotes leads to a file or folder of the repository."""
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    named = re.findall(r"`([\w.-]+(?:/[\w.-]+)+/?)`", text)
    tops = {path.name for path in REPOSITORY.iterdir()}
    assert [path for path in named if path.split("/")[0] in tops and not (REPOSITORY / path).exists()] == []


def test_the_table_has_the_twelve_changes() -> None:
    """Twelve, a notifier counted once; each number is that of the files and modules that its row names."""
    names = [name.partition(",")[0].removesuffix(" of another package") for name, _, _ in CHANGES]
    assert len(set(names)) == 12
    for name, number, places in CHANGES:
        named = len(re.findall(r"`[\w/.]+\.py`", places)) + len(re.findall(r"\b(?:A|a) (?:module|folder) in\b", places))
        assert named + places.count("and where it is counted") == int(number), name


def test_no_change_touches_more_than_three_files() -> None:
    """Neither tests nor docs are counted."""
    assert [name for name, number, _ in CHANGES if int(number) > 3] == []


WALKS = re.findall(r"^### ([^\n]+)\n\n((?:\d+\. .*\n)+)", PAGE, re.MULTILINE)
BUILDS = "hitl_bot/bootstrap.py"
TYPED = "metaflow_extensions/hitl/plugins/hitl_cli.py"


def files_of(walk: str) -> list[str]:
    """Return the file that each line of a walk begins with."""
    return re.findall(r"^\d+\. `([\w/.]+\.py)`", walk, re.MULTILINE)


def path_to_module(path: Path) -> str:
    return ".".join(path.with_suffix("").parts)


def imported_by(path: str, *, through_packages: bool = True) -> set[str]:
    """Return the modules that a file imports, also those that a package's ``__init__`` imports for it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            folder = path.split("/")[: -node.level] if node.level else []
            module = ".".join([*folder, *(node.module or "").split(".")]).rstrip(".")
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
            package = Path(*module.split(".")) / "__init__.py"
            if through_packages and (REPOSITORY / package).is_file() and str(package) != path:
                found |= imported_by(str(package))
    return {name for name in found if (REPOSITORY / Path(*name.split("."))).with_suffix(".py").is_file()}


def test_there_are_four_walks() -> None:
    """A click, a form, a sweep and a compiled step, none of them longer than a dozen files."""
    assert [name.partition(":")[0] for name, _ in WALKS] == ["One click", "One form", "One sweep", "One compiled step"]
    assert all(0 < len(files_of(walk)) == len(walk.splitlines()) <= 12 for _, walk in WALKS)


@pytest.mark.parametrize(("name", "walk"), WALKS, ids=[name.partition(":")[0] for name, _ in WALKS])
def test_a_walk_can_be_followed(name: str, walk: str) -> None:
    """Each file is imported by one before it, handed in by the bot's composition root, or a command of the flow's."""
    files = files_of(walk)
    handed_in = imported_by(BUILDS) | imported_by(TYPED)
    for number, path in enumerate(files[1:], start=1):
        module = path.removesuffix(".py").replace("/", ".")
        before = set().union(*(imported_by(one) for one in files[:number]))
        assert module in before | handed_in, f"{name}: nothing before it leads to {path}"


def test_no_import_goes_round_in_a_circle() -> None:
    """Neither one for types alone nor one inside a function leads back to the module that it stands in."""
    paths = [path.relative_to(REPOSITORY) for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py")]
    graph = {path_to_module(path): imported_by(str(path), through_packages=False) for path in paths}
    TopologicalSorter(graph).prepare()  # raises CycleError with the modules of a circle
