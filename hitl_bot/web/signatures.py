"""Whether a request is Slack's own, new, and here for the first time.

Source: docs.slack.dev/authentication/verifying-requests-from-slack
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import OrderedDict
from collections.abc import Mapping
from enum import Enum
from threading import Lock

from metaflow_extensions.hitl.approvals.ports import Clock

WINDOW = 300  # seconds that a request's timestamp may be off, either way: Slack's own advice
_REMEMBERED = 100_000  # some 20 MB; more than 150 requests a second over the whole time that they are remembered
# Looked at before anything is done with them: slack_sdk 3.47 raises for a timestamp that is not a number
# (``signature/__init__.py``), and hmac for a signature that is not ASCII.
_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
_SIGNATURE = re.compile(r"v0=[0-9a-f]{64}", re.ASCII)


class Refusal(str, Enum):
    """Why a request is not taken."""

    UNSIGNED = "unsigned"  # a header is missing, or is not what Slack writes
    OUTSIDE_WINDOW = "outside the window"
    WRONG_SIGNATURE = "wrong signature"
    REPLAYED = "replayed"
    TOO_MANY = "too many"  # to remember: what can't be told from a replay is refused, and Slack sends it again


class Signatures:
    """Takes each signed request once. Threads may share it.

    Several bots behind one address each remember their own. That is a second lock, not the only one: a request that
    comes twice finds the same decision, or one that somebody made before it.

    Parameters
    ----------
    secret : str
        The app's signing secret.
    clock : Clock
        The present.
    room : int
        How many are remembered at most.
    """

    def __init__(self, secret: str, clock: Clock, *, room: int = _REMEMBERED) -> None:
        self._secret = secret.encode()
        self._clock = clock
        self._room = room
        self._seen: OrderedDict[str, float] = OrderedDict()  # signature: when it came
        self._lock = Lock()

    def take(self, headers: Mapping[str, str], body: bytes) -> Refusal | None:
        """Say why a request is refused, or take it: from now on the same one is a replay."""
        timestamp = headers.get("x-slack-request-timestamp", "")
        signature = headers.get("x-slack-signature", "")
        if not (_TIMESTAMP.fullmatch(timestamp) and _SIGNATURE.fullmatch(signature)):
            return Refusal.UNSIGNED
        now = self._clock().timestamp()
        if abs(now - int(timestamp)) > WINDOW:
            return Refusal.OUTSIDE_WINDOW
        signed = b"v0:" + timestamp.encode() + b":" + body
        if not hmac.compare_digest("v0=" + hmac.new(self._secret, signed, hashlib.sha256).hexdigest(), signature):
            return Refusal.WRONG_SIGNATURE
        return self._remember(signature, now)

    def forget(self, headers: Mapping[str, str]) -> None:
        """Let a request come again that was taken and not served: Slack's first retry may be in the same second."""
        with self._lock:
            self._seen.pop(headers.get("x-slack-signature", ""), None)

    def _remember(self, signature: str, now: float) -> Refusal | None:
        with self._lock:
            # A timestamp may be a window ahead of the clock, so its request is good for two.
            while self._seen and next(iter(self._seen.values())) < now - 2 * WINDOW:
                self._seen.popitem(last=False)
            if signature in self._seen:
                return Refusal.REPLAYED
            if len(self._seen) >= self._room:
                return Refusal.TOO_MANY
            self._seen[signature] = now
            return None
