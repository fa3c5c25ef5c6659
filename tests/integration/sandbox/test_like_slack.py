"""Where the local Slack behaves as Slack does, although it would be simpler not to."""

from __future__ import annotations

from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from slack_bolt import Ack, App
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from hitl_bot.sandbox import Sandbox
from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.driver import Driver
from hitl_bot.sandbox.manifest import DEFAULT_MANIFEST


def refused(act) -> str:
    with pytest.raises(SlackApiError) as error:
        act()
    return str(error.value.response["error"])


def test_a_foreign_page_can_not_post_by_a_get(sandbox: Sandbox, control: Control) -> None:
    """A picture on another page is a GET without an Origin; what it asks for is not done."""
    address = f"{sandbox.api_url}chat.postMessage?token={sandbox.bot_token}&channel=%23ml-approvals&text=forged"
    with closing(HTTPConnection(urlsplit(address).netloc, timeout=60)) as connection:
        connection.request("GET", address, headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "image"})
        assert connection.getresponse().status == 403
    assert control.messages("#ml-approvals") == []


def test_what_differs_from_the_reference_is_noted() -> None:
    """An argument that Slack doesn't know is seen, whatever the call answers."""
    with Sandbox() as sandbox:
        client = WebClient(token=sandbox.bot_token, base_url=sandbox.api_url)
        client.api_call("chat.postMessage", json={"channel": "#ml-approvals", "text": "hello", "colour": "red"})
        assert sandbox.deviations == ["chat.postMessage was called with colour, which Slack does not document"]


def test_a_scope_is_for_conversations_of_one_type() -> None:
    """channels:history does not show direct messages, nor groups:read public channels."""
    scopes = {"bot": ["chat:write", "channels:history", "groups:read", "im:write"]}
    with Sandbox(manifest={**DEFAULT_MANIFEST, "oauth_config": {"scopes": scopes}}) as sandbox:
        client = WebClient(token=sandbox.bot_token, base_url=sandbox.api_url)
        direct = client.conversations_open(users="U0BOB")["channel"]["id"]
        assert refused(lambda: client.conversations_history(channel=direct)) == "missing_scope"
        assert client.conversations_history(channel="C0APPROVALS")["messages"] == []
        assert refused(client.conversations_list) == "missing_scope"
        assert client.conversations_list(types="private_channel")["channels"] == []


def test_a_page_of_channels_has_fewer_than_a_thousand(slack: WebClient) -> None:
    """conversations.list documents a limit below 1,000."""
    assert refused(lambda: slack.conversations_list(limit=1_000)) == "invalid_limit"


def test_a_message_in_an_archived_channel_is_inactive(slack: WebClient, control: Control) -> None:
    """It can't be changed until somebody brings the channel back."""
    ts = slack.chat_postMessage(channel="C0APPROVALS", text="hello")["ts"]
    control.put_channel(id="C0APPROVALS", archived=True)
    assert refused(lambda: slack.chat_update(channel="C0APPROVALS", ts=ts, text="hi")) == "is_inactive"
    control.put_channel(id="C0APPROVALS", archived=False)
    assert slack.chat_update(channel="C0APPROVALS", ts=ts, text="hi")["ok"]


def test_the_free_plan_has_no_user_groups(slack: WebClient, control: Control) -> None:
    """Asked for them, Slack says what it would take."""
    control.put_team(plan="free")
    assert refused(slack.usergroups_list) == "plan_upgrade_required"
    assert refused(lambda: slack.usergroups_users_list(usergroup="S0MLLEADS")) == "plan_upgrade_required"


def test_texts_come_back_escaped(connected: App, slack: WebClient, people: Driver, control: Control) -> None:
    """The message in a click's payload has entities where it was sent with ``& < >``."""
    button = {
        "type": "button",
        "action_id": "go",
        "value": "a & b",
        "text": {"type": "plain_text", "text": "A & B <c>"},
    }
    said = {"type": "section", "text": {"type": "mrkdwn", "text": "R&D &amp; <@U0BOB>"}}
    slack.chat_postMessage(
        channel="C0APPROVALS", text="hello", blocks=[said, {"type": "actions", "elements": [button]}]
    )
    bob = people.as_("bob")
    connected.action("go")(lambda ack: ack())
    bob.click(bob.wait_for_message("#ml-approvals"), "A & B <c>", timeout=0)
    [payload] = [one["payload"] for one in control.envelopes()]
    assert payload["message"]["blocks"][0]["text"]["text"] == "R&amp;D &amp; <@U0BOB>"
    assert payload["actions"][0]["text"]["text"] == "A &amp; B &lt;c&gt;"
    assert payload["actions"][0]["value"] == "a & b"


def test_a_command_that_escapes_sends_ids(connected: App, people: Driver, control: Control) -> None:
    """People, groups, channels and links come marked up, and everything else with entities."""
    connected.command("/hitl")(lambda ack: ack("done"))
    people.as_("bob").command("/hitl a<b & @alice @ml-leads #random https://x.y/?a=b bob@example.com @nobody")
    [payload] = [one["payload"] for one in control.envelopes()]
    assert payload["text"] == (
        "a&lt;b &amp; <@U0ALICE|alice> <!subteam^S0MLLEADS|@ml-leads> <#C0RANDOM|random> <https://x.y/?a=b> "
        "<mailto:bob@example.com|bob@example.com> @nobody"
    )


def test_an_initial_value_is_missing_after_an_update(slack: WebClient, control: Control, people: Driver) -> None:
    """An input that was there before an update shows its initial value, and it isn't sent unless it was changed."""

    def view(*names: str) -> dict:
        text = {"type": "plain_text", "text": "A"}
        element = {"type": "plain_text_input", "action_id": "value", "initial_value": "as it was"}
        blocks = [{"type": "input", "block_id": name, "label": text, "element": element} for name in names]
        return {"type": "modal", "title": text, "submit": text, "blocks": blocks}

    opened = slack.views_open(trigger_id=control.new_trigger("bob"), view=view("one"))["view"]
    assert opened["state"]["values"]["one"]["value"]["value"] == "as it was"
    updated = slack.views_update(view_id=opened["id"], view=view("one", "two"))["view"]
    assert set(updated["state"]["values"]) == {"two"}


def test_an_organisation_is_named_in_what_comes_from_its_workspaces(
    connected: App, people: Driver, control: Control
) -> None:
    """On Enterprise Grid each payload says which organisation it comes from."""
    control.put_team(enterprise="E0ORG")
    connected.command("/hitl")(lambda ack: ack("done"))
    people.as_("bob").command("/hitl help")
    [payload] = [one["payload"] for one in control.envelopes()]
    assert (payload["enterprise_id"], payload["is_enterprise_install"]) == ("E0ORG", "false")


def test_a_click_on_a_message_that_was_just_redrawn_arrives(connected: App, slack: WebClient, people: Driver) -> None:
    """An update gives new IDs to blocks without their own; who still looks at the old ones clicks the same button."""
    clicked: list[str] = []

    @connected.action("go")
    def _(ack: Ack, action: dict[str, str]) -> None:
        clicked.append(action["value"])
        ack()

    button = {"type": "button", "action_id": "go", "text": {"type": "plain_text", "text": "Go"}, "value": "1"}
    blocks = [{"type": "actions", "elements": [button]}]
    ts = slack.chat_postMessage(channel="C0APPROVALS", text="Go?", blocks=blocks)["ts"]
    bob = people.as_("bob")
    seen = bob.wait_for_message("#ml-approvals")
    slack.chat_update(channel="C0APPROVALS", ts=ts, text="Go now?", blocks=blocks)
    bob.click(seen, "Go", timeout=0)
    assert clicked == ["1"]
