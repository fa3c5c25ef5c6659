"""/hitl show ID."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metaflow_extensions.hitl.messages import answers

if TYPE_CHECKING:
    from hitl_bot.listeners.commands.words import Words
    from metaflow_extensions.hitl.approvals.use_cases import UseCases


def show(cases: UseCases, words: Words) -> answers.Reply:
    """Show one approval, with its buttons if it still takes an answer."""
    entry = cases.ledger.read(cases.ledger.resolve(words.approval_id))
    return answers.shown(entry.approval, now=cases.clock())
