"""What an installation brings: packages that are declared, used and free to use, and one version."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from hitl_bot.slack.client import slack_client
from metaflow_extensions.hitl import __version__
from tests.fixtures.packages import closure, declared, licence, locks, project

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
OURS = {"hitl_bot", "metaflow_extensions", "metaflow_hitl"}
SANDBOX = REPOSITORY / "hitl_bot" / "sandbox"

# Everything that `pip install metaflow-hitl` brings besides ours. The MPL of certifi covers its own files alone.
BASE = {
    "attrs": "MIT",
    "boto3": "Apache-2.0",
    "botocore": "Apache-2.0",
    "certifi": "Mozilla Public License 2.0 (MPL 2.0)",
    "charset-normalizer": "MIT",
    "idna": "BSD-3-Clause",
    "jmespath": "MIT License",
    "jsonschema": "MIT",
    "jsonschema-specifications": "MIT",
    "metaflow": "Apache Software License",
    "python-dateutil": "BSD License; Apache Software License",
    "referencing": "MIT",
    "regex": "Apache-2.0 AND CNRI-Python",
    "requests": "Apache Software License",
    "rpds-py": "MIT",
    "s3transfer": "Apache Software License",
    "six": "MIT License",
    "slack-sdk": "MIT License",
    "typing-extensions": "PSF-2.0",
    "urllib3": "MIT",
}
FREE = re.compile(r"\b(Apache|BSD|ISC|MIT|MPL|PSF|Python Software Foundation|Unlicense|0BSD|Zlib)\b")
COPYLEFT = re.compile(r"GPL|GNU|EUPL|CDDL|CC-BY-SA|OSL|SSPL|CeCILL|\bEPL", re.IGNORECASE)


def test_a_base_installation_is_these_packages_with_these_licences() -> None:
    """Nobody installs a package, or a licence, that is not in the table above."""
    installed = {name: licence(found) for name, found in closure().items()}
    assert installed.items() <= BASE.items()
    if sys.version_info < (3, 13):  # referencing needs typing-extensions up to here
        assert installed == BASE


def test_ours_is_free_as_metaflow_is() -> None:
    """Apache-2.0, said as PEP 639 says it, with the whole text."""
    assert (project()["license"], project()["license-files"]) == ("Apache-2.0", ["LICENSE"])
    text = (REPOSITORY / "LICENSE").read_text(encoding="utf-8")
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


@pytest.mark.parametrize("extras", [(), ("bot",), ("bot", "apprise"), ("bot", "sandbox")], ids="+".join)
def test_no_installation_brings_a_stronger_copyleft_than_mpl(extras: tuple[str, ...]) -> None:
    """Every package says its licence, and it is a permissive one or the MPL."""
    licences = {name: licence(found) for name, found in closure(*extras).items()}
    assert {name: said for name, said in licences.items() if COPYLEFT.search(said) or not FREE.search(said)} == {}


def test_the_bot_does_not_require_what_the_local_slack_does() -> None:
    """Only the extra `sandbox` names aiohttp. From 36 on the Kubernetes client brings it too, for uses of its own."""
    assert "aiohttp" not in names("bot", "apprise")
    assert names("sandbox") - names() == {"aiohttp"}


@pytest.mark.parametrize("name", ["build", "bot", "demo", "dev"])
def test_every_requirement_is_locked_with_its_hashes(name: str) -> None:
    """Each line pins one version with at least one hash, the same version as for development, and no index is named."""
    pins = {one for found in locks(name).values() for one in found}
    assert pins <= {one for found in locks("dev").values() for one in found}
    assert [pin for pin, hashes in pins if not re.fullmatch(r"[a-z0-9-]+==[\w.]+( ; .+)?", pin) or not hashes] == []
    assert "://" not in (REPOSITORY / "requirements" / f"{name}.txt").read_text(encoding="utf-8")


def test_the_locks_hold_what_the_extras_bring() -> None:
    """Nothing that pip would install is left to be chosen on the day."""
    assert closure("bot", "apprise", "sandbox", "dev").keys() <= locks("dev").keys()
    assert closure("bot", "sandbox").keys() <= locks("demo").keys()


def names(*extras: str) -> set[str]:
    """What we require ourselves, for the base and some extras."""
    return {canonicalize_name(one.name) for one in declared(*extras)}


def imported(files: list[Path]) -> set[str]:
    """Distributions of the top-level modules that these files import, wherever in them; ours and Python's own not."""
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    tops = {name.partition(".")[0] for name in names} - sys.stdlib_module_names - OURS
    known = packages_distributions()
    return {canonicalize_name(known[top][0]) for top in tops}


def test_everything_that_is_imported_is_names() -> None:
    """The extension and the bot import what their own requirements name, not what another package happens to need."""
    extension = [*(REPOSITORY / "metaflow_extensions").rglob("*.py"), *(REPOSITORY / "metaflow_hitl").rglob("*.py")]
    bot = [file for file in (REPOSITORY / "hitl_bot").rglob("*.py") if SANDBOX not in file.parents]
    # pytest runs what is a plugin of it; botocore is boto3's other half; Apprise is an extra; the Kubernetes client
    # brings what it is used with.
    assert imported(extension) - names() <= {"botocore", "apprise", "kubernetes", "pytest", "pyyaml", "urllib3"}
    assert imported(bot) - names("bot") <= {"botocore", "typing-extensions"}  # the latter for type checkers alone


def test_every_declared_package_is_imported() -> None:
    """No requirement of the base, of the bot or of the local Slack is a leftover."""
    files = [*(REPOSITORY / "metaflow_extensions").rglob("*.py"), *(REPOSITORY / "hitl_bot").rglob("*.py")]
    assert names("bot", "apprise", "sandbox") <= imported(files)


def test_the_local_slack_imports_itself_and_aiohttp_alone() -> None:
    """It imitates Slack for any app: nothing of ours is in it, and it asks for one package."""
    files = list(SANDBOX.rglob("*.py"))
    ours = re.compile(r"^\s*(?:from|import) ((?:hitl_bot|metaflow_extensions|metaflow_hitl)[\w.]*)", re.MULTILINE)
    named = {name for file in files for name in ours.findall(file.read_text(encoding="utf-8"))}
    assert {name for name in named if not name.startswith("hitl_bot.sandbox")} == set()
    assert imported(files) - {"typing-extensions"} == {"aiohttp"}  # the former for type checkers alone


def test_the_version_is_written_once() -> None:
    """The metadata, the command line and what Slack is told have it from the package."""
    assert version("metaflow-hitl") == __version__
    said = subprocess.run([sys.executable, "-m", "hitl_bot", "--version"], capture_output=True, text=True, check=True)
    assert said.stdout == f"hitl-bot {__version__}\n"
    client = slack_client("xoxb-1", "http://127.0.0.1/")
    assert client.headers["User-Agent"].startswith(f"metaflow-hitl/{__version__} ")
    files = [REPOSITORY / "pyproject.toml", *REPOSITORY.glob("hitl_bot/**/*.py")]
    files += REPOSITORY.glob("metaflow_extensions/**/*.py")
    # Which release knew what first is history (approvals/codec.py), and stays when the version moves on.
    written = re.compile(rf'(?i)version\w*\s*=.*"{re.escape(__version__)}"')
    assert [file.name for file in files if written.search(file.read_text(encoding="utf-8"))] == ["__init__.py"]
