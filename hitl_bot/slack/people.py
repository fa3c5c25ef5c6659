"""Who somebody is in Slack: names, kinds, user groups and channels."""

from __future__ import annotations

import copy
import re
import time
from collections.abc import Callable, Collection

from slack_sdk import WebClient

from hitl_bot.slack.directory import Directory, is_nobody
from metaflow_extensions.hitl.approvals.bounded import this_moment
from metaflow_extensions.hitl.approvals.errors import HitlError, PeopleUnavailable
from metaflow_extensions.hitl.approvals.ports import Bar, Clock
from metaflow_extensions.hitl.approvals.record import Person
from metaflow_extensions.hitl.slack import SLACK

_USER = re.compile(r"[UW][A-Z0-9]{2,30}")


class Ambiguous(HitlError):
    """Several people go by the same name, so nothing was done."""


def nobody_is_known(_user: str) -> str | None:
    """Link no user of a machine to anybody: no operator has said who they are."""
    return None


class SlackPeople:
    """The people of one workspace. When Slack can't be asked, nobody is anybody: PeopleUnavailable.

    Parameters
    ----------
    client : WebClient
        With the scopes users:read, users:read.email, usergroups:read, channels:read, groups:read and im:read.
    clock : Clock
        Ages what is cached.
    known_as : Callable[[str], str | None]
        From the user name on a machine to that person's email address or Slack id, as far as the operator says it.
    default_channel : str, optional
        Where questions belong that name no channel and are in none.
    monotonic : Callable[[], float]
        Seconds, by which calls keep to Slack's limits.
    """

    def __init__(
        self,
        client: WebClient,
        clock: Clock,
        known_as: Callable[[str], str | None] = nobody_is_known,
        *,
        default_channel: str | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = Directory(client, clock, monotonic=monotonic)
        self._known_as = known_as
        self._default_channel = default_channel
        self._since = 0

    def now(self) -> SlackPeople:
        """Return the same people as they are from this moment on: nothing that was asked before counts."""
        fresh = copy.copy(self)
        fresh._since = self._since or this_moment()  # noqa: SLF001 - its own class
        return fresh

    def person(self, user_id: str) -> Person:
        """Return the user behind an id that Slack sent.

        Raises
        ------
        PeopleUnavailable
            Slack does not know the user, or did not answer.
        """
        return self._directory.profile(user_id, self._since).person

    def current(self, person: Person) -> Person:
        """Return a person with the name and the address that Slack has now; a name that nobody vouches for as it is."""
        return self.person(person.id) if person.origin == SLACK else person

    def zone(self, user_id: str) -> str:
        """Return the name of somebody's time zone, such as ``Europe/Amsterdam``; empty if Slack does not know it."""
        return self._directory.profile(user_id).zone

    def barred(self, person: Person) -> Bar | None:
        """Say why this person never decides anything, or None."""
        return self._directory.profile(person.id, self._since).bar

    def in_channel(self, person: Person, channel: str | None) -> bool:
        """Whether somebody is in a channel: an id, a name, or a person's id for direct messages with them."""
        channel = channel or self._default_channel
        if person.origin != SLACK or channel is None:
            return False
        if _USER.fullmatch(channel):
            return person.id == channel
        return person.id in self._directory.members(channel, self._since)

    @property
    def system(self) -> str:
        """How people call it."""
        return "Slack"

    def identify(self, person: Person) -> Person | None:
        """Return who a user of a machine is in Slack: by the operator's word, or by their own email address."""
        if person.origin == SLACK:
            return person
        known = self._known_as(person.id) or person.email or (person.id if "@" in person.id else None)
        return None if known is None else self.find(known)

    def known_as(self, person: Person) -> str | None:
        """Return what the operator says a user of a machine is in Slack: an email address or id. Asks nobody."""
        return None if person.origin == SLACK else self._known_as(person.id)

    def find(self, name: str) -> Person | None:
        """Return the person behind an id or an email address, or None if there is none."""
        user_id: str | None = self._directory.id_of(name) if "@" in name else name
        if user_id is None:
            return None
        try:
            return self.person(user_id)
        except PeopleUnavailable as error:
            if is_nobody(error):
                return None
            raise

    def called(self, handle: str) -> Person | None:
        """Return the person whom people write as ``@handle``, by user name or display name; None if there is none.

        Names are not ids: everybody chooses their own display name. So a name that fits two people is neither's.

        Raises
        ------
        Ambiguous
            More than one goes by this name.
        PeopleUnavailable
            Slack can't say, or the workspace has too many people to look through.
        """
        found = self._directory.handles().get(handle.removeprefix("@").casefold(), frozenset())
        if len(found) > 1:
            raise Ambiguous(
                f"{len(found)} people go by {handle}. Use the email address or member ID of the one you mean."
            )
        return self.person(next(iter(found))) if found else None

    def groups_of(self, person: Person, among: Collection[str]) -> frozenset[str]:
        """Return which of these groups (``@handle`` or ``S…`` id) this person is in. One that is gone has nobody."""
        groups = self._directory.groups(self._since)
        mine = {name for group in groups if person.id in group.members for name in (group.id, f"@{group.handle}")}
        return frozenset(name for name in among if name in mine)

    def group(self, name: str) -> tuple[str, frozenset[str]] | None:
        """Return the id of a group (``@handle`` or ``S…`` id) and the ids of who is in it; None if it is gone."""
        groups = self._directory.groups(self._since)
        found = next((group for group in groups if name in (group.id, f"@{group.handle}")), None)
        return None if found is None else (found.id, found.members)
