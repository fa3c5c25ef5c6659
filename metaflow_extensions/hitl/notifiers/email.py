"""The question as an email."""

import smtplib
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, getaddresses
from enum import Enum
from logging import getLogger

from metaflow_extensions.hitl.approvals.errors import NotifierRefused, NotifierUnavailable
from metaflow_extensions.hitl.approvals.ports import Clock
from metaflow_extensions.hitl.approvals.record import Approval, Post
from metaflow_extensions.hitl.messages.plain import render_letter

from .sent import Sent

NAME = "email"
HOST = "METAFLOW_HITL_SMTP_HOST"
PORT = "METAFLOW_HITL_SMTP_PORT"
USER = "METAFLOW_HITL_SMTP_USER"
PASSWORD = "METAFLOW_HITL_SMTP_PASSWORD"  # noqa: S105 - a name, no password
FROM = "METAFLOW_HITL_SMTP_FROM"
TO = "METAFLOW_HITL_EMAIL_TO"

SUBMISSION, SUBMISSION_TLS = 587, 465  # RFC 8314: the second speaks TLS from its first byte
_TIMEOUT = 8.0  # seconds for one answer of the server
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_PERMANENT = 500  # and above: RFC 5321, section 4.2.1

log = getLogger(__name__)


class Security(str, Enum):
    """When a connection is encrypted."""

    TLS = "TLS"  # from its first byte
    STARTTLS = "STARTTLS"  # at once after the greeting; on this very machine, where the server offers it


@dataclass(frozen=True, kw_only=True)
class Mailbox:
    """Where emails are handed in, and between whom they go.

    Attributes
    ----------
    security : Security
        TLS on port 465, STARTTLS on any other.
    user, password : str
        Both empty for a server that takes emails from everybody.
    sender, recipients : Address
        As they stand in the header.
    """

    host: str
    port: int
    security: Security
    user: str
    password: str
    sender: Address
    recipients: tuple[Address, ...]

    @classmethod
    def read(cls, settings: Mapping[str, str]) -> "Mailbox":
        """Read the settings; raise NotifierRefused with the name of the one that can't be used."""
        sender = _addresses(FROM, settings)
        if len(sender) != 1:
            raise NotifierRefused(f"{FROM} must be one address, such as MLOps <mlops@example.com>")
        port = settings.get(PORT) or str(SUBMISSION)
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):  # noqa: PLR2004 - RFC 9293: 16 bits
            raise NotifierRefused(f"{PORT} must be a port, such as {SUBMISSION} or {SUBMISSION_TLS}.")
        if bool(settings.get(USER)) != bool(settings.get(PASSWORD)):
            raise NotifierRefused(f"{USER} and {PASSWORD} go together: set both or neither.")
        return cls(
            host=settings[HOST],
            port=int(port),
            security=Security.TLS if int(port) == SUBMISSION_TLS else Security.STARTTLS,
            user=settings.get(USER, ""),
            password=settings.get(PASSWORD, ""),
            sender=sender[0],
            recipients=_addresses(TO, settings),
        )


class EmailNotifier:
    """Sends each question once, to all recipients. Nothing follows after the answer.

    Parameters
    ----------
    mailbox : Mailbox
        Where emails are handed in.
    clock : Clock
        The present.
    script : str
        The flow's file, as it is written after ``python``.
    """

    def __init__(self, mailbox: Mailbox, *, clock: Clock, script: str = "flow.py") -> None:
        self._mailbox = mailbox
        self._clock = clock
        self._script = script
        self._sent = Sent(NAME, clock)
        self._left_out: set[str] = set()

    def post(self, approval: Approval) -> Post:
        """Send the question.

        A connection that breaks before the server has answered leaves open whether it was taken: then it is sent
        again, with the same Message-ID, by which many mail programs show it once.

        Raises
        ------
        NotifierUnavailable, NotifierRefused
            As the port says. Recipients that the server refuses while it takes others are logged instead.
        """
        sent = self._sent.find(approval)
        if sent is not None:
            return sent
        for address, (code, words) in self._hand_in(self._message(approval)).items():
            if address not in self._left_out:
                self._left_out.add(address)
                said = words.decode("utf-8", "replace")
                log.error("Questions don't reach %s. Correct %s. The mail server says: %s %s", address, TO, code, said)
        return self._sent.note(approval)

    def update(self, approval: Approval, post: Post) -> None:
        """Do nothing: what is in somebody's mailbox stays as it is."""

    def _message(self, approval: Approval) -> EmailMessage:
        letter = render_letter(approval, script=self._script)
        message = EmailMessage(policy=SMTP)  # refuses a line break in a header
        message["Subject"] = " ".join(letter.subject.split())
        message["From"] = self._mailbox.sender
        message["To"] = self._mailbox.recipients
        message["Date"] = format_datetime(self._clock())
        message["Message-ID"] = f"<{approval.id}@hitl.{self._mailbox.sender.domain}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence shall be answered
        message.set_content(letter.text)
        message.add_alternative(letter.html, subtype="html")
        return message

    def _hand_in(self, message: EmailMessage) -> dict[str, tuple[int, bytes]]:
        """Send to all, and return the recipients that were refused with the server's code and words."""
        mailbox = self._mailbox
        try:
            server = self._connected()
            try:
                if mailbox.user:
                    server.login(mailbox.user, mailbox.password)
                return server.send_message(
                    message, mailbox.sender.addr_spec, [to.addr_spec for to in mailbox.recipients]
                )
            finally:
                with suppress(OSError):  # a farewell that fails takes nothing back
                    server.quit()
                server.close()
        except (OSError, MessageError) as error:  # smtplib's own are of the first kind
            raise _translated(error, mailbox) from error

    def _connected(self) -> smtplib.SMTP:
        mailbox, context = self._mailbox, ssl.create_default_context()
        if mailbox.security is Security.TLS:
            return smtplib.SMTP_SSL(mailbox.host, mailbox.port, timeout=_TIMEOUT, context=context)
        server = smtplib.SMTP(mailbox.host, mailbox.port, timeout=_TIMEOUT)
        try:
            server.ehlo()
            if server.has_extn("starttls") or mailbox.host not in _LOOPBACK:
                server.starttls(context=context)
        except BaseException:
            server.close()
            raise
        return server


def _addresses(name: str, settings: Mapping[str, str]) -> tuple[Address, ...]:
    written = settings.get(name, "")
    try:
        found = tuple(
            Address(shown, addr_spec=address)
            for shown, address in (getaddresses([written]) if written.isprintable() else [])
            if shown or address
        )
    except (ValueError, IndexError, MessageError):
        found = ()
    if not found or not all(one.username and one.domain and one.addr_spec.isascii() for one in found):
        raise NotifierRefused(f"{name} must be email addresses separated by commas, such as MLOps <mlops@example.com>")
    return found


def _translated(error: Exception, mailbox: Mailbox) -> NotifierUnavailable | NotifierRefused:
    where = f"The mail server {mailbox.host}:{mailbox.port}"
    why = _set_up_wrongly(error) or _answered_for_good(error, mailbox)
    if why is not None:
        return NotifierRefused(f"{where} {why}")
    return NotifierUnavailable(
        f"{where} did not take the question ({type(error).__name__}: {error}). The bot will retry. If this "
        "keeps happening, "
        f"see whether {HOST} and {PORT} are right.",
        cause=f"{type(error).__name__} {mailbox.host}",
    )


def _set_up_wrongly(error: Exception) -> str | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"has a certificate that is not trusted here: {error.verify_message}. "
            f"Set {HOST} to the name in the certificate, or SSL_CERT_FILE to a file with its authority's certificate."
        )
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return (
            f"does not meet a requirement: {error} Nothing is sent without encryption; use a port that "
            f"offers it ({PORT}: {SUBMISSION} or {SUBMISSION_TLS})."
        )
    if isinstance(error, MessageError):
        return f"can't be given the question: {error}. Correct {FROM} and {TO}."
    return None


def _answered_for_good(error: Exception, mailbox: Mailbox) -> str | None:
    """Say what to do about an answer that will not change by itself; None of one that may."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = [code for code, _ in error.recipients.values()]
        permanent = min(codes) >= _PERMANENT
        return f"accepts none of the addresses in {TO}. Correct it. ({codes[0]})" if permanent else None
    if not isinstance(error, smtplib.SMTPResponseException) or error.smtp_code < _PERMANENT:
        return None
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return f"does not accept {USER} and {PASSWORD}. Correct them. ({error.smtp_code})"
    said = error.smtp_error.decode("utf-8", "replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
    return (
        f"refuses the question: {error.smtp_code} {said}. Check whether {mailbox.sender.addr_spec} is allowed to send."
    )
