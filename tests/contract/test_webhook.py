"""The incoming webhook against a real server: what it sends, and what it says when it can't."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from metaflow_extensions.hitl.approvals.errors import NotifierRefused, NotifierUnavailable
from metaflow_extensions.hitl.notifiers.slack.webhook import SlackWebhookNotifier
from tests.contract.asked import everything, texts_of
from tests.fixtures.approvals import HandClock, approval
from tests.fixtures.outlets import Web


def webhook(web: Web, waits: Callable[[float], object] = pytest.fail) -> SlackWebhookNotifier:
    return SlackWebhookNotifier(web.url, clock=HandClock(), script="train.py", wait=waits)


def test_webhook_shows_id_and_commands_and_no_button(web: Web) -> None:
    """Nobody listens to a webhook's buttons: the message holds id, commands, and a link to the one with buttons."""
    asked = everything()
    webhook(web).post(asked)
    [body] = web.bodies
    assert not [block for block in body["blocks"] if block["type"] == "actions"]
    text = texts_of(body["blocks"])
    assert f"python train.py hitl approve {asked.id} --set deploy_target=..." in text
    assert f"python train.py hitl reject {asked.id} --reason ..." in text
    assert "<https://x.slack.com/p1|" in text
    assert body["text"].startswith("Approval needed: Deploy fraud v7?")
    assert (body["unfurl_links"], body["unfurl_media"]) == (False, False)


@pytest.mark.parametrize(
    ("status", "said", "words"),
    [
        (410, "channel_is_archived", "Unarchive it"),
        (404, "channel_not_found", "Make a new webhook"),
        (404, "no_service", "Make a new webhook"),
        (403, "action_prohibited", "Ask them"),
        (403, "invalid_token", "Make a new webhook"),
        (400, "invalid_payload", "report it"),
        (302, "", "Make a new webhook"),
    ],
)
def test_webhook_refused_says_what_to_do(web: Web, status: int, said: str, words: str) -> None:
    """Each of Slack's answers that will not change by itself is advice; the address, a secret, is never in it."""
    web.answers.append((status, said, {"Location": "http://127.0.0.1:9/"}))
    with pytest.raises(NotifierRefused) as refused:
        webhook(web).post(approval())
    assert words in str(refused.value)
    assert "secret" not in str(refused.value)
    assert len(web.bodies) == 1


def test_webhook_that_fails_is_tried_again(web: Web) -> None:
    """A 500 or a broken connection passes, and the question is sent once in the end."""
    notifier = webhook(web)
    for answer in ((500, "rollup_error", {}), (0, "", {})):
        web.answers.append(answer)
        with pytest.raises(NotifierUnavailable) as failed:
            notifier.post(approval())
        assert "secret" not in f"{failed.value} {failed.value.__cause__}"
    notifier.post(approval())
    notifier.post(approval())
    assert len(web.bodies) == 3


def test_webhook_waits_as_slack_asks(web: Web) -> None:
    """A Retry-After of up to ten seconds is waited for; a longer one is left to a later attempt."""
    waits: list[float] = []
    web.answers.append((429, "rate_limited", {"Retry-After": "3"}))
    webhook(web, waits.append).post(approval())
    assert waits == [3.0]
    web.answers.append((429, "rate_limited", {"Retry-After": "30"}))
    with pytest.raises(NotifierUnavailable, match="wait 30 s"):
        webhook(web).post(approval())


@pytest.mark.parametrize("url", ["http://hooks.slack.com/services/secret", "hooks.slack.com/secret", "https:///secret"])
def test_webhook_address_must_be_safe(url: str) -> None:
    """A secret goes over https, and is not shown where it can't."""
    with pytest.raises(NotifierRefused, match=r"METAFLOW_HITL_SLACK_WEBHOOK must be an address") as refused:
        SlackWebhookNotifier(url, clock=HandClock())
    assert "/secret" not in str(refused.value)
