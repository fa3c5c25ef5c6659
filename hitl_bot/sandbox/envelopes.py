"""What the sandbox sends to the app, whichever way it travels."""

from __future__ import annotations

import json
import uuid
from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from urllib.parse import urlencode

Json = dict[str, Any]
KEPT = 2_000


class EnvelopeKind(str, Enum):
    """Socket Mode's word for what is in an envelope."""

    INTERACTIVE = "interactive"
    COMMAND = "slash_commands"
    EVENT = "events_api"


@dataclass(kw_only=True)
class Envelope:
    """One thing to deliver.

    Attributes
    ----------
    id : str
        ``envelope_id``; it also names the person's act in the changes.
    attempts : int
        How often it was sent, copies included.
    acknowledged : bool
        Whether the app said in time that it has it.
    answer : dict, optional
        What the app sent with its ack.
    """

    kind: EnvelopeKind
    payload: Json
    accepts_response_payload: bool = False
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    attempts: int = 0
    acknowledged: bool = False
    answer: Json | None = None

    def socket_shape(self, retry: int, reason: str) -> Json:
        """Like a Socket Mode message (docs.slack.dev/apis/events-api/using-socket-mode)."""
        shape: Json = {
            "envelope_id": self.id,
            "type": self.kind.value,
            "accepts_response_payload": self.accepts_response_payload,
            "payload": self.payload,
        }
        if self.kind is EnvelopeKind.EVENT or retry:
            shape |= {"retry_attempt": retry, "retry_reason": reason}
        return shape

    def http_body(self) -> tuple[str, str]:
        """Return content type and body as Slack posts them to a request URL."""
        if self.kind is EnvelopeKind.EVENT:
            return "application/json", json.dumps(self.payload)
        fields = {"payload": json.dumps(self.payload)} if self.kind is EnvelopeKind.INTERACTIVE else self.payload
        return "application/x-www-form-urlencoded", urlencode(fields)

    def shape(self) -> Json:
        return {
            "envelope_id": self.id,
            "type": self.kind.value,
            "attempts": self.attempts,
            "acknowledged": self.acknowledged,
            "answer": self.answer,
            "payload": self.payload,
        }


class EnvelopeLog:
    """The latest envelopes, so that one can be looked at or delivered again."""

    def __init__(self) -> None:
        self._envelopes: deque[Envelope] = deque(maxlen=KEPT)

    def add(self, envelope: Envelope) -> None:
        if envelope not in self._envelopes:
            self._envelopes.append(envelope)

    def find(self, envelope_id: str) -> Envelope | None:
        return next((one for one in self._envelopes if one.id == envelope_id), None)

    def shape(self) -> list[Json]:
        return [one.shape() for one in self._envelopes]
