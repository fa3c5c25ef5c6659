"""Signed HTTP: the same payloads, posted to the app's request URL.

Source: docs.slack.dev/authentication/verifying-requests-from-slack and docs.slack.dev/apis/events-api (retries)
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any

import aiohttp

from hitl_bot.sandbox import limits
from hitl_bot.sandbox.envelopes import Envelope

Json = dict[str, Any]
OK = 200


def signature(secret: str, timestamp: str, body: str) -> str:
    """Return the value of X-Slack-Signature: ``v0=`` and a hex HMAC-SHA256 over ``v0:timestamp:body``."""
    return "v0=" + hmac.new(secret.encode(), f"v0:{timestamp}:{body}".encode(), hashlib.sha256).hexdigest()


def signed_headers(secret: str, now: float, body: str) -> dict[str, str]:
    """Return the headers that make a body Slack's, for a request sent at that second."""
    timestamp = str(int(now))
    return {"X-Slack-Request-Timestamp": timestamp, "X-Slack-Signature": signature(secret, timestamp, body)}


@dataclass(frozen=True)
class Posted:
    """How a request URL took it.

    Attributes
    ----------
    answer : dict, optional
        The body of a 200, {} if it was empty; None if the request failed.
    reason : str
        Slack's X-Slack-Retry-Reason where it failed.
    final : bool
        Whether the app asked for no retry (X-Slack-No-Retry: 1).
    """

    answer: Json | None
    reason: str = ""
    final: bool = False


async def post(url: str, secret: str, envelope: Envelope, now: float, *, retry: int, reason: str) -> Posted:
    """Post an envelope's payload as Slack does, and wait three seconds for a 200."""
    content_type, body = envelope.http_body()
    headers = {"Content-Type": content_type, "User-Agent": "Slackbot 1.0", **signed_headers(secret, now, body)}
    if retry:
        headers |= {"X-Slack-Retry-Num": str(retry), "X-Slack-Retry-Reason": reason}
    timeout = aiohttp.ClientTimeout(total=limits.ACKNOWLEDGE)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url, data=body, headers=headers) as answer,
        ):
            text = await answer.text()
            final = answer.headers.get("X-Slack-No-Retry") == "1"
            return Posted(_decoded(text), final=final) if answer.status == OK else Posted(None, "http_error", final)
    except asyncio.TimeoutError:
        return Posted(None, "http_timeout")
    except aiohttp.ClientError:
        return Posted(None, "connection_failed")


def _decoded(text: str) -> Json:
    if not text:
        return {}
    try:
        decoded = json.loads(text)
    except ValueError:
        return {"text": text}
    return decoded if isinstance(decoded, dict) else {"text": text}
