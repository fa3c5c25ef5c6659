"""/hitl history and /hitl stats."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from heapq import nlargest
from itertools import tee
from typing import TYPE_CHECKING

from hitl_bot.listeners.commands.words import read_span
from metaflow_extensions.hitl.approvals.errors import RecordError
from metaflow_extensions.hitl.approvals.statistics import statistics
from metaflow_extensions.hitl.messages import lists

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from hitl_bot.listeners.commands.words import Span, Words
    from metaflow_extensions.hitl.approvals.ledger import Entry
    from metaflow_extensions.hitl.approvals.record import Approval
    from metaflow_extensions.hitl.approvals.use_cases import UseCases
    from metaflow_extensions.hitl.messages.answers import Reply

_HISTORY, _STATISTICS = timedelta(days=7), timedelta(days=30)
_READ = 1_000  # records for one answer: some two seconds on S3


@dataclass(frozen=True, kw_only=True)
class _Decided:
    approvals: list[Approval]  # newest first
    left_out: int


def history(cases: UseCases, words: Words, page: int = 1) -> Reply:
    """List what was decided, newest first."""
    span = read_span(words, _HISTORY)
    now = cases.clock()
    decided = _read_decided(cases, span, now)
    return lists.history(
        decided.approvals, now=now, span=span.text, left_out=decided.left_out, page=page, words=words.text
    )


def stats(cases: UseCases, words: Words) -> Reply:
    """Count, and say how long it took."""
    span = read_span(words, _STATISTICS)
    now = cases.clock()
    decided = _read_decided(cases, span, now)
    waiting = [
        one
        for one in _readable(cases.ledger.read_many(cases.ledger.open_ids()))
        if span.flow in (None, one.pathspec.flow)
    ]
    counted = statistics(decided.approvals, waiting, since=now - span.length)
    return lists.figures(counted, now=now, span=span.text, left_out=decided.left_out)


def _read_decided(cases: UseCases, span: Span, now: datetime) -> _Decided:
    markers, counted = tee(cases.ledger.decided_since(now - span.length, flow=span.flow))
    newest = nlargest(_READ, markers)
    left_out = max(0, sum(1 for _ in counted) - len(newest))
    approvals = _readable(cases.ledger.read_many(approval_id for _, approval_id in newest))
    return _Decided(approvals=[one for one in approvals if one.decision is not None], left_out=left_out)


def _readable(found: Iterable[Entry | RecordError]) -> list[Approval]:
    return [entry.approval for entry in found if not isinstance(entry, RecordError)]
