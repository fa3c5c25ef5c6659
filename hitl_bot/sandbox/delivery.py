"""Getting an envelope to the app: over Socket Mode or signed HTTP, again where Slack would try again."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hitl_bot.sandbox import limits, request_url
from hitl_bot.sandbox.changes import Kind
from hitl_bot.sandbox.envelopes import Envelope, EnvelopeKind, EnvelopeLog
from hitl_bot.sandbox.faults import Delivery as Trouble
from hitl_bot.sandbox.socket_mode import SocketMode

if TYPE_CHECKING:
    from hitl_bot.sandbox.workspace import Workspace

Json = dict[str, Any]
_RETRY_REASONS = {"operation_timeout": "timeout", "dispatch_failed": "timeout"}


@dataclass(frozen=True)
class Receipt:
    """How a delivery ended.

    Attributes
    ----------
    answer : dict, optional
        What came with the ack, {} if nothing; None if the app did not acknowledge.
    error : str
        What the person is told otherwise: ``dispatch_failed`` (nobody there), ``operation_timeout`` (no ack in time).
    """

    answer: Json | None
    error: str = ""
    final: bool = False  # the app asked for no retry


class Delivery:
    """The way to the app. With a request URL it is signed HTTP, without one Socket Mode."""

    def __init__(self, workspace: Workspace, signing_secret: str) -> None:
        self._workspace = workspace
        self.socket_mode = SocketMode(workspace)
        self.signing_secret = signing_secret
        self.request_url = ""
        self.log = EnvelopeLog()
        self._retries: set[asyncio.Task[Receipt]] = set()

    async def deliver(self, envelope: Envelope) -> Receipt:
        """Send an envelope and wait for its ack.

        What a person waits for (an interaction, a command) is tried once. An event is tried again at once, after a
        minute and after five, in the background; the receipt is that of the first attempt.
        """
        self.log.add(envelope)
        receipt = await self._attempt(envelope, 0, "")
        if receipt.answer is None and envelope.kind is EnvelopeKind.EVENT and not receipt.final:
            task = asyncio.create_task(self._retry(envelope, receipt.error))
            self._retries.add(task)
            task.add_done_callback(self._retries.discard)
        return receipt

    async def deliver_again(self, envelope: Envelope) -> Receipt:
        """Send an envelope that was sent before, as a retry."""
        return await self._attempt(envelope, max(1, envelope.attempts), "timeout")

    async def close(self) -> None:
        for task in list(self._retries):
            task.cancel()
        await asyncio.gather(*self._retries, return_exceptions=True)
        await self.socket_mode.close()

    async def _retry(self, envelope: Envelope, reason: str) -> Receipt:
        began = self._workspace.clock.now()
        receipt = Receipt(None, reason)
        for retry, delay in enumerate(limits.RETRY_DELAYS, start=1):
            await self._workspace.clock.sleep_until(began + delay)
            receipt = await self._attempt(envelope, retry, _RETRY_REASONS.get(receipt.error, receipt.error))
            if receipt.answer is not None or receipt.final:
                break
        return receipt

    async def _attempt(self, envelope: Envelope, retry: int, reason: str) -> Receipt:
        copies = 1 + self._workspace.weather.take_delivery(Trouble.TWICE)
        unheard = self._workspace.weather.take_delivery(Trouble.UNHEARD)
        self._workspace.feed.add(Kind.DELIVERED, envelope=envelope.id)
        if self.request_url:
            receipt = await self._post(envelope, copies, retry, reason)
        else:
            receipt = await self._send(envelope, copies, retry, reason, unheard)
        if unheard and receipt.answer is not None:
            receipt = Receipt(None, "operation_timeout")
        if receipt.answer is not None:
            envelope.acknowledged, envelope.answer = True, receipt.answer
        kind = Kind.NOT_ACKNOWLEDGED if receipt.answer is None else Kind.ACKNOWLEDGED
        self._workspace.feed.add(kind, envelope=envelope.id)
        return receipt

    async def _post(self, envelope: Envelope, copies: int, retry: int, reason: str) -> Receipt:
        posted = request_url.Posted(None)
        for _ in range(copies):
            envelope.attempts += 1
            # How old a signature may be is judged by the app's clock, which does not move with the sandbox's.
            now = time.time()
            posted = await request_url.post(
                self.request_url, self.signing_secret, envelope, now, retry=retry, reason=reason
            )
        return Receipt(posted.answer, posted.reason, posted.final)

    async def _send(self, envelope: Envelope, copies: int, retry: int, reason: str, unheard: int) -> Receipt:
        ack: asyncio.Future[Json] | None = None
        until = self._workspace.clock.now() + limits.ACKNOWLEDGE
        for _ in range(copies):
            envelope.attempts += 1
            ack = await self.socket_mode.send(envelope, retry, reason)
        if ack is None:
            return Receipt(None, "dispatch_failed")
        heard: asyncio.Future[Json] = asyncio.get_running_loop().create_future() if unheard else ack
        deadline = asyncio.create_task(self._workspace.clock.sleep_until(until))
        waiting: set[asyncio.Future[Any]] = {heard, deadline}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        deadline.cancel()
        self.socket_mode.forget(envelope)
        return Receipt(heard.result()) if heard.done() else Receipt(None, "operation_timeout")
