"""chat.postMessage, chat.postEphemeral, chat.update, chat.delete, chat.getPermalink."""

import json
from dataclasses import replace
from typing import Any

from hitl_bot.sandbox import limits
from hitl_bot.sandbox.blocks import are_blocks_too_long, complaints_about_blocks, name_everything
from hitl_bot.sandbox.faults import Tier
from hitl_bot.sandbox.mentions import mentions
from hitl_bot.sandbox.people import BOT_USER_ID, Channel, ChannelKind
from hitl_bot.sandbox.workspace import Message, Workspace

from .method import Arguments, Json, Method, SlackError

# What every way to write a message has in common: where it may go, and what it may hold.


def readable_channel(workspace: Workspace, which: str) -> Channel:
    """Return a channel that the bot can see, or refuse with channel_not_found."""
    channel = workspace.channel(which)
    hidden = channel is not None and channel.kind is ChannelKind.PRIVATE and BOT_USER_ID not in channel.members
    if channel is None or hidden:
        raise SlackError("channel_not_found")
    return channel


def writable_channel(workspace: Workspace, which: str) -> Channel:
    """Return a channel that the bot can write to, or say why not as Slack does."""
    channel = readable_channel(workspace, which)
    if channel.archived:
        raise SlackError("is_archived")
    if BOT_USER_ID not in channel.members and "chat:write.public" not in workspace.app.scopes:
        raise SlackError("not_in_channel")
    return channel


def content(workspace: Workspace, args: Arguments) -> tuple[str, list[Json]]:
    """Return text and blocks, checked and with ids filled in; refuse what Slack refuses."""
    if args.has("attachments") and args.decoded("attachments", "invalid_arguments"):
        # Secondary attachments are legacy and this sandbox does not draw them: better a refusal than half a message.
        raise SlackError.with_messages(
            "invalid_arguments", ["the sandbox has no attachments [json-pointer:/attachments]"]
        )
    blocks = checked_blocks(workspace, args.decoded("blocks", "invalid_blocks_format"))
    text = args.text("text")
    if not text.strip() and not blocks:
        raise SlackError("no_text")
    return text[: limits.MESSAGE_TEXT], blocks


def checked_blocks(workspace: Workspace, blocks: Any) -> list[Json]:
    """Return the blocks of a message, or refuse with invalid_blocks or msg_blocks_too_long."""
    if blocks is None:
        return []
    if complaints := complaints_about_blocks(blocks):
        raise SlackError.with_messages("invalid_blocks", complaints)
    if are_blocks_too_long(blocks):
        raise SlackError("msg_blocks_too_long")
    name_everything(blocks, workspace.numbers)
    return list(blocks)


# chat.postMessage, chat.postEphemeral, chat.update, chat.delete, chat.getPermalink.


def post_message(workspace: Workspace, args: Arguments) -> Json:
    channel = writable_channel(workspace, args.required("channel", "channel_not_found"))
    message = replace(_written(workspace, channel.id, args, content(workspace, args)), metadata=_metadata(args))
    workspace.post(message)
    return {"channel": channel.id, "ts": message.ts, "message": message.shape()}


def post_ephemeral(workspace: Workspace, args: Arguments) -> Json:
    channel = writable_channel(workspace, args.required("channel", "channel_not_found"))
    user = args.required("user")
    said = content(workspace, args)
    if user not in channel.members:
        raise SlackError("user_not_in_channel")
    message = replace(_written(workspace, channel.id, args, said), visible_to=user)
    workspace.post(message)
    return {"message_ts": message.ts}


def update(workspace: Workspace, args: Arguments) -> Json:
    """Update a message of the bot.

    Text without blocks removes the blocks; blocks without text keep the text; metadata stays unless it is given.
    """
    message = _own_message(workspace, args, "cant_update_message", "is_inactive")
    given_blocks = args.decoded("blocks", "invalid_blocks_format") is not None
    if len(args.text("text")) > limits.UPDATE_TEXT:
        raise SlackError("msg_too_long")
    text, blocks = content(workspace, args)
    message.text = text if args.has("text") else message.text
    message.blocks = blocks if given_blocks or args.has("text") else message.blocks
    message.metadata = _metadata(args) or message.metadata
    message.mentions = list(dict.fromkeys([*message.mentions, *mentions(message.text, message.blocks)]))
    if not blocks:
        message.edited_ts = workspace.next_ts()
    workspace.changed(message)
    return {"channel": message.channel, "ts": message.ts, "text": message.text, "message": message.shape()}


def delete(workspace: Workspace, args: Arguments) -> Json:
    message = _own_message(workspace, args, "cant_delete_message", "cant_delete_message")
    workspace.delete(message)
    return {"channel": message.channel, "ts": message.ts}


def get_permalink(workspace: Workspace, args: Arguments) -> Json:
    channel = readable_channel(workspace, args.required("channel", "channel_not_found"))
    ts = args.required("message_ts", "message_not_found")
    message = workspace.message(channel.id, ts)
    if message is None or message.visible_to:
        raise SlackError("message_not_found")
    return {"channel": channel.id, "permalink": f"{workspace.url}/archives/{channel.id}/p{ts.replace('.', '')}"}


def _own_message(workspace: Workspace, args: Arguments, not_mine: str, archived: str) -> Message:
    channel = readable_channel(workspace, args.required("channel", "channel_not_found"))
    message = workspace.message(channel.id, args.required("ts", "message_not_found"))
    # An ephemeral message can't be found by its ts: only a response_url reaches it.
    if message is None or message.visible_to:
        raise SlackError("message_not_found")
    if channel.archived:
        raise SlackError(archived)
    if message.author != BOT_USER_ID:
        raise SlackError(not_mine)
    return message


def _written(workspace: Workspace, channel: str, args: Arguments, said: tuple[str, list[Json]]) -> Message:
    text, blocks = said
    return Message(
        channel=channel,
        ts=workspace.next_ts(),
        author=BOT_USER_ID,
        text=text,
        blocks=blocks,
        thread_ts=_thread(workspace, channel, args),
        mentions=mentions(text, blocks),
    )


def _thread(workspace: Workspace, channel: str, args: Arguments) -> str:
    thread_ts = args.text("thread_ts")
    if not thread_ts:
        return ""
    parent = workspace.messages.get(channel, {}).get(thread_ts)
    if parent is None or parent.visible_to:
        raise SlackError("cannot_reply_to_message")
    return parent.thread_ts or thread_ts


def _metadata(args: Arguments) -> Json | None:
    metadata = args.decoded("metadata", "invalid_metadata_format")
    if metadata is None:
        return None
    if not isinstance(metadata, dict) or set(metadata) - {"event_type", "event_payload", "entities"}:
        raise SlackError("invalid_metadata_format")
    event_type, payload = metadata.get("event_type"), metadata.get("event_payload")
    if not (isinstance(event_type, str) and event_type and isinstance(payload, dict)):
        raise SlackError("invalid_metadata_schema")
    if len(json.dumps(metadata).encode()) > limits.METADATA_BYTES:
        raise SlackError("metadata_too_large")
    return metadata


METHODS = (
    Method(name="chat.postMessage", run=post_message, tier=Tier.POSTING, scope="chat:write"),
    Method(name="chat.postEphemeral", run=post_ephemeral, tier=Tier.FOUR, scope="chat:write"),
    Method(name="chat.update", run=update, tier=Tier.THREE, scope="chat:write"),
    Method(name="chat.delete", run=delete, tier=Tier.THREE, scope="chat:write"),
    Method(name="chat.getPermalink", run=get_permalink, tier=Tier.NONE),
)
