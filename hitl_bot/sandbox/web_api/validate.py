"""blocks.validate: whether Slack would accept blocks, a message or a view, without showing it to anybody."""

from typing import Any

from hitl_bot.sandbox import limits
from hitl_bot.sandbox.blocks import are_blocks_too_long, complaints_about_blocks, complaints_about_view
from hitl_bot.sandbox.faults import Tier
from hitl_bot.sandbox.workspace import Workspace

from .method import Arguments, Json, Method, SlackError, Token

_MOST = 100_000  # characters of an argument


def validate(_workspace: Workspace, args: Arguments) -> Json:
    """Check ``blocks``, ``message`` or ``view``, whichever is given, as JSON text."""
    given = [name for name in ("blocks", "message", "view") if args.has(name)]
    if len(given) != 1:
        raise SlackError.with_messages("invalid_arguments", ["exactly one of blocks, message and view is needed"])
    [name] = given
    code = f"invalid_{name}"
    if len(args.text(name)) > _MOST:
        raise SlackError.with_messages("invalid_arguments", [f"must be at most {_MOST} long [json-pointer:/{name}]"])
    if complaints := _complaints(name, args.decoded(name, code)):
        raise SlackError.with_messages(code, complaints)
    return {}


def _complaints(name: str, value: Any) -> list[str]:
    if name == "view":
        return complaints_about_view(value)
    blocks = value.get("blocks") if name == "message" and isinstance(value, dict) else value
    if name == "message" and not isinstance(value, dict):
        return ["must be an object [json-pointer:/message]"]
    if found := complaints_about_blocks(blocks or []):
        return found
    if name == "message" and are_blocks_too_long(blocks or []):
        return [f"must be at most {limits.MESSAGE_BLOCKS_LENGTH} characters [json-pointer:/message/blocks]"]
    return []


METHODS = (Method(name="blocks.validate", run=validate, tier=Tier.NONE, token=Token.NONE),)
