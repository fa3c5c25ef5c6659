"""Whether a trail is whole: no gap, every hash right, the question and the decision never changed. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from metaflow_extensions.hitl.approvals.bucket import version_key
from metaflow_extensions.hitl.approvals.errors import CorruptRecord
from metaflow_extensions.hitl.approvals.ledger.entries import Entry
from metaflow_extensions.hitl.approvals.record import Approval


def check_whole(approval_id: str, trail: Sequence[Entry]) -> None:
    """Raise CorruptRecord about the first thing that is wrong with all versions of an approval, oldest first."""
    for position, entry in enumerate(trail, start=1):
        key = version_key(approval_id, entry.number)
        if entry.number != position:
            raise CorruptRecord(key, f"version {position} is missing before it")
        if position > 1:
            check_follows(approval_id, trail[position - 2], entry)
        elif entry.version.previous is not None:
            raise CorruptRecord(key, "it names a version before it, but it is the first")
        elif not _asks_only(entry.approval):
            raise CorruptRecord(key, "it changes what an earlier version had settled")


def check_follows(approval_id: str, before: Entry, entry: Entry) -> None:
    """Raise CorruptRecord if a version can't be the next after another one."""
    key = version_key(approval_id, entry.number)
    if entry.version.previous != before.digest:
        raise CorruptRecord(key, f"the hash in it is not that of version {before.number}")
    if not _follows(before.approval, entry.approval):
        raise CorruptRecord(key, "it changes what an earlier version had settled")


def _asks_only(first: Approval) -> bool:
    return first == replace(
        first,
        posts=(),
        votes=(),
        reminders=(),
        judgement=None,
        confirmed_requester=None,
        decision=None,
        closing=None,
        settlement=None,
    )


def _follows(before: Approval, after: Approval) -> bool:
    return (
        _unchanging(after) == _unchanging(before)
        and after.posts[: len(before.posts)] == before.posts
        # The deadline moves with the operator's rule alone.
        and (before.deadline == after.deadline or before.policy_rule != after.policy_rule)
        # Votes and rule come before the decision, and stay as they were when it fell.
        and (before.decision is None or _grounds(before) == _grounds(after))
        and before.judgement in (None, after.judgement)
        and before.confirmed_requester in (None, after.confirmed_requester)
        and before.decision in (None, after.decision)
        and before.closing in (None, after.closing)
        and before.settlement in (None, after.settlement)
    )


def _unchanging(approval: Approval) -> Approval:
    return replace(
        approval,
        posts=(),
        votes=(),
        reminders=(),
        judgement=None,
        policy_rule=None,
        deadline=None,
        confirmed_requester=None,
        decision=None,
        closing=None,
        settlement=None,
        unknown={},
    )


def _grounds(approval: Approval) -> tuple[object, ...]:
    return approval.votes, approval.reminders, approval.policy_rule, approval.deadline, approval.confirmed_requester
