"""Pictures below a question: how its metrics developed, and the run's own. A question never waits for them."""

from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

import structlog

from hitl_bot.sweeper import BackgroundJob
from hitl_bot.telemetry.logs import ProblemLog
from metaflow_extensions.hitl.approvals import bucket, errors
from metaflow_extensions.hitl.approvals.bounded import BoundedMap
from metaflow_extensions.hitl.approvals.evidence.course import courses
from metaflow_extensions.hitl.approvals.evidence.pictures import COURSE, Picture, plots_of
from metaflow_extensions.hitl.approvals.ledger import Entry
from metaflow_extensions.hitl.approvals.ports import has_key
from metaflow_extensions.hitl.approvals.record import Approval, Post, State, TrailEvent
from metaflow_extensions.hitl.approvals.use_cases import UseCases
from metaflow_extensions.hitl.notifiers.slack.notifier import NAME as SLACK, SlackNotifier

from . import drawing
from .threads import in_slack

_WAITING = 1_000  # questions whose pictures are yet to be shown; with more the oldest go without
_OLDEST = timedelta(minutes=10)  # of a question that was asked before this bot began
_LEASE = timedelta(minutes=2)
_LOOK_AGAIN = timedelta(seconds=5)
_TROUBLED_FOR = timedelta(hours=1)  # that showing may fail before a picture is given up
_REFUSED_FOR = timedelta(days=1)  # that nothing is tried, where the app may not upload
_WHAT = "pictures"
_WITHOUT = "questions are asked without their pictures"

log = structlog.get_logger("hitl_bot.pictures")


class _NotOurs(Exception):
    """Another bot is at it."""


@dataclass(kw_only=True)
class _Wanted:
    since: datetime
    not_before: datetime | None = None


class Pictures:
    """Draws and uploads what a question shows besides words, once it is posted; gates that share a message have none.

    Parameters
    ----------
    cases : UseCases
        Its ledger is read, and keeps the pictures for the cards.
    slack : SlackNotifier
        One that never waits.
    workers : Executor
        Where the drawing goes on.
    problems : ProblemLog
        Told what Slack refuses.
    holder : str
        Of this bot among all that share the store.
    """

    def __init__(
        self, cases: UseCases, slack: SlackNotifier, *, workers: Executor, problems: ProblemLog, holder: str
    ) -> None:
        self._cases = cases
        self._slack = slack
        self._problems = problems
        self._holder = holder
        self._wanted = self._empty()
        self._lock = Lock()
        self._showing = BackgroundJob(workers, self._show_all, name="pictures")
        self._caught_up = False
        self._refused_until: datetime | None = None

    def changed(self, entry: Entry) -> None:
        """Note a question that was posted."""
        if entry.version.event == TrailEvent.POSTED and _has_some(entry.approval):
            self._note(entry.approval.id)

    def tick(self) -> None:
        """Show what is to be shown, unless that is still going on."""
        now = self._cases.clock()
        with self._lock:
            due = [one for one in self._wanted.values() if one.not_before is None or one.not_before <= now]
        if due or not self._caught_up:
            self._showing.ask()

    def _note(self, approval_id: str) -> None:
        with self._lock:
            self._wanted.setdefault(approval_id, _Wanted(since=self._cases.clock()))

    @staticmethod
    def _empty() -> BoundedMap[str, _Wanted]:
        def dropped(approval_id: str) -> None:
            log.warning("a question has no pictures", approval_id=approval_id, why="too many at once")

        return BoundedMap(_WAITING, dropped=dropped)

    def _show_all(self) -> None:
        if not self._caught_up:
            for change in self._cases.ledger.changes(self._cases.clock() - _OLDEST):
                self._note(change.approval_id)
            self._caught_up = True
        now = self._cases.clock()
        with self._lock:
            due = [one for one, wanted in self._wanted.items() if wanted.not_before is None or wanted.not_before <= now]
        for approval_id in due:
            self._try(approval_id)

    def _try(self, approval_id: str) -> None:
        now = self._cases.clock()
        wanted = self._wanted.get(approval_id) or _Wanted(since=now)
        try:
            self._show(approval_id, now)
        except _NotOurs:
            if now - wanted.since < 2 * _LEASE:  # the other bot may die over it
                wanted.not_before = now + _LEASE
                return
        except errors.NotifierBusy:
            wanted.not_before = now + _LOOK_AGAIN
            return
        except (errors.StoreError, errors.NotifierError) as error:
            if isinstance(error, errors.NotifierError) and not isinstance(error, errors.MessageUnreachable):
                self._problems.report(SLACK, approval_id, error, what=_WITHOUT)
            final = isinstance(error, errors.NotifierRefused | errors.MessageUnreachable)
            if not final and now - wanted.since < _TROUBLED_FOR:
                wanted.not_before = now + max(_LOOK_AGAIN, (now - wanted.since) / 2)
                return
            log.info("a question has no pictures", approval_id=approval_id, why=str(error))
        except errors.HitlError as error:
            log.info("a question has no pictures", approval_id=approval_id, why=str(error))
        except Exception:
            log.exception("a question has no pictures", approval_id=approval_id)
        with self._lock:
            self._wanted.pop(approval_id, None)

    def _show(self, approval_id: str, now: datetime) -> None:
        if self._refused_until is not None and now < self._refused_until:
            return
        ledger = self._cases.ledger
        approval = ledger.read(approval_id).approval
        post = in_slack(approval)
        if approval.state is not State.PENDING or post is None or post.batch is not None or not _has_some(approval):
            return
        if self._is_shown(approval_id):
            return
        if not ledger.claim(approval_id, _WHAT, self._holder, now=now, during=_LEASE):
            raise _NotOurs
        found = [*self._course(approval, post), *plots_of(ledger.store, approval)]
        if found:
            self._slack.attach(post, self._uploaded(found, now))
        ledger.store.mark(bucket.pictures_shown_key(approval_id))

    def _uploaded(self, found: list[Picture], now: datetime) -> list[dict[str, str]]:
        try:
            return self._slack.upload(found)
        except errors.NotifierRefused:
            self._refused_until = now + _REFUSED_FOR
            raise

    def _is_shown(self, approval_id: str) -> bool:
        return has_key(self._cases.ledger.store, bucket.pictures_shown_key(approval_id))

    def _course(self, approval: Approval, post: Post) -> list[Picture]:
        """Draw how the metrics developed, and keep it for the card; what can't be drawn keeps nothing else back."""
        try:
            developed = courses(self._cases.ledger, approval, post.channel)
            if not developed:
                return []
            # Drawn anew, although it may lie there already: people decide by it, and anybody may have written that one.
            png = drawing.draw(developed)
        except (errors.StoreError, errors.RecordError):
            raise
        except Exception as error:  # noqa: BLE001 - a picture is a comfort; the table says the same
            log.warning("metrics could not be drawn", approval_id=approval.id, why=f"{type(error).__name__}: {error}")
            return []
        with suppress(errors.KeyTaken):  # drawn before: its turn to be uploaded had not come
            self._cases.ledger.store.create(bucket.course_key(approval.id), png)
        return [Picture(name="course.png", title=COURSE, png=png, alt=drawing.alt_text(developed))]


def _has_some(approval: Approval) -> bool:
    evidence = approval.question.evidence
    return evidence is not None and bool(evidence.metrics or evidence.plots)
