"""Email against a real mail server: what is sent, how, and what is said when it can't be."""

from __future__ import annotations

import logging
import re
from email.headerregistry import Address
from html.parser import HTMLParser

import pytest

from metaflow_extensions.hitl.approvals.errors import NotifierError, NotifierRefused, NotifierUnavailable
from metaflow_extensions.hitl.notifiers.email import EmailNotifier, Mailbox, Security
from tests.contract.asked import HOSTILE, everything
from tests.fixtures.approvals import HandClock, approval, pathspec
from tests.fixtures.outlets import MailServer, mailbox


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
            "Deploy target is requested when you approve.",
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
    with pytest.raises(NotifierRefused, match="Nothing is sent without encryption"):
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
        ("AUTH", "454 later", NotifierUnavailable, "will retry"),
        ("MAIL", "550 not you", NotifierRefused, "mlops@example.com"),
        ("RCPT", "550 nobody", NotifierRefused, "METAFLOW_HITL_EMAIL_TO"),
        ("RCPT", "450 busy", NotifierUnavailable, "will retry"),
        ("TAKEN", "554 spam", NotifierRefused, "554 spam"),
        ("TAKEN", "451 later", NotifierUnavailable, "will retry"),
        ("CONNECT", "421 closed", NotifierUnavailable, "METAFLOW_HITL_SMTP_HOST"),
        ("CONNECT", "drop", NotifierUnavailable, "will retry"),
        ("DATA", "drop", NotifierUnavailable, "will retry"),
        ("TAKEN", "drop", NotifierUnavailable, "will retry"),
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
    assert "gone@example.com. Correct METAFLOW_HITL_EMAIL_TO" in record.getMessage()


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
