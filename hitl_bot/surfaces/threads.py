"""The thread below each question: who answered what, line by line."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING

import structlog

from metaflow_extensions.hitl.approvals.errors import (
    HitlError,
    NotifierBusy,
    NotifierRefused,
    NotifierUnavailable,
    PeopleUnavailable,
    RecordError,
)
from metaflow_extensions.hitl.approvals.record import Post, State, Verdict
from metaflow_extensions.hitl.messages.mrkdwn import code, mention
from metaflow_extensions.hitl.messages.trail import happened
from metaflow_extensions.hitl.notifiers.slack.notifier import NAME as SLACK

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from metaflow_extensions.hitl.approvals.ledger import Entry
    from metaflow_extensions.hitl.approvals.record import Approval
    from metaflow_extensions.hitl.approvals.use_cases import UseCases
    from metaflow_extensions.hitl.notifiers.slack.notifier import SlackNotifier

SAID = frozenset({"voted", "decided", "expired", "closed", "annulled"})
"""The events that get a line: what somebody decided. That it was asked and settled stands on the message itself."""
_ENDINGS = frozenset({"settled"})  # what was missed while no bot ran is said then
_ONCE = timedelta(days=36_500)  # a line is claimed for good, so that it is written once at most
_WAITING = 10_000  # approvals whose lines are yet to be written; with more the oldest go without
_LONGEST = 2_900  # characters of one reply, below the 3,000 of a section

log = structlog.get_logger("hitl_bot.threads")


@dataclass(frozen=True, kw_only=True)
class _Place:
    """The message that a thread belongs to."""

    channel: str
    ts: str


@dataclass(frozen=True, kw_only=True)
class _Line:
    """What is to be said; with an id only while that approval waits."""

    text: str
    while_pending: str = ""


class Threads:
    """Writes what was decided below the question, each line once at most, several of one thread in one reply.

    Parameters
    ----------
    cases : UseCases
        Its ledger is read, and keeps what was said.
    slack : SlackNotifier
        One that never waits: what is too much for now is said later.
    workers : Executor
        Where the writing goes on, so that the sweeper does not wait for Slack.
    holder : str
        Of this bot among all that share the store.
    """

    def __init__(self, cases: UseCases, slack: SlackNotifier, workers: Executor, holder: str) -> None:
        self._cases = cases
        self._slack = slack
        self._workers = workers
        self._holder = holder
        self._changed: OrderedDict[str, None] = OrderedDict()
        self._said: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._lines: OrderedDict[_Place, list[_Line]] = OrderedDict()  # claimed here, and yet to be written
        self._lock = Lock()
        self._busy = False

    def changed(self, entry: Entry) -> None:
        """Note an approval that something may have to be said about."""
        if entry.version.event in SAID | _ENDINGS and _in_slack(entry.approval) is not None:
            with self._lock:
                self._changed[entry.approval.id] = None
                if len(self._changed) > _WAITING:
                    self._changed.popitem(last=False)

    def say(self, approval: Approval, line: str) -> None:
        """Write a line below a question soon, if it still waits for an answer then."""
        self._add(approval, _Line(text=line, while_pending=approval.id))

    def note(self, approval: Approval, line: str) -> None:
        """Write a line below a question soon, however it stands then."""
        self._add(approval, _Line(text=line))

    def _add(self, approval: Approval, line: _Line) -> None:
        post = _in_slack(approval)
        if post is not None:
            place = _Place(channel=str(post.channel), ts=str(post.ts))
            with self._lock:
                self._lines.setdefault(place, []).append(line)

    def tick(self) -> None:
        """Write what is to be said, unless that is still going on."""
        with self._lock:
            if self._busy or not (self._changed or self._lines):
                return
            self._busy = True
            changed, self._changed = list(self._changed), OrderedDict()
        self._workers.submit(self._work, changed)

    def _work(self, changed: list[str]) -> None:
        try:
            for approval_id in changed:
                self._collect(approval_id)
            for place in list(self._lines):
                self._write(place)
        except Exception:
            log.exception("the threads broke")
        finally:
            with self._lock:
                self._busy = False

    def _collect(self, approval_id: str) -> None:
        try:
            trail = self._cases.ledger.trail(approval_id)
            post = _in_slack(trail[-1].approval)
            if post is None:
                return
            place = _Place(channel=str(post.channel), ts=str(post.ts))
            about = f"{code(approval_id)}: " if post.batch else ""
            for entry in trail:
                if entry.version.event in SAID and self._is_ours(approval_id, entry.number):
                    self._lines.setdefault(place, []).append(_Line(text=f"{about}{self._told(entry)}"))
        except RecordError as error:
            log.warning("a thread goes without its line", approval_id=approval_id, why=str(error))
        except HitlError as error:
            log.warning("a thread waits for its line", approval_id=approval_id, why=str(error))
            with self._lock:
                self._changed.setdefault(approval_id)

    def _told(self, entry: Entry) -> str:
        """Say what happened; of requested changes to who asked, and has to act."""
        said, approval = happened(entry.version), entry.approval
        decision = approval.decision if entry.version.event == "decided" else None
        if decision is None or decision.verdict is not Verdict.CHANGES:
            return said
        try:
            requester = self._cases.people.in_slack(approval.requester)
        except PeopleUnavailable:
            requester = None
        return said if requester is None else f"{mention(requester)}: {said}"

    def _is_ours(self, approval_id: str, number: int) -> bool:
        key = (approval_id, number)
        if key in self._said:
            return False
        now = self._cases.clock()
        # Before it is written: to say it twice is worse than to die in between and not say it.
        ours = self._cases.ledger.claim(approval_id, f"said-{number}", self._holder, now=now, during=_ONCE)
        self._said[key] = None
        if len(self._said) > 2 * _WAITING:
            self._said.popitem(last=False)
        return ours

    def _still_holds(self, line: _Line) -> bool:
        if not line.while_pending:
            return True
        try:
            return self._cases.ledger.read(line.while_pending).approval.state is State.PENDING
        except HitlError:
            return False  # to be silent is better than to ring somebody for nothing

    def _write(self, place: _Place) -> None:
        lines = self._lines[place]
        post = Post(notifier=SLACK, at=self._cases.clock(), channel=place.channel, ts=place.ts)
        count, length = 0, 0
        texts: dict[str, None] = {}  # what is said of many gates in the same words is said once
        while count < len(lines) and (count == 0 or length + len(lines[count].text) < _LONGEST):
            if self._still_holds(lines[count]):
                texts[lines[count].text] = None
                length += len(lines[count].text) + 1
            count += 1
        try:
            if texts:
                self._slack.reply(post, "\n".join(texts))
        except NotifierBusy:
            return  # its turn comes
        except (NotifierUnavailable, NotifierRefused) as error:
            log.warning("a thread goes without its lines", channel=place.channel, why=str(error))
        del lines[:count]
        if not lines:
            del self._lines[place]


def _in_slack(approval: Approval) -> Post | None:
    return next((post for post in approval.posts if post.notifier == SLACK and post.ts is not None), None)
