"""What has to be well for the bot to do its work."""

from __future__ import annotations

import time
from collections.abc import Callable

from hitl_bot.slack.transport import Transport
from hitl_bot.web.readiness import Check, NotReady
from metaflow_extensions.hitl.approvals import bucket
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.engines.argo import ArgoEngine

_WRITE_EVERY = 60.0  # seconds


def slack(transport: Transport) -> Check:
    """Look whether Slack can reach the bot: a socket is open, or signed requests are taken."""

    def check() -> None:
        if not transport.is_open:
            raise NotReady("Slack can't reach the bot: it is connecting, or stopping")

    return check


def store(store: Store, *, monotonic: Callable[[], float] = time.monotonic) -> Check:
    """Look whether the store answers, with one listing of one key at most; and once a minute whether it can be written.

    A disk that is full, or a bucket that is read-only, still lists.
    """
    written_at: list[float] = []  # when that was proved last; empty after a failure

    def check() -> None:
        if written_at and monotonic() - written_at[0] < _WRITE_EVERY:
            for _ in store.list(bucket.OPEN.root, limit=1):
                return
            return
        written_at.clear()
        store.check()
        written_at.append(monotonic())

    return check


def cluster(engine: ArgoEngine) -> Check:
    """Look whether the cluster, or argo-server, answers who the bot is there."""

    def check() -> None:
        engine.version()

    return check
