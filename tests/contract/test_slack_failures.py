"""What Slack refuses or fails at, and what becomes of the question."""

from __future__ import annotations

from dataclasses import replace

import pytest
from slack_sdk import WebClient

from hitl_bot.sandbox import Sandbox
from hitl_bot.sandbox.control import Control
from metaflow_extensions.hitl.approvals.errors import (
    MessageUnreachable,
    NotifierError,
    NotifierRefused,
    NotifierUnavailable,
)
from metaflow_extensions.hitl.notifiers.slack.codes import advice
from metaflow_extensions.hitl.notifiers.slack.notifier import SlackNotifier
from tests.contract.conftest import CHANNEL, CHANNEL_ID, decided
from tests.fixtures.approvals import HandClock, approval


def test_retry_after_is_honoured(slack_notifier: SlackNotifier, control: Control, waits: list[float]) -> None:
    """When Slack asks for patience, the call waits as long as Slack says and goes on."""
    control.ratelimit("chat.postMessage", retry_after=3, times=2)
    slack_notifier.post(approval())
    assert waits == [3.0, 3.0]
    assert len(control.messages(CHANNEL)) == 1


def test_patience_ends(slack_notifier: SlackNotifier, control: Control, waits: list[float]) -> None:
    """A wait of over ten seconds in all is left to a later attempt."""
    control.ratelimit("chat.postMessage", retry_after=6, times=9)
    with pytest.raises(NotifierUnavailable, match="wait 6 s"):
        slack_notifier.post(approval())
    assert waits == [6.0]


@pytest.mark.parametrize("method", ["chat.postMessage", "chat.update"])
@pytest.mark.parametrize("status", [500, 502, 503])
def test_server_errors_pass(slack_notifier: SlackNotifier, control: Control, method: str, status: int) -> None:
    """A 5xx of Slack, or of a proxy before it, may be tried again."""
    control.fault(method, status=status)
    with pytest.raises(NotifierUnavailable, match=method):
        slack_notifier.update(decided(approval()), slack_notifier.post(approval()))


def test_broken_connection_passes(slack_notifier: SlackNotifier, control: Control) -> None:
    """A connection that breaks may be tried again, and is not by itself: that could post twice."""
    control.refuse("chat.postMessage")
    with pytest.raises(NotifierUnavailable):
        slack_notifier.post(approval())
    assert len(control.calls("chat.postMessage")) == 1


def test_callers_client_keeps_its_retries(slack: WebClient, clock: HandClock) -> None:
    """The client that was handed in is not changed: others use it too."""
    before = list(slack.retry_handlers)
    SlackNotifier(slack, default_channel=None, clock=clock, wait=pytest.fail)
    assert slack.retry_handlers == before != []


def test_slow_answer_passes(sandbox: Sandbox, control: Control, clock: HandClock) -> None:
    """An answer that does not come in time may be tried again."""
    client = WebClient(token=sandbox.bot_token, base_url=sandbox.api_url, timeout=1)
    control.fault("chat.postMessage", delay=3_600)
    notifier = SlackNotifier(client, default_channel=CHANNEL, clock=clock, wait=pytest.fail)
    with pytest.raises(NotifierUnavailable):
        notifier.post(approval())


@pytest.mark.parametrize(
    ("channel", "words"),
    [
        ("#nowhere", r"There is no channel #nowhere .*\(Slack: channel_not_found\)"),
        ("#random", r"Invite the bot to #random: type /invite"),
        ("#old", r"#old is archived\. Unarchive it"),
    ],
)
def test_refused_channel_says_what_to_do(slack_notifier: SlackNotifier, channel: str, words: str) -> None:
    """A channel that can't be posted to is an operator's business, and the error says what to do."""
    with pytest.raises(NotifierRefused, match=words):
        slack_notifier.post(approval(channel=channel))


def test_no_channel_at_all(slack: WebClient, clock: HandClock) -> None:
    """Without any channel the error names the setting and the argument."""
    notifier = SlackNotifier(slack, default_channel=None, clock=clock, wait=pytest.fail)
    with pytest.raises(NotifierRefused, match=r"METAFLOW_HITL_SLACK_CHANNEL, or name one in the step"):
        notifier.post(approval())


def test_wrong_token(sandbox: Sandbox, clock: HandClock) -> None:
    """A token that Slack does not know is refused with the setting's name, and never shown."""
    client = WebClient(token="xoxb-not-this-one", base_url=sandbox.api_url)
    notifier = SlackNotifier(client, default_channel=CHANNEL, clock=clock, wait=pytest.fail)
    with pytest.raises(NotifierRefused, match="METAFLOW_HITL_SLACK_BOT_TOKEN") as refused:
        notifier.post(approval())
    assert "not-this-one" not in str(refused.value)


def test_deleted_message_can_not_be_updated(slack_notifier: SlackNotifier, slack: WebClient) -> None:
    """A message that somebody deleted is reported as gone; the answer counts."""
    post = slack_notifier.post(approval())
    slack.chat_delete(channel=CHANNEL_ID, ts=post.ts or "")
    with pytest.raises(MessageUnreachable, match="is gone"):
        slack_notifier.update(decided(approval()), post)


@pytest.mark.parametrize("code", ["msg_too_long", "msg_blocks_too_long", "invalid_blocks"])
def test_a_shorter_message_is_posted_in_place_of_one_that_slack_does_not_take(
    slack_notifier: SlackNotifier, control: Control, caplog: pytest.LogCaptureFixture, code: str
) -> None:
    """The question survives and can be answered; so can the update that shows the answer. The operator hears once."""
    for method in ("chat.postMessage", "chat.update"):
        control.fault(method, error=code)
    asked = approval(message="Deploy? " + "More and more. " * 200)
    post = slack_notifier.post(asked)
    [message] = control.messages(CHANNEL)
    assert "Approval needed: Deploy?" in message["plain"]
    assert [one["text"]["text"] for one in message["blocks"][2]["elements"][:2]] == ["Approve", "Reject…"]
    assert asked.id in message["plain"]
    slack_notifier.update(decided(asked), post)
    [message] = control.messages(CHANNEL)
    assert message["plain"].startswith("Approved by")
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert f"(Slack: {code})" in caplog.text


ADVICE = {
    "account_inactive": "Install the app again",
    "cant_update_message": "use one token",
    "channel_not_found": "correct the name",
    "edit_window_closed": "does not allow messages of this age to be edited",
    "invalid_auth": "Install the app again",
    "invalid_blocks": "report it",
    "is_archived": "Unarchive it",
    "message_not_found": "is gone",
    "missing_scope": "Add it under OAuth & Permissions",
    "msg_too_long": "report it",
    "not_in_channel": "Invite the bot to #x",
    "restricted_action": "Ask an admin",
    "token_revoked": "Install the app again",
    "metadata_must_be_sent_from_app": "Run `hitl-bot doctor`",
}


@pytest.mark.parametrize("code", ADVICE)
def test_each_refusal_says_what_to_do(slack_notifier: SlackNotifier, control: Control, code: str) -> None:
    """Slack's code is an error for the operator with advice, and the code itself to search for."""
    post = slack_notifier.post(approval())
    control.fault("chat.update", error=code, times=2)  # a shorter message is tried as well
    with pytest.raises(NotifierError) as refused:
        slack_notifier.update(approval(), replace(post, channel="#x"))
    assert ADVICE[code] in str(refused.value)
    assert f"(Slack: {code})" in str(refused.value)


@pytest.mark.parametrize("code", ["fatal_error", "internal_error", "request_timeout", "service_unavailable"])
def test_slacks_own_failures_pass(slack_notifier: SlackNotifier, control: Control, code: str) -> None:
    """A failure that is Slack's own is tried again, and the message looked for first: it may stand."""
    control.fault("chat.postMessage", error=code)
    with pytest.raises(NotifierUnavailable, match=code):
        slack_notifier.post(approval())
    slack_notifier.post(approval())
    assert len(control.calls("conversations.history")) == 1


def test_missing_scope_is_named() -> None:
    """The scope that Slack asks for is in the advice."""
    assert "the scope chat:write for chat.update" in advice(
        "missing_scope", method="chat.update", channel="#x", needed="chat:write"
    )
