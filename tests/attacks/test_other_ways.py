"""What opens nothing by itself, and must not stop or mislead the bot either: hostile objects, and an older release."""

from __future__ import annotations

from contextlib import suppress

import pytest

from metaflow_extensions.hitl.approvals import codec
from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.record import Answer, State, Verdict, Where
from tests.attacks.conftest import Bucket
from tests.fixtures.approvals import BOB, pathspec, question
from tests.unit.approvals.sweeping.test_hostile_objects import HOSTILE

YES = Answer(verdict=Verdict.APPROVE)


@pytest.mark.way("writes objects that no release writes")
def test_objects_that_no_release_writes(bucket: Bucket):
    """All of them at once: none opens its gate, and beside them a question is asked, answered and carried out."""
    for plant in HOSTILE.values():
        with suppress(HitlError):  # of two for the same key the first stays
            plant(bucket.attacker.store)
    asked = bucket.ask(task="1")
    bucket.bot.cases.decide(asked.id, YES, who=BOB, where=Where.BUTTON)
    bucket.sweep()
    settled = bucket.bot.cases.ledger.read(asked.id).approval
    assert (settled.state, settled.settlement is None) == (State.APPROVED, False)
    assert not bucket.opens(pathspec(task="bad"))


@pytest.mark.way("lets a bot of an older release decide")
def test_a_bot_of_an_older_release(bucket: Bucket, monkeypatch: pytest.MonkeyPatch):
    """One that has never heard of a quorum neither asks nor decides where two people must agree."""
    known = codec._known()
    asked = bucket.propose(question(quorum=2))
    with monkeypatch.context() as older:
        older.setattr(codec, "_known", lambda: known - {"question.quorum"})
        bucket.sweep()
        with pytest.raises(HitlError):
            bucket.bot.cases.decide(asked.id, YES, who=BOB, where=Where.BUTTON)
    assert not bucket.opens()


@pytest.mark.way("asks with a pattern that takes forever to match")
def test_a_pattern_that_takes_forever(bucket: Bucket):
    """A value is refused in time, while the bot serves everybody else, and decides nothing."""
    trap = {"type": "object", "properties": {"name": {"type": "string", "pattern": "^(a|aa)+$"}}, "required": ["name"]}
    asked = bucket.ask(question(schema=trap))
    answer = Answer(verdict=Verdict.APPROVE, input={"name": "a" * 60 + "!"})
    with pytest.raises(HitlError, match="name"):
        bucket.bot.cases.decide(asked.id, answer, who=BOB, where=Where.FORM)
    assert not bucket.opens()
