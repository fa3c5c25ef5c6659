"""The policy as it is in the file now."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any

import click
import structlog
import yaml
from pydantic import ValidationError

from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.question import Automatic, PolicyRule
from metaflow_extensions.hitl.approvals.record import Approval
from metaflow_extensions.hitl.approvals.reminding import NEVER, Quiet, read_quiet

from .model import Naming, PolicyOfFile, RuleOfFile, Subject, Word, demanded

# Reading the policy file: strictly, with the line of whatever can't be meant.

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


# The policy as it is in the file now.

log = structlog.get_logger("hitl_bot.policy.file")


class PolicyFile:
    """Reads the file again whenever it changes. A bad one leaves the rules as they are, and says so. Threads share it.

    Parameters
    ----------
    path : Path
        Of a mounted ConfigMap, too: Kubernetes swaps a link, and what it points to is another file.

    Raises
    ------
    BadPolicy
        There is nothing to begin with.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._seen = _look(path)
        self._read()
        self._problem = ""

    @property
    def summary(self) -> str:
        """Which policy holds: its number of rules and its digest."""
        self._follow()
        return self._summary

    @property
    def problem(self) -> str:
        """What is wrong with the file as it is now; empty if its rules hold."""
        self._follow()
        return self._problem

    @property
    def groups(self) -> dict[str, str]:
        """Each user group that the rules name, and the first rule that does."""
        self._follow()
        return self._policy.groups

    def rule_for(self, approval: Approval) -> PolicyRule | None:
        """Return what the first rule that matches demands, or None."""
        self._follow()
        rule = self._policy.rule_of(subject_of(approval))
        return None if rule is None else rule.demands

    def depends_on_namespace(self, approval: Approval) -> bool:  # noqa: ARG002 - the port's signature
        """Whether any rule names namespaces: where one rule ends to match, the next one begins."""
        self._follow()
        return any(rule.match.namespace is not None for rule in self._policy.rules)

    def quiet_for(self, approval: Approval) -> Quiet:
        """Return when nobody is reminded of an approval."""
        self._follow()
        return read_quiet(self._policy.quiet_hours_of(subject_of(approval)))

    def known_as(self, user: str) -> str | None:
        """Return the email address or Slack id of a user of a machine, if the file says it."""
        self._follow()
        return self._policy.known_as(user)

    def _read(self) -> None:
        body = read_body(self._path)
        self._policy = parse_policy(body, str(self._path))
        self._summary = summary(self._policy, body)

    def _follow(self) -> None:
        seen = _look(self._path)
        if seen == self._seen:
            return
        with self._lock:
            if seen == self._seen:
                return
            try:
                self._read()
            except BadPolicy as error:
                self._problem = f"The policy file can't be used, so the previous rules still apply: {error}"
                log.error("policy refused, the old one still applies", why=str(error))  # noqa: TRY400 - its words say where
            else:
                self._problem = ""
                log.info("policy read", path=str(self._path), policy=self._summary)
            self._seen = seen


def subject_of(approval: Approval) -> Subject:
    """Return what rules are matched against."""
    return Subject(
        flow=approval.pathspec.flow,
        step=approval.pathspec.step,
        tags=approval.question.tags,
        namespace=approval.gate.namespace or "",
    )


def _look(path: Path) -> tuple[int, int, int] | None:
    """Return what changes when the file does; None if it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


# ``hitl-bot policy check``.


@click.group("policy")
def command() -> None:
    """Look at the operator's policy."""


@command.command("check")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--flow", required=True, help="The name of a flow.")
@click.option("--step", required=True, help="The name of one of its steps.")
@click.option("--tag", "tags", multiple=True, help="A tag of the run; may be repeated.")
@click.option("--namespace", default="", help="The Kubernetes namespace of the workflow.")
@click.option("--json", "as_json", is_flag=True, help="Print the rule that applies as a JSON object.")
def check(file: Path, flow: str, step: str, tags: tuple[str, ...], namespace: str, *, as_json: bool) -> None:
    """Say which rule of FILE applies to a step, why the others don't, and what it demands."""
    policy = read_policy(file)
    subject = Subject(flow=flow, step=step, tags=tags, namespace=namespace)
    applies = policy.rule_of(subject)
    if as_json:
        click.echo(json.dumps(_in_short(applies)))
        return
    for rule in policy.rules:
        if rule is applies:
            click.echo(f"{rule.name}: applies and requires")
            for line in demanded(rule):
                click.echo(f"  - {line}")
            click.echo("The step's own arguments also apply where they are stricter.")
            break
        click.echo(f"{rule.name}: no, {rule.match.misses(subject)}")
    if applies is None:
        click.echo("No rule applies: the step's own arguments decide.")
    if (hours := policy.quiet_hours_of(subject)) != NEVER:
        click.echo(f"Nobody is reminded during {hours}, in their own time zone.")


def _in_short(rule: RuleOfFile | None) -> dict[str, Any]:
    """Return what an author has to know of a rule: its name, its demands in words, and what it doesn't take."""
    if rule is None:
        return {"rule": None, "demands": [], "refuses": []}
    refused = {
        "open_approvers": rule.named_approvers is Naming.REQUIRED,
        "timeout_approves": not rule.demands.timeout_approves,
        "continue": rule.continue_on_reject is Word.REFUSED,
        "auto_approve": rule.demands.automatic is Automatic.REFUSED,
    }
    refuses = [name for name, is_so in refused.items() if is_so]
    return {"rule": rule.name, "demands": demanded(rule), "refuses": refuses}
