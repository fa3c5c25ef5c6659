"""What the bot counts, for Prometheus.

About approvals every bot that shares a store reports the same, whoever asked or answered: take the maximum over them.
What it counts of its own calls and refusals adds up.
"""

import heapq
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from threading import Lock

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from metaflow_extensions.hitl.approvals.bounded import BoundedMap
from metaflow_extensions.hitl.approvals.errors import BadKey, HitlError, KeyMissing, KeyTaken, StoreError
from metaflow_extensions.hitl.approvals.ledger import Entry
from metaflow_extensions.hitl.approvals.ports import Clock, Store
from metaflow_extensions.hitl.approvals.record import Approval, State, TrailEvent
from metaflow_extensions.hitl.approvals.sweeping import Act, Observer
from metaflow_extensions.hitl.messages.trail import EVENTS

log = structlog.get_logger("hitl_bot.records")

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_TIMES_TO_DECIDE = (
    *(10, 30, _MINUTE, 5 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE),
    *(_HOUR, 2 * _HOUR, 4 * _HOUR, 8 * _HOUR, 16 * _HOUR),
    *(_DAY, 2 * _DAY, 7 * _DAY),
)
_COUNTED = 100_000  # decisions; one is seen again within minutes or, while it can't be settled, by each full read


class Metrics:
    """Everything that is counted, in a registry of its own.

    Parameters
    ----------
    clock : Clock
        The present. Decisions from before this object was made are history, and not counted.
    set_aside : Callable[[], float]
        Returns how many open approvals can't be read.
    """

    def __init__(self, clock: Clock, set_aside: Callable[[], float]) -> None:
        self.registry = CollectorRegistry()
        self._clock = clock
        self._since = self._caught_up_at = clock()
        self._waiting = WaitingApprovals()
        self._set_aside = set_aside
        self._counted: BoundedMap[str, None] = BoundedMap(_COUNTED)
        self._counted_not_accepted: BoundedMap[str, None] = BoundedMap(_COUNTED)
        self._lock = Lock()
        self._decisions = Counter(
            "hitl_decisions",
            "Approvals decided, by any bot or command line.",
            ("verdict", "where"),
            registry=self.registry,
        )
        self._versions = Counter(
            "hitl_versions_written",
            "Versions of records that this bot wrote, by event.",
            ("event",),
            registry=self.registry,
        )
        self._not_accepted = Counter(
            "hitl_decisions_not_accepted",
            "Decisions made away from the operator's policy that it does not accept, and whether the step runs.",
            ("where", "step"),
            registry=self.registry,
        )
        self._seconds_to_decide = Histogram(
            "hitl_time_to_decide_seconds",
            "From the question to the decision.",
            registry=self.registry,
            buckets=_TIMES_TO_DECIDE,
        )
        self._slack_errors = Counter(
            "hitl_slack_errors", "Calls to Slack that failed in this bot.", ("method", "kind"), registry=self.registry
        )
        self._store_errors = Counter(
            "hitl_store_errors",
            "Requests to the store that failed in this bot.",
            ("request", "kind"),
            registry=self.registry,
        )
        self._failures = Counter(
            "hitl_sweeper_failures",
            "What this bot's sweeper could not do and will retry.",
            ("kind",),
            registry=self.registry,
        )
        self._refused = Counter(
            "hitl_refused_requests",
            "Requests to the request URL that this bot did not take.",
            ("reason",),
            registry=self.registry,
        )
        self._events = Counter(
            "hitl_events_delivered", "Events that this bot delivered.", ("to", "type"), registry=self.registry
        )
        self._event_failures = Counter(
            "hitl_event_failures",
            "Failed attempts of this bot to deliver an event; they are retried.",
            ("to", "kind"),
            registry=self.registry,
        )
        self._events_given_up = Counter(
            "hitl_events_given_up",
            "Events that this bot gave up on after seven days, or whose record is gone.",
            ("to",),
            registry=self.registry,
        )
        self._events_waiting = Gauge(
            "hitl_events_waiting", "Events that wait to be delivered, as this bot knows.", registry=self.registry
        )
        self._gauges()
        ProcessCollector(registry=self.registry)

    def _gauges(self) -> None:
        def gauge(name: str, help_text: str) -> Gauge:
            return Gauge(name, help_text, registry=self.registry)

        gauge(
            "hitl_unreadable_approvals", "Open approvals whose records can't be read; `/hitl list` says why."
        ).set_function(self._set_aside)
        gauge("hitl_pending_approvals", "Approvals that wait for an answer.").set_function(self._waiting.number)
        gauge(
            "hitl_oldest_pending_age_seconds", "Age of the approval that has waited longest; 0 if none waits."
        ).set_function(self._oldest_age)
        gauge(
            "hitl_sweeper_lag_seconds", "Since this bot's sweeper last had nothing more to do; about 1 is healthy."
        ).set_function(lambda: self._seconds_since(self._caught_up_at))
        gauge(
            "hitl_clock_error_seconds",
            "How far this machine's clock is ahead of Slack's and the store's; 0 below ten seconds.",
        ).set_function(lambda: -getattr(self._clock, "ahead", 0.0))

    # What is told to it.

    def saw(self, approval: Approval) -> None:
        """Count a decision when it is seen first, and keep in mind who waits."""
        decision = approval.decision
        self._waiting.note(approval)
        self.did(approval)
        if decision is None or decision.at < self._since:
            return
        with self._lock:
            if approval.id in self._counted:
                return
            self._counted[approval.id] = None
        self._decisions.labels(decision.verdict.value, decision.where.value).inc()
        self._seconds_to_decide.observe(max(0.0, (decision.at - approval.requested_at).total_seconds()))

    def wrote(self, event: str) -> None:
        """Count a version that this bot wrote, by its event's word for metrics."""
        self._versions.labels(event).inc()

    def did(self, approval: Approval) -> None:
        """Count a decision that the policy does not accept once the bot, this one or another, has said so."""
        decision, settlement = approval.decision, approval.settlement
        runs = settlement is not None and bool(settlement.unaccepted)
        if decision is None or settlement is None or settlement.at < self._since:
            return
        if not runs and approval.state is not State.NOT_ACCEPTED:
            return
        with self._lock:
            if approval.id in self._counted_not_accepted:
                return
            self._counted_not_accepted[approval.id] = None
        self._not_accepted.labels(decision.where.value, "runs" if runs else "stopped").inc()

    def saw_all(self) -> None:
        """Forget who waits and was not seen waiting since the last full read."""
        self._waiting.forget_unseen()

    def caught_up(self) -> None:
        """Note that the sweeper had nothing more to do."""
        self._caught_up_at = self._clock()

    def not_swept(self, error: Exception) -> None:
        """Count what the sweeper could not do."""
        self._failures.labels(type(error).__name__).inc()

    def slack_failed(self, method: str, kind: str) -> None:
        """Count a call to Slack that failed: Slack's error code, or what was raised."""
        self._slack_errors.labels(method, kind).inc()

    def store_failed(self, request: str, kind: str) -> None:
        """Count a request to the store that failed: the store's error code, or what was raised."""
        self._store_errors.labels(request, kind).inc()

    def refused(self, reason: str) -> None:
        """Count a request to the request URL that was not taken."""
        self._refused.labels(reason).inc()

    def event_delivered(self, to: str, kind: str) -> None:
        """Count an event that was delivered."""
        self._events.labels(to, kind).inc()

    def event_failed(self, to: str, kind: str) -> None:
        """Count an attempt to deliver an event: the status of the answer, or what was raised."""
        self._event_failures.labels(to, kind).inc()

    def event_given_up(self, to: str) -> None:
        """Count an event that nobody will get."""
        self._events_given_up.labels(to).inc()

    def events_wait(self, number: int) -> None:
        """Note how many events wait to be delivered."""
        self._events_waiting.set(number)

    # What is asked of it.

    def _oldest_age(self) -> float:
        oldest = self._waiting.oldest()
        return 0.0 if oldest is None else self._seconds_since(oldest)

    def _seconds_since(self, then: datetime) -> float:
        return max(0.0, (self._clock() - then).total_seconds())


class WaitingApprovals:
    """Who waits, and since when: some 200 bytes each. Threads may share it."""

    def __init__(self) -> None:
        self._since: dict[str, datetime] = {}
        self._by_age: list[tuple[datetime, str]] = []  # a heap; those no longer in _since are skipped
        self._seen: set[str] = set()  # since the last full read
        self._lock = Lock()

    def note(self, approval: Approval) -> None:
        """Take an approval up or out, as it stands."""
        with self._lock:
            if approval.state is not State.PENDING:
                self._since.pop(approval.id, None)
                self._seen.discard(approval.id)
                return
            self._seen.add(approval.id)
            if approval.id not in self._since:
                self._since[approval.id] = approval.requested_at
                heapq.heappush(self._by_age, (approval.requested_at, approval.id))

    def forget_unseen(self) -> None:
        """Forget what was not noted since the last time: the tail may have lost how it ended."""
        with self._lock:
            self._since = {
                approval_id: since for approval_id, since in self._since.items() if approval_id in self._seen
            }
            self._by_age = sorted((since, approval_id) for approval_id, since in self._since.items())  # is a heap
            self._seen = set()

    def number(self) -> int:
        """Return how many wait."""
        return len(self._since)

    def oldest(self) -> datetime | None:
        """Return since when the one waits that has waited longest."""
        with self._lock:
            while self._by_age and self._by_age[0][1] not in self._since:
                heapq.heappop(self._by_age)
            return self._by_age[0][0] if self._by_age else None


def reports_versions(metrics: Metrics) -> Callable[[Entry], None]:
    """Build what a ledger tells of each version that it writes: a log line and a count, in the event's own words."""

    def report(entry: Entry) -> None:
        if not isinstance(entry.version.event, TrailEvent):
            return  # a later release's, which this one reads and never writes
        words = EVENTS[entry.version.event]
        log.info(words.log, approval_id=entry.approval.id, version=entry.number)
        metrics.wrote(words.metric)

    return report


class CountingObserver:
    """Counts what the sweeper does, and passes it on.

    Parameters
    ----------
    observer : Observer
        Told everything.
    metrics : Metrics
        What counts.
    """

    def __init__(self, observer: Observer, metrics: Metrics) -> None:
        self._observer = observer
        self._metrics = metrics

    def saw(self, approval: Approval) -> None:
        """Something was read."""
        self._metrics.saw(approval)
        self._observer.saw(approval)

    def saw_all(self) -> None:
        """All that is open was read."""
        self._metrics.saw_all()
        self._observer.saw_all()

    def did(self, act: Act, approval: Approval) -> None:
        """Something was done."""
        self._metrics.did(approval)
        self._observer.did(act, approval)

    def failed(self, approval_id: str, error: HitlError) -> None:
        """Something could not be done."""
        self._metrics.not_swept(error)
        self._observer.failed(approval_id, error)

    def broke(self, approval_id: str, error: Exception) -> None:
        """A defect showed."""
        self._metrics.not_swept(error)
        self._observer.broke(approval_id, error)


# A store whose failures are counted.

_ANSWERS = (KeyMissing, KeyTaken, BadKey)  # these say how things are, not that the store is ill


class ReportingStore:
    """Reports every failure of a store, and still raises it.

    Parameters
    ----------
    store : Store
        What keeps the keys.
    failed : Callable[[str, str], None]
        Called with the request (``create``, ``read``, …) and the kind: S3's error code, or what was raised.
    """

    def __init__(self, store: Store, failed: Callable[[str, str], None]) -> None:
        self._store = store
        self._failed = failed

    @property
    def url(self) -> str:
        """Where it is."""
        return self._store.url

    @property
    def poll_interval(self) -> float:
        """Seconds between two looks for a key that is not there yet."""
        return self._store.poll_interval

    def create(self, key: str, body: bytes) -> None:
        """Write a new key."""
        with self._reporting("create"):
            self._store.create(key, body)

    def read(self, key: str) -> bytes:
        """Return the body."""
        with self._reporting("read"):
            return self._store.read(key)

    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> Iterator[str]:
        """Yield keys; a failure may come with any of them."""
        with self._reporting("list"):
            yield from self._store.list(prefix, after=after, limit=limit)

    def ages(self, prefix: str) -> Iterator[tuple[str, float]]:
        """Yield keys with their ages; a failure may come with any of them."""
        with self._reporting("list"):
            yield from self._store.ages(prefix)

    def mark(self, key: str) -> None:
        """Write a marker."""
        with self._reporting("mark"):
            self._store.mark(key)

    def unmark(self, key: str) -> None:
        """Remove a marker."""
        with self._reporting("unmark"):
            self._store.unmark(key)

    def check(self) -> None:
        """Prove that a key can be created once."""
        with self._reporting("check"):
            self._store.check()

    @contextmanager
    def _reporting(self, request: str) -> Iterator[None]:
        try:
            yield
        except _ANSWERS:
            raise
        except StoreError as error:
            self._failed(request, _kind(error))
            raise


def _kind(error: StoreError) -> str:
    """Return S3's code (SlowDown, AccessDenied), botocore's own name for it (EndpointConnectionError), or ours."""
    cause = error.__cause__
    if cause is None:
        return type(error).__name__
    response = getattr(cause, "response", None)  # of botocore's ClientError, which takes a second to import
    code = (response.get("Error") or {}).get("Code") if isinstance(response, dict) else None
    return str(code or type(cause).__name__)
