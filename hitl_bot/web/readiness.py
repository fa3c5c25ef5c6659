"""Whether the bot can do its work, and if not, why not: asked often, so answered from what was found lately."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Condition, Thread
from typing import Protocol

import structlog

from hitl_bot.slack.connection import Transport
from metaflow_extensions.hitl.approvals import bucket_map
from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.engines.argo import ArgoEngine

# What has to be well for the bot to do its work.

_WRITE_EVERY = 60.0  # seconds


def slack(transport: Transport) -> "Check":
    """Look whether Slack can reach the bot: a socket is open, or signed requests are taken."""

    def check() -> None:
        if not transport.is_open:
            raise NotReady("Slack can't reach the bot: it is connecting, or stopping")

    return check


def store(store: Store, *, monotonic: Callable[[], float] = time.monotonic) -> "Check":
    """Look whether the store answers, with one listing of one key at most; and once a minute whether it can be written.

    A disk that is full, or a bucket that is read-only, still lists.
    """
    written_at: list[float] = []  # when that was proved last; empty after a failure

    def check() -> None:
        if written_at and monotonic() - written_at[0] < _WRITE_EVERY:
            for _ in store.list(bucket_map.OPEN.root, limit=1):
                return
            return
        written_at.clear()
        store.check()
        written_at.append(monotonic())

    return check


def cluster(engine: ArgoEngine) -> "Check":
    """Look whether the cluster, or argo-server, answers who the bot is there."""

    def check() -> None:
        engine.version()

    return check


# Whether the bot can do its work, and if not, why not: asked often, so answered from what was found lately.

KEPT = 3.0  # seconds
WITHIN = 3.0  # seconds; the probe in the manifests waits for five

log = structlog.get_logger("hitl_bot.web")


class Check(Protocol):
    """Returns if all is well; raises a HitlError that says why not."""

    def __call__(self) -> None: ...


class NotReady(HitlError):
    """Something that the bot needs is not there now."""


@dataclass
class _Looked:
    check: Check
    problem: str | None = None  # "" is well, None is not known yet
    at: float | None = None  # when that was found
    under_way: bool = False


class Readiness:
    """Looks at several things at once, each at most once at a time, and never waits for long.

    Parameters
    ----------
    checks : Mapping[str, Check]
        By the name under which each is reported.
    keep : float
        Seconds for which what was found is good.
    within : float
        Seconds to wait for a check. One that takes longer counts as failed until it ends.
    """

    def __init__(self, checks: Mapping[str, Check], *, keep: float = KEPT, within: float = WITHIN) -> None:
        self._looked = {name: _Looked(check=check) for name, check in checks.items()}
        self._keep = keep
        self._within = within
        self._changed = Condition()

    def problems(self) -> dict[str, str]:
        """Return what is wrong with each, ``""`` for nothing."""
        with self._changed:
            now = time.monotonic()
            stale = [looked for looked in self._looked.values() if looked.at is None or looked.at < now - self._keep]
            for looked in stale:
                if not looked.under_way:
                    looked.under_way = True
                    # A daemon: a check that hangs must not keep the process from ending.
                    Thread(target=self._look, args=(looked,), name="readiness", daemon=True).start()
            self._changed.wait_for(lambda: not any(looked.under_way for looked in stale), self._within)
            return {name: self._problem(looked) for name, looked in self._looked.items()}

    def _problem(self, looked: _Looked) -> str:
        if looked.under_way or looked.problem is None:
            return f"no answer within {self._within:g} s"
        return looked.problem

    def _look(self, looked: _Looked) -> None:
        problem = "a defect; the log has its traceback"
        try:
            looked.check()
            problem = ""
        except HitlError as error:
            problem = str(error)
        except Exception:  # a check that can't say anything is a check that failed
            log.exception("a check failed")
        finally:
            with self._changed:
                looked.problem, looked.at, looked.under_way = problem, time.monotonic(), False
                self._changed.notify_all()
