"""Webhook, email and Apprise against real servers: what they send, and what they say when they can't."""

from __future__ import annotations

import logging
import re
from email.headerregistry import Address
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from metaflow_extensions.hitl.approvals import rules
from metaflow_extensions.hitl.approvals.errors import NotifierError, NotifierRefused, NotifierUnavailable
from metaflow_extensions.hitl.approvals.record import Post
from metaflow_extensions.hitl.approvals.schema import normalise
from metaflow_extensions.hitl.notifiers.apprise import AppriseNotifier
from metaflow_extensions.hitl.notifiers.email import EmailNotifier, Mailbox, Security
from metaflow_extensions.hitl.notifiers.slack.webhook import SlackWebhookNotifier
from tests.fixtures.approvals import NOW, HandClock, approval, pathspec
from tests.fixtures.outlets import mailbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from metaflow_extensions.hitl.approvals.record import Approval
    from tests.fixtures.outlets import MailServer, Web

HOSTILE = (
    "<!channel> <@U0CAROL> <https://evil.example|click> @everyone `rm` ```x``` [a](https://evil.example) &lt;!here&gt;"
    "\r\nBcc: eve@evil.example\r\n\r\n<script>alert(1)</script><img src=https://evil.example/x>"
)


def everything() -> Approval:
    """A question with all that a message may show."""
    schema = normalise({"deploy_target": "str"})
    asked = approval(
        message="Deploy fraud v7?\nAccuracy 94.0%",
        schema=schema,
        approvers=("U0BOB", "alice@example.com"),
        timeout=86_400,
        run_url="https://ui.example/TrainFlow/17",
    )
    return rules.posted(asked, Post(notifier="slack", at=NOW, channel="C0", ts="1.0", url="https://x.slack.com/p1"))


def texts_of(value: object) -> str:
    if isinstance(value, dict):
        return "\n".join(texts_of(inner) for inner in value.values())
    if isinstance(value, list):
        return "\n".join(texts_of(inner) for inner in value)
    return str(value)


# The webhook.


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
    with pytest.raises(NotifierRefused, match=r"METAFLOW_HITL_SLACK_WEBHOOK is no address") as refused:
        SlackWebhookNotifier(url, clock=HandClock())
    assert "/secret" not in str(refused.value)


# Email.


class Links(HTMLParser):
    """The links of a page, and everything in it that a mail program would fetch."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str | None] = []
        self.tags: set[str] = set()
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in {"href", "src", "action", "background"}]


def test_email_has_text_and_html(mail_server: MailServer, trusted: None) -> None:
    """Both parts show the question, who decides, until when, the id and the commands."""
    asked = everything()
    EmailNotifier(mailbox(mail_server), clock=HandClock(), script="train.py").post(asked)
    [mail] = mail_server.mails
    message = mail.message
    assert message["Subject"] == "Approval needed: Deploy fraud v7? Accuracy 94.0%"
    assert (message["From"], message["To"]) == ("MLOps <mlops@example.com>", "Bob <bob@example.com>")
    assert message["Auto-Submitted"] == "auto-generated"
    for kind in ("plain", "html"):
        text = message.get_body((kind,)).get_content()
        for words in (
            "Accuracy 94.0%",
            "U0BOB, alice@example.com",
            "2026-03-03 09:30 UTC, else rejected",
            "Deploy target is asked when you approve.",
            asked.id,
            f"python train.py hitl approve {asked.id} --set deploy_target=...",
            f"python train.py hitl reject {asked.id} --reason ...",
            "https://ui.example/TrainFlow/17",
            "https://x.slack.com/p1",
        ):
            assert words in text, kind


def test_no_link_of_an_email_decides(mail_server: MailServer, trusted: None) -> None:
    """Mail scanners fetch every link: there are two, the run's and the message's, and nothing is loaded by itself."""
    EmailNotifier(mailbox(mail_server), clock=HandClock()).post(everything())
    found = Links(mail_server.mails[0].message.get_body(("html",)).get_content())
    assert found.links == ["https://ui.example/TrainFlow/17", "https://x.slack.com/p1"]
    assert found.tags.isdisjoint({"form", "img", "script", "link", "iframe"})


def test_headers_cant_be_injected(mail_server: MailServer, trusted: None) -> None:
    """Line breaks and markup in a message stay text: no header, no recipient, no element comes from them."""
    asked = approval(message=HOSTILE, approvers=("x\r\nBcc: eve@evil.example", "<b>bold</b>"))
    EmailNotifier(mailbox(mail_server), clock=HandClock()).post(asked)
    [mail] = mail_server.mails
    assert mail.recipients == ["bob@example.com"]
    assert "Bcc" not in mail.message
    assert sorted(mail.message.keys()) == sorted(
        ["Subject", "From", "To", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"]
    )
    html = mail.message.get_body(("html",)).get_content()
    found = Links(html)
    assert found.links == []
    assert found.tags.isdisjoint({"script", "img", "b"})
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<!channel> <@U0CAROL>" in mail.message.get_body(("plain",)).get_content()


def test_email_is_short_whatever_is_in_it(mail_server: MailServer, trusted: None) -> None:
    """Three megabytes of message make an email of a few kilobytes, and a lone half of a character one that is sent."""
    EmailNotifier(mailbox(mail_server), clock=HandClock()).post(approval(message="\ud800 é" + "x" * 3_000_000))
    assert len(mail_server.mails[0].raw) < 20_000


def test_email_is_encrypted_before_the_password_is_sent(mail_server: MailServer, trusted: None) -> None:
    """STARTTLS comes first, and the server's certificate is checked."""
    there = mailbox(mail_server, user="hitl", password="open sesame")
    EmailNotifier(there, clock=HandClock()).post(approval())
    [mail] = mail_server.mails
    assert (mail.encrypted, mail.login) == (True, ("hitl", "open sesame"))


def test_email_over_tls(tls_mail_server: MailServer, trusted: None) -> None:
    """With TLS from the first byte there is no STARTTLS."""
    EmailNotifier(mailbox(tls_mail_server, security=Security.TLS), clock=HandClock()).post(approval())
    assert [mail.encrypted for mail in tls_mail_server.mails] == [True]


@pytest.mark.parametrize("security", Security)
def test_strange_certificate_is_refused(
    mail_server: MailServer, tls_mail_server: MailServer, security: Security
) -> None:
    """A certificate that nobody here trusts gets no password and no question, and the error says what to do."""
    server = tls_mail_server if security is Security.TLS else mail_server
    notifier = EmailNotifier(mailbox(server, security=security, user="u", password="p"), clock=HandClock())
    with pytest.raises(NotifierRefused, match="SSL_CERT_FILE"):
        notifier.post(approval())
    assert server.mails == []


def test_no_password_without_encryption(mail_server: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server elsewhere that offers no STARTTLS gets nothing."""
    mail_server.starttls = False
    monkeypatch.setattr("metaflow_extensions.hitl.notifiers.email._LOOPBACK", frozenset())
    with pytest.raises(NotifierRefused, match="Without encryption nothing is sent"):
        EmailNotifier(mailbox(mail_server, user="u", password="p"), clock=HandClock()).post(approval())
    assert mail_server.mails == []


def test_relay_on_this_machine_needs_no_encryption(mail_server: MailServer) -> None:
    """What does not leave the machine may be sent as it is."""
    mail_server.starttls = False
    EmailNotifier(mailbox(mail_server), clock=HandClock()).post(approval())
    assert [mail.encrypted for mail in mail_server.mails] == [False]


@pytest.mark.parametrize(
    ("verb", "answer", "error", "words"),
    [
        ("AUTH", "535 no", NotifierRefused, "METAFLOW_HITL_SMTP_USER and METAFLOW_HITL_SMTP_PASSWORD"),
        ("AUTH", "454 later", NotifierUnavailable, "tried again"),
        ("MAIL", "550 not you", NotifierRefused, "mlops@example.com"),
        ("RCPT", "550 nobody", NotifierRefused, "METAFLOW_HITL_EMAIL_TO"),
        ("RCPT", "450 busy", NotifierUnavailable, "tried again"),
        ("TAKEN", "554 spam", NotifierRefused, "554 spam"),
        ("TAKEN", "451 later", NotifierUnavailable, "tried again"),
        ("CONNECT", "421 closed", NotifierUnavailable, "METAFLOW_HITL_SMTP_HOST"),
        ("CONNECT", "drop", NotifierUnavailable, "tried again"),
        ("DATA", "drop", NotifierUnavailable, "tried again"),
        ("TAKEN", "drop", NotifierUnavailable, "tried again"),
    ],
)
def test_mail_servers_answer_is_told(
    mail_server: MailServer, trusted: None, verb: str, answer: str, error: type[NotifierError], words: str
) -> None:
    """What will not change by itself is advice for an operator, without the password; the rest is tried again."""
    notifier = EmailNotifier(mailbox(mail_server, user="u", password="open sesame"), clock=HandClock())
    mail_server.answers[verb] = [answer]
    with pytest.raises(error, match=re.escape(words)) as raised:
        notifier.post(approval())
    assert "sesame" not in str(raised.value)
    notifier.post(approval())
    assert mail_server.mails[-1].recipients == ["bob@example.com"]


def test_email_that_may_have_been_taken_keeps_its_id(mail_server: MailServer, trusted: None) -> None:
    """Sent again after a lost answer, it is the same Message-ID, so that a mail program shows it once."""
    notifier = EmailNotifier(mailbox(mail_server), clock=HandClock())
    mail_server.answers["TAKEN"] = ["drop"]
    with pytest.raises(NotifierUnavailable):
        notifier.post(approval())
    notifier.post(approval())
    notifier.post(approval(pathspec(task="43")))
    ids = [mail.message["Message-ID"] for mail in mail_server.mails]
    assert ids[0] == ids[1] != ids[2]


def test_lost_farewell_is_no_failure(mail_server: MailServer, trusted: None) -> None:
    """An email that was taken is not sent again because the server did not say goodbye."""
    mail_server.answers["QUIT"] = ["drop"]
    assert EmailNotifier(mailbox(mail_server), clock=HandClock()).post(approval()).ts is None
    mail_server.answers["QUIT"] = ["500 what?"]
    EmailNotifier(mailbox(mail_server), clock=HandClock()).post(approval())
    assert len(mail_server.mails) == 2


def test_one_refused_recipient_does_not_keep_it_from_the_others(
    mail_server: MailServer, trusted: None, caplog: pytest.LogCaptureFixture
) -> None:
    """The others get it once, and the log names the one, once."""
    both = (Address(addr_spec="gone@example.com"), Address(addr_spec="bob@example.com"))
    notifier = EmailNotifier(mailbox(mail_server, recipients=both), clock=HandClock())
    mail_server.answers["RCPT"] = ["550 nobody", "250 ok", "550 nobody", "250 ok"]
    with caplog.at_level(logging.ERROR):
        notifier.post(approval())
        notifier.post(approval(pathspec(task="43")))
    assert [mail.recipients for mail in mail_server.mails] == [["bob@example.com"]] * 2
    [record] = caplog.records
    assert "gone@example.com; correct METAFLOW_HITL_EMAIL_TO" in record.getMessage()


def test_no_mail_server_there() -> None:
    """A host that nobody listens on may come back."""
    there = Mailbox.read({**SETTINGS, "METAFLOW_HITL_SMTP_HOST": "127.0.0.1", "METAFLOW_HITL_SMTP_PORT": "1"})
    with pytest.raises(NotifierUnavailable, match="METAFLOW_HITL_SMTP_PORT"):
        EmailNotifier(there, clock=HandClock()).post(approval())


SETTINGS = {
    "METAFLOW_HITL_SMTP_HOST": "smtp.example.com",
    "METAFLOW_HITL_SMTP_FROM": "MLOps <mlops@example.com>",
    "METAFLOW_HITL_EMAIL_TO": "bob@example.com, Carol C. <carol@example.com>",
}


def test_mailbox_is_read() -> None:
    """The port is 587 with STARTTLS, or 465 with TLS; recipients stand between commas."""
    read = Mailbox.read(SETTINGS)
    assert (read.host, read.port, read.security) == ("smtp.example.com", 587, Security.STARTTLS)
    assert [to.addr_spec for to in read.recipients] == ["bob@example.com", "carol@example.com"]
    assert Mailbox.read({**SETTINGS, "METAFLOW_HITL_SMTP_PORT": "465"}).security is Security.TLS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SMTP_PORT", "smtp"),
        ("SMTP_PORT", "0"),
        ("SMTP_PORT", "65536"),
        ("SMTP_FROM", ""),
        ("SMTP_FROM", "a@example.com, b@example.com"),
        ("SMTP_FROM", "nobody"),
        ("EMAIL_TO", ""),
        ("EMAIL_TO", "bob@example.com\nBcc: eve@evil.example"),
        ("EMAIL_TO", "bob"),
        ("SMTP_USER", "without a password"),
    ],
)
def test_setting_that_cant_be_used_is_named(name: str, value: str) -> None:
    """The error names the setting and what it takes."""
    with pytest.raises(NotifierRefused, match=f"METAFLOW_HITL_{name}"):
        Mailbox.read({**SETTINGS, f"METAFLOW_HITL_{name}": value})


# Apprise.


def apprise(*urls: str) -> AppriseNotifier:
    return AppriseNotifier(" ".join(urls), clock=HandClock(), script="train.py")


def test_apprise_sends_title_and_body(web: Web, apprise_loaded: None) -> None:
    """The service gets a title of one line, and the question with its id, links and commands."""
    asked = everything()
    apprise(f"json://127.0.0.1:{web.port}/").post(asked)
    [body] = web.bodies
    assert body["title"] == "Approval needed: Deploy fraud v7? Accuracy 94.0%"
    for words in (asked.id, f"hitl approve {asked.id} --set deploy_target=...", "https://x.slack.com/p1"):
        assert words in body["message"]


def test_apprise_asks_nothing_of_a_service(web: Web, apprise_loaded: None) -> None:
    """Some services read mentions out of a text: none is left in values, though a person still reads them."""
    asked = approval(message=HOSTILE, approvers=("@here", "<!subteam^S0RISK>"))
    apprise(f"json://127.0.0.1:{web.port}/").post(asked)
    [body] = web.bodies
    text = f"{body['title']}\n{body['message']}"
    for executed in ("<!", "<@", "@everyone", "@here", "`", "](", "https://evil", "<script"):
        assert executed not in text
    assert "<!channel> <@U0CAROL>" in text.replace("\u2060", "")


def test_every_address_is_sent_to(web: Web, apprise_loaded: None) -> None:
    """Blanks, commas and line breaks separate addresses; a comma inside of one does not."""
    address = f"json://127.0.0.1:{web.port}/"
    AppriseNotifier(f"{address}a,b?+X=1,2, {address}\n{address}", clock=HandClock()).post(approval())
    assert len(web.bodies) == 3


def test_no_service_takes_it(web: Web, apprise_loaded: None) -> None:
    """It is tried again, and the error names the place of the address and not what is secret in it."""
    notifier = apprise(f"json://user:sesame@127.0.0.1:{web.port}/")
    web.answers.append((500, "", {}))
    with pytest.raises(NotifierUnavailable, match=r"json://… \(METAFLOW_HITL_APPRISE_URLS, address 1\)") as failed:
        notifier.post(approval())
    assert "sesame" not in str(failed.value)
    notifier.post(approval())
    assert len(web.bodies) == 2


def test_one_service_that_fails_does_not_ask_the_others_twice(
    web: Web, apprise_loaded: None, caplog: pytest.LogCaptureFixture
) -> None:
    """What one service took is asked; the log names the other, once."""
    notifier = apprise("json://127.0.0.1:1/", f"json://127.0.0.1:{web.port}/")
    with caplog.at_level(logging.ERROR, "metaflow_extensions"):
        for task in ("1", "2", "1"):
            notifier.post(approval(pathspec(task=task)))
    assert len(web.bodies) == 2
    told = [record.getMessage() for record in caplog.records if record.name.startswith("metaflow_extensions")]
    assert len(told) == 1
    assert told[0].startswith("No question reaches json://… (METAFLOW_HITL_APPRISE_URLS, address 1). Correct it")


@pytest.mark.parametrize("url", ["nosuch://sesame", "sesame", ""])
def test_address_that_apprise_does_not_know(apprise_loaded: None, url: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is refused by its place, and neither shown nor logged."""
    with pytest.raises(NotifierRefused, match="METAFLOW_HITL_APPRISE_URLS, address 1") as refused:
        apprise(url)
    assert "sesame" not in str(refused.value) + caplog.text
