"""What other systems are told: what an event says, the two forms that it has, and where it goes.

A signed webhook takes CloudEvents; the webhook of Argo Events takes what Metaflow's ``@trigger`` listens to.

Sources: github.com/cloudevents/spec (1.0.2, ``spec.md`` and ``json-format.md``);
github.com/standard-webhooks/standard-webhooks, ``spec/standard-webhooks.md``; metaflow 2.19,
``metaflow/plugins/argo/argo_events.py``.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Protocol
from urllib.parse import urlsplit

from metaflow_extensions.hitl.approvals.deciding.permission import AWAY_FROM_POLICY
from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.ledger import Entry
from metaflow_extensions.hitl.approvals.record import Approval, State, TrailEvent, Verdict
from metaflow_extensions.hitl.commands.looking import approval_document
from metaflow_extensions.hitl.messages.trail import EVENTS

from .settings import Settings, SettingsError

PREFIX = "hitl."

_OF_TRAIL: dict[TrailEvent | str, str] = {event: words.sent for event, words in EVENTS.items() if words.sent}
_OF_STATE = {
    State.APPROVED: "approved",
    State.REJECTED: "rejected",
    State.EXPIRED: "expired",
    State.SUPERSEDED: "superseded",
    State.CLOSED: "closed",
    State.NOT_ACCEPTED: "not-accepted",
}
_CHANGES = "changes-requested"
_TAKEN_ON = "obligation-taken-on"  # with an approval, whose version it shares
TYPES = (*_OF_TRAIL.values(), *_OF_STATE.values(), _CHANGES, _TAKEN_ON)
"""Every type of event, without ``hitl.`` before it."""

_ENDINGS = frozenset({TrailEvent.DECIDED, TrailEvent.TIMED_OUT, TrailEvent.SUPERSEDED, TrailEvent.SETTLED})
_CLOSINGS = frozenset({TrailEvent.CLOSED, TrailEvent.NOT_ACCEPTED})


@dataclass(frozen=True, kw_only=True)
class OutgoingEvent:
    """One version of a record, as other systems learn of it.

    Attributes
    ----------
    type : str
        One of ``TYPES``.
    number : int
        Of the version. With the ID of the approval it names the event, however often it is sent.
    """

    type: str
    number: int
    at: datetime
    approval: Approval

    @property
    def id(self) -> str:
        second = f"-{self.type}" if self.type == _TAKEN_ON else ""
        return f"{self.approval.id}-{self.number}{second}"


def events_of(entry: Entry) -> tuple[OutgoingEvent, ...]:
    """Return the events that a version is: usually one or none, and two where an approval has an obligation."""
    kind = _type_of(entry)
    if kind is None:
        return ()
    kinds = (kind, _TAKEN_ON) if kind == _OF_STATE[State.APPROVED] and entry.approval.obligations else (kind,)
    return tuple(
        OutgoingEvent(type=one, number=entry.number, at=entry.version.at, approval=entry.approval) for one in kinds
    )


def _type_of(entry: Entry) -> str | None:
    event, approval = entry.version.event, entry.approval
    if event in _CLOSINGS:
        return _OF_STATE.get(approval.state)
    if event not in _ENDINGS or approval.decision is None:
        return _OF_TRAIL.get(event)
    # What was decided away from the operator's policy is an event once the bot has held it to the policy.
    if (event == TrailEvent.SETTLED) is not (approval.decision.where in AWAY_FROM_POLICY):
        return None
    if approval.closing is not None:
        return None  # that it was not accepted has been said
    if approval.settlement is not None and approval.settlement.unaccepted:
        return _OF_STATE[State.NOT_ACCEPTED]
    return _CHANGES if approval.decision.verdict is Verdict.CHANGES else _OF_STATE.get(approval.state)


def cloud_event(event: OutgoingEvent, source: str) -> dict[str, Any]:
    """Return an event as a CloudEvent in JSON; ``source`` and ``id`` name it."""
    data = approval_document(event.approval)
    del data["record"]  # whoever needs all of it reads the store
    unaccepted = event.approval.settlement.unaccepted if event.approval.settlement else ""
    if event.type == EVENTS[TrailEvent.OBLIGATION_DONE].sent:
        data["obligation"] = event.approval.follow_ups[-1].number
    return {
        "specversion": "1.0",
        "id": event.id,
        "source": source,
        "type": f"{PREFIX}{event.type}",
        "subject": str(event.approval.pathspec),
        "time": event.at.astimezone(timezone.utc).isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": {**data, "version": event.number, **({"not_accepted_because": unaccepted} if unaccepted else {})},
    }


def argo_events(event: OutgoingEvent) -> list[dict[str, Any]]:
    """Return what Metaflow's ``ArgoEvent`` would publish: once for all gates, and once for this gate's step alone.

    A flow with ``@trigger`` starts by an event's name and takes its parameters from flat keys.
    """
    approval, path = event.approval, event.approval.pathspec
    decision = approval.decision
    entered = decision.input if decision is not None else {}
    about = {
        "approval": approval.id,
        "flow": path.flow,
        "run": path.run,
        "step": path.step,
        "task": path.task,
        "pathspec": str(path),
        "state": approval.state.value,
        "by": decision.by.name if decision is not None else "",
        "reason": decision.reason if decision is not None else "",
        "input": json.dumps(entered, ensure_ascii=False),
        **{f"input_{name}": _as_parameter(value) for name, value in entered.items()},
    }
    return [
        {
            "name": name,
            "payload": {
                "name": name,
                "id": f"{event.id}-{name}",
                "timestamp": int(event.at.timestamp()),
                "utc_date": f"{event.at.astimezone(timezone.utc):%Y%m%d}",
                "generated-by-metaflow": True,
                **about,
            },
        }
        for name in (f"{PREFIX}{event.type}", f"{PREFIX}{event.type}.{path.flow}.{path.step}")
    ]


def _as_parameter(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# Where it goes.

_TIMEOUT = (4.0, 8.0)  # seconds to connect, and for the answer: less than a claim lasts
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_SECRET = "whsec_"  # noqa: S105 - how one begins
_KEY = range(24, 65)  # bytes
_OF_THIS_EVENT = frozenset({400, 413, 415, 422})  # HTTP: the receiver minds what it got, and would take another
_FINE = range(200, 300)


class NotDelivered(HitlError):
    """An event could not be delivered, and is sent again later.

    Attributes
    ----------
    kind : str
        In a word, for metrics.
    of_this_event : bool
        Whether the receiver may still take others.
    retry_after : float, optional
        Seconds that the receiver wants to be left alone.
    """

    def __init__(self, why: str, *, kind: str, of_this_event: bool = False, retry_after: float | None = None) -> None:
        super().__init__(why)
        self.kind = kind
        self.of_this_event = of_this_event
        self.retry_after = retry_after


class Destination(Protocol):
    """A place that events are sent to."""

    @property
    def name(self) -> str:
        """Small letters, for keys and metrics."""
        ...

    @property
    def types(self) -> Collection[str]:
        """Which events go there."""
        ...

    @property
    def where(self) -> str:
        """The host, without what may be secret in an address."""
        ...

    def deliver(self, event: OutgoingEvent, now: datetime) -> None:
        """Send one event; raise NotDelivered unless it was taken."""
        ...

    def ping(self, now: datetime) -> None:
        """Send a ``hitl.ping``, to see whether events are taken; raise NotDelivered."""
        ...


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """Takes CloudEvents, signed as Standard Webhooks says.

    Attributes
    ----------
    keys : tuple of bytes
        The first signs; a receiver that knows any of them accepts.
    source : str
        Of the events: the store.
    """

    url: str
    keys: tuple[bytes, ...]
    source: str
    types: Collection[str] = TYPES
    name: str = "webhook"

    @property
    def where(self) -> str:
        return str(urlsplit(self.url).hostname)

    def deliver(self, event: OutgoingEvent, now: datetime) -> None:
        self._send(event.id, cloud_event(event, self.source), now)

    def ping(self, now: datetime) -> None:
        ping = {"specversion": "1.0", "id": f"ping-{now.timestamp():.0f}", "source": self.source}
        self._send(ping["id"], {**ping, "type": f"{PREFIX}ping", "data": {}}, now)

    def _send(self, message_id: str, document: Mapping[str, Any], now: datetime) -> None:
        body = json.dumps(document, ensure_ascii=False).encode("utf-8", "backslashreplace")
        sent_at = str(int(now.timestamp()))
        headers = {
            "Content-Type": "application/cloudevents+json; charset=utf-8",
            "webhook-id": message_id,
            "webhook-timestamp": sent_at,
            "webhook-signature": " ".join(sign(key, message_id, sent_at, body) for key in self.keys),
        }
        _post(self.url, body, headers, self.where)


def sign(key: bytes, message_id: str, sent_at: str, body: bytes) -> str:
    """Return one signature of a body, as ``webhook-signature`` has it."""
    signed = hmac.new(key, f"{message_id}.{sent_at}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(signed.digest()).decode()}"


@dataclass(frozen=True, kw_only=True)
class ArgoEvents:
    """The webhook event source of Argo Events, to which Metaflow's own ``ArgoEvent`` posts."""

    url: str
    token: str | None = None
    types: Collection[str] = TYPES
    name: str = "argo"

    @property
    def where(self) -> str:
        return str(urlsplit(self.url).hostname)

    def deliver(self, event: OutgoingEvent, now: datetime) -> None:  # noqa: ARG002 - the port's signature
        for document in argo_events(event):
            self._send(document)

    def ping(self, now: datetime) -> None:  # noqa: ARG002 - as above
        name = f"{PREFIX}ping"  # no flow is triggered by it
        self._send({"name": name, "payload": {"name": name}})

    def _send(self, document: Mapping[str, Any]) -> None:
        headers = {"Content-Type": "application/json"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        body = json.dumps(document, ensure_ascii=False).encode("utf-8", "backslashreplace")
        _post(self.url, body, headers, self.where)


def _post(url: str, body: bytes, headers: Mapping[str, str], where: str) -> None:
    import requests  # noqa: PLC0415 - 60 ms, and only where events are sent

    try:
        # Streamed and closed unread: what else it answers does not matter, however much it is.
        with requests.post(
            url, data=body, headers=dict(headers), timeout=_TIMEOUT, allow_redirects=False, stream=True
        ) as response:
            status, pause = response.status_code, response.headers.get("Retry-After", "")
    except (OSError, ValueError) as error:
        # Without the error's own words and cause: they hold the address, which may hold a secret.
        raise NotDelivered(f"{where} did not answer ({type(error).__name__}).", kind=type(error).__name__) from None
    if status in _FINE:
        return
    raise NotDelivered(
        f"{where} answered {status}.",
        kind=str(status),
        of_this_event=status in _OF_THIS_EVENT,
        retry_after=_seconds(pause),
    )


def _seconds(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() else None


def destinations_of(settings: Settings, source: str) -> tuple[Destination, ...]:
    """Return where events go; nowhere unless an address is set.

    Raises
    ------
    SettingsError
        A setting is missing or can't be used.
    """
    found: list[Destination] = []
    types = _types(settings.events_types)
    if settings.events_url is not None:
        url = settings.events_url.get_secret_value()
        if not (urlsplit(url).hostname and (url.startswith("https://") or urlsplit(url).hostname in _LOOPBACK)):
            raise SettingsError("METAFLOW_HITL_EVENTS_URL must be an address that begins with https://.")
        found.append(Webhook(url=url, keys=_keys(settings), source=source, types=types))
    if settings.argo_events_url is not None:
        url = settings.argo_events_url
        if not url.startswith(("https://", "http://")) or not urlsplit(url).hostname:
            raise SettingsError(
                "METAFLOW_HITL_ARGO_EVENTS_URL must be an address, such as the one in METAFLOW_ARGO_EVENTS_WEBHOOK_URL."
            )
        token = settings.argo_events_token
        found.append(ArgoEvents(url=url, token=token.get_secret_value() if token else None, types=types))
    return tuple(found)


def _types(text: str | None) -> tuple[str, ...]:
    if text is None:
        return TYPES
    named = [one.removeprefix(PREFIX) for one in text.replace(",", " ").split()]
    unknown = [one for one in named if one not in TYPES]
    if unknown:
        raise SettingsError(f"METAFLOW_HITL_EVENTS_TYPES names {', '.join(unknown)}. Use any of: {', '.join(TYPES)}.")
    return tuple(named)


def _keys(settings: Settings) -> tuple[bytes, ...]:
    if settings.events_secret is None:
        raise SettingsError(
            "METAFLOW_HITL_EVENTS_SECRET is not set, and events are only sent signed. Set it to what "
            "`hitl-bot key webhook` prints, and give the same to the receiver."
        )
    return tuple(map(_key, settings.events_secret.get_secret_value().split()))


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(_SECRET), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(_SECRET) or len(key) not in _KEY:
        raise SettingsError(
            "METAFLOW_HITL_EVENTS_SECRET must be whsec_ and the Base64 of 24 to 64 bytes, as `hitl-bot key webhook` "
            "prints it; separate several with spaces; the receiver may know any of them."
        )
    return key
