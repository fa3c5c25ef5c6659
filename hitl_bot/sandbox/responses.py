"""What the app says to one act alone: through its response_url, or with the ack of a slash command.

Source: docs.slack.dev/interactivity/handling-user-interaction#message_responses
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hitl_bot.sandbox import limits
from hitl_bot.sandbox.mentions import mentions
from hitl_bot.sandbox.people import BOT_USER_ID
from hitl_bot.sandbox.web_api.method import Arguments, SlackError
from hitl_bot.sandbox.web_api.posting import content
from hitl_bot.sandbox.workspace import Message

if TYPE_CHECKING:
    from hitl_bot.sandbox.workspace import ResponseUrl, Workspace

Json = dict[str, Any]


def use_response_url(workspace: Workspace, ticket: str, body: Json) -> None:
    """Carry out what the app posted to a response_url.

    Raises
    ------
    SlackError
        ``invalid_url``: there is no such address. ``expired_url``: after 30 minutes. ``used_url``: after five uses.
        And whatever a message can be refused for.
    """
    address = workspace.response_urls.get(ticket)
    if address is None:
        raise SlackError("invalid_url")
    if workspace.clock.now() > address.expires:
        raise SlackError("expired_url")
    if address.uses >= limits.RESPONSE_URL_USES:
        raise SlackError("used_url")
    original = workspace.message(address.channel, address.message_ts) if address.message_ts else None
    if _is_true(body.get("delete_original")) and original is not None:
        workspace.delete(original, act=address.act)
    elif _is_true(body.get("replace_original")) and original is not None:
        _rewrite(workspace, original, body, address.act)
    else:
        answer(workspace, address, body)
    address.uses += 1


def answer(workspace: Workspace, address: ResponseUrl, body: Json) -> Message:
    """Post an answer to an act: to the person alone, or into the channel."""
    text, blocks = content(workspace, Arguments(body))
    in_channel = body.get("response_type") == "in_channel"
    message = Message(
        channel=address.channel,
        ts=workspace.next_ts(),
        author=BOT_USER_ID,
        text=text,
        blocks=blocks,
        thread_ts=str(body.get("thread_ts") or ""),
        visible_to="" if in_channel else address.user,
        mentions=mentions(text, blocks),
        act=address.act,
    )
    workspace.post(message)
    return message


def _rewrite(workspace: Workspace, message: Message, body: Json, act: str) -> None:
    message.text, message.blocks = content(workspace, Arguments(body))
    message.mentions = list(dict.fromkeys([*message.mentions, *mentions(message.text, message.blocks)]))
    workspace.changed(message, act=act)


def _is_true(value: Any) -> bool:
    return value is True or str(value).lower() == "true"
