"""The real slack_sdk client against the sandbox's Web API: what is answered, and what is refused with which code."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from hitl_bot.sandbox import Sandbox
from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.driver import Driver
from hitl_bot.sandbox.manifest import DEFAULT_MANIFEST

Json = dict[str, Any]
CHANNEL = "C0APPROVALS"
LONG = "x" * 5_000


def refusal(call: Callable[[], Any]) -> Json:
    """Return the answer with which a call is refused."""
    with pytest.raises(SlackApiError) as caught:
        call()
    answer: Json = dict(caught.value.response.data)
    return answer


def mrkdwn(text: str) -> Json:
    return {"type": "mrkdwn", "text": text}


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def table(rows: list[list[Json]], **more: Any) -> Json:
    return {"type": "table", "rows": rows, **more}


def cell(text: str) -> Json:
    return {"type": "raw_text", "text": text}


def section(text: str = "x", **more: Any) -> Json:
    return {"type": "section", "text": mrkdwn(text), **more}


def actions(*elements: Json) -> Json:
    return {"type": "actions", "elements": list(elements)}


def button(**more: Any) -> Json:
    return {"type": "button", "text": plain("Go"), **more}


def option(value: str = "a", **more: Any) -> Json:
    return {"text": plain(value or "a"), "value": value, **more}


def select(options: list[Json], **more: Any) -> Json:
    return {"type": "static_select", "options": options, **more}


def field(element: Json, **more: Any) -> Json:
    return {"type": "input", "label": plain("Field"), "element": element, **more}


def test_who_i_am(slack: WebClient) -> None:
    """auth.test names the bot, and its answer carries the token's scopes in x-oauth-scopes."""
    answer = slack.auth_test()
    assert (answer["user_id"], answer["bot_id"], answer["team_id"]) == ("U0BOT", "B0BOT", "T0SANDBOX")
    assert "chat:write" in answer.headers["x-oauth-scopes"].split(",")


@pytest.mark.parametrize(
    ("token", "code"),
    [("", "not_authed"), ("xoxb-wrong", "invalid_auth"), ("xapp-sandbox", "not_allowed_token_type")],
)
def test_a_wrong_token(sandbox: Sandbox, token: str, code: str) -> None:
    """No token, an unknown one and one of the wrong kind are told apart."""
    client = WebClient(token=token, base_url=sandbox.api_url)
    assert refusal(lambda: client.chat_postMessage(channel=CHANNEL, text="x"))["error"] == code


def test_what_is_not_there_says_so(slack: WebClient) -> None:
    """A method that the sandbox does not speak answers unknown_method."""
    assert refusal(lambda: slack.api_call("reactions.add"))["error"] == "unknown_method"


def test_a_missing_scope_is_named() -> None:
    """A method whose scope is not in the manifest answers missing_scope, with what it needs."""
    manifest = json.loads(json.dumps(DEFAULT_MANIFEST))
    manifest["oauth_config"]["scopes"]["bot"].remove("usergroups:read")
    with Sandbox(manifest=manifest) as sandbox:
        client = WebClient(token=sandbox.bot_token, base_url=sandbox.api_url)
        assert refusal(client.usergroups_list)["needed"] == "usergroups:read"


@pytest.mark.parametrize(
    ("channel", "code"),
    [
        ("C0NOWHERE", "channel_not_found"),
        ("#random", "not_in_channel"),
        ("#old", "is_archived"),
        ("", "channel_not_found"),
    ],
)
def test_where_the_bot_can_not_post(slack: WebClient, channel: str, code: str) -> None:
    """A channel that does not exist, one without the bot and an archived one have their own codes."""
    assert refusal(lambda: slack.chat_postMessage(channel=channel, text="x"))["error"] == code


@pytest.mark.parametrize(
    ("blocks", "complaint"),
    [
        ([section("x" * 3_001)], "must be less than 3001 characters [json-pointer:/blocks/0/text/text]"),
        ([section("")], "must be more than 0 characters [json-pointer:/blocks/0/text/text]"),
        ([{"type": "section"}], "missing required field: text [json-pointer:/blocks/0]"),
        (
            [{"type": "section", "fields": [mrkdwn("x")] * 11}],
            "no more than 10 items allowed [json-pointer:/blocks/0/fields]",
        ),
        (
            [{"type": "section", "fields": [mrkdwn("x" * 2_001)]}],
            "must be less than 2001 characters [json-pointer:/blocks/0/fields/0/text]",
        ),
        (
            [{"type": "header", "text": plain("x" * 151)}],
            "must be less than 151 characters [json-pointer:/blocks/0/text/text]",
        ),
        ([{"type": "header", "text": mrkdwn("x")}], "must be one of: plain_text [json-pointer:/blocks/0/text/type]"),
        ([{"type": "divider"}] * 51, "no more than 50 items allowed [json-pointer:/blocks]"),
        (
            [{"type": "context", "elements": [mrkdwn("x")] * 11}],
            "no more than 10 items allowed [json-pointer:/blocks/0/elements]",
        ),
        ([actions(*[button()] * 26)], "no more than 25 items allowed [json-pointer:/blocks/0/elements]"),
        (
            [actions(button(value="x" * 2_001))],
            "must be less than 2001 characters [json-pointer:/blocks/0/elements/0/value]",
        ),
        (
            [actions(button(action_id="x" * 256))],
            "must be less than 256 characters [json-pointer:/blocks/0/elements/0/action_id]",
        ),
        (
            [actions(button(style="blue"))],
            "must be one of: primary, danger [json-pointer:/blocks/0/elements/0/style]",
        ),
        (
            [actions(select([option(str(n)) for n in range(101)]))],
            "no more than 100 items allowed [json-pointer:/blocks/0/elements/0/options]",
        ),
        (
            [actions(select([option("x" * 76)]))],
            "must be less than 76 characters [json-pointer:/blocks/0/elements/0/options/0/text/text]",
        ),
        (
            [actions({"type": "checkboxes", "options": [option(str(n)) for n in range(11)]})],
            "no more than 10 items allowed [json-pointer:/blocks/0/elements/0/options]",
        ),
        (
            [actions(select([option("a")], initial_option=option("b")))],
            "must match one of the options [json-pointer:/blocks/0/elements/0/initial_option]",
        ),
        (
            [actions(button(action_id="a"), button(action_id="a"))],
            '`action_id` "a" already exists for another element [json-pointer:/blocks/0/elements/1/action_id]',
        ),
        (
            [section(block_id="b"), section(block_id="b")],
            '`block_id` "b" already exists [json-pointer:/blocks/1/block_id]',
        ),
        ([{"type": "carousel"}], "unsupported type: carousel [json-pointer:/blocks/0/type]"),
        ([table([[]])], "no less than 1 items allowed [json-pointer:/blocks/0/rows/0]"),
        ([table([[cell("a")]] * 101)], "no more than 100 items allowed [json-pointer:/blocks/0/rows]"),
        ([table([[cell("a")] * 21])], "no more than 20 items allowed [json-pointer:/blocks/0/rows/0]"),
        ([table([[cell("")]])], "must be more than 0 characters [json-pointer:/blocks/0/rows/0/0/text]"),
        ([table([[plain("a")]])], "unsupported type: plain_text [json-pointer:/blocks/0/rows/0/0/type]"),
        (
            [table([[cell("x" * 5_001)] * 2])],
            "no more than 10000 characters allowed in a table [json-pointer:/blocks/0/rows]",
        ),
        (
            [table([[cell("a")]], column_settings=[{"align": "middle"}])],
            "must be one of: left, center, right [json-pointer:/blocks/0/column_settings/0/align]",
        ),
        ([table([[cell("a")]])] * 2, "only_one_table_allowed [json-pointer:/blocks]"),
        (
            [{"type": "image", "alt_text": "x"}],
            "must have exactly one of: image_url, slack_file [json-pointer:/blocks/0]",
        ),
        (
            [actions(button(confirm={"title": plain("x"), "text": mrkdwn("x" * 301)}))],
            "must be less than 301 characters [json-pointer:/blocks/0/elements/0/confirm/text/text]",
        ),
    ],
)
def test_blocks_beyond_slacks_limits(slack: WebClient, blocks: list[Json], complaint: str) -> None:
    """invalid_blocks points at the block and says the limit, and nothing is posted."""
    answer = refusal(lambda: slack.chat_postMessage(channel=CHANNEL, text="x", blocks=blocks))
    assert answer["error"] == "invalid_blocks"
    assert f"[ERROR] {complaint}" in answer["response_metadata"]["messages"]
    assert slack.conversations_history(channel=CHANNEL)["messages"] == []


def test_a_message_without_words(slack: WebClient) -> None:
    """Neither text nor blocks is no_text; blocks of more than 13,200 characters are msg_blocks_too_long."""
    assert (
        refusal(lambda: slack.api_call("chat.postMessage", json={"channel": CHANNEL, "text": " "}))["error"]
        == "no_text"
    )
    blocks = [section("x" * 2_900) for _ in range(5)]
    assert (
        refusal(lambda: slack.chat_postMessage(channel=CHANNEL, blocks=blocks, text="x"))["error"]
        == "msg_blocks_too_long"
    )


def test_an_update_rewrites_only_what_slack_lets_it(slack: WebClient, people: Driver) -> None:
    """Text alone removes the blocks; a message of somebody else's, a missing one and 4,001 characters are refused."""
    ts = slack.chat_postMessage(channel=CHANNEL, text="x", blocks=[section("before")])["ts"]
    slack.api_call("chat.update", json={"channel": CHANNEL, "ts": ts, "blocks": [section("after")]})
    assert people.as_("bob").wait_for_message("#ml-approvals").plain == "after"
    slack.chat_update(channel=CHANNEL, ts=ts, text="only text")
    assert people.as_("bob").wait_for_message("#ml-approvals").blocks == []
    theirs = people.as_("bob").say("#ml-approvals", "hello").ts
    for update, code in [
        ({"ts": theirs, "text": "x"}, "cant_update_message"),
        ({"ts": "1.000001", "text": "x"}, "message_not_found"),
        ({"ts": ts, "text": LONG}, "msg_too_long"),
    ]:
        assert refusal(lambda update=update: slack.chat_update(channel=CHANNEL, **update))["error"] == code


def test_a_message_is_found_by_its_metadata(slack: WebClient) -> None:
    """History with include_all_metadata shows event_payload, without it the type alone; an update keeps it."""
    metadata = {"event_type": "approval", "event_payload": {"id": "gate-7"}}
    ts = slack.chat_postMessage(channel=CHANNEL, text="x", metadata=metadata)["ts"]
    slack.chat_update(channel=CHANNEL, ts=ts, text="y")
    [full] = slack.conversations_history(channel=CHANNEL, include_all_metadata=True)["messages"]
    [brief] = slack.conversations_history(channel=CHANNEL)["messages"]
    assert (full["metadata"], brief["metadata"]) == (metadata, {"event_type": "approval"})


def test_history_comes_in_pages_and_replies_in_threads(slack: WebClient) -> None:
    """The newest is first, the cursor leads on, and a thread's replies stand in the thread alone."""
    first, *_rest = [slack.chat_postMessage(channel=CHANNEL, text=str(n))["ts"] for n in range(5)]
    slack.chat_postMessage(channel=CHANNEL, text="reply", thread_ts=first)
    pages = [page["messages"] for page in slack.conversations_history(channel=CHANNEL, limit=2)]
    assert [[one["text"] for one in page] for page in pages] == [["4", "3"], ["2", "1"], ["0"]]
    assert [one["text"] for one in slack.conversations_replies(channel=CHANNEL, ts=first)["messages"]] == ["0", "reply"]
    stamps = [one["ts"] for page in pages for one in page]
    assert stamps == sorted(set(stamps), reverse=True)


@pytest.mark.parametrize("encoding", ["form", "json", "query"])
def test_arguments_may_come_in_three_encodings(slack: WebClient, encoding: str) -> None:
    """A form, JSON and the query string post the same message."""
    args = {"channel": CHANNEL, "text": "hello", "blocks": json.dumps([section("hello")])}
    if encoding == "json":
        slack.api_call("chat.postMessage", json={**args, "blocks": [section("hello")]})
    else:
        slack.api_call("chat.postMessage", **{{"form": "data", "query": "params"}[encoding]: args})
    [message] = slack.conversations_history(channel=CHANNEL)["messages"]
    assert message["blocks"][0]["text"] == {"type": "mrkdwn", "text": "hello", "verbatim": False}


def test_people_as_slack_tells_them(slack: WebClient) -> None:
    """A guest, a stranger, a deactivated person, a hidden address and an app are told apart by Slack's own fields."""
    users = {user["name"]: user for user in slack.users_list()["members"]}
    assert users["dave"]["is_restricted"]
    assert (users["erin"]["is_stranger"], users["erin"]["team_id"]) == (True, "T0OTHER")
    assert users["frank"]["deleted"]
    assert "email" not in users["grace"]["profile"]
    assert users["hitl"]["is_bot"]
    assert slack.users_lookupByEmail(email="Bob@Example.com")["user"]["id"] == "U0BOB"
    for hidden in ("frank@example.com", "erin@other.example", "nobody@example.com"):
        assert refusal(lambda email=hidden: slack.users_lookupByEmail(email=email))["error"] == "users_not_found"


def test_a_user_group_tells_its_members_until_it_is_disabled(slack: WebClient, control: Control) -> None:
    """usergroups.users.list names members; a deactivated one has left; a disabled group is no longer listed."""
    assert slack.usergroups_users_list(usergroup="S0MLLEADS")["users"] == ["U0BOB", "U0CAROL"]
    control.put_person(name="carol", kind="deactivated")
    assert slack.usergroups_users_list(usergroup="S0MLLEADS")["users"] == ["U0BOB"]
    control.put_group(id="S0MLLEADS", disabled=True)
    assert "ml-leads" not in [group["handle"] for group in slack.usergroups_list()["usergroups"]]
    assert refusal(lambda: slack.usergroups_users_list(usergroup="S0MLLEADS"))["error"] == "no_such_subteam"


def test_direct_messages_open_by_person(slack: WebClient, people: Driver) -> None:
    """conversations.open gives the channel that posting to a person's id uses too."""
    channel = slack.conversations_open(users="U0BOB")["channel"]["id"]
    assert slack.chat_postMessage(channel="U0BOB", text="for you")["channel"] == channel
    assert people.as_("bob").wait_for_message("@app").plain == "for you"
    assert people.as_("carol").messages("@app") == []
    assert refusal(lambda: slack.conversations_open(users="U0FRANK"))["error"] == "user_disabled"


def test_a_picture_is_uploaded_and_posted(slack: WebClient, people: Driver) -> None:
    """The SDK's whole upload works, and the picture stands in the channel as an image block."""
    slack.files_upload_v2(channel=CHANNEL, content=b"\x89PNG", filename="roc.png", title="ROC", alt_txt="A curve")
    message = people.as_("bob").wait_for_message("#ml-approvals")
    assert (message.blocks[0]["type"], message.blocks[0]["alt_text"]) == ("image", "A curve")


def test_who_would_have_been_notified(slack: WebClient, people: Driver) -> None:
    """Mentions in mrkdwn are recorded, over all versions of a message; in plain text and escaped they are words."""
    bob = people.as_("bob")
    ts = slack.chat_postMessage(
        channel=CHANNEL, text="<@U0BOB>", blocks=[section("<!channel> <!subteam^S0RISK|@risk>")]
    )["ts"]
    slack.chat_update(channel=CHANNEL, ts=ts, text="nobody")
    assert bob.wait_for_message("#ml-approvals").mentions == ["<@U0BOB>", "<!channel>", "<!subteam^S0RISK>"]
    quiet = [{"type": "header", "text": plain("<!channel>")}, section("&lt;!channel&gt;")]
    slack.chat_postMessage(channel=CHANNEL, text="quiet", blocks=quiet)
    assert bob.wait_for_message("#ml-approvals", lambda one: one.text == "quiet").mentions == []


def view(*blocks: Json, **more: Any) -> Json:
    return {"type": "modal", "title": plain("Title"), "submit": plain("Go"), "blocks": list(blocks), **more}


TEXT_INPUT = {"type": "plain_text_input", "action_id": "a"}


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (view(title=plain("x" * 25)), "must be less than 25 characters [json-pointer:/view/title/text]"),
        (view(field(TEXT_INPUT), submit=None), "missing required field: submit [json-pointer:/view]"),
        (view(*[{"type": "divider"}] * 101), "no more than 100 items allowed [json-pointer:/view/blocks]"),
        (view(private_metadata="x" * 3_001), "must be less than 3001 characters [json-pointer:/view/private_metadata]"),
        (view(callback_id="x" * 256), "must be less than 256 characters [json-pointer:/view/callback_id]"),
        (
            view(field({"type": "number_input"})),
            "missing required field: is_decimal_allowed [json-pointer:/view/blocks/0/element]",
        ),
        (
            view(field({"type": "datepicker", "initial_date": "24.11.2026"})),
            r"must match \d{4}-\d{2}-\d{2} [json-pointer:/view/blocks/0/element/initial_date]",
        ),
        (
            view(field(TEXT_INPUT, hint=plain("x" * 2_001))),
            "must be less than 2001 characters [json-pointer:/view/blocks/0/hint/text]",
        ),
        (view(field(button())), "unsupported type: button [json-pointer:/view/blocks/0/element/type]"),
    ],
)
def test_views_beyond_slacks_limits(slack: WebClient, given: Json, complaint: str) -> None:
    """views.open answers invalid_arguments, points at the place and says the limit."""
    answer = refusal(lambda: slack.views_open(trigger_id="1.2.3", view=given))
    assert answer["error"] == "invalid_arguments"
    assert f"[ERROR] {complaint}" in answer["response_metadata"]["messages"]


def test_a_home_tab_is_published_over_the_hash_it_was_read_with(slack: WebClient, people: Driver) -> None:
    """A stale hash is refused with hash_conflict, the current one is taken."""
    home = {"type": "home", "blocks": [section("one")]}
    stale = slack.views_publish(user_id="U0BOB", view=home)["view"]["hash"]
    current = slack.views_publish(user_id="U0BOB", view=home)["view"]["hash"]
    assert refusal(lambda: slack.views_publish(user_id="U0BOB", view=home, hash=stale))["error"] == "hash_conflict"
    slack.views_publish(user_id="U0BOB", view={"type": "home", "blocks": [section("two")]}, hash=current)
    shown = people.as_("bob").home_now()
    assert shown is not None
    assert shown.shown == "two"
