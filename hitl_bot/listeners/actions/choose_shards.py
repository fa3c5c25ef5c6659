"""The buttons in the view that approves all but some: pages, and ticks for all."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from slack_sdk.errors import SlackApiError

from metaflow_extensions.hitl.messages import action_ids, batch_views, views
from metaflow_extensions.hitl.messages.choosing import OtherShards, chosen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slack_bolt import Ack
    from slack_sdk import WebClient

    from hitl_bot.listeners.payloads import Json
    from hitl_bot.surfaces.batches import Batches


def choose_shards(ack: Ack, action: Json, body: Json, client: WebClient, batches: Batches) -> None:
    """Show another page, or tick all or none, and keep what is ticked so far."""
    ack()
    view = body["view"]
    found = batches.read(batch_views.batch_of(view))
    try:
        choice = chosen(found, view)
    except OtherShards as error:
        client.views_update(view_id=view["id"], view=views.refused_view(error))
        return
    if action["action_id"] == action_ids.TICK_ALL:
        choice = choice.all_ticked()
    elif action["action_id"] == action_ids.UNTICK_ALL:
        choice = choice.none_ticked()
    else:
        choice = choice.turned_to(int(str(action["value"])))
    with _unless_it_shows_another():
        page = batch_views.approve_except_view(found, choice)
        client.views_update(view_id=view["id"], hash=view["hash"], view=page)


@contextmanager
def _unless_it_shows_another() -> Iterator[None]:
    """Let the first of two quick clicks count: the second was made on a page that is not there any more."""
    try:
        yield
    except SlackApiError as error:
        if error.response.get("error") != "hash_conflict":
            raise
