"""/hitl delegate: somebody decides in one's place until a day ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from hitl_bot.bootstrap import Bot
    from hitl_bot.sandbox.driver import Person
    from tests.integration.bot.conftest import Ask


def test_delegate_and_back(ask: Ask, bot: Bot, bob: Person, alice: Person) -> None:
    """The delegate's decision counts and names both; both are told how it stands; after the end it counts no more."""
    first, second = ask("1", approvers=("U0BOB",)), ask("2", approvers=("U0BOB",))
    (said,) = bob.command("/hitl delegate alice@example.com until 2026-12-24")
    assert "alice decides for you until 2026-12-24" in said.plain
    (standing,) = alice.command("/hitl delegate")
    assert "You decide for bob" in standing.plain
    alice.command(f"/hitl approve {first.id}")
    decision = bot.cases.ledger.read(first.id).approval.decision
    assert decision is not None
    assert decision.on_behalf_of is not None
    assert (decision.by.id, decision.on_behalf_of.id) == ("U0ALICE", "U0BOB")
    (ended,) = bob.command("/hitl delegate end")
    assert "Nobody decides for you" in ended.plain
    (refused,) = alice.command(f"/hitl approve {second.id}")
    assert "can't decide" in refused.plain


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ("alice", "Write /hitl delegate"),
        ("nobody until 2026-12-24", "Slack knows nobody"),
        ("<@U0ALICE|alice> until tomorrow", "is no date"),
        ("U0ALICE until 2020-01-01", "ends in the future"),
        ("end", "Nobody decides for you"),
    ],
)
def test_delegations_that_can_not_be(bot: Bot, bob: Person, rest: str, words: str) -> None:
    """What can't be understood, or has passed, is answered with what would be right."""
    (said,) = bob.command(f"/hitl delegate {rest}")
    assert words in said.plain
