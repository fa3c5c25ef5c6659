"""conversations.open, info, list, members, history, replies."""

from hitl_bot.sandbox.faults import Tier
from hitl_bot.sandbox.people import BOT_USER_ID, Channel, ChannelKind, PersonKind
from hitl_bot.sandbox.workspace import Message, Workspace

from .chat import readable_channel
from .method import Arguments, Json, Method, SlackError, missing_scope, page_of

_TYPES = {
    ChannelKind.PUBLIC: "public_channel",
    ChannelKind.PRIVATE: "private_channel",
    ChannelKind.DIRECT: "im",
}


_PREFIXES = {ChannelKind.PUBLIC: "channels", ChannelKind.PRIVATE: "groups", ChannelKind.DIRECT: "im"}
_KINDS = {name: kind for kind, name in _TYPES.items()}
_MOST = 1000  # "must be below", says the documentation of ``limit``


def open_(workspace: Workspace, args: Arguments) -> Json:
    """Open the direct messages with one person; the sandbox refuses several, as it has no group conversations."""
    users = [user for user in args.text("users").split(",") if user]
    if len(users) != 1:
        raise SlackError("not_enough_users" if not users else "too_many_users")
    person = workspace.people.get(users[0])
    if person is None or person.kind is PersonKind.BOT:
        raise SlackError("user_not_found")
    if person.kind is PersonKind.DEACTIVATED:
        raise SlackError("user_disabled")
    existed = f"D{person.id[1:]}" in workspace.channels
    channel = workspace.direct_channel(person.id)
    return {"no_op": existed, "already_open": existed, "channel": {"id": channel.id}}


def info(workspace: Workspace, args: Arguments) -> Json:
    channel = _by_id(workspace, args, "read")
    shape = channel.shape()
    if not args.truth("include_num_members"):
        shape.pop("num_members", None)
    return {"channel": shape}


def list_(workspace: Workspace, args: Arguments) -> Json:
    types = set((args.text("types") or "public_channel").replace(" ", "").split(","))
    for kind in (_KINDS[one] for one in sorted(types) if one in _KINDS):
        missing_scope(workspace, f"{_PREFIXES[kind]}:read")
    if args.number("limit", 100) >= _MOST:
        raise SlackError("invalid_limit")
    channels = [
        channel
        for channel in workspace.channels.values()
        if _TYPES[channel.kind] in types
        and not (args.truth("exclude_archived") and channel.archived)
        and (channel.kind is ChannelKind.PUBLIC or BOT_USER_ID in channel.members)
    ]
    page, metadata = page_of(args, channels, 100)
    return {"channels": [channel.shape() for channel in page], "response_metadata": metadata}


def members(workspace: Workspace, args: Arguments) -> Json:
    channel = _by_id(workspace, args, "read")
    page, metadata = page_of(args, sorted(channel.members), 100)
    return {"members": page, "response_metadata": metadata}


def history(workspace: Workspace, args: Arguments) -> Json:
    """Return a channel's messages, the newest first; replies are in their threads."""
    channel = _by_id(workspace, args, "history")
    if BOT_USER_ID not in channel.members:
        raise SlackError("not_in_channel")
    found = [one for one in _visible(workspace, channel) if one.thread_ts in {"", one.ts} and _within(args, one.ts)]
    page, metadata = page_of(args, found[::-1], 100)
    more = bool(metadata["next_cursor"])
    return {
        "messages": [_shape(workspace, one, args) for one in page],
        "has_more": more,
        "pin_count": 0,
        **({"response_metadata": metadata} if more else {}),
    }


def replies(workspace: Workspace, args: Arguments) -> Json:
    """Return a thread, starting with its first message."""
    channel = _by_id(workspace, args, "history")
    parent = workspace.message(channel.id, args.required("ts", "thread_not_found"))
    if parent is None or parent.visible_to:
        raise SlackError("thread_not_found")
    root = parent.thread_ts or parent.ts
    thread = [one for one in _visible(workspace, channel) if root in (one.ts, one.thread_ts)]
    page, metadata = page_of(args, [one for one in thread if one.ts == root or _within(args, one.ts)], 1000)
    more = bool(metadata["next_cursor"])
    return {
        "messages": [_shape(workspace, one, args) for one in page],
        "has_more": more,
        **({"response_metadata": metadata} if more else {}),
    }


def _by_id(workspace: Workspace, args: Arguments, access: str) -> Channel:
    """Return a channel that the bot can see, if it has the scope for conversations of its kind."""
    which = args.required("channel", "channel_not_found")
    if which not in workspace.channels:  # only chat.* also takes names
        raise SlackError("channel_not_found")
    missing_scope(workspace, f"{_PREFIXES[workspace.channels[which].kind]}:{access}")
    return readable_channel(workspace, which)


def _visible(workspace: Workspace, channel: Channel) -> list[Message]:
    return [one for one in workspace.messages.get(channel.id, {}).values() if not one.deleted and not one.visible_to]


def _within(args: Arguments, ts: str) -> bool:
    oldest, latest = args.text("oldest") or "0", args.text("latest")
    try:
        at, first, last = float(ts), float(oldest), float(latest) if latest else float("inf")
    except ValueError:
        raise SlackError("invalid_ts_oldest") from None
    if args.truth("inclusive"):
        return first <= at <= last
    return first < at < last


def _shape(workspace: Workspace, message: Message, args: Arguments) -> Json:
    shape = message.shape()
    if message.metadata is not None:
        shape["metadata"] = (
            message.metadata if args.truth("include_all_metadata") else {"event_type": message.metadata["event_type"]}
        )
    if message.thread_ts == message.ts:
        answers = [
            one
            for one in workspace.messages[message.channel].values()
            if one.thread_ts == message.ts != one.ts and not one.deleted and not one.visible_to
        ]
        authors = list(dict.fromkeys(one.author for one in answers))
        shape |= {"reply_count": len(answers), "reply_users": authors, "reply_users_count": len(authors)}
        if answers:
            shape["latest_reply"] = answers[-1].ts
    return shape


METHODS = (
    Method(name="conversations.open", run=open_, tier=Tier.THREE, scope="im:write"),
    Method(name="conversations.info", run=info, tier=Tier.THREE),
    Method(name="conversations.list", run=list_, tier=Tier.TWO),
    Method(name="conversations.members", run=members, tier=Tier.FOUR),
    Method(name="conversations.history", run=history, tier=Tier.THREE),
    Method(name="conversations.replies", run=replies, tier=Tier.THREE),
)
