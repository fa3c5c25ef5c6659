"""The question as a message of an incoming webhook: like the bot's, with commands in the place of buttons."""

from __future__ import annotations

from typing import Any

from metaflow_extensions.hitl.approvals.record import Approval
from metaflow_extensions.hitl.messages import evidence, question, sentences
from metaflow_extensions.hitl.messages.blocks import Block, context, field_sections, fitted, mrkdwn, plain, section
from metaflow_extensions.hitl.messages.mrkdwn import code, code_block, link


def render(approval: Approval, *, script: str = "flow.py") -> dict[str, Any]:
    """Return what an incoming webhook takes.

    Parameters
    ----------
    approval : Approval
        Pending.
    script : str
        The flow's file, as it is written after ``python``.

    Returns
    -------
    dict
        JSON with ``text`` and ``blocks``. Source: docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
    """
    return {
        "text": question.notification(approval),
        "blocks": fitted(lambda share: _blocks(approval, script, share)),
        "unfurl_links": False,
        "unfurl_media": False,
    }


def _blocks(approval: Approval, script: str, share: int) -> list[Block]:
    blocks = [*question.message_blocks(approval, share), context(question.origin(approval))]
    blocks += evidence.blocks(approval)
    if sentences.asks_for_input(approval):
        blocks.append(section(plain(sentences.asked_when_approving(approval), min(share, 600))))
    decides = f"*Who decides*\n{question.who_decides(approval, {})}"
    blocks += field_sections([decides, f"*Answer by*\n{question.answer_by(approval)}"])
    commands = f"{sentences.approve_command(approval, script)}\n{sentences.reject_command(approval, script)}"
    blocks.append(
        section(mrkdwn(f"To answer from a terminal, in the flow's directory:\n{code_block(commands, 1_500)}"))
    )
    with_buttons = next((post.url for post in approval.posts if post.url), None)
    if with_buttons is not None:
        blocks.append(context(link(with_buttons, "The same question, with buttons")))
    return [*blocks, context(code(approval.id))]
