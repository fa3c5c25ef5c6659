"""Reading the policy file: strictly, with the line of whatever can't be meant."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from hitl_bot.policy.model import PolicyOfFile
from metaflow_extensions.hitl.approvals.errors import HitlError

LARGEST = 1_000_000  # bytes; a ConfigMap holds as many (kubernetes.io/docs/concepts/configuration/configmap)

_Place = tuple[int | str, ...]
_MEANT = {
    "extra_forbidden": "unknown key",
    "missing": "this is missing",
}


class BadPolicy(HitlError):
    """The policy file can't be used. The message has a line for each thing that is wrong."""


def read_policy(path: Path) -> PolicyOfFile:
    """Read a policy file.

    Raises
    ------
    BadPolicy
        It is not there, no YAML, or says what no policy says.
    """
    return parse_policy(read_body(path), str(path))


def read_body(path: Path) -> bytes:
    """Read the bytes of a policy file; raises as ``read_policy``."""
    try:
        with path.open("rb") as file:
            body = file.read(LARGEST + 1)
    except OSError as error:
        raise BadPolicy(f"The policy {path} can't be read: {error.strerror or error}.") from error
    if len(body) > LARGEST:
        raise BadPolicy(f"The policy {path} has more than {LARGEST:,} bytes.")
    return body


def summary(policy: PolicyOfFile, body: bytes) -> str:
    """Say which policy this is: ``3 rules, SHA-256 9f86d081884c``."""
    count = "1 rule" if len(policy.rules) == 1 else f"{len(policy.rules)} rules"
    return f"{count}, SHA-256 {hashlib.sha256(body).hexdigest()[:12]}"


NO_POLICY = "none: METAFLOW_HITL_POLICY is not set, so each step's own arguments decide"


def parse_policy(body: bytes, name: str) -> PolicyOfFile:
    """Read the text of a policy; ``name`` is what errors call the file."""
    try:
        node = yaml.compose(body, yaml.SafeLoader)
        lines = dict(_lines(node, ()))
        _check_keys_differ(node, name)
        document = yaml.safe_load(body)
    except (yaml.YAMLError, UnicodeError, RecursionError) as error:
        raise BadPolicy(f"{name}{_line_of(error)}: this is not valid YAML. {_problem(error)}") from error
    try:
        return PolicyOfFile.model_validate({} if document is None else document)
    except ValidationError as error:
        said = [f"{name}:{_line(lines, one['loc'])}: {_words(one)}" for one in error.errors(include_url=False)]
        raise BadPolicy("\n".join(said)) from error


def _lines(node: yaml.Node | None, place: _Place) -> Iterator[tuple[_Place, int]]:
    """Yield the line, from 1, at which each part of the document stands; a key's own line for its value."""
    if node is None:
        return
    if not place:
        yield place, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = (*place, str(key.value))
            yield below, key.start_mark.line + 1
            yield from _lines(value, below)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            below = (*place, index)
            yield below, value.start_mark.line + 1
            yield from _lines(value, below)


def _check_keys_differ(node: yaml.Node | None, name: str) -> None:
    """Refuse a repeated key: YAML would silently take the last one."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if str(key.value) in seen:
                raise BadPolicy(f"{name}:{key.start_mark.line + 1}: {key.value}: this key is repeated here")
            seen.add(str(key.value))
            _check_keys_differ(value, name)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _check_keys_differ(value, name)


def _line(lines: dict[_Place, int], place: _Place) -> int:
    """Return the line of a place, or of the nearest place around it that the document has."""
    while place not in lines and place:
        place = place[:-1]
    return lines.get(place, 1)


def _words(error: Any) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"]).lstrip(".")
    said = _MEANT.get(error["type"]) or str(error["msg"]).removeprefix("Value error, ")
    return f"{place}: {said}" if place else said


def _line_of(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    return f":{mark.line + 1}" if mark is not None else ""


def _problem(error: Exception) -> str:
    return str(getattr(error, "problem", None) or error)
