"""Who somebody is in Slack: names, kinds, user groups and channels."""

import copy
import re
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from metaflow_extensions.hitl.approvals.bounded import BoundedCache, this_moment
from metaflow_extensions.hitl.approvals.errors import HitlError, NoUserGroups, PeopleUnavailable
from metaflow_extensions.hitl.approvals.ports import Bar, Clock
from metaflow_extensions.hitl.approvals.record import Person
from metaflow_extensions.hitl.notifiers.slack.codes import Meaning, code_of, meaning_of, method_of, status_of
from metaflow_extensions.hitl.slack import SLACK

from .client import SLACK_FAILED, NoTurn, Turns

# What Slack says about people, user groups and channels: asked afresh for a decision, and cached for showing.

_PROFILES_KEPT = timedelta(minutes=5)
_GROUPS_KEPT = _MEMBERS_KEPT = timedelta(minutes=2)
_HANDLES_KEPT = timedelta(minutes=10)  # users.list takes 20 calls a minute (tier 2)
_NAMES_KEPT = timedelta(minutes=5)  # users.lookupByEmail takes 50 calls a minute
_CHANNELS_KEPT = timedelta(minutes=10)  # conversations.list: tier 2
_PROFILES, _CHANNELS = 10_000, 200
_PAGE, _PAGES = 999, 100  # of one call, and calls for one answer: Slack wants less than 1,000
_LOOKED_THROUGH = 10  # pages of users.list
_RETRY_AFTER = 3.0  # seconds that a decision waits when Slack itself asks to
_SLACKBOT = "USLACKBOT"  # the one bot whose is_bot is false
_ID = re.compile(r"[CGD][A-Z0-9]{2,30}")  # of a channel, a private channel or a direct message


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Somebody, with what bars them and where their clock is."""

    person: Person
    bar: Bar | None
    zone: str  # of the IANA database; empty: unknown


@dataclass(frozen=True, kw_only=True)
class Group:
    """A user group that has not been disabled."""

    id: str
    handle: str
    members: frozenset[str]


class Directory:
    """Asks Slack and remembers the answers. Threads share it.

    ``since`` is a moment (``cache.this_moment``): the answer is asked for after it, however fresh the cache is. 0 takes
    what the cache has.

    Parameters
    ----------
    client : WebClient
        With the scopes of the manifest.
    clock : Clock
        Ages what is cached.
    monotonic, sleep
        The clock by which calls take turns, in seconds, and how to wait.

    Notes
    -----
    Every method raises PeopleUnavailable when Slack can't say. Calls for a decision take turns, so that they stay
    within Slack's limits: users.info and conversations.members take 100 calls a minute, usergroups.* 20
    (docs.slack.dev/apis/web-api/rate-limits).
    """

    def __init__(
        self,
        client: WebClient,
        clock: Clock,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._client = client
        self._sleep = sleep
        self._ids = BoundedCache[str | None](clock, keep=_NAMES_KEPT, size=_PROFILES)
        self._profiles = BoundedCache[Profile](clock, keep=_PROFILES_KEPT, size=_PROFILES)
        self._groups = BoundedCache[tuple[Group, ...]](clock, keep=_GROUPS_KEPT, size=1)
        self._handles = BoundedCache[dict[str, frozenset[str]]](clock, keep=_HANDLES_KEPT, size=1)
        self._members = BoundedCache[frozenset[str]](clock, keep=_MEMBERS_KEPT, size=_CHANNELS)
        self._channels = BoundedCache[dict[str, str]](clock, keep=_CHANNELS_KEPT, size=1)
        self._turns = {
            "users.info": Turns(a_minute=60, burst=30, monotonic=monotonic, sleep=sleep),
            "usergroups.list": Turns(a_minute=12, burst=8, monotonic=monotonic, sleep=sleep),
            "conversations.members": Turns(a_minute=60, burst=30, monotonic=monotonic, sleep=sleep),
        }
        self._team: str | None = None

    def profile(self, user_id: str, since: int = 0) -> Profile:
        return self._profiles.get(
            user_id,
            partial(self._look_up, user_id, since),
            since=since,
            turn=self._turn("users.info", f"who {user_id} is"),
        )

    def id_of(self, address: str) -> str | None:
        """Return the id of the person with an email address, or None if there is none. Slack's own are ASCII."""
        if not address.isascii():
            return None  # a letter that only looks like another, or folds into it, is another address
        return self._ids.get(address.lower(), partial(self._id_of, address))

    def handles(self) -> dict[str, frozenset[str]]:
        """Return who goes by which user name or display name, in small letters."""
        return self._handles.get("handles", self._all_handles)

    def groups(self, since: int = 0) -> tuple[Group, ...]:
        """Return all user groups.

        Raises
        ------
        NoUserGroups
            The workspace can't have any.
        """
        turn = self._turn("usergroups.list", "who is in which user group")
        return self._groups.get("groups", partial(self._all_groups, since), since=since, turn=turn)

    def members(self, channel: str, since: int = 0) -> frozenset[str]:
        """Return the ids of everybody in a channel (an id, or a name with or without #), guests included."""
        channel_id = channel if _ID.fullmatch(channel) else self._channel_id(channel.removeprefix("#"))
        fetch = partial(self._all_members, channel_id, since)
        turn = self._turn("conversations.members", f"who is in the channel {channel_id}")
        return self._members.get(channel_id, fetch, since=since, turn=turn)

    # One answer each.

    def _look_up(self, user_id: str, since: int) -> Profile:
        found = self._ask(f"who {user_id} is", since, "users.info", user=user_id)
        user: dict[str, Any] = found["user"]
        profile = user.get("profile") or {}
        name = profile.get("display_name") or profile.get("real_name") or user.get("name") or user_id
        person = Person(id=user["id"], name=name, origin=SLACK, email=profile.get("email") or None)
        return Profile(person=person, bar=self._bar(user), zone=str(user.get("tz") or ""))

    def _id_of(self, address: str) -> str | None:
        try:
            return str(self._ask(f"who {address} is", 0, "users.lookupByEmail", email=address)["user"]["id"])
        except PeopleUnavailable as error:
            if is_nobody(error):
                return None
            raise

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

    def _own_team(self) -> str:
        if self._team is None:
            self._team = str(self._ask("which workspace this is", 0, "auth.test")["team_id"])
        return self._team

    def _all_handles(self) -> dict[str, frozenset[str]]:
        handles: dict[str, set[str]] = {}
        pages = self._pages("who goes by that name", 0, "users.list", "members", most=_LOOKED_THROUGH)
        for user in pages:
            profile = user.get("profile") or {}
            if not user.get("deleted"):
                for name in {user.get("name"), profile.get("display_name")} - {None, ""}:
                    handles.setdefault(str(name).casefold(), set()).add(str(user["id"]))
        return {handle: frozenset(ids) for handle, ids in handles.items()}

    def _all_groups(self, since: int) -> tuple[Group, ...]:
        found = self._ask("who is in which user group", since, "usergroups.list", include_users="true")
        groups: list[dict[str, Any]] = found["usergroups"]
        return tuple(
            Group(id=one["id"], handle=one["handle"], members=frozenset(one.get("users") or ()))
            for one in groups
            if not one.get("date_delete")
        )

    def _channel_id(self, name: str) -> str:
        channel_id = self._channels.get("channels", self._all_channels).get(name)
        if channel_id is None:
            raise PeopleUnavailable(
                f"The bot can't see a channel #{name}, so it can't check who is in it, and nothing was decided. "
                "If the channel is private, invite the bot to it."
            )
        return channel_id

    def _all_channels(self) -> dict[str, str]:
        kinds = "public_channel,private_channel"
        found = self._pages("which channels there are", 0, "conversations.list", "channels", types=kinds)
        return {str(channel["name"]): str(channel["id"]) for channel in found}

    def _all_members(self, channel_id: str, since: int) -> frozenset[str]:
        what = f"who is in the channel {channel_id}"
        return frozenset(self._pages(what, since, "conversations.members", "members", channel=channel_id))

    def _pages(
        self, what: str, since: int, method: str, key: str, *, most: int = _PAGES, **arguments: str
    ) -> Iterator[Any]:
        cursor = ""
        for _ in range(most):
            page = self._ask(what, since, method, limit=_PAGE, cursor=cursor, **arguments)
            yield from page[key]
            cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor:
                return
        raise PeopleUnavailable(f"Slack can't say {what}: there are too many to search. Nothing was decided.")

    def _turn(self, method: str, what: str) -> Callable[[], None]:
        def wait() -> None:
            try:
                self._turns[method].wait()
            except NoTurn as error:
                raise PeopleUnavailable(
                    f"Too many people are answering at once for Slack to say {what}, so nothing was decided. "
                    f"Try again in {error.seconds:.0f} seconds."
                ) from error

        return wait

    def _ask(self, what: str, since: int, method: str, **arguments: Any) -> Any:
        """Call a method; for a decision once more if Slack asks for a little patience."""
        call: Callable[[], Any] = partial(self._client.api_call, method, params=arguments)
        try:
            try:
                return call()
            except SlackApiError as error:
                if not since or not 0 < (patience := _seconds_to_wait(error)) <= _RETRY_AFTER:
                    raise
                self._sleep(patience)
                return call()
        except SLACK_FAILED as error:
            raise _unavailable(what, error) from error


def is_nobody(error: PeopleUnavailable) -> bool:
    """Whether Slack said that there is no such person."""
    return isinstance(error.__cause__, SlackApiError) and meaning_of(error.__cause__) is Meaning.ABSENT


def _seconds_to_wait(error: SlackApiError) -> float:
    value = str((error.response.headers or {}).get("Retry-After") or "")
    return float(value) if value.isascii() and value.isdecimal() else 0.0


def _unavailable(what: str, error: Exception) -> PeopleUnavailable:
    if not isinstance(error, SlackApiError):
        return PeopleUnavailable(f"Slack did not say {what}, so nothing was decided. Try again in a minute.")
    code, meaning = code_of(error) or status_of(error), meaning_of(error)
    if meaning is Meaning.PLAN:
        return NoUserGroups(
            "This workspace's Slack plan has no user groups, so nobody can be in one, and nothing was decided. "
            "Name people in `approvers` by their email address or member ID instead."
        )
    if meaning is Meaning.OPERATOR:
        fix = "An operator can fix this: `hitl-bot doctor` says how."
        if method_of(error) == "conversations.members":
            fix = f"If the channel is private, invite the bot to it. {fix}"
        return PeopleUnavailable(f"Slack doesn't let the bot see {what} ({code}), so nothing was decided. {fix}")
    return PeopleUnavailable(f"Slack can't say {what} ({code}), so nothing was decided. Try again in a minute.")


# Who somebody is in Slack: names, kinds, user groups and channels.

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
    monotonic, sleep
        The clock by which calls keep to Slack's limits, in seconds, and how to wait.
    """

    def __init__(
        self,
        client: WebClient,
        clock: Clock,
        known_as: Callable[[str], str | None] = nobody_is_known,
        *,
        default_channel: str | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._directory = Directory(client, clock, monotonic=monotonic, sleep=sleep)
        self._known_as = known_as
        self._default_channel = default_channel
        self._since = 0

    def now(self) -> "SlackPeople":
        """Return the same people as they are from this moment on: nothing that was asked before counts."""
        fresh = copy.copy(self)
        fresh._since = self._since or this_moment()  # noqa: SLF001 - its own class
        return fresh

    def person(self, user_id: str) -> Person:
        """Return the user with an id that Slack sent.

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
        """Return the person with an id or an email address, or None if there is none."""
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
