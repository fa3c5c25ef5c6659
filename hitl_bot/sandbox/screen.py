"""What a person sees, and what the whole workspace holds, as JSON for the page and the driver."""

from typing import Any

from .mentions import visible_text
from .people import BOT_USER_ID, Channel, ChannelKind, Person
from .workspace import Message, View, Workspace

Json = dict[str, Any]


def message_json(message: Message) -> Json:
    """Return a message with what only the sandbox knows about it."""
    return {
        **message.shape(),
        "channel": message.channel,
        "blocks": message.blocks,
        "thread_ts": message.thread_ts,
        "metadata": message.metadata,
        "visible_to": message.visible_to,
        "mentions": message.mentions,
        "act": message.act,
        "versions": message.versions,
        "plain": visible_text(message.text, message.blocks),
    }


def messages_json(workspace: Workspace, channel: str, person: Person | None) -> list[Json]:
    """Return a channel's messages, the oldest first; with a person, only what they see."""
    return [
        message_json(message)
        for message in list(workspace.messages.get(channel, {}).values())
        if not message.deleted and (person is None or message.visible_to in {"", person.id})
    ]


def view_json(view: View) -> Json:
    return {**view.shape(), "user": view.user, "act": view.act}


def channel_json(channel: Channel) -> Json:
    return {
        "id": channel.id,
        "name": channel.name,
        "kind": channel.kind.value,
        "archived": channel.archived,
        "topic": channel.topic,
        "members": sorted(channel.members),
        "has_app": BOT_USER_ID in channel.members,
    }


def person_json(person: Person) -> Json:
    return {
        "id": person.id,
        "name": person.name,
        "real_name": person.real_name,
        "kind": person.kind.value,
        "tz": person.tz,
        "title": person.title,
        "email": person.email,
    }


def screen(workspace: Workspace, person: Person) -> Json:
    """Return everything that one person's client shows."""
    own = workspace.direct_channel(person.id)
    channels = [
        channel
        for channel in workspace.channels.values()
        if channel.id == own.id or (channel.kind is not ChannelKind.DIRECT and _sees(person, channel))
    ]
    home = workspace.homes.get(person.id)
    return {
        **_basics(workspace),
        "me": person_json(person),
        "channels": [
            {**channel_json(channel), "messages": messages_json(workspace, channel.id, person)} for channel in channels
        ],
        "views": [view_json(workspace.views[view_id]) for view_id in workspace.stacks.get(person.id, [])],
        "home": view_json(home) if home else None,
    }


def state(workspace: Workspace) -> Json:
    """Return everything that there is."""
    return {
        **_basics(workspace),
        "channels": [
            {**channel_json(channel), "messages": messages_json(workspace, channel.id, None)}
            for channel in workspace.channels.values()
        ],
        "views": [view_json(view) for view in workspace.views.values()],
        "homes": {user: view_json(view) for user, view in workspace.homes.items()},
    }


def _sees(person: Person, channel: Channel) -> bool:
    return person.id in channel.members


def _basics(workspace: Workspace) -> Json:
    app = workspace.app
    return {
        "seq": workspace.feed.seq,
        "now": workspace.clock.now(),
        "app": {
            "name": app.name,
            "user": BOT_USER_ID,
            "commands": [vars(command) for command in app.commands],
            "shortcuts": [vars(shortcut) for shortcut in app.shortcuts],
        },
        "people": [person_json(person) for person in workspace.people.values()],
        "groups": [
            {"id": one.id, "handle": one.handle, "members": list(one.members)} for one in workspace.groups.values()
        ],
    }
