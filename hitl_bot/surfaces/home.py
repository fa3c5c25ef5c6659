"""Home tabs: who has one, what it shows, and keeping it up to date for those who may be looking at it."""

from collections import deque
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

import structlog
from slack_sdk import WebClient

from hitl_bot.slack.client import SLACK_FAILED
from hitl_bot.slack.people import SlackPeople
from hitl_bot.sweeper import BackgroundJob
from metaflow_extensions.hitl.approvals.bounded import BoundedMap
from metaflow_extensions.hitl.approvals.errors import HitlError, PeopleUnavailable, RecordError
from metaflow_extensions.hitl.approvals.ledger import Entry
from metaflow_extensions.hitl.approvals.queries import Queries, urgency
from metaflow_extensions.hitl.approvals.record import Approval, Person, State
from metaflow_extensions.hitl.approvals.sweeping.worker import RETRY_FIRST, RETRY_LAST
from metaflow_extensions.hitl.approvals.use_cases import UseCases
from metaflow_extensions.hitl.messages import lists
from metaflow_extensions.hitl.slack import SLACK

from .sight import Sight, asked_of

_WATCHERS = 200  # people whose tab is kept up to date; those who opened it last
_WATCHED_FOR = timedelta(hours=1)  # since they opened it: Slack does not tell when somebody looks away
_SETTLE = timedelta(seconds=2)  # from a change to the update: one update shows many changes
# views.publish is of tier 4, 100 calls a minute (docs.slack.dev/apis/web-api/rate-limits); some are left for openings.
_PUBLISHED_A_MINUTE = 60
_DECIDED = 200
_DECIDED_FOR = timedelta(days=7)

log = structlog.get_logger("hitl_bot.home")


@dataclass(frozen=True, kw_only=True)
class _Watcher:
    opened_at: datetime
    flow: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Snapshot:
    waiting: list[Approval]  # the most urgent first
    decided: list[Approval]  # the newest first
    problems: list[RecordError]


class HomeTabs:
    """Publishes Home tabs. Threads may share it.

    Parameters
    ----------
    cases : UseCases
        The operator's rules, and who decides for whom.
    queries : Queries
        What waits and what was decided.
    people : SlackPeople
        Who is in which group.
    client : WebClient
        views.publish takes no scope.
    workers : Executor
        Where tabs are brought up to date, so that the sweeper does not wait for Slack.
    """

    def __init__(
        self, cases: UseCases, queries: Queries, people: SlackPeople, client: WebClient, workers: Executor
    ) -> None:
        self._cases = cases
        self._queries = queries
        self._people = people
        self._client = client
        self._watchers: BoundedMap[str, _Watcher] = BoundedMap(_WATCHERS, dropped=self._forget)
        self._stale: dict[str, datetime] = {}  # since when, by user
        self._pauses: dict[str, timedelta] = {}  # until the next attempt, of those that failed
        self._changes = 0  # that were seen
        self._published: deque[datetime] = deque(maxlen=_PUBLISHED_A_MINUTE)
        self._lock = Lock()
        self._publishing = BackgroundJob(workers, self._publish_stale, name="home")

    # What people do.

    def open(self, user_id: str) -> None:
        """Publish the tab of somebody who opens it, and keep it up to date for an hour."""
        with self._lock:
            watcher = self._watchers.pop(user_id, None)
            now = self._cases.clock()
            self._watchers[user_id] = replace(watcher, opened_at=now) if watcher else _Watcher(opened_at=now)
        self._publish([user_id])

    def choose(self, user_id: str, flow: str | None) -> None:
        """Show one flow, or all with None."""
        with self._lock:
            self._watchers[user_id] = _Watcher(opened_at=self._cases.clock(), flow=flow)
        self._publish([user_id])

    def refresh(self, user_id: str) -> None:
        """Publish the tab of somebody who has just used a button on it."""
        self._publish([user_id])

    # What the sweeper sees.

    def changed(self, _entry: Entry) -> None:
        """Note that what the tabs show may be old."""
        with self._lock:
            self._changes += 1
            now = self._cases.clock()
            for user_id, watcher in list(self._watchers.items()):
                if now - watcher.opened_at > _WATCHED_FOR:
                    del self._watchers[user_id]
                    self._forget(user_id)
                else:
                    self._stale.setdefault(user_id, now)

    def tick(self) -> None:
        """Bring up to date what has been old for two seconds, as far as Slack's pace allows."""
        with self._lock:
            if not self._due():
                return
        self._publishing.ask()

    def _due(self) -> list[str]:
        """Return whose tab is old and may be published now. The caller has the lock."""
        now = self._cases.clock()
        lately = sum(now - at < timedelta(minutes=1) for at in self._published)
        due = [user_id for user_id, since in self._stale.items() if now - since >= _SETTLE]
        return due[: _PUBLISHED_A_MINUTE - lately]

    def _publish_stale(self) -> None:
        with self._lock:
            due = self._due()
            for user_id in due:
                del self._stale[user_id]
        if due:
            self._publish(due)

    def _forget(self, user_id: str) -> None:
        self._stale.pop(user_id, None)
        self._pauses.pop(user_id, None)

    # What they show.

    def _publish(self, user_ids: list[str]) -> None:
        now, seen = self._cases.clock(), self._changes
        try:
            snapshot = self._snapshot(now)
        except HitlError as error:
            for user_id in user_ids:
                self._send(user_id, lists.broken_home(error), now)
                self._try_again(user_id, now)
            return
        for user_id in user_ids:
            self._show(user_id, snapshot, now)
        with self._lock:
            if self._changes != seen:  # whoever saw that may have published before, and this was older
                for user_id in user_ids:
                    self._stale.setdefault(user_id, now)

    def _show(self, user_id: str, snapshot: _Snapshot, now: datetime) -> None:
        try:
            inbox = self._inbox(user_id, snapshot)
        except PeopleUnavailable as error:  # nothing can be said before Slack says who this is
            self._send(user_id, lists.broken_home(error), now)
            self._try_again(user_id, now)
        else:
            self._send(user_id, lists.home_view(inbox, now=now), now)

    def _send(self, user_id: str, view: dict[str, Any], now: datetime) -> None:
        with self._lock:
            self._published.append(now)
        try:
            self._client.views_publish(user_id=user_id, view=view)
        except SLACK_FAILED as error:
            if self._try_again(user_id, now):
                log.warning("a Home tab was not published", user=user_id, why=repr(error))
        else:
            with self._lock:
                self._pauses.pop(user_id, None)

    def _try_again(self, user_id: str, now: datetime) -> bool:
        """Publish a tab later that does not show what the records say; return whether it is the first time."""
        with self._lock:
            if user_id not in self._watchers:
                return True
            before = self._pauses.get(user_id)
            self._pauses[user_id] = pause = min(before * 2, RETRY_LAST) if before else RETRY_FIRST
            self._stale[user_id] = now + pause - _SETTLE
            return before is None

    def _snapshot(self, now: datetime) -> _Snapshot:
        found = self._queries.open()
        decided = self._queries.decided(now - _DECIDED_FOR)
        return _Snapshot(
            waiting=sorted(
                (self._cases.governed(one) for one in found.approvals if one.state is State.PENDING), key=urgency
            ),
            decided=decided.approvals[:_DECIDED],
            problems=[*found.problems, *decided.problems],
        )

    def _asked(self, approval: Approval, person: Person) -> bool:
        known = self._people.known_as(approval.requester)
        if known is None:
            return is_requester(approval, person)
        return known.lower() in {person.id.lower(), (person.email or "").lower()}

    def _inbox(self, user_id: str, snapshot: _Snapshot) -> lists.Inbox:
        with self._lock:
            watcher = self._watchers.get(user_id)
        flow = watcher.flow if watcher else None
        sight = Sight(self._cases, self._people, user_id)
        all_waiting, all_decided = sight.of(snapshot.waiting), sight.of(snapshot.decided)
        waiting = [one for one in all_waiting if flow in (None, one.pathspec.flow)]
        mine = asked_of(self._cases, self._people, user_id, waiting, sight.doubts)
        person = self._people.person(user_id)
        return lists.Inbox(
            waiting=[one for one in waiting if one.id in mine],
            asked=[one for one in waiting if self._asked(one, person)],
            decided=[one for one in all_decided if flow in (None, one.pathspec.flow)],
            flows=sorted({one.pathspec.flow for one in (*all_waiting, *all_decided)}),
            flow=flow,
            absent={approval_id: person for approval_id, person in mine.items() if person is not None},
            problems=[*snapshot.problems, *sight.doubts],
        )


def is_requester(approval: Approval, person: Person) -> bool:
    """Whether this person of Slack asked, as far as names tell: by id, by email address, or by its first part.

    Good enough to find one's own questions, and no proof of anything.
    """
    requester = approval.requester
    if requester.origin == SLACK:
        return requester.id == person.id
    email = (person.email or "").lower()
    if requester.email and requester.email.lower() == email:
        return True
    return requester.name.lower() in {email, email.partition("@")[0], person.name.lower()} - {""}
