"""The bot's own parts, handed to callbacks by argument name."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from hitl_bot.slack_client import DirectRespond

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from slack_bolt import App, BoltContext

    from hitl_bot.people import SlackPeople
    from metaflow_extensions.hitl.approvals.use_cases import UseCases


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What callbacks may ask for besides Bolt's own arguments.

    Attributes
    ----------
    cases : UseCases
        What can be done with an approval. Its clock is the bot's.
    people : SlackPeople
        Who a Slack user is.
    workers : Executor
        Where work goes that may take longer than Slack waits.
    """

    cases: UseCases
    people: SlackPeople
    workers: Executor


def register(app: App, parts: Parts) -> None:
    """Add the parts to the context of every request."""
    named = {field.name: getattr(parts, field.name) for field in fields(parts)}

    def add_parts(context: BoltContext, next: Callable[[], None]) -> None:  # noqa: A002 - Bolt's name for it
        context.update(named)
        context["respond"] = DirectRespond(response_url=context.response_url)
        next()

    app.middleware(add_parts)
