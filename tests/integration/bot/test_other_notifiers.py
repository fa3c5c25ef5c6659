"""The bot asks by webhook, email and Apprise, where a run could not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hitl_bot.bootstrap import Bot, bootstrap
from hitl_bot.sandbox.driver import Person
from hitl_bot.settings import Settings, SettingsError, read_settings
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.record import State
from tests.fixtures.approvals import REQUESTER, HandClock, gate, pathspec, question
from tests.fixtures.outlets import MailServer, Web
from tests.fixtures.slack import connect, work_until
from tests.integration.bot.conftest import CHANNEL, elsewhere


@pytest.fixture
def bot(
    settings: Settings,
    store: Store,
    clock: HandClock,
    web: Web,
    mail_server: MailServer,
    trusted: None,
    apprise_loaded: None,
) -> Iterator[Bot]:
    more = {
        "METAFLOW_HITL_SLACK_WEBHOOK": web.url,
        "METAFLOW_HITL_SMTP_HOST": "localhost",
        "METAFLOW_HITL_SMTP_PORT": str(mail_server.port),
        "METAFLOW_HITL_SMTP_USER": "hitl",
        "METAFLOW_HITL_SMTP_PASSWORD": "open sesame",
        "METAFLOW_HITL_SMTP_FROM": "HITL <hitl@example.com>",
        "METAFLOW_HITL_EMAIL_TO": "bob@example.com",
        "METAFLOW_HITL_APPRISE_URLS": f"json://127.0.0.1:{web.port}/apprise",
    }
    running = bootstrap(Settings(**{**settings.model_dump(), "more": more}), store=store, clock=clock)
    connect(running)
    yield running
    assert running.stop(60), "something of the bot did not end"


def test_the_bot_asks_everywhere_once_and_settles(
    bot: Bot, web: Web, mail_server: MailServer, clock: HandClock, bob: Person, ledger: Ledger
) -> None:
    """What a machine without any of them asks goes out once each; a click in Slack decides, and all is settled."""
    names = ("slack", "slack_webhook", "email", "apprise", "terminal")
    asked = elsewhere(bot).ask(pathspec(), question(notifiers=names), gate(), REQUESTER).approval
    for _ in range(5):
        clock.forward(10)
        bot.sweeper.tick()
    assert len(web.bodies) == 2
    [mail] = mail_server.mails
    assert (mail.login, mail.recipients) == (("hitl", "open sesame"), ["bob@example.com"])
    message = bob.wait_for_message(CHANNEL)
    link = ledger.read(asked.id).approval.posts[0].url or ""
    assert link in mail.message.get_body(("plain",)).get_content()
    bob.click(message, "Approve", confirm="Approve")
    work_until(bot, clock, lambda: ledger.read(asked.id).approval.settlement, "the settlement")
    approval = ledger.read(asked.id).approval
    assert approval.state is State.APPROVED
    assert [post.notifier for post in approval.posts] == ["slack", "slack_webhook", "email", "apprise"]
    assert (len(web.bodies), len(mail_server.mails)) == (2, 1)


def test_settings_reach_the_notifiers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By their whole names: what is handed in before the environment, and that before Metaflow's configuration."""
    (tmp_path / "config.json").write_text(
        '{"METAFLOW_HITL_SMTP_HOST": "file", "METAFLOW_HITL_PAGER_KEY": "file", "METAFLOW_HITL_EMAIL_TO": "file"}'
    )
    monkeypatch.setenv("METAFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("METAFLOW_HITL_PAGER_KEY", "environment")
    monkeypatch.setenv("METAFLOW_HITL_SMTP_HOST", "environment")
    monkeypatch.setenv("METAFLOW_HITL_SMTP_PASSWORD", "open sesame")
    settings = Settings(
        more={"METAFLOW_HITL_SMTP_HOST": "handed in", "METAFLOW_HITL_SMTP_PORT": "465", "METAFLOW_HITL_PAGER": "sesame"}
    )
    found = settings.for_notifiers()
    assert found["METAFLOW_HITL_SMTP_HOST"] == "handed in"
    assert found["METAFLOW_HITL_SMTP_PORT"] == "465"
    assert found["METAFLOW_HITL_SMTP_PASSWORD"] == "open sesame"
    assert found["METAFLOW_HITL_PAGER_KEY"] == "environment"
    assert found["METAFLOW_HITL_EMAIL_TO"] == "file"
    assert "sesame" not in repr(settings) + settings.model_dump_json()


@pytest.mark.parametrize("port", ["smtp", "0", "65536"])
def test_a_port_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    """The error names the variable."""
    monkeypatch.setenv("METAFLOW_HITL_SMTP_PORT", port)
    with pytest.raises(SettingsError, match="METAFLOW_HITL_SMTP_PORT"):
        read_settings()
