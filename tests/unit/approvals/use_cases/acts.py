"""What the tests of the use cases do to the one approval that they are about."""

from __future__ import annotations

from metaflow_extensions.hitl.approvals.record import Answer, Verdict, Where
from metaflow_extensions.hitl.approvals.use_cases import Outcome
from tests.fixtures.approvals import ALICE, Bench, pathspec

ID = pathspec().approval_id
APPROVE = Answer(verdict=Verdict.APPROVE)
REJECT = Answer(verdict=Verdict.REJECT, reason="The data is stale.")


def decide(bench: Bench, answer: Answer = APPROVE, *, who=ALICE, where=Where.BUTTON) -> Outcome:
    return bench.cases.decide(ID, answer, who=who, where=where)


def events(bench: Bench) -> list[str]:
    return [entry.version.event for entry in bench.ledger.verify(ID)]


def is_open(bench: Bench) -> bool:
    return ID in list(bench.ledger.open_ids())
