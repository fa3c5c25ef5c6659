"""What every way to write a message has in common: where it may go, and what it may hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hitl_bot.sandbox import limits
from hitl_bot.sandbox.blocks import are_blocks_too_long, complaints_about_blocks, name_everything
from hitl_bot.sandbox.people import BOT_USER_ID, Channel, ChannelKind
from hitl_bot.sandbox.web_api.method import Arguments, Json, SlackError

if TYPE_CHECKING:
    from hitl_bot.sandbox.workspace import Workspace


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
