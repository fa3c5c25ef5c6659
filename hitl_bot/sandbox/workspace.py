"""All that the sandbox knows: people, channels, messages, views, and the trigger_ids and URLs that acts create.

Everything here runs in the server's one event loop and changes nothing after an await.
"""

import itertools
import secrets
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from . import limits
from .changes import CallLog, Clock, Feed, Kind
from .faults import PendingFaults, RateLimits
from .manifest import AppManifest
from .people import APP_ID, BOT_ID, BOT_USER_ID, TEAM_ID, Channel, ChannelKind, Group, Person, Population

Json = dict[str, Any]


class Plan(str, Enum):
    """What the workspace pays for: the free plan has no user groups."""

    FREE = "free"
    PAID = "paid"


@dataclass(kw_only=True)
class Message:
    """One message; an ephemeral one names the only person who sees it.

    Attributes
    ----------
    author : str
        Id of a person, or of the bot's user.
    mentions : list of str
        Whom it would have notified, over all its versions: ``<!channel>``, ``<@U0BOB>``, ...
    act : str
        The act that it answers through a response_url or an ack, else "".
    versions : int
        How often it was written: 1 when posted, one more with each update.
    """

    channel: str
    ts: str
    author: str
    text: str
    blocks: list[Json]
    thread_ts: str = ""
    metadata: Json | None = None
    visible_to: str = ""
    edited_ts: str = ""
    deleted: bool = False
    mentions: list[str] = field(default_factory=list)
    act: str = ""
    versions: int = 1

    def shape(self) -> Json:
        """Like ``message`` in answers and payloads."""
        shape: Json = {"type": "message", "user": self.author, "ts": self.ts, "text": self.text, "team": TEAM_ID}
        if self.author == BOT_USER_ID:
            shape |= {"bot_id": BOT_ID, "app_id": APP_ID}
        if self.blocks:
            shape["blocks"] = self.blocks
        if self.thread_ts:
            shape["thread_ts"] = self.thread_ts
        if self.edited_ts:
            shape["edited"] = {"user": self.author, "ts": self.edited_ts}
        return shape


@dataclass(kw_only=True)
class View:
    """A modal that a person has open, or the Home tab."""

    id: str
    user: str
    definition: Json  # type, title, blocks, ... as the app sent it, with ids filled in
    hash: str
    root_view_id: str
    previous_view_id: str | None = None
    values: Json = field(default_factory=dict)  # {block_id: {action_id: state}}, as the person sees them
    entered: set[tuple[str, str]] = field(default_factory=set)  # block_id and action_id of what the person changed
    unsent: set[tuple[str, str]] = field(default_factory=set)  # of what Slack leaves out of the state
    act: str = ""

    @property
    def sent_values(self) -> Json:
        """What Slack sends as the state.

        An initial value of an input that was on the view before an update is shown and not sent, unless the person
        changes it (github.com/slackapi/bolt-js/issues/1258).
        """
        sent = {
            block_id: {action: state for action, state in actions.items() if (block_id, action) not in self.unsent}
            for block_id, actions in self.values.items()
        }
        return {block_id: actions for block_id, actions in sent.items() if actions}

    def shape(self) -> Json:
        """Like ``view`` in answers and payloads."""
        definition = self.definition
        return {
            "id": self.id,
            "team_id": TEAM_ID,
            "type": definition["type"],
            "blocks": definition["blocks"],
            "private_metadata": definition.get("private_metadata", ""),
            "callback_id": definition.get("callback_id", ""),
            "state": {"values": self.sent_values},
            "hash": self.hash,
            "title": definition.get("title"),
            "clear_on_close": bool(definition.get("clear_on_close")),
            "notify_on_close": bool(definition.get("notify_on_close")),
            "close": definition.get("close"),
            "submit": definition.get("submit"),
            "previous_view_id": self.previous_view_id,
            "root_view_id": self.root_view_id,
            "app_id": APP_ID,
            "external_id": definition.get("external_id", ""),
            "app_installed_team_id": TEAM_ID,
            "bot_id": BOT_ID,
        }


@dataclass
class Trigger:
    """What a trigger_id refers to; it is valid for three seconds and one use."""

    user: str
    act: str
    expires: float
    exchanged: bool = False


@dataclass
class ResponseUrl:
    """What a response_url refers to; it works five times within thirty minutes."""

    user: str
    channel: str
    act: str
    expires: float
    message_ts: str = ""  # the message whose button was clicked; "" for a slash command
    uses: int = 0


@dataclass
class UploadedFile:
    """A file that was announced and is not shared yet."""

    id: str
    filename: str
    length: int
    alt_text: str = ""
    title: str = ""
    content: bytes | None = None
    shared: bool = False


class Workspace:
    """The one workspace of a sandbox, and everything that is in it."""

    def __init__(self, population: Population, app: AppManifest, clock: Clock) -> None:
        self.app = app
        self.url = ""  # of the server, once it listens
        self.clock = clock
        self.feed = Feed()
        self.calls = CallLog()
        self.rates = RateLimits()
        self.pending_faults = PendingFaults()
        self.plan = Plan.PAID
        self.enterprise = ""  # id of the Enterprise Grid organisation that the workspace belongs to
        self.deviations: list[str] = []  # from Slack's reference, in calls and in answers
        self.people: dict[str, Person] = {person.id: person for person in population.people}
        self.groups: dict[str, Group] = {group.id: group for group in population.groups}
        self.channels: dict[str, Channel] = {channel.id: channel for channel in population.channels}
        self.messages: dict[str, dict[str, Message]] = {}  # by channel, then ts, in the order of posting
        self.views: dict[str, View] = {}  # the open modals
        self.stacks: dict[str, list[str]] = {}  # ids of a person's open modals, the top one last
        self.homes: dict[str, View] = {}  # by person
        self.triggers: dict[str, Trigger] = {}
        self.response_urls: dict[str, ResponseUrl] = {}
        self.files: dict[str, UploadedFile] = {}
        self.numbers = itertools.count(1)
        self._last_ts = 0
        self.tickets: dict[str, float] = {}  # until when a Socket Mode address may be used

    # Names

    def next_ts(self) -> str:
        """Return a message's ts: the clock's seconds with six digits, unique and increasing."""
        self._last_ts = max(self._last_ts + 1, int(self.clock.now() * 1_000_000))
        return f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06d}"

    def next_id(self, prefix: str) -> str:
        return f"{prefix}{next(self.numbers):08X}"

    # People and channels

    def person(self, who: str) -> Person | None:
        """Find somebody by id or by name."""
        return self.people.get(who) or next((one for one in self.people.values() if one.name == who), None)

    @property
    def marked_names(self) -> dict[str, str]:
        """Return, by ``@name`` and ``#name``, what Slack sends instead if a command escapes them."""
        people = {f"@{one.name}": f"<@{one.id}|{one.name}>" for one in self.people.values()}
        groups = {f"@{one.handle}": f"<!subteam^{one.id}|@{one.handle}>" for one in self.groups.values()}
        channels = {f"#{one.name}": f"<#{one.id}|{one.name}>" for one in self.channels.values() if one.name}
        return people | groups | channels

    def direct_channel(self, user: str) -> Channel:
        """Return the app's direct messages with a person; the channel is created when it is first asked for."""
        channel_id = f"D{user[1:]}"
        if channel_id not in self.channels:
            members = frozenset({user, BOT_USER_ID})
            self.channels[channel_id] = Channel(id=channel_id, name="", members=members, kind=ChannelKind.DIRECT)
        return self.channels[channel_id]

    def channel(self, which: str) -> Channel | None:
        """Find a channel by id or by name, with or without #; a person's id is the direct messages with them."""
        if which in self.people and which != BOT_USER_ID:
            return self.direct_channel(which)
        name = which.removeprefix("#")
        return self.channels.get(which) or next(
            (one for one in self.channels.values() if name and one.name == name), None
        )

    # Messages

    def post(self, message: Message) -> Message:
        self.messages.setdefault(message.channel, {})[message.ts] = message
        if message.thread_ts and (parent := self.messages[message.channel].get(message.thread_ts)):
            parent.thread_ts = parent.ts
        self._told(Kind.MESSAGE_POSTED, message)
        return message

    def message(self, channel: str, ts: str) -> Message | None:
        """Find a message that is still there, ephemeral ones included."""
        found = self.messages.get(channel, {}).get(ts)
        return None if found is None or found.deleted else found

    def changed(self, message: Message, *, act: str = "") -> None:
        message.versions += 1
        self._told(Kind.MESSAGE_CHANGED, message, act)

    def delete(self, message: Message, *, act: str = "") -> None:
        message.deleted = True
        self._told(Kind.MESSAGE_DELETED, message, act)

    def _told(self, kind: Kind, message: Message, act: str = "") -> None:
        about = {"channel": message.channel, "ts": message.ts, "user": message.visible_to}
        self.feed.add(kind, act=act or message.act, **about)

    # What acts hand out

    def new_trigger(self, user: str, act: str) -> str:
        trigger_id = f"{next(self.numbers)}.{int(self.clock.now())}.{act.replace('-', '')[:32]}"
        self.triggers[trigger_id] = Trigger(user, act, self.clock.now() + limits.TRIGGER_LIFE)
        self._forget_expired()
        return trigger_id

    def new_response_url(self, user: str, channel: str, act: str, message_ts: str = "") -> str:
        """Return the last part of a response_url."""
        ticket = f"{TEAM_ID}/{next(self.numbers)}/{act.replace('-', '')[:24]}"
        expires = self.clock.now() + limits.RESPONSE_URL_LIFE
        self.response_urls[ticket] = ResponseUrl(user, channel, act, expires, message_ts)
        return ticket

    def _forget_expired(self) -> None:
        """Drop triggers and response_urls after an hour; until then, a late use can be told from a made-up one."""
        oldest = self.clock.now() - 3600
        self.triggers = {key: one for key, one in self.triggers.items() if one.expires > oldest}
        self.response_urls = {key: one for key, one in self.response_urls.items() if one.expires > oldest}

    def new_ticket(self) -> str:
        """Return a ticket that opens one Socket Mode connection."""
        ticket = secrets.token_hex(8)
        self.tickets[ticket] = self.clock.now() + limits.TICKET_LIFE
        return ticket

    # Views

    def new_view(self, user: str, definition: Json, previous: View | None, act: str) -> View:
        view_id = self.next_id("V")
        return View(
            id=view_id,
            user=user,
            definition=definition,
            hash=self.next_hash(),
            root_view_id=previous.root_view_id if previous else view_id,
            previous_view_id=previous.id if previous else None,
            act=act,
        )

    def next_hash(self) -> str:
        return f"{int(self.clock.now())}.{next(self.numbers):08x}"

    def top_view(self, user: str) -> View | None:
        stack = self.stacks.get(user)
        return self.views[stack[-1]] if stack else None

    def push_view(self, view: View) -> None:
        self.views[view.id] = view
        self.stacks.setdefault(view.user, []).append(view.id)
        self.feed.add(Kind.VIEW_OPENED, view=view.id, user=view.user, act=view.act)

    def close_views(self, user: str, view_ids: list[str], *, act: str = "") -> None:
        for view_id in view_ids:
            if self.views.pop(view_id, None):
                self.stacks[user].remove(view_id)
                self.feed.add(Kind.VIEW_CLOSED, view=view_id, user=user, act=act)
