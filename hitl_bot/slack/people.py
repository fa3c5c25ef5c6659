"""Who somebody is in Slack: names, kinds and groups, as fresh as a few minutes."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from hitl_bot.slack.client import SLACK_FAILED
from metaflow_extensions.hitl.approvals.bounded import BoundedCache
from metaflow_extensions.hitl.approvals.errors import HitlError, PeopleUnavailable
from metaflow_extensions.hitl.approvals.ports import Bar, Clock
from metaflow_extensions.hitl.approvals.record import Person
from metaflow_extensions.hitl.notifiers.slack.codes import Meaning, code_of, meaning_of, status_of
from metaflow_extensions.hitl.slack import SLACK

_PROFILES_KEPT = timedelta(minutes=5)
_GROUPS_KEPT = timedelta(minutes=2)  # usergroups.* takes 20 calls a minute
_PROFILES = 10_000
_HANDLES_KEPT = timedelta(minutes=10)  # users.list takes 20 calls a minute (tier 2)
_PAGE, _PAGES = 1_000, 10  # people of one call of users.list, its most; and calls for one answer
_NAMES_KEPT = timedelta(minutes=5)  # users.lookupByEmail takes 50 calls a minute
_SLACKBOT = "USLACKBOT"  # the one bot whose is_bot is false


@dataclass(frozen=True, kw_only=True)
class _Profile:
    person: Person
    bar: Bar | None
    zone: str  # of the IANA database; empty: unknown


@dataclass(frozen=True, kw_only=True)
class _Group:
    id: str
    handle: str
    members: frozenset[str]


class Ambiguous(HitlError):
    """Several people go by the same name, so nothing was done."""


class SlackPeople:
    """The people of one workspace. When Slack can't be asked, nobody is anybody: PeopleUnavailable.

    Parameters
    ----------
    client : WebClient
        With the scopes users:read, users:read.email and usergroups:read.
    clock : Clock
        Ages what is cached.
    known_as : Callable[[str], str | None]
        From the user name on a machine to that person's email address or Slack id, as far as the operator says it.
    """

    def __init__(
        self, client: WebClient, clock: Clock, known_as: Callable[[str], str | None] = lambda _user: None
    ) -> None:
        self._client = client
        self._known_as = known_as
        self._ids = BoundedCache[str | None](clock, keep=_NAMES_KEPT, size=_PROFILES)
        self._profiles = BoundedCache[_Profile](clock, keep=_PROFILES_KEPT, size=_PROFILES)
        self._groups = BoundedCache[tuple[_Group, ...]](clock, keep=_GROUPS_KEPT, size=1)
        self._handles = BoundedCache[dict[str, frozenset[str]]](clock, keep=_HANDLES_KEPT, size=1)
        self._team: str | None = None

    def person(self, user_id: str) -> Person:
        """Return the user behind an id that Slack sent.

        Raises
        ------
        PeopleUnavailable
            Slack does not know the user, or did not answer.
        """
        return self._profile(user_id).person

    def zone(self, user_id: str) -> str:
        """Return the name of somebody's time zone, such as ``Europe/Amsterdam``; empty if Slack does not know it."""
        return self._profile(user_id).zone

    def barred(self, person: Person) -> Bar | None:
        """Say why this person never decides anything, or None."""
        return self._profile(person.id).bar

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
        """Return what the operator says a user of a machine is in Slack: an e-mail address or id. Asks nobody."""
        return None if person.origin == SLACK else self._known_as(person.id)

    def find(self, name: str) -> Person | None:
        """Return the person behind an id or an email address, or None if there is none."""
        user_id = name
        if "@" in name:
            found = self._ids.get(name.lower(), lambda: self._id_of(name))
            if found is None:
                return None
            user_id = found
        try:
            return self.person(user_id)
        except PeopleUnavailable as error:
            if isinstance(error.__cause__, SlackApiError) and meaning_of(error.__cause__) is Meaning.ABSENT:
                return None
            raise

    def called(self, handle: str) -> Person | None:
        """Return the person whom people write as ``@handle``, by user name or display name; None if there is none.

        Slack's command sends what was typed, and names are no ids: everybody chooses their own display name. So where
        the name fits two people it is neither of them.

        Raises
        ------
        Ambiguous
            More than one goes by this name.
        PeopleUnavailable
            Slack can't say, or the workspace has more than 10,000 people, and not all of them can be looked through.
        """
        found = self._handles.get("handles", self._all_handles).get(handle.removeprefix("@").casefold(), frozenset())
        if len(found) > 1:
            raise Ambiguous(f"{len(found)} people go by {handle}. Name the one by their e-mail address or member id.")
        return self.person(next(iter(found))) if found else None

    def groups_of(self, person: Person, among: Collection[str]) -> frozenset[str]:
        """Return which of these groups (``@handle`` or ``S…`` id) this person is in. One that is gone has nobody."""
        groups = self._groups.get("groups", self._all_groups)
        mine = {name for group in groups if person.id in group.members for name in (group.id, f"@{group.handle}")}
        return frozenset(name for name in among if name in mine)

    def group(self, name: str) -> tuple[str, frozenset[str]] | None:
        """Return the id of a group (``@handle`` or ``S…`` id) and the ids of who is in it; None if it is gone."""
        groups = self._groups.get("groups", self._all_groups)
        found = next((group for group in groups if name in (group.id, f"@{group.handle}")), None)
        return None if found is None else (found.id, found.members)

    def _profile(self, user_id: str) -> _Profile:
        return self._profiles.get(user_id, lambda: self._look_up(user_id))

    def _look_up(self, user_id: str) -> _Profile:
        try:
            user: dict[str, Any] = self._client.users_info(user=user_id)["user"]
        except SLACK_FAILED as error:
            raise _unavailable(f"who {user_id} is", error) from error
        profile = user.get("profile") or {}
        name = profile.get("display_name") or profile.get("real_name") or user.get("name") or user_id
        person = Person(id=user["id"], name=name, origin=SLACK, email=profile.get("email") or None)
        return _Profile(person=person, bar=self._bar(user), zone=str(user.get("tz") or ""))

    def _id_of(self, address: str) -> str | None:
        try:
            return str(self._client.users_lookupByEmail(email=address)["user"]["id"])
        except SlackApiError as error:
            if meaning_of(error) is Meaning.ABSENT:
                return None
            raise _unavailable(f"who {address} is", error) from error
        except SLACK_FAILED as error:
            raise _unavailable(f"who {address} is", error) from error

    def _bar(self, user: dict[str, Any]) -> Bar | None:
        if user.get("deleted"):
            return Bar.DEACTIVATED
        if user.get("is_bot") or user.get("id") == _SLACKBOT:
            return Bar.APP
        if user.get("is_restricted") or user.get("is_ultra_restricted"):
            return Bar.GUEST
        # On Enterprise Grid a member's own team_id may be another workspace of the same organisation.
        teams = {user.get("team_id"), *((user.get("enterprise_user") or {}).get("teams") or ())}
        if user.get("is_stranger") or self._own_team() not in teams:
            return Bar.STRANGER
        return None

    def _all_handles(self) -> dict[str, frozenset[str]]:
        handles: dict[str, set[str]] = {}
        cursor = ""
        for _ in range(_PAGES):
            try:
                page = self._client.users_list(limit=_PAGE, cursor=cursor)
            except SLACK_FAILED as error:
                raise _unavailable("who goes by that name", error) from error
            for user in page["members"]:
                profile = user.get("profile") or {}
                if not user.get("deleted"):
                    for name in {user.get("name"), profile.get("display_name")} - {None, ""}:
                        handles.setdefault(str(name).casefold(), set()).add(str(user["id"]))
            cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor:
                return {handle: frozenset(ids) for handle, ids in handles.items()}
        raise PeopleUnavailable(
            "The workspace has more people than can be looked through by name. Write an e-mail address or a member id."
        )

    def _own_team(self) -> str:
        if self._team is None:
            try:
                self._team = str(self._client.auth_test()["team_id"])
            except SLACK_FAILED as error:
                raise _unavailable("which workspace this is", error) from error
        return self._team

    def _all_groups(self) -> tuple[_Group, ...]:
        try:
            found: list[dict[str, Any]] = self._client.usergroups_list(include_users=True)["usergroups"]
        except SLACK_FAILED as error:
            raise _unavailable("who is in which user group", error) from error
        return tuple(
            _Group(id=one["id"], handle=one["handle"], members=frozenset(one.get("users") or ())) for one in found
        )


def _unavailable(what: str, error: Exception) -> PeopleUnavailable:
    if isinstance(error, SlackApiError):
        code = code_of(error) or status_of(error)
        if meaning_of(error) is Meaning.OPERATOR:
            return PeopleUnavailable(
                f"Slack doesn't let the bot see {what} ({code}), so nothing was decided. "
                "An operator can fix this: `hitl-bot doctor` says how."
            )
        return PeopleUnavailable(f"Slack can't say {what} ({code}), so nothing was decided. Try again in a minute.")
    return PeopleUnavailable(f"Slack did not say {what}, so nothing was decided. Try again in a minute.")
