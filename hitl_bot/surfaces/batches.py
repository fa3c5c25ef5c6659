"""Gates that share a message: who posts it, which gates are on it, and keeping it up to date.

The gates of one step of one run find each other here, without a lock: whoever claims the batch posts the message, and
every gate that comes later joins it. Once all of them are answered, the next turn of a loop gets a new message.
"""

import hashlib
from base64 import b32encode
from collections.abc import Collection, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

import structlog

from hitl_bot.sweeper import BackgroundJob
from hitl_bot.telemetry.logs import ProblemLog
from metaflow_extensions.hitl.approvals import bucket, errors
from metaflow_extensions.hitl.approvals.bounded import BoundedMap
from metaflow_extensions.hitl.approvals.deciding.in_advance import AnswerInAdvance, AnswersInAdvance, shards_in_all
from metaflow_extensions.hitl.approvals.ledger import Entry, Ledger
from metaflow_extensions.hitl.approvals.ports import Clock
from metaflow_extensions.hitl.approvals.record import Approval, Post, State, checked_id
from metaflow_extensions.hitl.approvals.sweeping import CLAIM_FOR
from metaflow_extensions.hitl.approvals.sweeping.worker import RETRY_FIRST, RETRY_LAST, RETRY_REFUSED
from metaflow_extensions.hitl.approvals.waiting import NO_BOT_AFTER
from metaflow_extensions.hitl.messages.batch import Batch, render
from metaflow_extensions.hitl.notifiers.slack.notifier import NAME as SLACK, SlackNotifier

_NOTE = "batch"  # of what is signed
UPDATE_EVERY = timedelta(seconds=1)  # of one message, whatever happens to its gates
_SOON = 2.0  # seconds until another bot has posted
_KEPT = 200  # batches in memory; one that was forgotten is read again

log = structlog.get_logger("hitl_bot.batches")


class NoSuchBatch(errors.HitlError):
    """No message of many gates has this id. Use /hitl list."""


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What Slack's message is found by again."""

    id: str
    pathspec: str
    requested_at: datetime


@dataclass(kw_only=True)
class _Shown:
    """A batch in memory."""

    id: str
    pathspec: str
    post: Post
    members: dict[str, Approval] = field(default_factory=dict)
    shown_at: datetime | None = None
    stale: bool = False
    standing: AnswerInAdvance | None = None
    visible: dict[str, object] = field(default_factory=dict)  # what the message says of each gate, as far as is known
    problem: errors.NotifierError | None = None  # that the last attempt met with
    pause: timedelta = timedelta()  # since the last attempt failed, and until
    not_before: datetime | None = None


class Batches:
    """All batches of one bot. Threads may share it.

    Parameters
    ----------
    ledger : Ledger
        Where they are.
    slack : SlackNotifier
        One that never waits.
    clock : Clock
        The present.
    workers : Executor
        Where messages are brought up to date.
    problems : ProblemLog
        Told what keeps a message from being brought up to date.
    holder : str
        Of this bot among all that share the store.
    """

    def __init__(
        self,
        ledger: Ledger,
        slack: SlackNotifier,
        *,
        clock: Clock,
        workers: Executor,
        problems: ProblemLog,
        holder: str,
    ) -> None:
        self._ledger = ledger
        self._slack = slack
        self._clock = clock
        self._workers = workers
        self._problems = problems
        self._holder = holder
        self._answers = AnswersInAdvance(ledger)
        self._newest: BoundedMap[str, str] = BoundedMap(_KEPT)  # by name: the batch that a further gate may join
        self._known: BoundedMap[str, _Shown] = BoundedMap(_KEPT)
        self._lock = Lock()
        self._joining = Lock()  # one gate at a time, so that the second finds the message of the first
        self._showing = BackgroundJob(workers, self._show_all, name="batches")

    def read(self, batch_id: str) -> Batch:
        """Return a batch with its gates as the records have them now.

        Raises
        ------
        NoSuchBatch
            There is none.
        StoreError
            As the store says.
        """
        members = self._members(checked_id(batch_id))
        if not members:
            raise NoSuchBatch(str(NoSuchBatch.__doc__))
        return _batch(batch_id, members, self._standing(batch_id))

    def glance(self, batch_id: str) -> Batch:
        """Return a batch as this bot knows it, which may be two seconds old: for what has to open at once.

        Raises
        ------
        NoSuchBatch, StoreError
            As ``read``.
        """
        with self._lock:
            known = self._known.get(batch_id)
            members = list(known.members.values()) if known is not None else []
            standing = known.standing if known is not None else None
        return _batch(batch_id, members, standing) if members else self.read(batch_id)

    def stands_at(self, batch_id: str) -> Post | None:
        """Return where the message of a batch is; None if there is no such batch."""
        shown = self._load(batch_id)
        return None if shown is None else shown.post

    def note_standing(self, batch_id: str, standing: AnswerInAdvance | None) -> None:
        """Note what was answered for all shards of a message; the message follows."""
        shown = self._load(batch_id)
        if shown is None:
            return
        with self._lock:
            shown.stale = shown.stale or shown.standing != standing
            shown.standing = standing

    def _standing(self, batch_id: str) -> AnswerInAdvance | None:
        try:
            return self._answers.newest(batch_id)
        except errors.StoreUnavailable:
            with self._lock:
                known = self._known.get(batch_id)
            return known.standing if known is not None else None
        except errors.RecordError as error:
            log.warning("an answer in advance is ignored", batch=batch_id, why=str(error))
            return None

    # As a notifier.

    def join(self, approval: Approval) -> Post:
        """Put a gate on the message of its step and run; post that message if there is none.

        Raises
        ------
        NotifierUnavailable, NotifierRefused
            As a notifier's ``post``; NotifierBusy while another bot posts it.
        """
        if self._clock() - approval.requested_at >= NO_BOT_AFTER and (alone := self._slack.find_alone(approval)):
            return alone  # its run posted it, and died before it could note that
        with self._joining:
            number, shown = self._last_batch(approval)
            if shown is None or not _takes(shown, approval):
                # A batch that has no message yet is begun and not finished: by another bot, or by one that died.
                shown = self._begin(approval, number if number and shown is None else number + 1)
            if approval.id not in shown.members:
                self._mark(shown.id, [approval.id])
            with self._lock:
                shown.stale = shown.stale or shown.members.get(approval.id) != approval
                shown.members[approval.id] = approval
            return replace(shown.post, at=self._clock())

    def update(self, approval: Approval, post: Post) -> None:
        """Note the state of a gate. The message follows within a second or two, once for many of them.

        Raises
        ------
        NotifierBusy
            The gate has ended, and the message does not show that yet.
        NotifierUnavailable, NotifierRefused, MessageUnreachable
            The same, and this is what the last attempt met with.
        """
        shown = self._load(str(post.batch))
        if shown is None:
            raise errors.MessageUnreachable(f"It is not recorded where the message of {approval.id} is.")
        with self._lock:
            shown.members[approval.id] = approval
            if approval.state is not State.PENDING and shown.visible.get(approval.id) == _visible(approval):
                return
            shown.stale = shown.stale or not isinstance(shown.problem, errors.MessageUnreachable)
            problem = shown.problem
        if approval.state is State.PENDING:
            return  # nothing waits for votes to be seen
        raise problem or errors.NotifierBusy(
            "The message will show it within seconds, together with others.", seconds=_SOON
        )

    def find(self, approval: Approval) -> Post | None:
        """Return the message that a gate is on, although its record does not say so; None if it is on none.

        Raises
        ------
        NotifierUnavailable
            It can't be known now; NotifierBusy while another bot posts it.
        """
        markers = map(bucket.read_batch_member_key, self._ledger.store.list(bucket.batches_like(_name(approval))))
        on = [marker[0] for marker in markers if marker is not None and marker[1] == approval.id]
        for batch_id in reversed(on):
            shown = self._load(batch_id) or self._found_in_channel(approval, batch_id)
            if shown is not None:
                return replace(shown.post, at=self._clock())
        return self._slack.find_alone(approval)  # its run posted it, since no bot did

    def _found_in_channel(self, approval: Approval, batch_id: str) -> _Shown | None:
        """Find the message of a batch that nobody noted: it is being posted, or somebody died before noting it."""
        with self._joining:
            if (shown := self._load(batch_id)) is not None:
                return shown  # this bot has posted it meanwhile
            if not self._ledger.claim(batch_id, "post", self._holder, now=self._clock(), during=CLAIM_FOR):
                raise errors.NotifierBusy("Another bot is posting the message of these gates.", seconds=_SOON)
            members = self._members(batch_id) or [approval]
            since = min(one.requested_at for one in members)
            asked = _Found(id=batch_id, pathspec=_run_of(approval), requested_at=since)
            post = self._slack.find_message(asked, approval.requirements.channel, since=self._clock())
            return None if post is None else self._note(asked, post, members)

    def _note(self, asked: _Found, post: Post, members: list[Approval]) -> _Shown:
        post = replace(post, batch=asked.id)
        try:
            self._ledger.write_note(bucket.batch_post_key(asked.id), _NOTE, _written(post, asked.pathspec))
        except errors.KeyTaken:
            noted = _post(self._ledger.read_note(bucket.batch_post_key(asked.id), _NOTE), asked.id, self._clock())
            if (noted.channel, noted.ts) != (post.channel, post.ts):
                self._ledger.note_surplus(asked.id, post)  # another bot was faster; the sweeper removes this one
            post = noted
        shown = _Shown(id=asked.id, pathspec=asked.pathspec, post=post)
        shown.members = {one.id: one for one in members}
        return self._remember(shown)

    # What the sweeper sees.

    def changed(self, entry: Entry) -> None:
        """Note the state of a gate."""
        approval = entry.approval
        post = next((post for post in approval.posts if post.notifier == SLACK), None)
        if post is not None and approval.question.batch:
            self._leave_others(approval.id, post)
        shown = None if post is None or post.batch is None else self._load(post.batch)
        if shown is not None:
            with self._lock:
                # Also what the message should say already: another bot, which knew less, may have written over it.
                shown.stale = True
                shown.members[approval.id] = approval

    def _leave_others(self, approval_id: str, on: Post) -> None:
        """Take a gate off the messages that showed it while it was posted on another one, or alone by its run."""
        with self._lock:
            for other in self._known.values():
                if other.id != on.batch and other.members.pop(approval_id, None) is not None:
                    other.stale = True

    def tick(self) -> None:
        """Bring the messages up to date, each once a second at most."""
        if self._due():
            self._showing.ask()

    def _due(self) -> list[_Shown]:
        now = self._clock()
        with self._lock:
            return [
                shown
                for shown in self._known.values()
                if shown.stale
                and (shown.shown_at is None or now - shown.shown_at >= UPDATE_EVERY)
                and (shown.not_before is None or now >= shown.not_before)
            ]

    def _show_all(self) -> None:
        for shown in self._due():
            self._show(shown)

    def _show(self, shown: _Shown) -> None:
        with self._lock:
            shown.stale, shown.shown_at = False, self._clock()
            members, standing = list(shown.members.values()), shown.standing
        try:
            if not members:
                self._slack.withdraw(shown.post)  # all of its gates stand elsewhere
                return
            if all(one.state is not State.PENDING for one in members):
                members = self._with_those_of_others(shown)  # before it says that all are answered
            if standing is not None or _batch(shown.id, members).to_come:
                standing = self._standing(shown.id)  # another bot may have taken an answer, or one back
            self._slack.show(render(_batch(shown.id, members, standing), now=self._clock()), shown.post)
        except (errors.NotifierBusy, errors.StoreUnavailable):
            with self._lock:
                shown.stale = True  # with the next tick, at Slack's pace
        except errors.MessageUnreachable as error:
            self._problems.report(SLACK, shown.id, error)  # the gates' records say how they stand
            with self._lock:
                shown.problem = error
        except errors.NotifierError as error:
            self._problems.report(SLACK, shown.id, error)
            longest = RETRY_REFUSED if isinstance(error, errors.NotifierRefused) else RETRY_LAST
            with self._lock:
                shown.stale, shown.pause = True, min(shown.pause * 2 or RETRY_FIRST, longest)
                shown.problem, shown.not_before = error, self._clock() + shown.pause
        else:
            with self._lock:
                shown.visible = {one.id: _visible(one) for one in members}
                shown.problem, shown.pause, shown.not_before = None, timedelta(), None

    def _with_those_of_others(self, shown: _Shown) -> list[Approval]:
        """Return the gates of a message, also those that another bot has put on it a moment ago."""
        with self._lock:
            known = set(shown.members)
        more = self._members(shown.id, besides=known)
        with self._lock:
            shown.members = {one.id: one for one in more} | shown.members
            return list(shown.members.values())

    # The batch of a gate.

    def _last_batch(self, approval: Approval) -> tuple[int, _Shown | None]:
        """Return the number of the last batch of the gate's step and run, 0 if there is none, and the batch."""
        remembered = self._newest.get(_name(approval))
        known = self._load(remembered) if remembered is not None else None
        if known is not None and _takes(known, approval):
            return int(known.id.rpartition("-")[2]), known  # no LIST for each of many shards
        number = self._last_number(approval)
        shown = self._load(_batch_id(approval, number)) if number else None
        if shown is not None and _takes(shown, approval):
            self._newest[_name(approval)] = shown.id
        return number, shown

    def _last_number(self, approval: Approval) -> int:
        name = _name(approval)
        found = (bucket.read_batch_number(key, name) for key in self._ledger.store.list(bucket.batches_like(name)))
        return max((number for number in found if number is not None), default=0)

    def _begin(self, approval: Approval, number: int) -> _Shown:
        batch_id = _batch_id(approval, number)
        now = self._clock()
        if not self._ledger.claim(batch_id, "post", self._holder, now=now, during=CLAIM_FOR):
            raise errors.NotifierBusy("Another bot is posting the message of these gates.", seconds=_SOON)
        members = self._siblings(approval)
        # Before anybody sees them on the message: whoever then approves all approves what the message shows.
        self._mark(batch_id, [one.id for one in members])
        asked = _Found(id=batch_id, pathspec=_run_of(approval), requested_at=min(one.requested_at for one in members))
        names = self._slack.look_up(approval)
        message = render(_batch(batch_id, members), now=now, ids=names.ids, nobody=names.nobody)
        post = self._slack.post_message(asked, message, approval.requirements.channel)
        shown = self._note(asked, replace(post, ids=names.ids, nobody=names.nobody), members)
        with self._lock:
            shown.shown_at = now
            self._newest[_name(approval)] = batch_id
        return shown

    def _mark(self, batch_id: str, ids: list[str]) -> None:
        for _ in self._workers.map(self._ledger.store.mark, [bucket.batch_member_key(batch_id, one) for one in ids]):
            pass

    def _siblings(self, approval: Approval) -> list[Approval]:
        """Read the gates of the same step and run that wait and have no message yet."""
        step = approval.id.rsplit("-", 1)[0]
        ids = self._ledger.open_ids(f"{step}-")
        found = (one.approval for one in self._ledger.read_many(ids) if not isinstance(one, errors.RecordError))
        others = {one.id: one for one in found if _run_of(one) == _run_of(approval) and _wants_this(one, approval)}
        return list((others | {approval.id: approval}).values())

    # In memory.

    def _load(self, batch_id: str) -> _Shown | None:
        with self._lock:
            known = self._known.get(batch_id)
            if known is not None:
                self._known.touch(batch_id)
                return known
        try:
            held = self._ledger.read_note(bucket.batch_post_key(batch_id), _NOTE)
            post = _post(held, batch_id, self._clock())
        except errors.KeyMissing:
            return None
        except errors.RecordError as error:
            log.warning("a batch is passed over", batch=batch_id, why=str(error))
            return None
        members = self._members(batch_id)
        shown = _Shown(id=batch_id, pathspec=str(held.get("pathspec", "")), post=post)
        shown.members = {one.id: one for one in members}
        shown.standing = self._standing(batch_id)
        return self._remember(shown)

    def _remember(self, shown: _Shown) -> _Shown:
        with self._lock:
            shown = self._known.setdefault(shown.id, shown)
            self._known.touch(shown.id)
            return shown

    def _members(self, batch_id: str, besides: Collection[str] = ()) -> list[Approval]:
        named = map(bucket.read_batch_member_key, self._ledger.store.list(bucket.batch_members_folder(batch_id)))
        ids = [one[1] for one in named if one is not None and one[1] not in besides]
        found = (one.approval for one in self._ledger.read_many(ids) if not isinstance(one, errors.RecordError))
        # A marker says where to look; which message a gate is on, its record says.
        return [one for one in found if _is_on(one, batch_id)]


class BatchingNotifier:
    """Slack, where gates that want to share a message do.

    Parameters
    ----------
    slack : SlackNotifier
        For all others.
    batches : Batches
        For these.
    """

    updates = True

    def __init__(self, slack: SlackNotifier, batches: Batches) -> None:
        self._slack = slack
        self._batches = batches

    def post(self, approval: Approval) -> Post:
        """Ask the question, alone or with others."""
        return self._batches.join(approval) if approval.question.batch else self._slack.post(approval)

    def update(self, approval: Approval, post: Post) -> None:
        """Show the approval as it is now, at once or with others."""
        if post.batch is None:
            self._slack.update(approval, post)
        else:
            self._batches.update(approval, post)

    def find(self, approval: Approval) -> Post | None:
        """Return where a question stands that has ended, alone or with others, and whose record does not say so."""
        return self._batches.find(approval) if approval.question.batch else self._slack.find(approval)

    def withdraw(self, post: Post) -> None:
        """Remove a message beside the one that the record names."""
        self._slack.withdraw(post)


def _visible(approval: Approval) -> object:
    """Return what the message says of a gate that has ended, to be compared."""
    return approval.state, approval.decision, approval.closing


def _written(post: Post, pathspec: str) -> dict[str, Any]:
    """Return where a message is, as it is read again."""
    where = {"channel": post.channel, "ts": post.ts, "url": post.url, "ids": post.ids, "nobody": list(post.nobody)}
    return {**where, "pathspec": pathspec}


def _post(held: Mapping[str, Any], batch_id: str, now: datetime) -> Post:
    try:
        return Post(
            notifier=SLACK,
            at=now,
            channel=str(held["channel"]),
            ts=str(held["ts"]),
            url=None if held["url"] is None else str(held["url"]),
            batch=batch_id,
            ids=dict(held["ids"]),
            nobody=tuple(held["nobody"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise errors.CorruptRecord(
            bucket.batch_post_key(batch_id), f"it does not say where a message is ({error})"
        ) from error


def _is_on(approval: Approval, batch_id: str) -> bool:
    """Whether a gate is on the message of a batch: its record says so, or it is about to."""
    post = next((post for post in approval.posts if post.notifier == SLACK), None)
    if post is not None:
        return post.batch == batch_id
    # What is settled without a message stands on none.
    return (
        approval.settlement is None and bool(approval.question.batch) and batch_id.rpartition("-")[0] == _name(approval)
    )


def _order(one: Approval) -> tuple[object, ...]:
    shard, task = one.question.shard, one.pathspec.task
    return shard.place if shard else (), len(task), task


def _batch(batch_id: str, members: list[Approval], standing: AnswerInAdvance | None = None) -> Batch:
    ordered = sorted(members, key=_order)
    return Batch(id=batch_id, pathspec=_run_of(members[0]), members=ordered, standing=standing)


def _takes(shown: _Shown, approval: Approval) -> bool:
    """Whether a gate belongs on a message: it is there, something there waits, or the foreach has more shards.

    A place that is taken belongs to an earlier turn of a loop, whose foreach this is not.
    """
    members = list(shown.members.values())
    if approval.id in shown.members:
        return True
    shard = approval.question.shard
    if shard is not None and any(_place_of(one) == shard.place for one in members):
        return False
    in_all = shards_in_all(members)
    more = in_all is not None and len(members) < in_all.number
    return more or any(one.state is State.PENDING for one in members)


def _place_of(approval: Approval) -> tuple[int, ...] | None:
    return approval.question.shard.place if approval.question.shard else None


def _run_of(approval: Approval) -> str:
    pathspec = approval.pathspec
    return f"{pathspec.flow}/{pathspec.run}/{pathspec.step}"


def _name(approval: Approval) -> str:
    """Return the id of a batch without its number: the step, and a hash of all that its gates have in common."""
    common = f"{_run_of(approval)}\n{approval.requirements.channel or ''}"
    digest = b32encode(hashlib.sha256(common.encode()).digest()).decode().lower()[:10]
    return f"{approval.id.rsplit('-', 1)[0]}-{digest}"


def _batch_id(approval: Approval, number: int) -> str:
    return f"{_name(approval)}-{number}"


def _wants_this(one: Approval, approval: Approval) -> bool:
    same_channel = one.requirements.channel == approval.requirements.channel
    unposted = all(post.notifier != SLACK for post in one.posts)
    return one.state is State.PENDING and bool(one.question.batch) and same_channel and unposted
