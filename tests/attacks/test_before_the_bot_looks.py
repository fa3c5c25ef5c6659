"""What a command line or a deadline decides against the policy before the bot has seen the question."""

from __future__ import annotations

import pytest

from hitl_bot.sandbox.driver import Driver
from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.question import OnTimeout
from metaflow_extensions.hitl.approvals.record import Answer, Approval, Verdict, Where
from tests.attacks.conftest import CHANNEL, Bucket
from tests.fixtures.approvals import REQUESTER, question
from tests.integration.operate.conftest import samples

PEOPLE_ONLY = """
people: {rita: alice@example.com}
rules:
- name: people
  command_line: refused
  approval_by_timeout: refused
"""


@pytest.fixture
def policy() -> str:
    return PEOPLE_ONLY


def by_command_line(bucket: Bucket, asked: Approval) -> None:
    bucket.run.decide(asked.id, Answer(verdict=Verdict.APPROVE), who=REQUESTER, where=Where.COMMAND_LINE)


def by_deadline(bucket: Bucket, asked: Approval) -> None:
    bucket.clock.forward(60)
    bucket.run.expire(bucket.run.ledger.read(asked.id))


BEFORE = "before the bot has seen the question"


@pytest.mark.parametrize(
    "decide",
    [
        pytest.param(by_command_line, marks=pytest.mark.way(f"answers {BEFORE}")),
        pytest.param(by_deadline, marks=pytest.mark.way(f"lets the deadline approve {BEFORE}")),
    ],
)
def test_it_is_carried_out_by_nobody_or_reported(bucket: Bucket, sandbox, decide):
    """Sealed, nothing is decided. Open, the run continues, and the bot says so on the message, Home and in a metric."""
    asked = bucket.propose(question(timeout=60, on_timeout=OnTimeout.APPROVE))
    try:
        decide(bucket, asked)
    except HitlError:
        assert bucket.is_sealed
    assert bucket.lets_run(asked) is not bucket.is_sealed
    bucket.sweep()
    bucket.sweep()
    if bucket.is_sealed:
        assert not bucket.opens()
        return
    settled = bucket.newest(asked)[1]
    assert settled.settlement is not None
    assert "the operator's policy " in settled.settlement.unaccepted
    people = Driver(sandbox.url)
    bob = people.as_("bob")
    bob.wait_for_message(
        CHANNEL, lambda one: "operator's policy does not accept this" in one.plain and asked.id in one.plain
    )
    home = bob.home()
    assert "not accepted by the operator's policy" in home.plain
    bucket.bot.web.start()
    where = "timeout" if decide is by_deadline else "command line"
    assert samples(bucket.bot.web.url)[f'hitl_decisions_not_accepted_total{{step="runs",where="{where}"}}'] == 1
