"""Who is in the workspace: people, user groups and channels, in the shapes of Slack's Web API."""

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

Json = dict[str, Any]

TEAM_ID = "T0SANDBOX"
OTHER_TEAM_ID = "T0OTHER"
TEAM_DOMAIN = "sandbox"
APP_ID = "A0SANDBOX"
BOT_ID = "B0BOT"
BOT_USER_ID = "U0BOT"


class PersonKind(str, Enum):
    """What a person is to the workspace."""

    MEMBER = "member"
    GUEST = "guest"  # multi-channel guest: is_restricted
    SINGLE_CHANNEL_GUEST = "single-channel guest"  # is_restricted and is_ultra_restricted
    STRANGER = "other workspace"  # Slack Connect: is_stranger, a team_id of its own
    DEACTIVATED = "deactivated"
    BOT = "app"


@dataclass(frozen=True, kw_only=True)
class Person:
    """A user. ``email=None`` is an address that the bot may not see."""

    id: str
    name: str
    real_name: str
    email: str | None = None
    kind: PersonKind = PersonKind.MEMBER
    tz: str = "Europe/Amsterdam"
    tz_label: str = "Central European Time"
    tz_offset: int = 3600  # seconds east of UTC
    title: str = ""

    @property
    def team_id(self) -> str:
        return OTHER_TEAM_ID if self.kind is PersonKind.STRANGER else TEAM_ID

    def shape(self) -> Json:
        """Like ``user`` of users.info (docs.slack.dev/reference/objects/user-object)."""
        profile: Json = {
            "real_name": self.real_name,
            "display_name": self.name,
            "real_name_normalized": self.real_name,
            "display_name_normalized": self.name,
            "title": self.title,
            "team": self.team_id,
        }
        if self.email is not None:
            profile["email"] = self.email
        if self.kind is PersonKind.BOT:
            profile |= {"api_app_id": APP_ID, "bot_id": BOT_ID}
        shape: Json = {
            "id": self.id,
            "team_id": self.team_id,
            "name": self.name,
            "deleted": self.kind is PersonKind.DEACTIVATED,
            "profile": profile,
            "is_bot": self.kind is PersonKind.BOT,
            "is_app_user": False,
            "updated": 1_700_000_000,
        }
        if self.kind is PersonKind.STRANGER:
            shape["is_stranger"] = True
        if self.kind is PersonKind.DEACTIVATED:
            return shape  # Slack leaves the rest out
        restricted = self.kind in {PersonKind.GUEST, PersonKind.SINGLE_CHANNEL_GUEST}
        return shape | {
            "real_name": self.real_name,
            "tz": self.tz,
            "tz_label": self.tz_label,
            "tz_offset": self.tz_offset,
            "is_admin": False,
            "is_owner": False,
            "is_primary_owner": False,
            "is_restricted": restricted,
            "is_ultra_restricted": self.kind is PersonKind.SINGLE_CHANNEL_GUEST,
        }


@dataclass(frozen=True, kw_only=True)
class Group:
    """A user group; its handle is written without the @."""

    id: str
    handle: str
    name: str
    members: tuple[str, ...]  # ids of people
    disabled: bool = False

    def shape(self, members: list[str] | None) -> Json:
        """Like one of usergroups.list; with `members`, as ``include_users`` asks."""
        shape: Json = {
            "id": self.id,
            "team_id": TEAM_ID,
            "is_usergroup": True,
            "name": self.name,
            "description": "",
            "handle": self.handle,
            "is_external": False,
            "date_create": 1_700_000_000,
            "date_update": 1_700_000_000,
            "date_delete": 1_700_000_001 if self.disabled else 0,
            "user_count": len(self.members),
        }
        return shape if members is None else {**shape, "users": members}


class ChannelKind(str, Enum):
    """Public, private, or a direct message with the app."""

    PUBLIC = "public"
    PRIVATE = "private"
    DIRECT = "direct"


@dataclass(frozen=True, kw_only=True)
class Channel:
    """A conversation and who is in it."""

    id: str
    name: str
    members: frozenset[str]
    kind: ChannelKind = ChannelKind.PUBLIC
    archived: bool = False
    shared: bool = False  # with another workspace, through Slack Connect
    topic: str = ""

    def shape(self) -> Json:
        """Like ``channel`` of conversations.info."""
        if self.kind is ChannelKind.DIRECT:
            person = next(iter(self.members - {BOT_USER_ID}), "")
            return {
                "id": self.id,
                "is_im": True,
                "is_archived": self.archived,
                "user": person,
                "created": 1_700_000_000,
            }
        return {
            "id": self.id,
            "name": self.name,
            "name_normalized": self.name,
            "is_channel": self.kind is ChannelKind.PUBLIC,
            "is_group": self.kind is ChannelKind.PRIVATE,
            "is_im": False,
            "is_mpim": False,
            "is_private": self.kind is ChannelKind.PRIVATE,
            "is_archived": self.archived,
            "is_member": BOT_USER_ID in self.members,
            "is_shared": self.shared,
            "is_ext_shared": self.shared,
            "created": 1_700_000_000,
            "creator": "U0ALICE",
            "context_team_id": TEAM_ID,
            "topic": {"value": self.topic, "creator": "", "last_set": 0},
            "purpose": {"value": "", "creator": "", "last_set": 0},
            "num_members": len(self.members),
        }


@dataclass(frozen=True, kw_only=True)
class Population:
    """The people, groups and channels that a sandbox starts with."""

    people: tuple[Person, ...]
    groups: tuple[Group, ...]
    channels: tuple[Channel, ...] = field(default=())


def default_population() -> Population:
    """Return what the demo and most tests need: each kind of person, and channels the bot can and can't post to."""
    carol = Person(id="U0CAROL", name="carol", real_name="Carol Chen", email="carol@example.com", title="Risk")
    grace = Person(id="U0GRACE", name="grace", real_name="Grace Gupta", title="Keeps her address hidden")
    people = (
        Person(id="U0ALICE", name="alice", real_name="Alice Adams", email="alice@example.com", title="Data scientist"),
        Person(id="U0BOB", name="bob", real_name="Bob Brown", email="bob@example.com", title="ML lead"),
        replace(carol, tz="America/New_York", tz_label="Eastern Standard Time", tz_offset=-18_000),
        Person(id="U0DAVE", name="dave", real_name="Dave Diaz", email="dave@agency.example", kind=PersonKind.GUEST),
        Person(id="U0ERIN", name="erin", real_name="Erin Eke", email="erin@other.example", kind=PersonKind.STRANGER),
        Person(
            id="U0FRANK", name="frank", real_name="Frank Fuchs", email="frank@example.com", kind=PersonKind.DEACTIVATED
        ),
        replace(grace, tz="Asia/Tokyo", tz_label="Japan Standard Time", tz_offset=32_400),
        Person(id=BOT_USER_ID, name="hitl", real_name="HITL", kind=PersonKind.BOT),
    )
    groups = (
        Group(id="S0MLLEADS", handle="ml-leads", name="ML leads", members=("U0BOB", "U0CAROL")),
        Group(id="S0RISK", handle="risk", name="Risk", members=("U0CAROL",)),
        Group(id="S0MLONCALL", handle="ml-oncall", name="ML on call", members=("U0GRACE",)),
    )
    everybody = frozenset(person.id for person in people if person.kind is not PersonKind.DEACTIVATED)
    own = everybody - {"U0DAVE", "U0ERIN", BOT_USER_ID}
    channels = (
        Channel(
            id="C0APPROVALS", name="ml-approvals", members=everybody, shared=True, topic="Runs that wait for a yes"
        ),
        Channel(id="C0RANDOM", name="random", members=own, topic="The app is not a member here"),
        Channel(id="C0OLD", name="old", members=own | {BOT_USER_ID}, archived=True),
    )
    return Population(people=people, groups=groups, channels=channels)
