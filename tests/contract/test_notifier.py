"""What the port Notifier promises, kept by every notifier; then what the one for Slack keeps besides."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from slack_sdk import WebClient

from hitl_bot.sandbox.mentions import visible_text
from metaflow_extensions.hitl.approvals import rules
from metaflow_extensions.hitl.approvals.errors import NotifierBusy, NotifierRefused, NotifierUnavailable
from metaflow_extensions.hitl.approvals.record import Approval, Post
from metaflow_extensions.hitl.messages import action_ids
from metaflow_extensions.hitl.notifiers.apprise import AppriseNotifier
from metaflow_extensions.hitl.notifiers.email import EmailNotifier
from metaflow_extensions.hitl.notifiers.memory import MemoryNotifier
from metaflow_extensions.hitl.notifiers.slack.errors import advice, is_passing
from metaflow_extensions.hitl.notifiers.slack.notifier import SlackNotifier
from metaflow_extensions.hitl.notifiers.slack.pace import Pace
from metaflow_extensions.hitl.notifiers.slack.webhook import SlackWebhookNotifier
from metaflow_extensions.hitl.notifiers.terminal import TerminalNotifier
from tests.fixtures.approvals import NOW, HandClock, after, approval, approving, pathspec
from tests.fixtures.outlets import mailbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from hitl_bot.sandbox import Sandbox
    from hitl_bot.sandbox.control import Control
    from metaflow_extensions.hitl.approvals.ports import Notifier
    from tests.fixtures.outlets import MailServer, Web

CHANNEL = "#ml-approvals"
CHANNEL_ID = "C0APPROVALS"


@dataclass(frozen=True)
class Medium:
    """A notifier, and what people see of it: the text of each message."""

    notifier: Notifier
    messages: Callable[[], list[str]]


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def waits() -> list[float]:
    """The seconds that a notifier waited, one entry a wait; none of them passes."""
    return []


@pytest.fixture
def slack_notifier(slack: WebClient, control: Control, clock: HandClock, waits: list[float]) -> SlackNotifier:
    control.set_clock(NOW.timestamp())
    pace = Pace(lambda: clock().timestamp())

    def wait(seconds: float) -> None:
        waits.append(round(seconds, 3))
        clock.forward(seconds)

    return SlackNotifier(slack, default_channel=CHANNEL, clock=clock, pace=pace, wait=wait)


@pytest.fixture
def slack_medium(slack_notifier: SlackNotifier, control: Control) -> Medium:
    def messages() -> list[str]:
        return [visible_text(one["text"], one["blocks"]) for one in control.messages(CHANNEL)]

    return Medium(slack_notifier, messages)


@pytest.fixture
def terminal_medium() -> Medium:
    written: list[str] = []
    return Medium(TerminalNotifier(written.append), lambda: written)


@pytest.fixture
def memory_medium(clock: HandClock) -> Medium:
    notifier = MemoryNotifier(clock)
    return Medium(notifier, lambda: [shown.question.message for shown in notifier.shown.values()])


@pytest.fixture
def slack_webhook_medium(web: Web, clock: HandClock) -> Medium:
    notifier = SlackWebhookNotifier(web.url, clock=clock, wait=pytest.fail)
    return Medium(notifier, lambda: [visible_text(body["text"], body["blocks"]) for body in web.bodies])


@pytest.fixture
def email_medium(mail_server: MailServer, trusted: None, clock: HandClock) -> Medium:
    notifier = EmailNotifier(mailbox(mail_server), clock=clock)

    def messages() -> list[str]:
        return [mail.message.get_body(("plain",)).get_content() for mail in mail_server.mails]

    return Medium(notifier, messages)


@pytest.fixture
def apprise_medium(web: Web, apprise_loaded: None, clock: HandClock) -> Medium:
    notifier = AppriseNotifier(f"json://127.0.0.1:{web.port}/", clock=clock)
    return Medium(notifier, lambda: [body["message"] for body in web.bodies])


@pytest.fixture(params=["slack", "slack_webhook", "email", "apprise", "terminal", "memory"])
def medium(request: pytest.FixtureRequest) -> Medium:
    return request.getfixturevalue(f"{request.param}_medium")


def decided(asked: Approval) -> Approval:
    return rules.settle(rules.decide(asked, approving(at=after(180), input={"target": "staging"})), after(180))


def test_question_is_shown(medium: Medium) -> None:
    """Posting shows the author's words once."""
    medium.notifier.post(approval(message="Deploy fraud v7?"))
    [message] = medium.messages()
    assert "Deploy fraud v7?" in message


def test_posting_twice_asks_once(medium: Medium) -> None:
    """The same question again is found, not asked again, and it is said to be where it was."""
    first = medium.notifier.post(approval())
    second = medium.notifier.post(approval())
    assert len(medium.messages()) == 1
    assert second is None or (first is not None and (second.channel, second.ts) == (first.channel, first.ts))


def test_questions_are_told_apart(medium: Medium) -> None:
    """Two tasks' questions are two messages, even in the same words."""
    medium.notifier.post(approval(pathspec(task="1")))
    medium.notifier.post(approval(pathspec(task="2")))
    medium.notifier.post(approval(pathspec(task="1")))
    assert len(medium.messages()) == 2


def test_update_adds_no_message(medium: Medium) -> None:
    """Showing the answer, twice even, leaves the number of messages as it is."""
    asked = approval()
    post = medium.notifier.post(asked) or Post(notifier="terminal", at=NOW)
    medium.notifier.update(decided(asked), post)
    medium.notifier.update(decided(asked), post)
    assert len(medium.messages()) == 1


def test_what_cant_be_updated_has_no_ts(medium: Medium, request: pytest.FixtureRequest) -> None:
    """A post has a ts if it can be changed later, so that nobody waits for a notifier that has nothing to change."""
    post = medium.notifier.post(approval())
    changeable = request.node.callspec.params["medium"] in {"slack", "memory"}
    assert (post is not None and post.ts is not None) == changeable


# Slack.


def buttons(message: dict[str, Any]) -> list[str]:
    return [
        element["action_id"]
        for block in message["blocks"]
        if block["type"] == "actions"
        for element in block["elements"]
    ]


def test_post_tells_where(slack_notifier: SlackNotifier, control: Control, clock: HandClock) -> None:
    """The post holds the channel's id, the message's ts, a link to it and the time."""
    post = slack_notifier.post(approval(channel=CHANNEL))
    [message] = control.messages(CHANNEL)
    assert (post.notifier, post.channel, post.ts, post.at) == ("slack", CHANNEL_ID, message["ts"], clock())
    assert post.url is not None
    assert post.url.endswith(f"/archives/{CHANNEL_ID}/p{message['ts'].replace('.', '')}")


def test_first_post_takes_two_calls(slack_notifier: SlackNotifier, control: Control) -> None:
    """A question that nobody can have posted before is posted without a look at the channel."""
    slack_notifier.post(approval())
    assert [call["method"] for call in control.calls()] == ["chat.postMessage", "chat.getPermalink"]


def test_links_are_not_unfurled(slack_notifier: SlackNotifier, control: Control) -> None:
    """An address in a message must not be fetched and shown by Slack."""
    slack_notifier.post(approval(message="See https://ui.example/1"))
    [call] = control.calls("chat.postMessage")
    assert (call["args"]["unfurl_links"], call["args"]["unfurl_media"]) == (False, False)


def test_update_removes_the_buttons(slack_notifier: SlackNotifier, control: Control) -> None:
    """After the answer the same message has no buttons, says who decided what, and keeps its metadata."""
    asked = approval()
    post = slack_notifier.post(asked)
    assert action_ids.APPROVE in buttons(control.messages(CHANNEL)[0])
    slack_notifier.update(decided(asked), post)
    [message] = control.messages(CHANNEL)
    assert buttons(message) == []
    assert "*Approved* by <@U0ALICE> after 3 min" in message["plain"]
    assert "staging" in message["plain"]
    assert message["text"].startswith("Approved by Alice Adams after 3 min")
    assert message["metadata"]["event_payload"]["approval_id"] == asked.id


def test_nobody_is_pinged_by_a_value(slack_notifier: SlackNotifier, control: Control) -> None:
    """Mentions in message, names and addresses notify nobody; an approver given by id is notified."""
    slack_notifier.post(approval(message="<!channel> <@U0CAROL>", approvers=("U0BOB", "<!here>"), run_url="<!here>"))
    assert control.messages(CHANNEL)[0]["mentions"] == ["<@U0BOB>"]


def test_lost_answer_is_not_asked_twice(slack_notifier: SlackNotifier, control: Control) -> None:
    """If the connection breaks after Slack has posted, the next attempt finds the message."""
    control.lose_answer("chat.postMessage")
    with pytest.raises(NotifierUnavailable):
        slack_notifier.post(approval())
    post = slack_notifier.post(approval())
    [message] = control.messages(CHANNEL)
    assert post.ts == message["ts"]
    assert len(control.calls("conversations.history")) == 1


def test_another_process_finds_the_message(
    slack_notifier: SlackNotifier, slack: WebClient, control: Control, clock: HandClock
) -> None:
    """Whoever posts again seconds later, after a crash or instead of a dead pod, finds the message by its metadata."""
    first = slack_notifier.post(approval())
    clock.forward(30)
    other = SlackNotifier(slack, default_channel=CHANNEL_ID, clock=clock, wait=pytest.fail)
    assert other.post(approval()).ts == first.ts
    assert len(control.messages(CHANNEL)) == 1


def test_message_is_found_behind_many_others(
    slack_notifier: SlackNotifier, slack: WebClient, control: Control, clock: HandClock
) -> None:
    """A look goes back over as many pages of the channel as lie between."""
    first = slack_notifier.post(approval())
    for number in range(201):
        slack.chat_postMessage(channel=CHANNEL_ID, text=f"chatter {number}")
    clock.forward(600)
    assert slack_notifier.post(approval()).ts == first.ts
    assert len(control.calls("conversations.history")) == 2


def test_another_approvals_metadata_does_not_count(slack_notifier: SlackNotifier, slack: WebClient) -> None:
    """A message about the same id and another task, or of another kind, is not taken for the question."""
    asked = approval()
    for event_type, task in ((action_ids.EVENT_TYPE, "Other/1/deploy/1"), ("greeting", str(asked.pathspec))):
        payload = {"approval_id": asked.id, "pathspec": task}
        metadata = {"event_type": event_type, "event_payload": payload}
        slack.chat_postMessage(channel=CHANNEL_ID, text="hello", metadata=metadata)
    old = replace(asked, requested_at=NOW - timedelta(minutes=1))
    slack_notifier.post(old)
    history = slack.conversations_history(channel=CHANNEL_ID)
    assert len(history["messages"]) == 3


def test_bot_that_may_not_look_asks_all_the_same(
    slack_notifier: SlackNotifier, control: Control, clock: HandClock
) -> None:
    """Without the scopes to look, a question is posted rather than lost."""
    control.fault("conversations.list", error="missing_scope")
    clock.forward(30)
    slack_notifier.post(approval())
    assert len(control.messages(CHANNEL)) == 1


def test_no_look_no_second_question(slack_notifier: SlackNotifier, control: Control, clock: HandClock) -> None:
    """While Slack can't say whether the question stands, it is not posted again; later it is."""
    control.fault("conversations.history", status=503)
    clock.forward(30)
    with pytest.raises(NotifierUnavailable):
        slack_notifier.post(approval())
    assert control.messages(CHANNEL) == []
    slack_notifier.post(approval())
    assert len(control.messages(CHANNEL)) == 1


def test_one_look_serves_many(slack_notifier: SlackNotifier, control: Control) -> None:
    """Questions that may have been posted before are looked for together: ten posts in as many seconds, few looks."""
    long_ago = NOW - timedelta(minutes=1)
    for task in range(10):
        slack_notifier.post(approval(pathspec(task=str(task)), at=long_ago))
    assert len(control.messages(CHANNEL)) == 10
    assert len(control.calls("conversations.history")) <= 4


def test_what_was_just_posted_is_known(slack_notifier: SlackNotifier, control: Control) -> None:
    """If the record could not be written behind a post, the next attempt finds the message without a look."""
    asked = approval(at=NOW - timedelta(minutes=1))
    first = slack_notifier.post(asked)
    assert slack_notifier.post(asked).ts == first.ts
    assert len(control.messages(CHANNEL)) == 1
    assert len(control.calls("conversations.history")) == 1


def test_a_lost_answer_makes_it_look_again(slack_notifier: SlackNotifier, control: Control) -> None:
    """A post in doubt is looked for at once, however fresh the last look is."""
    long_ago = NOW - timedelta(minutes=1)
    slack_notifier.post(approval(pathspec(task="1"), at=long_ago))
    control.lose_answer("chat.postMessage")
    with pytest.raises(NotifierUnavailable):
        slack_notifier.post(approval(pathspec(task="2"), at=long_ago))
    slack_notifier.post(approval(pathspec(task="2"), at=long_ago))
    assert len(control.messages(CHANNEL)) == 2


def test_an_older_question_is_looked_for_further_back(
    slack_notifier: SlackNotifier, slack: WebClient, control: Control, clock: HandClock
) -> None:
    """What was read for a young question does not hide the message of one that was asked an hour before."""
    first = slack_notifier.post(approval(pathspec(task="1")))
    clock.forward(3_600)
    control.advance(3_600)
    other = SlackNotifier(slack, default_channel=CHANNEL_ID, clock=clock, wait=pytest.fail)
    other.post(approval(pathspec(task="2"), at=clock() - timedelta(seconds=30)))
    assert other.post(approval(pathspec(task="1"))).ts == first.ts


def test_bulk_never_waits(slack_notifier: SlackNotifier, control: Control, waits: list[float]) -> None:
    """A third post within a second is told to come again, before Slack is called at all."""
    bulk = slack_notifier.for_bulk()
    for task in ("1", "2"):
        bulk.post(approval(pathspec(task=task)))
    with pytest.raises(NotifierBusy) as busy:
        bulk.post(approval(pathspec(task="3")))
    assert busy.value.seconds == 1
    assert waits == []
    assert len(control.calls("chat.postMessage")) == 2
    slack_notifier.post(approval(pathspec(task="4")))  # somebody's, for whom there is room
    assert waits == []


def test_bulk_does_not_wait_for_slack_either(slack_notifier: SlackNotifier, control: Control) -> None:
    """What Slack wants to be left alone for is left to a later attempt at once."""
    control.ratelimit("chat.postMessage", retry_after=3)
    with pytest.raises(NotifierUnavailable, match=r"wait 3 s .* \(Slack: ratelimited\)"):
        slack_notifier.for_bulk().post(approval())
    with pytest.raises(NotifierBusy) as busy:
        slack_notifier.for_bulk().post(approval())
    assert busy.value.seconds == pytest.approx(3)


def test_direct_message(slack_notifier: SlackNotifier, control: Control, clock: HandClock) -> None:
    """A user's id as the channel asks in a direct message, and finds it there again."""
    first = slack_notifier.post(approval(channel="U0BOB"))
    clock.forward(30)
    assert slack_notifier.post(approval(channel="U0BOB")).ts == first.ts
    assert len(control.messages(first.channel or "")) == 1


def test_failing_permalink_is_no_failure(slack_notifier: SlackNotifier, control: Control) -> None:
    """Without a link the question stands all the same."""
    control.fault("chat.getPermalink", error="fatal_error")
    assert slack_notifier.post(approval()).url is None


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
    with pytest.raises(NotifierRefused, match="is gone"):
        slack_notifier.update(decided(approval()), post)


ADVICE = {
    "account_inactive": "Install the app again",
    "cant_update_message": "use one token",
    "channel_not_found": "correct the name",
    "edit_window_closed": "forbids to edit",
    "invalid_auth": "Install the app again",
    "invalid_blocks": "report it",
    "is_archived": "Unarchive it",
    "message_not_found": "is gone",
    "missing_scope": "Add it under OAuth & Permissions",
    "msg_too_long": "report it",
    "not_in_channel": "Invite the bot to #x",
    "restricted_action": "Ask an admin",
    "token_revoked": "Install the app again",
    "something_new": "Run `hitl-bot doctor`",
}


@pytest.mark.parametrize("code", ADVICE)
def test_each_refusal_says_what_to_do(slack_notifier: SlackNotifier, control: Control, code: str) -> None:
    """Slack's code is an error for the operator with advice, and the code itself to search for."""
    control.fault("chat.postMessage", error=code)
    with pytest.raises(NotifierRefused) as refused:
        slack_notifier.post(approval(channel="#x"))
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


@pytest.mark.parametrize(("code", "status"), [("", 200), ("Received a response in a non-JSON format: <html>", 200)])
def test_what_is_not_slacks_answer_passes(code: str, status: int) -> None:
    """A proxy's page in place of Slack's JSON says nothing about the question."""
    assert is_passing(code, status)
