"""Reminding people of what they owe: in a direct message, from the day on which it is due, once a day."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from datetime import datetime, timedelta

import structlog
from slack_sdk import WebClient

from hitl_bot.slack.client import SLACK_FAILED
from hitl_bot.slack.people import SlackPeople
from hitl_bot.sweeper import BackgroundJob
from metaflow_extensions.hitl.approvals.bounded import BoundedMap
from metaflow_extensions.hitl.approvals.bucket import Owed
from metaflow_extensions.hitl.approvals.errors import HitlError, NoSuchApproval
from metaflow_extensions.hitl.approvals.ledger import Entry
from metaflow_extensions.hitl.approvals.record import Approval, FollowUpKind, Obligation, Person, Promise
from metaflow_extensions.hitl.approvals.reminding import Quiet
from metaflow_extensions.hitl.approvals.use_cases import UseCases
from metaflow_extensions.hitl.messages import obligations as messages

from .reminding import zone_of

LOOK_EVERY = timedelta(minutes=10)
MOST = 7  # reminders of one obligation; after that it is in the list alone
_FROM = 9  # o'clock, where the owner lives
_APART = timedelta(hours=20)
_A_DAY = timedelta(days=1)
_AHEAD = timedelta(hours=14)  # the day begins as much earlier in the east
_KNOWN = 10_000

log = structlog.get_logger("hitl_bot.obligations")


class OwnerReminders:
    """Looks now and then what is due. The record has each reminder before it is sent, so that none is sent twice.

    Parameters
    ----------
    cases : UseCases
        Its ledger has the obligations, and keeps what was sent.
    people : SlackPeople
        Who owns them, and where they live.
    client : WebClient
        With chat:write: a direct message needs no more.
    quiet_for : Callable[[Approval], Quiet]
        When nobody is reminded.
    workers : Executor
        Where it is done.
    holder : str
        Of this bot among all that share the store.
    """

    def __init__(
        self,
        cases: UseCases,
        people: SlackPeople,
        client: WebClient,
        quiet_for: Callable[[Approval], Quiet],
        *,
        workers: Executor,
        holder: str,
    ) -> None:
        self._cases = cases
        self._people = people
        self._client = client
        self._quiet_for = quiet_for
        self._holder = holder
        self._look_at: datetime | None = None
        self._promises: BoundedMap[tuple[str, int], Promise] = BoundedMap(_KNOWN)  # by approval and number
        self._not_before: BoundedMap[Promise, datetime] = BoundedMap(_KNOWN)
        self._job = BackgroundJob(workers, self._look, name="obligations")

    def changed(self, entry: Entry) -> None:
        """Do nothing: the markers say what is owed."""

    def tick(self) -> None:
        """Look, if it is time."""
        now = self._cases.clock()
        if self._look_at is None or not now < self._look_at <= now + LOOK_EVERY:  # or the clock has jumped
            self._look_at = now + LOOK_EVERY
            self._job.ask()

    def _look(self) -> None:
        now = self._cases.clock()
        together: dict[Promise, list[tuple[Entry, Owed]]] = {}
        for owed in self._cases.ledger.owed(until=(now + _AHEAD).date()):
            known = self._promises.get((owed.approval_id, owed.number))
            if known is not None and self._waits(known, now):
                continue
            with self._reported(owed):
                entry = self._read(owed)
                if entry is not None:
                    promise = self._promises[owed.approval_id, owed.number] = entry.approval.promise(owed.number)
                    together.setdefault(promise, []).append((entry, owed))
        for promise, [(entry, owed), *others] in together.items():
            if not self._waits(promise, now):
                with self._reported(owed):
                    self._remind(promise, entry, owed, len(others), now)

    def _waits(self, promise: Promise, now: datetime) -> bool:
        not_before = self._not_before.get(promise)
        return not_before is not None and now < not_before <= now + _APART  # else the clock has jumped

    @contextmanager
    def _reported(self, owed: Owed) -> Iterator[None]:
        """One that fails holds up none of the others."""
        try:
            yield
        except (HitlError, *SLACK_FAILED) as error:
            log.warning("an owner was not reminded", approval_id=owed.approval_id, why=str(error))

    def _read(self, owed: Owed) -> Entry | None:
        """Return the approval, or None where nothing is owed any longer."""
        ledger = self._cases.ledger
        try:
            entry = ledger.read_to_act(owed.approval_id)
        except NoSuchApproval:
            ledger.no_longer_owed(owed)  # planted: a record is there before its markers
            return None
        if owed.number in entry.approval.open_obligations:
            return entry
        if entry.approval.settlement is not None:
            ledger.no_longer_owed(owed)  # closed, and somebody died before this
        return None

    def _remind(self, promise: Promise, entry: Entry, owed: Owed, others: int, now: datetime) -> None:
        """Remind an owner of what is owed with an approval, and with so many others."""
        owner = self._owner(entry.approval, entry.approval.open_obligations[owed.number])
        if owner is None or not self._is_time(entry.approval, promise, owed, owner, now):
            return
        ledger = self._cases.ledger
        if not ledger.claim(owed.approval_id, f"owed{owed.number}", self._holder, now=now, during=_A_DAY):
            self._not_before[promise] = now + timedelta(hours=1)
            return
        noted = self._cases.obligations.note_owner_reminded(entry, owed.number)
        if noted.number == entry.number:
            return
        self._not_before[promise] = now + _APART
        today = now.astimezone(zone_of(self._people, owner.id)).date()
        message = messages.reminder(noted.approval, owed.number, today=today, others=others)
        self._client.chat_postMessage(
            channel=owner.id, text=message["text"], blocks=message["blocks"], unfurl_links=False, unfurl_media=False
        )
        log.info("an owner was reminded", approval_id=owed.approval_id, number=owed.number)

    def _owner(self, approval: Approval, obligation: Obligation) -> Person | None:
        """Return whom to write to: the owner, or whoever approved if the owner isn't linked to a Slack user."""
        owner = self._people.identify(obligation.owner)
        if owner is None and approval.decision is not None:
            owner = self._people.identify(approval.decision.by)
        return owner

    def _is_time(self, approval: Approval, promise: Promise, owed: Owed, owner: Person, now: datetime) -> bool:
        sent = [
            one.at for one in approval.follow_ups if one.number == owed.number and one.kind is FollowUpKind.REMINDED
        ]
        lately = bool(sent) and timedelta() <= now - sent[-1] < _APART  # a later moment is from a clock that was wrong
        if len(sent) >= MOST or lately:
            self._not_before[promise] = sent[-1] + _APART if lately else now + _APART
            return False
        zone = zone_of(self._people, owner.id)
        local = now.astimezone(zone)
        due = local.date() > owed.day or (local.date() == owed.day and local.hour >= _FROM)
        return due and not self._quiet_for(approval).holds_in(zone, now)
