"""The question where Slack shows no buttons: as plain text, as a letter, and in an incoming webhook's message."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Any

from metaflow_extensions.hitl.approvals.record import Approval

from . import evidence, markdown, sentences, single, voting
from .blocks import (
    BACKTICK,
    Block,
    code,
    code_block,
    context,
    cut,
    field_sections,
    fitted,
    is_web_address,
    legible,
    link,
    mrkdwn,
    one_line,
    plain,
    section,
    utc,
)
from .voting import requester

TITLE = 150
_MESSAGE = 3_000  # of a message that may be megabytes
_VALUE = 300
_APART = "\u2060"  # WORD JOINER: has no width, and keeps two characters from meaning something together
# What one service or another takes for a mention, a tag or a link: `@everyone`, `<!channel>`, `<@U…>`, `#room`,
# `[text](address)`, an address by itself.
_MEANING = re.compile(r"(?<=[@<#!\]])(?=\S)|(?<=:)(?=//)")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the question: a label, and either words or an address to link to."""

    label: str
    text: str
    url: str | None = None


@dataclass(frozen=True, kw_only=True)
class Plain:
    """A question in parts, each of them legible, none of them escaped for any medium."""

    title: str  # one line, at most 150 characters
    message: str  # the author's words, with their lines
    rows: tuple[Row, ...]
    commands: tuple[Row, ...]  # that answer, where the flow is

    @property
    def text(self) -> str:
        """Everything, a line a row."""
        lines = [f"{row.label}: {row.url or row.text}" for row in (*self.rows, *self.commands)]
        return "\n".join([self.message, "", *lines])


def render(approval: Approval, *, script: str = "flow.py") -> Plain:
    """Put a question into plain words.

    Parameters
    ----------
    approval : Approval
        Pending.
    script : str
        The flow's file, as it is written after ``python``.

    Returns
    -------
    Plain
        Its addresses show the run and the message in Slack. None of them decides anything.
    """
    asked = sentences.question_text(approval)
    rows = [
        Row(label="From", text=_line(f"{sentences.step_name(approval)}, run {approval.pathspec.run}")),
        Row(label="Asked by", text=requester(approval, lambda who: _line(who.name or who.id))),
        Row(label="Who decides", text=_who_decides(approval)),
        Row(label="Answer by", text=_answer_by(approval)),
    ]
    rows += [Row(label=button, text=_line(text)) for button, text in sentences.what_happens(approval)]
    rows += [
        Row(label=_line(label), text=_line(text)) for label, text in evidence.text_lines(approval.question.evidence)
    ]
    rows += [
        Row(label=_line(label), text=_line(label), url=url)
        for label, url in approval.question.links.items()
        if is_web_address(url)
    ]
    if sentences.asks_for_input(approval):
        rows.append(Row(label="Input", text=_line(sentences.asked_when_approving(approval))))
    if is_web_address(approval.question.run_url):
        rows.append(Row(label="Run", text="the run", url=approval.question.run_url))
    slack = next((post.url for post in approval.posts if is_web_address(post.url)), None)
    if slack is not None:
        rows.append(Row(label="In Slack", text="the question, with its buttons", url=slack))
    rows.append(Row(label="Approval", text=approval.id))
    return Plain(
        title=cut(f"Approval needed: {one_line(asked[: 4 * TITLE])}", TITLE),
        message=cut(asked, _MESSAGE),
        rows=tuple(rows),
        commands=(
            Row(label="To approve", text=sentences.approve_command(approval, script)),
            Row(label="To reject", text=sentences.reject_command(approval, script)),
        ),
    )


def inert(text: str) -> str:
    """Take the meaning out of what a chat service would take for a mention, a link or code; it looks the same."""
    return _MEANING.sub(_APART, text.replace("`", BACKTICK))


def _line(text: str) -> str:
    return one_line(legible(cut(text, _VALUE)))


def _who_decides(approval: Approval) -> str:
    everybody = "everyone who can answer in the channel or run the flow's commands"
    return voting.who_decides(approval, _line, everybody)


def _answer_by(approval: Approval) -> str:
    if approval.deadline is None:
        return "no deadline"
    return f"{utc(approval.deadline)}, {sentences.at_deadline(approval)}"


# The question as a letter: a subject, text, and the same as HTML.

_BODY = "font: 15px/1.5 sans-serif; color: #1d1c1d"
_ASKED = "font-size: 18px; font-weight: bold; white-space: pre-wrap"
_LABEL = "color: #616061; padding-right: 12px; vertical-align: top; text-align: left; font-weight: normal"
_COMMAND = "background: #f4f4f4; padding: 2px 4px"


@dataclass(frozen=True, kw_only=True)
class Letter:
    """What an email says. The subject is one line of at most 150 characters."""

    subject: str
    text: str
    html: str


def render_letter(approval: Approval, *, script: str = "flow.py") -> Letter:
    """Write the letter that asks.

    Parameters
    ----------
    approval : Approval
        Pending.
    script : str
        The flow's file, as it is written after ``python``.

    Returns
    -------
    Letter
        Its links lead to where one can look. None of them decides: mail scanners fetch every link they see.
    """
    asked = render(approval, script=script)
    return Letter(subject=asked.title, text=f"{asked.text}\n", html=_page(asked, sentences.formatted(approval)))


def _page(asked: Plain, pieces: tuple[markdown.Piece, ...]) -> str:
    message = markdown.page(pieces) if pieces else f'<p style="{_ASKED}">{escape(asked.message)}</p>'
    commands = "".join(
        f'<p>{escape(row.label)}, where the flow is:<br><code style="{_COMMAND}">{escape(row.text)}</code></p>'
        for row in asked.commands
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(asked.title)}</title></head>'
        f'<body style="{_BODY}">{message}'
        f"<table>{_rows(asked.rows)}</table>{commands}</body></html>\n"
    )


def _rows(rows: Iterable[Row]) -> str:
    return "".join(f'<tr><th style="{_LABEL}">{escape(row.label)}</th><td>{_cell(row)}</td></tr>' for row in rows)


def _cell(row: Row) -> str:
    return f'<a href="{escape(row.url)}">{escape(row.text)}</a>' if row.url else escape(row.text)


# The question as a message of an incoming webhook: like the bot's, with commands in the place of buttons.


def render_webhook(approval: Approval, *, script: str = "flow.py") -> dict[str, Any]:
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
        "text": single.notification(approval),
        "blocks": fitted(lambda share: _blocks(approval, script, share)),
        "unfurl_links": False,
        "unfurl_media": False,
    }


def _blocks(approval: Approval, script: str, share: int) -> list[Block]:
    tables = 0 if evidence.has_table(approval) else 1
    blocks = [
        *single.message_blocks(approval, share, tables=tables),
        context(single.origin(approval)),
    ]
    blocks += evidence.blocks(approval)
    if links := evidence.links(approval):
        blocks.append(context(links))
    if sentences.asks_for_input(approval):
        blocks.append(section(plain(sentences.asked_when_approving(approval), min(share, 600))))
    decides = f"*Who decides*\n{single.who_decides(approval, {})}"
    blocks += field_sections([decides, f"*Answer by*\n{single.answer_by(approval)}"])
    commands = f"{sentences.approve_command(approval, script)}\n{sentences.reject_command(approval, script)}"
    blocks.append(
        section(mrkdwn(f"To answer from a terminal, in the flow's directory:\n{code_block(commands, 1_500)}"))
    )
    with_buttons = next((post.url for post in approval.posts if post.url), None)
    if with_buttons is not None:
        blocks.append(context(link(with_buttons, "The same question, with buttons")))
    return [*blocks, context(code(approval.id))]
