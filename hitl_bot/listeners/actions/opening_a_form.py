"""What the buttons that ask for words have in common: read the approval, open its form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hitl_bot.listeners.asked import asked, refresh_if_stale
from hitl_bot.listeners.opening import Opening
from hitl_bot.listeners.payloads import user_of
from metaflow_extensions.hitl.messages.action_ids import NOTICE_VIEW

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from slack_bolt import Ack
    from slack_sdk import WebClient

    from hitl_bot.listeners.payloads import Json
    from hitl_bot.slack.people import SlackPeople
    from metaflow_extensions.hitl.approvals.ledger import Entry
    from metaflow_extensions.hitl.approvals.record import Approval
    from metaflow_extensions.hitl.approvals.use_cases import UseCases

    Build = Callable[[UseCases, Approval, SlackPeople, str], Json]


def opens(title: str, build: Build) -> Callable[..., None]:
    """Return the callback of a button that opens a form.

    Parameters
    ----------
    title : str
        Of the view while the record is read; at most 24 characters.
    build : Callable
        From the use cases, the approval, the people and the id of who clicked to the view; see ``forms``.
    """

    def open_form(
        ack: Ack, action: Json, body: Json, client: WebClient, cases: UseCases, people: SlackPeople, workers: Executor
    ) -> None:
        ack()

        def look() -> tuple[Entry, Json]:
            entry = asked(cases, action.get("value"), body)
            return entry, build(cases, entry.approval, people, user_of(body))

        with Opening(client, body, title, workers) as opening:
            entry, form = opening.wait(look)
            opening.show(form)
            if form["callback_id"] == NOTICE_VIEW:  # in place of a form: the message may offer what is over
                refresh_if_stale(cases, entry.approval, body)

    return open_form
