"""Asking people again: written into the record first, then into the thread."""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hitl_bot.slack.people import SlackPeople
from metaflow_extensions.hitl.approvals import bucket, transitions
from metaflow_extensions.hitl.approvals.deciding.permission import is_barred, is_group
from metaflow_extensions.hitl.approvals.duration import in_words
from metaflow_extensions.hitl.approvals.errors import HitlError, PeopleUnavailable
from metaflow_extensions.hitl.approvals.ledger import Entry
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.record import Approval, Person, ReminderKind, State
from metaflow_extensions.hitl.approvals.reminding import NEVER_QUIET, Quiet, next_reminder
from metaflow_extensions.hitl.approvals.use_cases import Outcome, UseCases
from metaflow_extensions.hitl.messages.threads import reminder_line

# When those who share a message were reminded last, so that many gates ring people once a period and not once each.

GATHER_FOR = timedelta(seconds=3)  # the gates of a foreach come due within moments
_APART = timedelta(minutes=30)  # an escalation, or a last call, of gates that were not asked together


class RemindedTogether:
    """Keeps what was said in the threads of batches."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def last(self, batch_id: str, now: datetime) -> dict[str, datetime]:
        """Return when the newest reminder of each kind came."""
        found: dict[str, datetime] = {}
        for key in self._store.list(bucket.batch_reminded_folder(batch_id)):
            reminded = bucket.read_batch_reminded_key(key)
            if reminded is not None and bucket.newest_moment([reminded[0]], now):
                at, kind = reminded
                found[kind] = at
        return found

    def note(self, batch_id: str, kinds: Iterable[ReminderKind], now: datetime) -> None:
        """Note that a reply reminds."""
        for kind in kinds:
            self._store.mark(bucket.batch_reminded_key(batch_id, now, _name(kind)))


def is_covered(approval: Approval, kind: ReminderKind, last: dict[str, datetime], now: datetime) -> bool:
    """Whether the reminder of another gate has done for this one. What somebody asks for by hand is said always."""
    reminder, before = approval.reminded(kind), last.get(_name(kind))
    if before is None or reminder is None or reminder.by is not None:
        return False
    every = approval.question.remind_every
    return now - before < (timedelta(seconds=every) / 2 if every else _APART)


def _name(kind: ReminderKind) -> str:
    return kind.name.lower().replace("_", "")


# Asking people again: written into the record first, then into the thread.

_LOOKED_UP = 20  # members of a group whose time zones are asked for: users.info takes 100 calls a minute (tier 4)
_BY_HAND_EVERY = timedelta(minutes=10)  # that /hitl remind may ring the same people
_USER = re.compile(r"[UW][A-Z0-9]{2,30}")


def never_quiet(_: Approval) -> Quiet:
    """Let reminders come at any time."""
    return NEVER_QUIET


def zone_of(people: SlackPeople, user_id: str) -> tzinfo:
    """Return somebody's time zone; UTC if it is not known."""
    try:
        return ZoneInfo(people.zone(user_id) or "UTC")
    except (PeopleUnavailable, ZoneInfoNotFoundError, ValueError):
        return timezone.utc


class MayNotRemind(HitlError):
    """This person doesn't remind others."""


class TooSoon(HitlError):
    """Somebody was reminded just now, or nothing can be reminded of. Nothing was sent."""


class Reminding:
    """Asks people again. The record has it first; the threads follow the record, whatever crashes in between.

    Parameters
    ----------
    cases : UseCases
        Its ledger keeps what was sent.
    people : SlackPeople
        Who is in which group, and where they live.
    quiet_for : Callable[[Approval], Quiet]
        When nobody is reminded of an approval; its zones are those of people whose own is not known.
    """

    def __init__(self, cases: UseCases, people: SlackPeople, quiet_for: Callable[[Approval], Quiet]) -> None:
        self._cases = cases
        self._people = people
        self._quiet_for = quiet_for

    def next_at(self, approval: Approval) -> datetime | None:
        """Say when people are asked again."""
        if approval.state is not State.PENDING or not approval.posts:
            return None
        due = next_reminder(approval, self._quiet(approval))
        return None if due is None else due.at

    def remind(self, entry: Entry) -> Outcome:
        """Ask again what is due. Of several bots the one that writes the version does."""
        now = self._cases.clock()
        due = next_reminder(entry.approval, self._quiet(entry.approval))
        if due is None or due.at > now:
            return Outcome(approval=entry.approval)
        return Outcome(approval=self._write(entry, due.kind, now))

    def by_hand(self, entry: Entry, who: Person) -> Approval:
        """Ask again because somebody wants it.

        Raises
        ------
        MayNotRemind
            Guests and people of other workspaces don't.
        TooSoon
            It can no longer be answered, is posted nowhere, or was asked again within ten minutes.
        """
        approval, now = entry.approval, self._cases.clock()
        if is_barred(approval, who, self._people):
            raise MayNotRemind(
                f"{who.name} can't remind people of {approval.id}: guests can't send reminders. Ask a member to."
            )
        if approval.state is not State.PENDING:
            raise TooSoon(f"{approval.id} can no longer be answered, so nobody was reminded.")
        if not approval.posts:
            raise TooSoon(
                f"{approval.id} has not been posted yet, so there is no message to remind people of. Try again later."
            )
        newest = max((one.at for one in approval.reminders), default=None)
        if newest is not None and now - newest < _BY_HAND_EVERY:
            ago = in_words((now - newest).total_seconds())
            raise TooSoon(
                f"The last reminder of {approval.id} was sent {ago} ago. Wait at least ten minutes between reminders."
            )
        return self._write(entry, ReminderKind.REMINDER, now, by=who)

    def _write(self, entry: Entry, kind: ReminderKind, now: datetime, by: Person | None = None) -> Approval:
        def change(newest: Approval) -> Approval:
            # Whoever else was faster has asked: what was seen is what must still stand.
            still = newest.reminders == entry.approval.reminders and newest.state is State.PENDING
            return transitions.remind(newest, kind, now, by) if still else newest

        return self._cases.ledger.update(entry.approval.id, kind.event, now, change, seen=entry).approval

    def words(self, approval: Approval, kind: ReminderKind) -> str:
        """Say what the newest reminder of a kind says, to those who can still act; mrkdwn that mentions them."""
        reminder = approval.reminded(kind)
        if reminder is None:
            return ""
        whom = self._whom(approval, approval.question.escalate_to if kind is ReminderKind.ESCALATION else None)
        return reminder_line(approval, reminder, now=self._cases.clock(), whom=whom)

    # Whom.

    def _whom(self, approval: Approval, names: tuple[str, ...] | None) -> list[str]:
        """Return those of the named, or of all who may decide, who can still act and for whom it is not quiet."""
        names = approval.requirements.names if names is None else names
        try:
            done = {vote.by.id for vote in approval.votes}
            if not approval.requirements.self_approval_allowed:
                requester = self._people.identify(approval.requester)
                done |= {requester.id} if requester else set()
            asleep = self._asleep(approval, [user for name in names for user in self._users(name)])
            awake = [one for name in names for one in self._ids(name, done | asleep)]
            # Whoever asks by hand while all of them sleep still asks them.
            found = awake or [one for name in names for one in self._ids(name, done)]
        except PeopleUnavailable:
            return list(names)  # in words: who can't be looked up can still read
        return list(dict.fromkeys(found))

    def _asleep(self, approval: Approval, users: list[str]) -> set[str]:
        quiet, now = self._quiet_for(approval), self._cases.clock()
        if quiet == NEVER_QUIET:
            return set()
        return {one for one in users if quiet.holds_in(zone_of(self._people, one), now)}

    def _ids(self, name: str, done: set[str]) -> list[str]:
        if is_group(name):
            group = self._people.group(name)
            if group is None:
                return [name]
            group_id, members = group
            # A group is rung as a whole unless somebody in it has done their part, or sleeps.
            return sorted(members - done) if members & done else [group_id]
        person = self._people.find(name) if "@" in name or _USER.fullmatch(name) else None
        if person is None:
            return [name]
        return [] if person.id in done else [person.id]

    # When.

    def _quiet(self, approval: Approval) -> Quiet:
        """Return the quiet hours in the time zones of those who are asked."""
        quiet = self._quiet_for(approval)
        if quiet == NEVER_QUIET:
            return quiet
        zones = tuple(
            dict.fromkeys(
                zone_of(self._people, user) for name in approval.requirements.names for user in self._users(name)
            )
        )
        return replace(quiet, zones=zones) if zones else quiet

    def _users(self, name: str) -> list[str]:
        """Return the ids behind an approver: of a group so many that looking them up stays cheap."""
        try:
            if is_group(name):
                group = self._people.group(name)
                return [] if group is None else sorted(group[1])[:_LOOKED_UP]
            person = self._people.find(name) if "@" in name or _USER.fullmatch(name) else None
        except PeopleUnavailable:
            return []
        return [] if person is None else [person.id]
