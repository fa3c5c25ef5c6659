"""What the port Notifier promises, kept by every notifier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.mentions import visible_text
from metaflow_extensions.hitl.approvals.ports import Notifier
from metaflow_extensions.hitl.approvals.record import Post
from metaflow_extensions.hitl.notifiers.apprise import AppriseNotifier
from metaflow_extensions.hitl.notifiers.email import EmailNotifier
from metaflow_extensions.hitl.notifiers.memory import MemoryNotifier
from metaflow_extensions.hitl.notifiers.slack.notifier import SlackNotifier
from metaflow_extensions.hitl.notifiers.slack.webhook import SlackWebhookNotifier
from metaflow_extensions.hitl.notifiers.terminal import TerminalNotifier
from tests.contract.conftest import CHANNEL, decided
from tests.fixtures.approvals import NOW, HandClock, approval, pathspec
from tests.fixtures.outlets import MailServer, Web, mailbox


@dataclass(frozen=True)
class Medium:
    """A notifier, and what people see of it: the text of each message."""

    notifier: Notifier
    messages: Callable[[], list[str]]


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
