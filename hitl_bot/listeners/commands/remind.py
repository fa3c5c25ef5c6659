"""/hitl remind ID."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metaflow_extensions.hitl.messages import answers

if TYPE_CHECKING:
    from hitl_bot.listeners.commands.words import Words
    from hitl_bot.slack.people import SlackPeople
    from hitl_bot.surfaces.reminding import Reminding
    from metaflow_extensions.hitl.approvals.use_cases import UseCases


def remind(cases: UseCases, people: SlackPeople, reminding: Reminding, user_id: str, words: Words) -> answers.Reply:
    """Ask again in the thread, now."""
    entry = cases.ledger.read(cases.ledger.resolve(words.approval_id))
    approval = reminding.by_hand(entry, people.person(user_id))
    return answers.said(f"The reminder of {approval.id} goes into its thread.")
