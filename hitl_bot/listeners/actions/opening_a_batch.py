"""What the buttons below many gates have in common: read the batch, open the form that answers it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hitl_bot.listeners.forms import approve_form
from hitl_bot.listeners.opening import Opening
from hitl_bot.listeners.payloads import user_of
from metaflow_extensions.hitl.messages import answers
from metaflow_extensions.hitl.messages.batch_views import answered_view

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from slack_bolt import Ack, Respond
    from slack_sdk import WebClient

    from hitl_bot.listeners.payloads import Json
    from hitl_bot.slack.people import SlackPeople
    from hitl_bot.surfaces.batches import Batches
    from metaflow_extensions.hitl.approvals.use_cases import UseCases
    from metaflow_extensions.hitl.messages.batch import Batch


def opens(build: Callable[[Batch], Json]) -> Callable[..., None]:
    """Return the callback of a button that opens the form which ``build`` makes of the batch."""

    def open_form(
        ack: Ack,
        action: Json,
        body: Json,
        client: WebClient,
        respond: Respond,
        cases: UseCases,
        people: SlackPeople,
        workers: Executor,
        batches: Batches,
    ) -> None:
        ack()

        def find_out() -> Batch:
            found = governed(cases, batches.glance(str(action.get("value"))))
            if found.waiting:
                # The gates of a step are all asked of the same people: who may answer one may answer all.
                approve_form(cases, found.waiting[0], people, user_of(body))
            return found

        with Opening(client, body, "Answer all", workers) as opening:
            found = opening.wait(find_out)
            if found.waiting:
                opening.show(build(found))
            elif opening.is_open:
                opening.show(answered_view(found))
            else:
                respond(**answers.said("All of them are answered."))

    return open_form


def governed(cases: UseCases, found: Batch) -> Batch:
    """Return a batch with its gates under the operator's rules as they are now."""
    return replace(found, members=tuple(cases.governed(one) for one in found.members))
