"""The message of one gate: the question, and the same message after the answer. That of many is in ``batch``."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from metaflow_extensions.hitl.approvals.deciding import votes
from metaflow_extensions.hitl.approvals.question import RuleMode
from metaflow_extensions.hitl.approvals.record import Approval, State, Verdict, is_id
from metaflow_extensions.hitl.approvals.running_again import can_run_again

from . import controls, evidence, markdown, sentences, voting
from .blocks import (
    ELLIPSIS,
    HEADER,
    Block,
    actions,
    approver,
    bold,
    code,
    code_block,
    context,
    cut,
    date,
    escape,
    field_sections,
    fitted,
    header,
    length,
    link,
    literal,
    mention,
    mrkdwn,
    name,
    one_line,
    plain,
    quoted,
    section,
)
from .voting import requester, vouched

_TEXT = 300  # of the message, in a notification; a phone shows less
_SHOWN_INPUTS = 20
_SHOWN_OBLIGATIONS = 5
_SHOWN_APPROVERS = 10


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """What chat.postMessage and chat.update take."""

    text: str  # mrkdwn, at most 1,500 characters: the notification, and what plain clients and screen readers get
    blocks: list[Block]
    metadata: dict[str, Any]  # event_type and event_payload {approval_id, pathspec}: makes the message findable


def render(
    approval: Approval, *, now: datetime, ids: Mapping[str, str] | None = None, nobody: Collection[str] = ()
) -> Rendered:
    """Render the message as the approval stands.

    Parameters
    ----------
    approval : Approval
        In any state.
    now : datetime
        The present; aware. A question that is posted after its deadline has no buttons.
    ids : Mapping[str, str], optional
        Slack's ids of those approvers that the author named by handle or email address. The others are shown in words
        and not mentioned. Default: as they were when the question was posted.
    nobody : Collection[str]
        Those approvers that match no one, if the question is not posted yet; likewise.
    """
    known = dict(ids or {})
    for post in approval.posts:
        known.update(post.ids)
        nobody = {*nobody, *post.nobody}
    return Rendered(
        text=notification(approval),
        blocks=fitted(lambda share: _blocks(approval, now, known, nobody, share)),
        metadata={
            "event_type": controls.EVENT_TYPE,
            "event_payload": {"approval_id": approval.id, "pathspec": str(approval.pathspec)},
        },
    )


def brief(message: Rendered) -> Rendered:
    """Leave of a message what it takes to answer it: what the notification says, the buttons and the id.

    For Slack's limits that nobody knows: those that are documented, a message keeps by itself.
    """
    last = message.blocks[-1]
    blocks = [
        section(mrkdwn(message.text)),
        context("The whole message doesn't fit in Slack. Use Details or `/hitl show` to see the rest."),
        *[block for block in message.blocks[:-1] if block["type"] == "actions"],
    ]
    return Rendered(text=message.text, blocks=[*blocks, last], metadata=message.metadata)


def asked_by_message(message: Mapping[str, Any]) -> str | None:
    """Return the id of the approval that a message as Slack sends it asks about; None if it asks about none.

    By its metadata, which Slack does not send along with every payload, or else by its last line.
    """
    metadata = message.get("metadata") or {}
    if metadata.get("event_type") == controls.EVENT_TYPE:
        return str((metadata.get("event_payload") or {}).get("approval_id"))
    last = (message.get("blocks") or [{}])[-1]
    texts = [str(element.get("text", "")) for element in last.get("elements") or () if isinstance(element, dict)]
    shown = texts[0].strip("`") if last.get("type") == "context" and len(texts) == 1 else ""
    return shown if is_id(shown) else None


def notification(approval: Approval) -> str:
    """Say in one line what the message says; mrkdwn without any mention."""
    about = (
        f"{escape(one_line(cut(sentences.question_text(approval), _TEXT)))} ({escape(sentences.step_name(approval))})"
    )
    if approval.state is State.PENDING:
        measured = evidence.in_brief(approval.question.evidence)
        return f"Approval needed: {about}" + (f" · {escape(measured, _TEXT)}" if measured else "")
    ending = sentences.verdict(approval, name)
    return f"{ending.head}{_tail(approval, ending, _TEXT)}: {about}"


def message_blocks(approval: Approval, share: int, *, tables: int = 0) -> list[Block]:
    """Show the message that the flow wrote, in full as far as `share` characters go.

    Parameters
    ----------
    tables : int
        How many of its tables may be Slack's own: a message takes one, a view none.
    """
    text = sentences.question_text(approval)
    title, _, rest = text.partition("\n")
    if length(rest if length(title) <= HEADER else text) <= share and (parts := sentences.formatted(approval)):
        if length(title) > HEADER:
            return markdown.blocks(parts, tables=tables)
        below = markdown.without_first_line(parts)
        return [header(title), *markdown.blocks(below, tables=tables)]
    if length(title) > HEADER:
        return [section(plain(text, share))]
    return [header(title), section(plain(rest, share))] if rest.strip() else [header(title)]


def origin(approval: Approval) -> str:
    """Say where the question comes from: flow, step, run, requester. mrkdwn."""
    run = link(approval.question.run_url, f"run {approval.pathspec.run}")
    # The requester knows: a mention would only ring.
    return f"{escape(sentences.step_name(approval))} · {run} · started by {requester(approval, name)}"


def input_fields(approval: Approval, values: Mapping[str, Any], share: int) -> list[Block]:
    """Show what was entered, two columns wide."""
    shown = [
        f"{bold(label, min(share, 150))}\n{literal(_head(text, share), min(share, 1_800))}"
        for label, text in sentences.entered(approval, values)[:_SHOWN_INPUTS]
    ]
    blocks = list(field_sections(shown))
    if len(values) > _SHOWN_INPUTS:
        blocks.append(context(f"and {len(values) - _SHOWN_INPUTS} more under Details"))
    return blocks


def _head(text: str, share: int) -> str:
    return text if len(text) <= share * 2 else text[: share * 2] + ELLIPSIS


def who_decides(approval: Approval, ids: Mapping[str, str]) -> str:
    """Name the approvers; mrkdwn that mentions those whose ids are known."""
    return voting.who_decides(approval, lambda written: approver(written, ids))


def answer_by(approval: Approval) -> str:
    """Name the deadline and what it does; mrkdwn."""
    if approval.deadline is None:
        return "no deadline"
    return f"{date(approval.deadline)}, {sentences.at_deadline(approval)}"


def consequences(approval: Approval) -> str:
    """Say what each button leads to; mrkdwn."""
    return "  ".join(
        f"*{escape(button, 200)}:* {escape(text, 300)}." for button, text in sentences.what_happens(approval)
    )


def verdict_line(approval: Approval) -> str:
    """Say how it ended; mrkdwn."""
    ending = sentences.verdict(approval, mention)
    return f"*{ending.head}*{_tail(approval, ending, 500)}"


def _tail(approval: Approval, ending: sentences.Headline, limit: int) -> str:
    # A closing's reason is text from outside; a decision's sentence is ours, with the people's names made safe in it.
    return ending.tail if approval.closing is None else escape(ending.tail, limit)


def reason_blocks(approval: Approval, share: int) -> list[Block]:
    reason = sentences.reason(approval)
    return [section(mrkdwn(quoted(reason, share)))] if reason else []


def votes_blocks(approval: Approval, ids: Mapping[str, str], share: int) -> list[Block]:
    """Show who has voted how, what they approve, and who is missing; nothing before the first vote."""
    if not approval.votes:
        return []
    said = voting.votes_so_far(approval, mention, lambda written: approver(written, ids))
    blocks = [section(mrkdwn(f"*Votes*\n{said}"))]
    if aside := voting.put_aside(approval, mention):
        blocks.append(context(aside))
    return [*blocks, *input_fields(approval, votes.proposal(approval) or {}, share)]


def owed_blocks(approval: Approval) -> list[Block]:
    """Show on the message what is owed. What became of it is in the thread below."""
    owed = approval.obligations
    if not owed:
        return []
    rows = [f"• {name(one.owner)}: {quoted(one.text, _TEXT)}, due {one.due}" for one in owed[:_SHOWN_OBLIGATIONS]]
    if len(owed) > _SHOWN_OBLIGATIONS:
        rows.append(f"and {len(owed) - _SHOWN_OBLIGATIONS} more under Details")
    return [section(mrkdwn("\n".join(["*Owed with this approval*", *rows])))]


def again_blocks(approval: Approval, share: int) -> list[Block]:
    """Offer the command that runs this again, where changes were requested."""
    if approval.decision is None or approval.decision.verdict is not Verdict.CHANGES or not approval.question.run_again:
        return []
    said = f"To run it again with the changes:\n{code_block(approval.question.run_again, share)}"
    blocks = [section(mrkdwn(said))]
    if can_run_again(approval):
        blocks.append(actions([controls.run_again_button(approval)]))
    return blocks


def _resume_blocks(approval: Approval) -> list[Block]:
    """Give the command that goes on with an answer for which no run waits."""
    resume = approval.question.resume
    if resume is None or not approval.question.leaves or not approval.lets_run:
        return []
    return [section(mrkdwn(f"To continue with this answer:\n{code_block(resume, 600)}"))]


def _follows(approval: Approval) -> list[Block]:
    earlier = approval.question.follows
    if earlier is None:
        return []
    before = link(earlier.url, earlier.approval_id)
    return [context(f"After {before}, where {escape(earlier.by, 80)} asked for changes: {quoted(earlier.reason)}")]


def attendance_blocks(approval: Approval) -> list[Block]:
    """Say that an answer starts nothing by itself, where nobody waits for it."""
    said = sentences.nobody_waits(approval, date, code)
    mark = ", so " if ", so " in said else ": "
    head, mark, rest = said.partition(mark)
    return [section(mrkdwn(f"*{head}*{mark}{rest}."))] if said else []


def demands_blocks(approval: Approval) -> list[Block]:
    said = filter(None, [voting.demands(approval.requirements), voting.waits_at_most(approval)])
    return [context(escape("; ".join(said), 600))] if approval.requirements.name else []


def nobody_blocks(approval: Approval, nobody: Collection[str]) -> list[Block]:
    """Report the approvers that match no one."""
    if not nobody:
        return []
    names = ", ".join(literal(one, 100) for one in nobody)
    requirements = approval.requirements
    consequence = "only the others can answer"
    if requirements.names and set(requirements.names) <= set(nobody):
        consequence = "nobody can answer. Stop the run and fix `approvers`"
    elif requirements.deciders and set(requirements.deciders) <= set(nobody):
        consequence = (
            f"nobody can answer. An operator has to fix `deciders` of the rule “{escape(requirements.name, 100)}”"
        )
    return [section(mrkdwn(f"*No one in Slack matches {names}*, so {consequence}."))]


def _blocks(
    approval: Approval, now: datetime, ids: Mapping[str, str], nobody: Collection[str], share: int
) -> list[Block]:
    shows_metrics = approval.state is State.PENDING and evidence.has_table(approval)
    blocks = message_blocks(approval, share, tables=0 if shows_metrics else 1)
    if approval.state is State.PENDING:
        blocks += [context(origin(approval)), *_follows(approval), *evidence.blocks(approval)]
        blocks += [*controls.link_blocks(approval), *evidence.rule_blocks(approval)]
        if sentences.asks_for_input(approval) and sentences.chosen_by_button(approval) is None:
            blocks.append(section(plain(sentences.asked_when_approving(approval), min(share, 600))))
        blocks += [*attendance_blocks(approval), context(consequences(approval))]
        blocks += field_sections(
            [f"*Who decides*\n{who_decides(approval, ids)}", f"*Answer by*\n{answer_by(approval)}"]
        )
        blocks += [*demands_blocks(approval), *nobody_blocks(approval, nobody), *votes_blocks(approval, ids, share)]
        if approval.is_due(now):
            blocks.append(section(mrkdwn("*The deadline has passed*, so this can no longer be answered.")))
        else:
            blocks.append(actions([*controls.answer_buttons(approval), controls.more_menu(approval)]))
    else:
        blocks.append(section(mrkdwn(verdict_line(approval))))
        blocks += reason_blocks(approval, share)
        blocks += input_fields(approval, approval.decision.input if approval.decision else {}, share)
        blocks += owed_blocks(approval)
        if approval.judgement is not None and approval.judgement.mode is RuleMode.SHADOW:
            blocks += evidence.rule_blocks(approval)
        if trouble := sentences.trouble(approval):
            blocks.append(section(plain(trouble, min(share, 1_200))))
        blocks += [*again_blocks(approval, min(share, 2_800)), *_resume_blocks(approval)]
        ruled = f"by rule “{escape(approval.requirements.name, 100)}”" if approval.requirements.name else ""
        blocks.append(context(" · ".join(filter(None, [origin(approval), sentences.aftermath(approval), ruled]))))
    said = vouched(approval)
    return [*blocks, context(f"{code(approval.id)} · {said}" if said else code(approval.id))]
