"""What the Slack notifier keeps besides: where it posts, what it finds again, whom it lets go first."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from slack_sdk import WebClient

from hitl_bot.sandbox.control import Control
from metaflow_extensions.hitl.approvals.errors import NotifierBusy, NotifierUnavailable
from metaflow_extensions.hitl.messages import controls
from metaflow_extensions.hitl.notifiers.slack.notifier import SlackNotifier
from tests.contract.conftest import CHANNEL, CHANNEL_ID, decided
from tests.fixtures.approvals import NOW, HandClock, approval, pathspec


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
    assert controls.APPROVE in buttons(control.messages(CHANNEL)[0])
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
    for event_type, task in ((controls.EVENT_TYPE, "Other/1/deploy/1"), ("greeting", str(asked.pathspec))):
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


def test_another_apps_metadata_is_not_ours(
    slack_notifier: SlackNotifier, control: Control, slack: WebClient, clock: HandClock
) -> None:
    """Any app can write the same metadata: a question is found again only in a message of the bot's own."""
    asked = approval()
    control.set_clock(clock().timestamp())
    payload = {"approval_id": asked.id, "pathspec": str(asked.pathspec)}
    slack.chat_postMessage(
        channel=CHANNEL_ID,
        text="forged",
        metadata={"event_type": controls.EVENT_TYPE, "event_payload": payload},
    )
    slack_notifier._bot_id.append("B0ANOTHER")  # so that the message above is another app's
    clock.forward(60)
    slack_notifier.post(asked)
    assert len(control.messages(CHANNEL)) == 2
