"""Answers that one person alone sees: to /hitl, to a button, to a form."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from metaflow_extensions.hitl.approvals.record import State
from metaflow_extensions.hitl.messages import action_ids, question, sentences
from metaflow_extensions.hitl.messages.blocks import (
    Block,
    actions,
    context,
    fits,
    link_button,
    mrkdwn,
    plain,
    section,
)
from metaflow_extensions.hitl.messages.mrkdwn import (
    code,
    code_block,
    cut,
    date,
    escape,
    is_web_address,
    name,
    one_line,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from metaflow_extensions.hitl.approvals.record import Approval
    from metaflow_extensions.hitl.approvals.use_cases import Outcome

_LISTED_MESSAGE = 150
_LISTED_PROBLEMS = 3
_WORDS = (
    ("/hitl list", "what waits for an answer"),
    ("/hitl show ID", "one approval, with everything about it"),
    ("/hitl approve ID", "approve; asks for input where the step wants some"),
    ("/hitl reject ID REASON", "reject; the requester reads the reason"),
    ("/hitl help", "these words"),
)


class Reply(TypedDict):
    """What Bolt's ``respond`` takes. ``text`` says the same as the blocks, for notifications and screen readers."""

    text: str
    blocks: list[Block]
    response_type: str
    replace_original: bool


def listing(
    approvals: Sequence[Approval],
    *,
    now: datetime,
    user_id: str,
    groups: Collection[str] = (),
    problems: Sequence[Exception] = (),
) -> Reply:
    """List what waits, what waits for this person first, then by deadline.

    Parameters
    ----------
    approvals : Sequence[Approval]
        The open ones. Those that are answered and not yet carried out are counted, not listed.
    now : datetime
        The present; aware.
    user_id : str
        Slack's id of the person who asks.
    groups : Collection[str]
        The groups, as approvers name them, that the person is in.
    problems : Sequence[Exception]
        Why other approvals could not be read.
    """
    waiting = sorted((one for one in approvals if one.state is State.PENDING), key=_urgency)
    if not waiting and not problems:
        return nothing_waits(None, now=now)
    mine = [one for one in waiting if _is_asked(one, user_id, groups)]
    others = [one for one in waiting if not _is_asked(one, user_id, groups)]
    verb = "approval waits" if len(waiting) == 1 else "approvals wait"
    title = f"{len(waiting)} {verb} ({len(mine)} for you)"
    foot = [
        context(f"{len(problems)} could not be read: {escape(one_line(str(problem)), 300)}")
        for problem in problems[:_LISTED_PROBLEMS]
    ]
    if carried_out := len(approvals) - len(waiting):
        foot.append(context(f"{carried_out} more: answered, and being carried out"))
    blocks = [section(mrkdwn(f"*{title}*"))]
    left = len(waiting)
    for heading, group in (("Waiting for you", mine), ("Waiting for others", others)):
        for position, approval in enumerate(group):
            head = [section(mrkdwn(f"*{heading}*"))] if position == 0 and mine and others else []
            rows = [*head, *_row(approval, now)]
            # A line for what is left out must still fit, and no later row may slip in before an earlier one.
            if not fits([*blocks, *rows, context(f"and {left} more: `/hitl show ID` shows any of them"), *foot]):
                return _reply(title, [*blocks, context(f"and {left} more: `/hitl show ID` shows any of them"), *foot])
            blocks += rows
            left -= 1
    return _reply(title, [*blocks, *foot])


def nothing_waits(last_decided: Approval | None, *, now: datetime) -> Reply:
    """Say that nothing waits, and when the last one was decided."""
    text = "Nothing waits for an answer."
    if last_decided is None or last_decided.decision is None:
        return said(text)
    ago = sentences.ago(last_decided.decision.at, now)
    return said(text, f"The last one was {last_decided.decision.verdict.value} {ago}: {last_decided.id}.")


def shown(approval: Approval, *, now: datetime) -> Reply:
    """Show one approval, with its buttons if it still takes an answer."""
    message = question.render(approval, now=now)
    return _reply(message.text, message.blocks)


def done(outcome: Outcome) -> Reply:
    """Say that a decision was taken, and what is still to come."""
    approval = outcome.approval
    ending = sentences.verdict(approval, name)
    text = f"{ending.head}: {escape(one_line(sentences.question(approval)), 300)}"
    after = sentences.trouble(approval) or sentences.aftermath(approval)
    lines = [f"{after[:1].upper()}{after[1:].rstrip('.')}."] if after else []
    # Nothing to do for the reader: the record stands, and the sweeper goes on where this stopped.
    lines += [f"Not done yet, and tried again: {one_line(str(error))}" for error in outcome.pending[:3]]
    return _reply(text, [section(mrkdwn(text)), *[section(plain(line)) for line in lines], context(code(approval.id))])


def command(approval: Approval, *, script: str = "flow.py") -> Reply:
    """Show the commands that answer from a terminal, ready to be copied."""
    commands = f"{sentences.approve_command(approval, script)}\n{sentences.reject_command(approval, script)}"
    return _reply(
        f"Commands that answer {approval.id}",
        [section(mrkdwn(f"To answer from a terminal, where the flow is:\n{code_block(commands, 2_800)}"))],
    )


def help_text(unknown: str | None = None) -> Reply:
    """List the words that /hitl knows; name the one that it does not."""
    rows = [f"{code(words)} {meaning}" for words, meaning in _WORDS]
    first = [] if unknown is None else [section(mrkdwn(f"/hitl does not know {code(unknown, 100)}. It knows:"))]
    text = "/hitl list, show ID, approve ID, reject ID REASON, help"
    if unknown is not None:
        text = f"/hitl does not know {code(unknown, 100)}. It knows: list, show, approve, reject, help."
    return _reply(text, [*first, section(mrkdwn("\n".join(rows)))])


def refusal(error: Exception) -> Reply:
    """Say why something did not happen. The errors' own words are written for this."""
    return said(str(error))


def broken(reference: str) -> Reply:
    """Say that the fault is ours; the reference finds it in the log."""
    return said(
        "Something broke, and nothing was decided. Try again; if it stays, give your operator this reference: "
        f"{reference}"
    )


def said(*sentences_: str) -> Reply:
    """Say sentences, shown letter by letter."""
    text = " ".join(sentences_)
    return _reply(escape(text, 1_500).strip() or "–", [section(plain(text, 2_900))])


def _reply(text: str, blocks: list[Block]) -> Reply:
    return Reply(text=text, blocks=blocks, response_type="ephemeral", replace_original=False)


def _urgency(approval: Approval) -> tuple[float, datetime]:
    """Sort by deadline, then by age; what has no deadline comes last."""
    return (approval.deadline.timestamp() if approval.deadline else float("inf"), approval.requested_at)


def _is_asked(approval: Approval, user_id: str, groups: Collection[str]) -> bool:
    """Whether an answer of this person would count, as far as the approvers' names tell."""
    written = approval.question.approvers
    return not written or user_id in written or any(group in written for group in groups)


def _row(approval: Approval, now: datetime) -> list[Block]:
    asked = f"asked {sentences.ago(approval.requested_at, now)}"
    until = f"until {date(approval.deadline)}" if approval.deadline else "no deadline"
    where = f"{escape(sentences.place(approval))} · {asked} · {until} · {code(approval.id)}"
    buttons = [question.approve_button(approval), question.reject_button(approval)]
    url = next((post.url for post in approval.posts if post.url and is_web_address(post.url)), None)
    if url is not None:
        buttons.insert(0, link_button("Open", action_ids.OPEN, url))
    title = cut(one_line(sentences.question(approval)[: 4 * _LISTED_MESSAGE]), _LISTED_MESSAGE)
    return [section(plain(title)), context(where), actions(buttons)]
