"""The policy as it is in the file now."""

from __future__ import annotations

from pathlib import Path
from threading import Lock

import structlog

from hitl_bot.policy.model import Subject
from hitl_bot.policy.reading import BadPolicy, parse_policy, read_body, summary
from metaflow_extensions.hitl.approvals.record import Approval
from metaflow_extensions.hitl.approvals.reminding import Quiet, read_quiet
from metaflow_extensions.hitl.approvals.requirements import PolicyRule

log = structlog.get_logger("hitl_bot.policy")


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
