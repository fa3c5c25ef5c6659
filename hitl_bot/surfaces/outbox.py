"""The outbox: every event of a record is delivered at least once, whatever dies in between.

The record comes first. A version becomes a marker in the bucket for each place that it has to reach, the marker goes
when it was delivered, and a note that it was keeps other bots, and this one after a restart, from sending it again.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

import structlog

from hitl_bot.events import Destination, NotDelivered, events_of
from hitl_bot.sweeper import BackgroundJob
from hitl_bot.telemetry.metrics import Metrics
from metaflow_extensions.hitl.approvals import bucket, bucket_map
from metaflow_extensions.hitl.approvals.bounded import BoundedMap
from metaflow_extensions.hitl.approvals.bucket import WaitingEvent
from metaflow_extensions.hitl.approvals.errors import HitlError, RecordError, StoreError
from metaflow_extensions.hitl.approvals.ledger import Entry, Ledger
from metaflow_extensions.hitl.approvals.ports import Clock

_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=10)
_LOOK_AGAIN = timedelta(seconds=5)  # whether it is this bot's turn, or the store's trouble is over
_FOR = timedelta(minutes=1)  # spans of time; in each of them one bot delivers the events of an approval
_CLAIM = "event"
_SURELY_TOLD = timedelta(minutes=5)  # the sweeper tells of every change within this time
_NOTED_EVERY = timedelta(minutes=1)
_AT_ONCE = 100  # deliveries in one round, so that what is new is noted in between
_KNOWN = 10_000  # approvals of which it is kept in mind how far they were looked at

log = structlog.get_logger("hitl_bot.events")


@dataclass(kw_only=True)
class _Waiting:
    """One event for one place."""

    event: WaitingEvent
    not_before: datetime | None = None
    pause: timedelta = timedelta(0)


@dataclass(kw_only=True)
class _Outlet:
    """A destination, and whether it takes anything now."""

    destination: Destination
    not_before: datetime | None = None
    pause: timedelta = timedelta(0)


class Outbox:
    """Follows the sweeper, and sends what happens to the destinations.

    Of each approval the events come in order, unless a destination refuses one and takes it later. What was not
    delivered within seven days is given up.

    Parameters
    ----------
    ledger : Ledger
        Whose versions are sent, and where the markers are.
    destinations : Sequence[Destination]
        Where events go; without any, nothing is done and nothing is written.
    clock : Clock
        The present.
    workers : Executor
        Where the sending goes on, so that the sweeper does not wait for anybody's server.
    metrics : Metrics
        Counts what was delivered and what was not.
    holder : str
        Of this bot among all that share the store.
    """

    def __init__(
        self,
        ledger: Ledger,
        destinations: Sequence[Destination],
        *,
        clock: Clock,
        workers: Executor,
        metrics: Metrics,
        holder: str,
    ) -> None:
        self._ledger = ledger
        self._places = {one.name: _Outlet(destination=one) for one in destinations}
        self._clock = clock
        self._metrics = metrics
        self._holder = holder
        self._changed: dict[str, int] = {}  # the newest version of what changed
        self._seen: BoundedMap[str, int] = BoundedMap(_KNOWN)  # up to which version it was looked at
        self._waiting: dict[str, _Waiting] = {}  # by key
        self._since: datetime | None = None  # what was written before is not looked at; None: not caught up yet
        self._due: datetime | None = None
        self._noted_at: datetime | None = None
        self._unnoted = False
        self._lock = Lock()
        self._job = BackgroundJob(workers, self._work, name="events")

    def changed(self, entry: Entry) -> None:
        """Note that an approval has a newer version."""
        if self._places:
            self._note(entry.approval.id, entry.number)

    def tick(self) -> None:
        """Send what is due, unless that is still going on."""
        if not self._places:
            return
        with self._lock:
            due = self._since is None or self._changed or self._unnoted
        if due or (self._due is not None and self._due <= self._clock()):
            self._job.ask()

    def _note(self, approval_id: str, number: int) -> None:
        with self._lock:
            self._unnoted = True
            self._changed[approval_id] = max(number, self._changed.get(approval_id, 0))

    def _work(self) -> None:
        if self._since is None:
            self._since = self._catch_up()
        with self._lock:
            changed, self._changed = self._changed, {}
        try:
            for approval_id, number in changed.items():
                self._collect(approval_id, number, self._since)
        finally:
            self._metrics.events_wait(len(self._waiting))
        self._note_seen()
        self._deliver_all()
        self._metrics.events_wait(len(self._waiting))

    # What there is to send.

    def _catch_up(self) -> datetime:
        """Find what waits, and what was written while no bot ran; return since when events are sent."""
        store = self._ledger.store
        for key in store.list(bucket_map.OUTBOX.folder("waiting")):
            event = bucket.read_waiting_event_key(key)
            if event is not None:
                self._waiting[key] = _Waiting(event=event)
        seen = map(bucket.read_events_seen_key, store.list(bucket_map.OUTBOX.folder("seen")))
        since = bucket.newest_moment(seen, self._clock())
        if since is None:
            # The first start with a destination: history stays history.
            since = self._clock()
            store.mark(bucket.events_seen_key(since))
        for change in self._ledger.changes(since):
            self._note(change.approval_id, change.number)
        return since

    def _collect(self, approval_id: str, number: int, since: datetime) -> None:
        """Write a marker for each place that a new version of an approval has to reach."""
        try:
            entries = self._newer(approval_id, number)
            fresh = [entry for entry in entries if entry.version.at >= since]
            types = {entry.number: {event.type for event in events_of(entry)} for entry in fresh}
            sent = self._sent(approval_id) if any(types.values()) else frozenset[tuple[int, str]]()
            for entry in fresh:
                for name, place in self._places.items():
                    wanted = types[entry.number].intersection(place.destination.types)
                    if wanted and (entry.number, name) not in sent:
                        self._put(
                            bucket.WaitingEvent(
                                at=entry.version.at, approval_id=approval_id, number=entry.number, where=name
                            )
                        )
            if entries:
                self._seen[approval_id] = entries[-1].number
        except RecordError as error:
            log.warning("events of a record can't be sent", approval_id=approval_id, why=str(error))
        except HitlError as error:
            log.debug("events wait for the store", approval_id=approval_id, why=str(error))  # which is reported itself
            self._note(approval_id, number)

    def _newer(self, approval_id: str, number: int) -> list[Entry]:
        seen = self._seen.get(approval_id, 0)
        if not seen:
            return self._ledger.trail(approval_id)
        found = (self._ledger.read_version(approval_id, one) for one in range(seen + 1, number + 1))
        return [entry for entry in found if entry is not None]

    def _put(self, event: WaitingEvent) -> None:
        key = bucket.waiting_event_key(event)
        if key not in self._waiting:
            self._ledger.store.mark(key)
            self._waiting[key] = _Waiting(event=event)

    def _sent(self, approval_id: str) -> frozenset[tuple[int, str]]:
        named = map(bucket.read_sent_event_key, self._ledger.store.list(bucket.sent_events_folder(approval_id)))
        return frozenset(one for one in named if one is not None)

    def _note_seen(self) -> None:
        """Note, once a minute at most, up to when every event has its marker, so that the next bot looks no further."""
        now = self._clock()
        with self._lock:
            if self._changed or not self._unnoted or (self._noted_at and now - self._noted_at < _NOTED_EVERY):
                return
        store = self._ledger.store
        marker = bucket.events_seen_key(now - _SURELY_TOLD)
        older = [key for key in store.list(bucket_map.OUTBOX.folder("seen")) if key < marker]
        if older:  # never further back than where the first bot began
            store.mark(marker)
        for key in older:
            store.unmark(key)
        self._noted_at = now
        with self._lock:
            self._unnoted = bool(self._changed)

    # Sending it.

    def _deliver_all(self) -> None:
        held_up: set[tuple[str, str]] = set()  # approvals, by place, whose earlier event waits
        left = _AT_ONCE
        for key, waiting in sorted(self._waiting.items(), key=lambda one: (one[1].event.at, one[1].event.number)):
            event, now = waiting.event, self._clock()
            row, place = (event.approval_id, event.where), self._places.get(event.where)
            if now - event.at > bucket_map.KEEP_MARKERS_FOR:
                self._give_up(key, event, "it could not be delivered for seven days")
                continue
            ready = place is not None and _is_due(place.not_before, now) and _is_due(waiting.not_before, now)
            delivered = False
            if left and ready and place is not None and row not in held_up:
                left -= 1
                delivered = self._deliver(key, waiting, place, now)
            if not delivered and not waiting.pause:  # what was refused by itself holds up nothing
                held_up.add(row)
        self._due = self._next_due()

    def _next_due(self) -> datetime | None:
        """Return when the next attempt is due; the present if there is one now."""
        now, moments = self._clock(), list[datetime]()
        for waiting in self._waiting.values():
            place = self._places.get(waiting.event.where)
            if place is not None:
                moments.append(max(place.not_before or now, waiting.not_before or now))
        return min(moments, default=None)

    def _deliver(self, key: str, waiting: _Waiting, place: _Outlet, now: datetime) -> bool:
        """Deliver one event, and say whether that is done, by whatever bot."""
        event, ledger = waiting.event, self._ledger
        try:
            if not ledger.claim(event.approval_id, _CLAIM, self._holder, now=now, during=_FOR):
                waiting.not_before = now + _LOOK_AGAIN
                return False
            if (event.number, event.where) not in self._sent(event.approval_id):
                entry = ledger.read_version(event.approval_id, event.number)
                # A marker that names another time was planted: an event that was sent long ago would be sent again.
                told = entry is not None and entry.version.at == event.at
                outgoing = events_of(entry) if entry is not None and told else ()
                if not outgoing:
                    self._give_up(key, event, "it is not an event" if told else "there is no such version")
                    return True
                for one in outgoing:
                    if one.type in place.destination.types:
                        place.destination.deliver(one, now)
                        self._metrics.event_delivered(event.where, one.type)
                ledger.store.mark(bucket.sent_event_key(event))
            ledger.store.unmark(key)
        except NotDelivered as error:
            self._suffer(waiting, place, error, now)
            return False
        except StoreError as error:
            log.debug("an event waits for the store", approval_id=event.approval_id, why=str(error))
            waiting.not_before = now + _LOOK_AGAIN
            return False
        except RecordError as error:
            self._give_up(key, event, str(error))
            return True
        place.not_before, place.pause = None, timedelta(0)
        del self._waiting[key]
        return True

    def _suffer(self, waiting: _Waiting, place: _Outlet, error: NotDelivered, now: datetime) -> None:
        """Wait before the next attempt: with this event if the receiver minds it alone, else with everything."""
        troubled: _Waiting | _Outlet = waiting if error.of_this_event else place
        first = not troubled.pause
        troubled.pause = min(troubled.pause * 2 or _FIRST_PAUSE, _LONGEST_PAUSE)
        wanted = timedelta(seconds=min(error.retry_after or 0.0, 86_400.0))
        troubled.not_before = now + max(troubled.pause, wanted)
        self._metrics.event_failed(waiting.event.where, error.kind)
        write = log.warning if first else log.debug
        write(
            "an event was not delivered; the bot will retry",
            to=waiting.event.where,
            approval_id=waiting.event.approval_id,
            why=str(error),
        )

    def _give_up(self, key: str, event: WaitingEvent, why: str) -> None:
        with suppress(StoreError):
            self._ledger.store.unmark(key)
            del self._waiting[key]
            self._metrics.event_given_up(event.where)
            log.error("the bot gave up on an event", to=event.where, approval_id=event.approval_id, why=why)


def _is_due(not_before: datetime | None, now: datetime) -> bool:
    return not_before is None or not_before <= now
