"""trigger_id and response_url: how long they live and how often they work."""

from __future__ import annotations

from queue import Queue
from typing import Any

import pytest
from slack_bolt import Ack, App
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.webhook import WebhookClient

from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.driver import Driver

Json = dict[str, Any]
VIEW = {"type": "modal", "title": {"type": "plain_text", "text": "Title"}, "blocks": []}


@pytest.fixture
def command(bolt: App, connected: App, people: Driver, control: Control) -> Json:
    """A slash command that bob typed, as the app got it: with a fresh trigger_id and response_url; no time passes."""
    control.set_clock(control.now())
    seen: list[Json] = []

    @bolt.command("/hitl")
    def hitl(ack: Ack, body: Json) -> None:
        seen.append(body)
        ack("yes?")

    people.as_("bob").command("/hitl list")
    return seen[0]


def code(call: Any) -> str:
    with pytest.raises(SlackApiError) as caught:
        call()
    return str(caught.value.response["error"])


def test_a_trigger_works_once(slack: WebClient, command: Json) -> None:
    """The second view for one trigger_id is refused with exchanged_trigger_id."""
    slack.views_open(trigger_id=command["trigger_id"], view=VIEW)
    assert code(lambda: slack.views_open(trigger_id=command["trigger_id"], view=VIEW)) == "exchanged_trigger_id"


@pytest.mark.usefixtures("slacks_seconds")
def test_a_trigger_lives_three_seconds(slack: WebClient, command: Json, control: Control) -> None:
    """After three seconds of the clock it is expired_trigger_id; one that never was is invalid_trigger_id."""
    control.advance(3.1)
    assert code(lambda: slack.views_open(trigger_id=command["trigger_id"], view=VIEW)) == "expired_trigger_id"
    assert code(lambda: slack.views_open(trigger_id="1.2.x", view=VIEW)) == "invalid_trigger_id"


def test_a_response_url_works_five_times(command: Json, people: Driver) -> None:
    """The sixth use is refused with used_url; the five are visible to the asker alone."""
    hook = WebhookClient(command["response_url"])
    for number in range(5):
        assert hook.send(text=str(number)).status_code == 200
    sixth = hook.send(text="5")
    assert (sixth.status_code, "used_url" in sixth.body) == (404, True)
    assert [one.plain for one in people.as_("bob").ephemerals("#ml-approvals")] == ["yes?", "0", "1", "2", "3", "4"]


def test_a_response_url_lives_thirty_minutes(command: Json, control: Control) -> None:
    """After thirty minutes of the clock it is refused with expired_url."""
    hook = WebhookClient(command["response_url"])
    control.advance(30 * 60 - 1)
    assert hook.send(text="late").status_code == 200
    control.advance(2)
    assert "expired_url" in hook.send(text="too late").body


def test_an_answer_may_be_for_the_channel(command: Json, people: Driver) -> None:
    """response_type in_channel is visible to everybody."""
    WebhookClient(command["response_url"]).send(text="to all", response_type="in_channel")
    assert [one.plain for one in people.as_("carol").messages("#ml-approvals")] == ["to all"]


def test_three_views_lie_on_top_of_each_other_and_no_fourth(slack: WebClient, control: Control, people: Driver) -> None:
    """views.push beyond three views is refused with push_limit_reached; closing shows the one below."""
    slack.views_open(trigger_id=control.new_trigger("bob"), view=VIEW)
    slack.views_push(trigger_id=control.new_trigger("bob"), view=VIEW)
    slack.views_push(trigger_id=control.new_trigger("bob"), view=VIEW)
    assert code(lambda: slack.views_push(trigger_id=control.new_trigger("bob"), view=VIEW)) == "push_limit_reached"
    bob = people.as_("bob")
    *below, top = bob.views()
    top.close()
    assert [one.id for one in bob.views()] == [one.id for one in below]


def test_a_views_external_id_is_unique(slack: WebClient, control: Control) -> None:
    """A second view with an open view's external_id is refused; an update finds the view by it."""
    slack.views_open(trigger_id=control.new_trigger("bob"), view={**VIEW, "external_id": "gate-7"})
    slack.views_update(external_id="gate-7", view={**VIEW, "external_id": "gate-7"})
    home = {"type": "home", "blocks": [], "external_id": "gate-7"}
    assert code(lambda: slack.views_publish(user_id="U0CAROL", view=home)) == "duplicate_external_id"


def test_a_view_that_changed_is_not_overwritten_unread(slack: WebClient, control: Control) -> None:
    """views.update with an old hash is refused with hash_conflict."""
    opened = slack.views_open(trigger_id=control.new_trigger("bob"), view=VIEW)["view"]
    slack.views_update(view_id=opened["id"], view=VIEW)
    assert code(lambda: slack.views_update(view_id=opened["id"], view=VIEW, hash=opened["hash"])) == "hash_conflict"


def test_the_app_hears_of_a_closed_view_if_it_wants_to(
    bolt: App, connected: App, slack: WebClient, people: Driver, control: Control
) -> None:
    """view_closed comes for a view with notify_on_close and carries its private_metadata."""
    closed: Queue[Json] = Queue()

    @bolt.view_closed("form")
    def form(ack: Ack, view: Json) -> None:
        ack()
        closed.put(view)

    more = {"callback_id": "form", "notify_on_close": True, "private_metadata": "gate-7"}
    slack.views_open(trigger_id=control.new_trigger("bob"), view={**VIEW, **more})
    people.as_("bob").wait_for_view().close()
    assert closed.get(timeout=60)["private_metadata"] == "gate-7"
