"""Waiting for an answer where nothing else does: a local run, or the machine that launches pods."""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from . import transitions
from .errors import StoreUnavailable
from .ledger import Entry
from .posting import unposted
from .proposing import check_same_question
from .question import OnTimeout
from .record import Approval, State
from .refusals import NotTakenOver
from .sweeping import CLAIM_FOR
from .use_cases import UseCases, passed

NO_BOT_AFTER = timedelta(seconds=8)  # a question that is left to a bot is posted from here if there is none
_PAUSES = ((timedelta(minutes=2), 0.5), (timedelta(hours=1), 1.0), (timedelta(hours=8), 2.0))
_LONGEST_PAUSE = 5.0
_TRY_AGAIN = 3 * CLAIM_FOR  # so that a bot that comes meanwhile finds the claim free
_PATIENCE = timedelta(hours=1)  # that a store may be away after the deadline before the wait gives up


def _nobody_minds(_: Approval) -> None:
    """Let it be posted."""


def wait(
    cases: UseCases,
    approval_id: str,
    *,
    poll_interval: float,
    sleep: Callable[[float], object],
    on_trouble: Callable[[StoreUnavailable], object],
    on_posted: Callable[[Approval], object] = _nobody_minds,
    adapts: bool = False,
) -> Approval:
    """Wait for the answer, or for the deadline, and return the approval if its task may start.

    Looks for the next version's key only: one request a look, whatever the store holds.

    Parameters
    ----------
    cases : UseCases
        Its ledger is watched; its clock tells the deadline.
    approval_id : str
        A whole id.
    poll_interval : float
        Seconds between two looks.
    sleep : Callable[[float], object]
        Called with seconds.
    on_trouble : Callable[[StoreUnavailable], object]
        Told when the store did not answer. The wait goes on: a lost connection is not an answer.
    on_posted : Callable[[Approval], object]
        Told of the question where it is posted, also by a bot; the same may be told again. Default: nobody minds.
    adapts : bool
        Look twice as often for two minutes after each change of the record, and less and less often later: a day on S3
        costs a third of what it would otherwise.

    Raises
    ------
    Rejected, Closed
        The task may not start.
    StoreUnavailable
        The deadline has come, and the store stayed away for an hour since.
    """
    entry: Entry | None = None
    away_since: datetime | None = None
    alive_at = cases.clock()
    tried_at: datetime | None = None
    while True:
        now = cases.clock()
        try:
            newer = _look(cases, approval_id, entry, now)
            away_since = None
        except StoreUnavailable as error:
            away_since = away_since or now
            if entry is not None and entry.approval.is_due(now - _PATIENCE) and now - away_since >= _PATIENCE:
                raise
            on_trouble(error)
            newer = None
        if newer is not None:
            entry, alive_at = newer, now
            if entry.approval.posts:
                on_posted(entry.approval)
            if entry.approval.state is not State.PENDING:
                return passed(entry.approval)
            continue
        lately = tried_at is not None and now - tried_at < _TRY_AGAIN
        if entry is not None and not lately and _is_forgotten(entry.approval, now, cases.posting.notifiers):
            tried_at = now
            _post(cases, entry, now, on_trouble)
        sleep(_pause(entry, now, adapted(poll_interval, now - alive_at) if adapts else poll_interval))


def _look(cases: UseCases, approval_id: str, entry: Entry | None, now: datetime) -> Entry | None:
    """Return a version that is newer than the one known, or None."""
    if entry is None:
        return cases.ledger.read(approval_id)
    if entry.approval.is_due(now):
        cases.expire(entry)
    return cases.ledger.read_version(approval_id, entry.number + 1)


def _is_forgotten(approval: Approval, now: datetime, here: Collection[str]) -> bool:
    """Whether a question that was left to a bot, to share a message with others, has found none, and can be posted."""
    since = now - approval.requested_at
    can_post = any(name in here for name in unposted(approval))
    return bool(approval.question.batch) and not approval.posts and can_post and since >= NO_BOT_AFTER


def _post(cases: UseCases, entry: Entry, now: datetime, on_trouble: Callable[[StoreUnavailable], object]) -> None:
    try:
        # The sweepers' own claim: a bot that is slow must not post it as well.
        if cases.ledger.claim(entry.approval.id, "post", "who waits", now=now, during=CLAIM_FOR):
            cases.post(entry)
    except StoreUnavailable as error:
        on_trouble(error)


def adapted(poll_interval: float, quiet: timedelta) -> float:
    """Return the pause between two looks after so long without a change: shorter at first, longer after hours."""
    return poll_interval * next((factor for until, factor in _PAUSES if quiet < until), _LONGEST_PAUSE)


def _pause(entry: Entry | None, now: datetime, poll_interval: float) -> float:
    """Return the seconds to the next look: the poll interval, or less if the deadline comes before."""
    if entry is None or entry.approval.deadline is None:
        return poll_interval
    left = (entry.approval.deadline - now).total_seconds()
    return min(poll_interval, left) if left > 0 else poll_interval


# Waiting where only a bot writes records: for its word about the question that was proposed here, and no other.

# After a deadline, the time in which the bot may still say what follows.
TO_APPROVE = timedelta(seconds=10)  # where the signed question says that the deadline approves
TO_REJECT = timedelta(minutes=10)
UNHEARD_AFTER = timedelta(seconds=15)  # the person at the terminal hears that no bot has come


def wait_for_bot(
    cases: UseCases,
    asked: Approval,
    *,
    poll_interval: float,
    sleep: Callable[[float], object],
    on_trouble: Callable[[StoreUnavailable], object],
    on_posted: Callable[[Approval], object],
    on_unheard: Callable[[Approval], object],
    adapts: bool = False,
) -> Approval:
    """Wait for an answer that a bot signed, and return the approval if its task may start. One request a look.

    Parameters
    ----------
    cases : UseCases
        Its ledger is watched and holds each version to the keys that are trusted here; its clock tells the deadline.
    asked : Approval
        What was proposed, or the record that was found.
    poll_interval : float
        Seconds between two looks.
    sleep : Callable[[float], object]
        Called with seconds.
    on_trouble : Callable[[StoreUnavailable], object]
        Told when the store did not answer. The wait goes on.
    on_posted : Callable[[Approval], object]
        Told of the question where it is posted; the same may be told again.
    on_unheard : Callable[[Approval], object]
        Told once, after 15 seconds in which no bot took over the question.
    adapts : bool
        As for ``wait``.

    Raises
    ------
    Rejected, Closed, NotTakenOver, NotDecidedByTheBot, RecordError
        The task may not start.
    """
    entry: Entry | None = None
    heard, alive_at = False, cases.clock()
    while True:
        now = cases.clock()
        newer: Entry | None = None
        try:
            newer = cases.ledger.read_version(asked.id, 1 if entry is None else entry.number + 1)
        except StoreUnavailable as error:
            on_trouble(error)
        if newer is not None:
            # Each version by itself: what is signed and asks something else is as good as nothing.
            check_same_question(asked, newer.approval)
            entry, alive_at = newer, now
            if entry.approval.posts:
                on_posted(entry.approval)
            if entry.approval.state is not State.PENDING:
                return passed(entry.approval)
            continue
        if entry is not None:
            if _is_silent(entry.approval, now):
                return transitions.without_the_bot(entry.approval, now)
        else:
            if not heard and now - asked.requested_at >= UNHEARD_AFTER:
                heard = True
                on_unheard(asked)
            if asked.is_due(now - TO_REJECT):
                raise NotTakenOver(asked)
        sleep(adapted(poll_interval, now - alive_at) if adapts else poll_interval)


def _is_silent(approval: Approval, now: datetime) -> bool:
    """Whether the bot would have said by now what follows from the deadline."""
    approves = approval.question.on_timeout is OnTimeout.APPROVE and approval.requirements.timeout_approves
    return approval.is_due(now - (TO_APPROVE if approves else TO_REJECT))
