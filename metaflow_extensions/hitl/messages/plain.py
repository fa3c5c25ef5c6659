"""The question without any formatting, for media that only carry text: email, and whatever Apprise reaches."""

from __future__ import annotations

import re
from dataclasses import dataclass

from metaflow_extensions.hitl.approvals.record import Approval
from metaflow_extensions.hitl.messages import evidence, sentences, voting
from metaflow_extensions.hitl.messages.mrkdwn import BACKTICK, cut, is_web_address, legible, one_line, utc

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
    asked = sentences.question(approval)
    rows = [
        Row(label="From", text=_line(f"{sentences.place(approval)}, run {approval.pathspec.run}")),
        Row(label="Asked by", text=_line(approval.requester.name or approval.requester.id)),
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
