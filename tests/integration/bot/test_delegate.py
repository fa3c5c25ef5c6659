"""/hitl delegate: somebody decides in one's place until a day ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.driver import Person

if TYPE_CHECKING:
    from hitl_bot.bootstrap import Bot
    from tests.integration.bot.conftest import Ask


def test_delegate_and_back(ask: Ask, bot: Bot, bob: Person, alice: Person) -> None:
    """The delegate's decision counts and names both; both are told how it stands; after the end it counts no more."""
    first, second = ask("1", approvers=("U0BOB",)), ask("2", approvers=("U0BOB",))
    (said,) = bob.command("/hitl delegate alice@example.com until 2026-12-24")
    assert "alice (alice@example.com) decides for you until 2026-12-24" in said.plain
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
        ("alice until", "Use /hitl delegate"),
        ("@frank until 2026-12-24", "the account is deactivated"),
        ("frank until 2026-12-24", "No one in Slack matches 'frank'"),
        ("@hitl until 2026-12-24", "apps can't decide"),
        ("U0FRANK until 2026-12-24", "the account is deactivated"),
        ("@bob until 2026-12-24", "delegate loop: bob → bob"),
        ("alice", "Use /hitl delegate"),
        ("nobody until 2026-12-24", "No one in Slack matches"),
        ("<@U0ALICE|alice> until tomorrow", "is not a date"),
        ("U0ALICE until 2020-01-01", "must end in the future"),
        ("end", "Nobody decides for you"),
    ],
)
def test_delegations_that_can_not_be(bot: Bot, bob: Person, rest: str, words: str) -> None:
    """What can't be understood, or has passed, is answered with what would be right."""
    (said,) = bob.command(f"/hitl delegate {rest}")
    assert words in said.plain


@pytest.mark.parametrize(
    "typed", ["@alice", "@Alice", "alice", "“@alice”", "<@U0ALICE|alice>", "U0ALICE", "alice@example.com"]
)
def test_a_person_can_be_named_as_people_do(bot: Bot, bob: Person, typed: str) -> None:
    """As Slack sends a mention with escaping and without, by address and by member id."""
    (said,) = bob.command(f"/hitl delegate {typed} until 2026-12-24")
    assert "alice (alice@example.com) decides for you" in said.plain


def test_a_name_of_two_words(bot: Bot, bob: Person, control: Control) -> None:
    """A display name may have blanks in it."""
    control.put_person(id="U0JUDY", name="Judy Jones", real_name="Judy Jones")
    (said,) = bob.command("/hitl delegate @Judy Jones until 2026-12-24")
    assert "Judy Jones decides for you" in said.plain


def test_a_name_that_two_go_by_is_nobodys(bot: Bot, bob: Person, control: Control) -> None:
    """Everybody chooses their own display name: one who takes somebody else's is not taken for them."""
    control.put_person(id="U0MALLORY", name="Alice", real_name="Mallory")
    (said,) = bob.command("/hitl delegate alice until 2026-12-24")
    assert "2 people go by alice. Use the email address or member ID of the one you mean." in said.plain
    (standing,) = bob.command("/hitl delegate")
    assert "Nobody decides for you" in standing.plain


def test_a_loop_is_refused_by_name(bot: Bot, bob: Person, alice: Person, carol: Person) -> None:
    """Who delegated to somebody, directly or by way of others, can't be their delegate; the answer shows the loop."""
    alice.command("/hitl delegate @bob until 2026-12-24")
    bob.command("/hitl delegate @carol until 2026-12-24")
    (said,) = carol.command("/hitl delegate @alice until 2026-12-24")
    assert "delegate loop: carol → alice → bob → carol" in said.plain
    (standing,) = carol.command("/hitl delegate")
    assert "Nobody decides for you" in standing.plain
    assert "You decide for bob" in standing.plain


def test_nobody_is_looked_for_while_slack_can_not_be_asked(bot: Bot, bob: Person, control: Control) -> None:
    """Without an answer from Slack there is no delegation."""
    control.fault("users.list", error="fatal_error")
    (said,) = bob.command("/hitl delegate alice until 2026-12-24")
    assert "Slack can't say who goes by that name" in said.plain
