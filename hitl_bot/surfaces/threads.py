"""The thread below each question: who answered what, and whom it waits for, line by line.

The record comes first, and the lines follow from it: whatever dies in between, a bot finds what is not said by the
markers, looks whether it stands in the thread all the same, and says it.
"""

from collections.abc import Iterable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from threading import Lock

import structlog

from hitl_bot.sweeper import BackgroundJob
from hitl_bot.telemetry.logs import ProblemLog
from metaflow_extensions.hitl.approvals import bucket, bucket_map, errors
from metaflow_extensions.hitl.approvals.bounded import BoundedMap
from metaflow_extensions.hitl.approvals.ledger import Entry, Ledger
from metaflow_extensions.hitl.approvals.record import Approval, Post, ReminderKind, State, TrailEvent, Verdict
from metaflow_extensions.hitl.approvals.use_cases import UseCases
from metaflow_extensions.hitl.messages.blocks import mention
from metaflow_extensions.hitl.messages.threads import Line, nobody_knows_who_asked, together
from metaflow_extensions.hitl.messages.trail import happened
from metaflow_extensions.hitl.notifiers.slack.notifier import NAME as SLACK, SlackNotifier

from .reminding import GATHER_FOR, RemindedTogether, Reminding, is_covered

# Which of several bots writes in a thread: one at a time, until it falls silent.

_FOR = timedelta(minutes=1)  # spans of time; in each of them one bot writes in a thread
_WHAT = "thread"
_KNOWN = 10_000  # claims whose holder is kept in mind


class Lease(Enum):
    """Whether to write now."""

    OURS = "ours"  # nobody else has ever written here
    TAKEN_OVER = "taken over"  # somebody else may have written what is not noted
    NOT_OURS = "not ours"


class ThreadLeases:
    """Leases each thread to one bot for a minute.

    Parameters
    ----------
    ledger : Ledger
        Where it is claimed.
    holder : str
        Of this bot among all that share the store.
    """

    def __init__(self, ledger: Ledger, holder: str) -> None:
        self._ledger = ledger
        self._holder = holder
        self._ours: BoundedMap[str, bool] = BoundedMap(_KNOWN)

    def acquire(self, anchor: str, now: datetime) -> Lease:
        """Ask for the lease of a thread.

        Parameters
        ----------
        anchor : str
            The id of the approval or the batch whose message it stands below.
        """
        if not self._ledger.claim(anchor, _WHAT, self._holder, now=now, during=_FOR):
            return Lease.NOT_OURS
        this = bucket.claim_key(anchor, _WHAT, now=now, during=_FOR)
        self._note(this, ours=True)
        claims = self._ledger.store.list(bucket.claims_on(anchor, _WHAT))
        others = [key for key in claims if not self._is_ours(key)]
        return Lease.TAKEN_OVER if others else Lease.OURS

    def _is_ours(self, key: str) -> bool:
        if key not in self._ours:
            self._note(key, ours=self._ledger.store.read(key) == self._holder.encode())
        return self._ours[key]

    def _note(self, key: str, *, ours: bool) -> None:
        self._ours[key] = ours


# The thread below each question: who answered what, and whom it waits for, line by line.

SAID = frozenset(
    {
        TrailEvent.REQUESTER_CONFIRMED,
        TrailEvent.VOTED,
        TrailEvent.DECIDED,
        TrailEvent.TIMED_OUT,
        TrailEvent.CLOSED,
        TrailEvent.NOT_ACCEPTED,
        TrailEvent.OBLIGATION_DONE,
    }
)
"""The events that get a line: what somebody decided. That it was asked and settled is shown on the message itself."""
_REMINDED: dict[TrailEvent | str, ReminderKind] = {kind.event: kind for kind in ReminderKind}
# What was missed while no bot ran, or before it was posted, is said then.
_ENDINGS = frozenset({TrailEvent.SETTLED, TrailEvent.POSTED})
_DOUBTED = frozenset(
    {TrailEvent.POSTED, TrailEvent.POLICY_APPLIED}
)  # after which it may turn out that nobody can approve
_SURELY_TOLD = timedelta(minutes=5)  # the sweeper tells of every change within this time
_FIRST_POSTED = 2  # the version by which a question is posted before anything else happens
_NOTED_EVERY = timedelta(minutes=1)
_LOOK_AGAIN = timedelta(seconds=5)  # whether it is our turn in a thread, or Slack's trouble is over
_TROUBLED_FOR = timedelta(days=1)  # that Slack may refuse a line before it is given up
_WAITING = 10_000  # approvals whose lines are yet to be written; with more the oldest go without

log = structlog.get_logger("hitl_bot.threads")


def _changed() -> BoundedMap[str, None]:
    return BoundedMap(
        _WAITING, dropped=lambda approval_id: log.warning("a thread lacks its lines", approval_id=approval_id)
    )


@dataclass(kw_only=True)
class _Thread:
    """What is to be said below one message."""

    post: Post
    anchor: str  # the id of the approval or of the batch
    lines: dict[str, Line] = field(default_factory=dict)  # by the name of what they say
    unnoted: dict[str, Line] = field(default_factory=dict)  # said, and the store has not taken that yet
    not_before: datetime | None = None
    since: datetime | None = None  # Slack refuses
    in_doubt: bool = False  # whether what was written last stands there
    remind_at: datetime | None = None  # when those who share the message will have come due

    @property
    def is_done(self) -> bool:
        return not (self.lines or self.unnoted)


class Threads:
    """Writes what was decided below the question, and reminds there: no line is lost, and none is written twice.

    Parameters
    ----------
    cases : UseCases
        Its ledger is read, and keeps what was said.
    slack : SlackNotifier
        One that never waits: what is too much for now is said later.
    reminding : Reminding
        Has the words for reminders.
    workers : Executor
        Where the writing goes on, so that the sweeper does not wait for Slack.
    problems : ProblemLog
        Told what Slack refuses.
    holder : str
        Of this bot among all that share the store.
    """

    def __init__(
        self,
        cases: UseCases,
        slack: SlackNotifier,
        reminding: Reminding,
        *,
        workers: Executor,
        problems: ProblemLog,
        holder: str,
    ) -> None:
        self._cases = cases
        self._slack = slack
        self._reminding = reminding
        self._problems = problems
        self._leases = ThreadLeases(cases.ledger, holder)
        self._reminded = RemindedTogether(cases.ledger.store)
        self._changed = _changed()
        self._threads: dict[tuple[str, str], _Thread] = {}  # by channel and ts
        self._notes: list[tuple[Post, Line]] = []
        self._lock = Lock()
        self._saying = BackgroundJob(workers, self._say_all, name="threads")
        self._caught_up = False  # with what was written before this bot began
        self._noted_at: datetime | None = None
        self._unnoted = False  # whether something was said since

    def changed(self, entry: Entry) -> None:
        """Note an approval that something may have to be said about."""
        event = entry.version.event
        late = event in _ENDINGS and entry.approval.state is not State.PENDING
        # What was to be said before there was a message waits for it.
        late = late or (event == TrailEvent.POSTED and entry.number > _FIRST_POSTED)
        if late or event in SAID or event in _REMINDED or (event in _DOUBTED and _depends_on_who_asked(entry.approval)):
            self._note(entry.approval.id)

    def note(self, approval: Approval, text: str) -> None:
        """Write a line that is not in the record below a question soon; it goes with this bot."""
        post = in_slack(approval)
        if post is not None:
            with self._lock:
                name = f"{approval.id}/at {self._cases.clock().isoformat()}"
                self._notes.append((post, Line(name=name, approval_id=approval.id, text=text)))

    def tick(self) -> None:
        """Write what is to be said, unless that is still going on."""
        with self._lock:
            idle = self._caught_up and not (self._changed or self._notes or self._threads or self._unnoted)
        if not idle or self._saying.is_busy:
            self._saying.ask()

    def _note(self, approval_id: str) -> None:
        with self._lock:
            self._unnoted = True
            self._changed[approval_id] = None

    def _say_all(self) -> None:
        if not self._caught_up:
            self._catch_up()
        with self._lock:
            changed, self._changed = list(self._changed), _changed()
            notes, self._notes = self._notes, []
        for approval_id in changed:
            self._collect(approval_id)
        for post, line in notes:
            self._thread_of(post, line.approval_id).lines[line.name] = line
        now = self._cases.clock()
        for place, thread in list(self._threads.items()):
            if thread.not_before is None or thread.not_before <= now:
                self._write(thread)
            if thread.is_done:
                del self._threads[place]
        self._note_all_said()

    # What was said while this bot did not run.

    def _catch_up(self) -> None:
        """Find what others wrote into records and died before they said it."""
        noted = map(bucket.read_threads_key, self._cases.ledger.store.list(bucket_map.THREADS.root))
        since = bucket.newest_moment(noted, self._cases.clock()) or bucket.FIRST_MOMENT
        for change in self._cases.ledger.changes(since):
            self._note(change.approval_id)
        self._caught_up = True

    def _note_all_said(self) -> None:
        """Note, once a minute at most, until when everything is said, so that the next bot need not look further."""
        now = self._cases.clock()
        with self._lock:
            nothing_left = not (self._changed or self._threads)
        if not nothing_left or not self._unnoted or (self._noted_at and now - self._noted_at < _NOTED_EVERY):
            return
        store = self._cases.ledger.store
        marker = bucket.threads_key(now - _SURELY_TOLD)
        store.mark(marker)
        for key in list(store.list(bucket_map.THREADS.root)):
            if key < marker:
                store.unmark(key)
        self._noted_at = now
        with self._lock:
            self._unnoted = bool(self._changed)

    # What there is to say.

    def _collect(self, approval_id: str) -> None:
        try:
            trail = self._cases.ledger.trail(approval_id)
            post = in_slack(trail[-1].approval)
            if post is None:
                return  # it is told of again when it is posted
            thread = self._thread_of(post, approval_id)
            said = self._said(approval_id)
            for entry in trail:
                name = f"{approval_id}/{entry.number}"
                known = entry.number in said or name in thread.lines or name in thread.unnoted
                line = None if known else self._line(entry, trail)
                if line is not None:
                    thread.lines[name] = line
                    if line.reminds is not None and post.batch is not None:
                        thread.remind_at = self._cases.clock() + GATHER_FOR
            if thread.is_done:
                self._threads.pop((str(post.channel), str(post.ts)), None)
        except errors.RecordError as error:
            log.warning("a thread lacks its line", approval_id=approval_id, why=str(error))
        except errors.HitlError as error:
            log.warning("a thread waits for its line", approval_id=approval_id, why=str(error))
            self._note(approval_id)

    def _thread_of(self, post: Post, approval_id: str) -> _Thread:
        place = (str(post.channel), str(post.ts))
        return self._threads.setdefault(place, _Thread(post=post, anchor=post.batch or approval_id))

    def _said(self, approval_id: str) -> set[int]:
        numbers = map(bucket.read_said_key, self._cases.ledger.store.list(bucket.said_folder(approval_id)))
        return {number for number in numbers if number is not None}

    def _line(self, entry: Entry, trail: list[Entry]) -> Line | None:
        event, approval = entry.version.event, entry.approval
        name = f"{approval.id}/{entry.number}"
        if event in SAID:
            about = ""
            if any(post.batch for post in trail[-1].approval.posts):
                about = approval.question.shard.value if approval.question.shard else ""
                about = about or approval.id
            return Line(name=name, approval_id=approval.id, number=entry.number, text=self._told(entry), about=about)
        if event == TrailEvent.POSTED and self._is_in_doubt(trail[-1].approval):
            return Line(name=name, approval_id=approval.id, number=entry.number, text=nobody_knows_who_asked(approval))
        kind = _REMINDED.get(event)
        if kind is None or not _is_newest(entry, kind, trail[-1].approval):
            return None
        return Line(name=name, approval_id=approval.id, number=entry.number, text="", reminds=kind)

    def _is_in_doubt(self, approval: Approval) -> bool:
        """Whether nobody can approve, since the requester may not and isn't linked to a user."""
        return _depends_on_who_asked(approval) and self._cases.people.identify(approval.requester) is None

    def _told(self, entry: Entry) -> str:
        """Say what happened; of requested changes to who asked, and has to act."""
        said, approval = happened(entry.version), entry.approval
        decision = approval.decision if entry.version.event == TrailEvent.DECIDED else None
        if decision is None or decision.verdict is not Verdict.CHANGES:
            return said
        try:
            requester = self._cases.people.identify(approval.requester)
        except errors.PeopleUnavailable:
            requester = None
        return said if requester is None else f"{mention(requester)}: {said}"

    # Saying it.

    def _write(self, thread: _Thread) -> None:
        now = self._cases.clock()
        try:
            self._note_said(thread)
            if thread.not_before is not None:
                self._drop_what_is_noted(thread)
            if not thread.lines:
                return
            turn = self._leases.acquire(thread.anchor, now)
            if turn is Lease.NOT_OURS:
                thread.not_before = now + _LOOK_AGAIN
                return
            if turn is Lease.TAKEN_OVER or thread.in_doubt:
                self._drop_what_stands(thread)
            while ripe := [one for one in thread.lines.values() if _is_ripe(one, thread, now)]:
                self._write_some(thread, ripe, now)
            thread.since = None
        except errors.NotifierBusy:
            thread.not_before = None  # its turn comes, with one of the next ticks
        except errors.MessageUnreachable as error:
            log.info("a thread is gone", anchor=thread.anchor, why=str(error))
            self._done(thread, list(thread.lines))
        except errors.StoreError as error:
            log.debug("a thread waits for the store", anchor=thread.anchor, why=str(error))  # which is reported itself
            thread.not_before = now + _LOOK_AGAIN
        except errors.NotifierError as error:
            self._suffer(thread, error, now)

    def _drop_what_is_noted(self, thread: _Thread) -> None:
        """Look what others have said meanwhile."""
        for approval_id in dict.fromkeys(line.approval_id for line in thread.lines.values()):
            for number in self._said(approval_id):
                thread.lines.pop(f"{approval_id}/{number}", None)

    def _drop_what_stands(self, thread: _Thread) -> None:
        """Look what stands in the thread without being noted: somebody died, or Slack's answer was lost."""
        self._drop_what_is_noted(thread)
        if thread.lines:
            with suppress(errors.NotifierRefused):  # the bot may not look: a line twice is better than none
                self._done(thread, [name for name in self._slack.said_below(thread.post) if name in thread.lines])
        thread.in_doubt = False

    def _write_some(self, thread: _Thread, ripe: list[Line], now: datetime) -> None:
        """Write one reply, with as many lines as it holds."""
        batch = thread.post.batch
        last = self._reminded.last(batch, now) if batch is not None and any(one.reminds for one in ripe) else {}
        lines = [filled for line in ripe if (filled := self._filled(line, last, now)) is not None]
        text, told = together(lines)
        names = {line.name for line in lines}
        over = [line.name for line in ripe if line.name not in names]
        if told:
            thread.in_doubt = True  # until Slack has answered
            try:
                self._slack.reply(thread.post, text, [line.name for line in told])
            except errors.NotifierBusy:
                thread.in_doubt = False
                raise
            thread.in_doubt = False
        self._done(thread, [*over, *(line.name for line in told)])
        if batch is not None:
            self._reminded.note(batch, {line.reminds for line in told if line.reminds is not None}, now)

    def _filled(self, line: Line, last: dict[str, datetime], now: datetime) -> Line | None:
        """Return a line with its words; None if there is nothing left to say."""
        if line.reminds is None:
            return line
        approval = self._cases.ledger.read(line.approval_id).approval
        if approval.state is not State.PENDING:
            return None  # nothing after the answer
        if is_covered(approval, line.reminds, last, now):
            return None
        return line.saying(self._reminding.words(approval, line.reminds))

    def _done(self, thread: _Thread, names: Iterable[str]) -> None:
        # From here on it is not said again, whether or not the store takes the note.
        thread.unnoted.update((name, thread.lines.pop(name)) for name in names)
        self._note_said(thread)

    def _note_said(self, thread: _Thread) -> None:
        for name, line in list(thread.unnoted.items()):
            if line.number is not None:
                self._cases.ledger.store.mark(bucket.said_key(line.approval_id, line.number))
            del thread.unnoted[name]

    def _suffer(self, thread: _Thread, error: errors.NotifierError, now: datetime) -> None:
        """Try again later: a day long, with pauses that grow."""
        thread.since = thread.since or now
        troubled = now - thread.since
        thread.not_before = now + max(_LOOK_AGAIN, troubled / 2)
        self._problems.report(SLACK, thread.anchor, error)
        if troubled >= _TROUBLED_FOR:
            log.warning("a thread lacks its lines", anchor=thread.anchor, why=str(error))
            thread.lines.clear()


def in_slack(approval: Approval) -> Post | None:
    """Return where an approval stands in Slack, if it does."""
    return next((post for post in approval.posts if post.notifier == SLACK and post.ts is not None), None)


def _depends_on_who_asked(approval: Approval) -> bool:
    return approval.state is State.PENDING and not approval.requirements.self_approval_allowed


def _is_ripe(line: Line, thread: _Thread, now: datetime) -> bool:
    return line.reminds is None or thread.remind_at is None or thread.remind_at <= now


def _is_newest(entry: Entry, kind: ReminderKind, newest: Approval) -> bool:
    """Whether this is the reminder to say, of those that somebody may have missed."""
    reminder = newest.reminded(kind)
    return newest.state is State.PENDING and reminder is not None and reminder.at == entry.version.at
