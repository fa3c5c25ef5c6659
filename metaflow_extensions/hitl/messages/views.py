"""The views (modals) that an approval opens, and the one that runs a workflow again. Each fits in what Slack takes."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any

from metaflow_extensions.hitl.approvals.codec import Version
from metaflow_extensions.hitl.approvals.deciding import votes
from metaflow_extensions.hitl.approvals.duration import in_words
from metaflow_extensions.hitl.approvals.question import OnReject
from metaflow_extensions.hitl.approvals.record import Approval, State

from . import controls, evidence, lists, obligations, sentences, single, voting
from .blocks import (
    Block,
    approver,
    code,
    code_block,
    context,
    date,
    divider,
    escape,
    field_sections,
    link,
    mention,
    modal,
    mrkdwn,
    name,
    one_line,
    plain,
    quoted,
    section,
)
from .form import form_blocks
from .replies import refusal_block
from .trail import happened
from .voting import requester

# The last decisions of a step in one view: what the values were, the verdict, who, and why.

SHOWN = 5
_VALUES = 600
_METRICS = 10


def like_before_view(
    approval: Approval, earlier: Sequence[Approval], *, now: datetime, problems: Sequence[Exception] = ()
) -> Block:
    """Show the values of a question, and below them the last decisions of its step.

    Parameters
    ----------
    approval : Approval
        The question that is looked at.
    earlier : Sequence[Approval]
        Decided ones, the newest first; five are shown.
    now : datetime
        The present; aware.
    problems : Sequence[Exception]
        Why others could not be read, or what Slack could not say.
    """
    blocks: list[Block] = [section(mrkdwn(f"*This question*\n{_values(approval)}")), divider()]
    if not earlier:
        known = "is known to have been decided" if problems else "was decided"
        blocks.append(section(mrkdwn(f"Nothing {known} in this step before, as far as you can see.")))
    for one in earlier[:SHOWN]:
        blocks += [*lists.decided_row(one, now), context(_values(one))]
    blocks += lists.gaps(problems)
    return modal("Like before", blocks, callback_id=controls.NOTICE_VIEW, close="Close")


def _values(approval: Approval) -> str:
    """Say what a decision was based on, and what was entered; mrkdwn."""
    found = approval.question.evidence
    metrics = evidence.lines_of(found)[:_METRICS] if found is not None else []
    said = [f"{name} {value}" for name, value, _ in metrics] or ["no metrics were recorded"]
    if approval.decision is not None:
        said += [f"{name} = {sentences.value_text(value)}" for name, value in approval.decision.input.items()]
    return escape(one_line(" · ".join(said)[: 4 * _VALUES]), _VALUES)


# The views (modals) that an approval opens. Each fits in what Slack takes: 100 blocks, 250 kB, titles of 24 letters.
#
# Source: docs.slack.dev/reference/views/modal-views.

REASON = 1_000  # characters; the requester reads it in an error message, not in a report
_BLOCKS = 100
_MESSAGE = 2_900  # of the question in a view, below the 3,000 of a section
_VERSIONS = 20  # of the trail; the newest, and a record seldom has more than five


def approve_view(approval: Approval, *, now: datetime, values: Mapping[str, Any] | None = None) -> Block:
    """Build the form that approves.

    Parameters
    ----------
    approval : Approval
        Pending. Without a schema the view has the question alone and a button that approves.
    now : datetime
        The present; aware.
    values : Mapping, optional
        What the inputs shall hold to begin with, in place of their defaults. Default: what those who voted approve.
    """
    reason = [reason_input("Reason", rule_wants_one(approval))] if approval.requirements.reason_required else []
    proposed = votes.proposal(approval) if values is None else values
    inputs = [*form_blocks(sentences.form_fields(approval), values=proposed), *reason]
    inputs += obligations.inputs(approval.requirements, room=_BLOCKS - 1 - len(inputs))
    blocks = _question(approval, now)[: _BLOCKS - len(inputs)]
    if proposed and sentences.asks_for_input(approval) and len(blocks) + len(inputs) < _BLOCKS:
        blocks.append(
            context(
                "Others approve this input. If you enter a different input, it becomes a new proposal and they "
                "vote again."
            )
        )
    if len(blocks) + len(inputs) < _BLOCKS:
        blocks += single.attendance_blocks(approval)
    return modal(
        f"Approve {approval.pathspec.step}",
        [*blocks, *inputs],
        callback_id=controls.APPROVE_VIEW,
        close="Cancel",
        submit=plain("Approve"),
        private_metadata=metadata_of(approval.id),
    )


def reject_view(approval: Approval, *, now: datetime) -> Block:
    """Build the view that asks why; `reason_of` reads what was entered."""
    goes_on = approval.question.on_reject is OnReject.CONTINUE
    consequence = "The run continues and gets this text." if goes_on else "The run fails with this text."
    return modal(
        f"Reject {approval.pathspec.step}",
        [
            *_question(approval, now),
            reason_input("Reason", f"{approval.requester.name[:80]} will see this. {consequence}", Focus.AT_ONCE),
        ],
        callback_id=controls.REJECT_VIEW,
        close="Cancel",
        submit=plain("Reject"),
        private_metadata=metadata_of(approval.id),
    )


def changes_view(approval: Approval, *, now: datetime) -> Block:
    """Build the view that asks what must change; `reason_of` reads what was entered."""
    hint = f"{approval.requester.name[:80]} will see this, with the command that runs it again."
    return modal(
        "Request changes",
        [*_question(approval, now), reason_input("What must change", hint, Focus.AT_ONCE)],
        callback_id=controls.CHANGES_VIEW,
        close="Cancel",
        submit=plain("Request changes"),
        private_metadata=metadata_of(approval.id),
    )


def closed_view(approval: Approval, *, now: datetime) -> Block:
    """Say how it ended to somebody whose form was still open. Also fits an approval whose deadline has just come."""
    if approval.state is State.PENDING:
        said = (
            "*The deadline has passed*, so this can no longer be answered."
            if approval.is_due(now)
            else _voted(approval)
        )
    else:
        said = single.verdict_line(approval)
        at = approval.decision.at if approval.decision else approval.closing.at if approval.closing else now
        said += f" · {sentences.ago(at, now)}"
    blocks = [section(mrkdwn(said)), *single.reason_blocks(approval, REASON)]
    if approval.decision:
        blocks += single.input_fields(approval, approval.decision.input, _MESSAGE)
    if trouble := sentences.trouble(approval):
        blocks.append(section(plain(trouble)))
    title = "Answered"
    if approval.state is State.PENDING:
        title = "Voted" if approval.votes and not approval.is_due(now) else "Not answered"
    return _notice(title, [*blocks, *single.message_blocks(approval, _MESSAGE), _foot(approval)])


def voted_before_view(approval: Approval) -> Block:
    """Say that the same vote was there already, so that nothing changed, and who is missing."""
    so_far = voting.votes_so_far(approval, mention, lambda written: approver(written, {}))
    said = f"*You have already voted like this*, so nothing changed. {so_far}"
    return _notice("Voted", [section(mrkdwn(said)), *single.message_blocks(approval, _MESSAGE), _foot(approval)])


def details_view(approval: Approval, *, now: datetime, trail: Sequence[Version] = (), script: str = "flow.py") -> Block:
    """Show everything about an approval.

    Parameters
    ----------
    approval : Approval
        In any state.
    now : datetime
        The present; aware.
    trail : Sequence[Version]
        Its versions, oldest first.
    script : str
        The flow's file, for the commands.
    """
    age = sentences.ago(approval.requested_at, now)
    facts = [
        f"*Task*\n{code(str(approval.pathspec), 900)}",
        f"*Asked*\n{date(approval.requested_at)} ({age}) by {requester(approval, name)}",
        f"*Who decides*\n{single.who_decides(approval, {})}",
        f"*Answer by*\n{single.answer_by(approval)}",
    ]
    blocks = [
        *single.message_blocks(approval, _MESSAGE),
        context(single.origin(approval)),
        *field_sections(facts),
    ]
    blocks += evidence.details(approval)
    if demands := voting.demands(approval.requirements):
        blocks.append(context(escape(demands, 600)))
    if approval.state is State.PENDING:
        blocks += single.votes_blocks(approval, {}, _MESSAGE)
        commands = f"{sentences.approve_command(approval, script)}\n{sentences.reject_command(approval, script)}"
        blocks.append(section(mrkdwn(f"*From a terminal*\n{code_block(commands, _MESSAGE)}")))
    else:
        blocks += [
            section(mrkdwn(single.verdict_line(approval))),
            *single.reason_blocks(approval, _MESSAGE),
        ]
        if approval.decision:
            blocks += single.input_fields(approval, approval.decision.input, _MESSAGE)
        if after := sentences.aftermath(approval) or sentences.trouble(approval):
            blocks.append(section(plain(after)))
    if trail:
        blocks += trail_blocks(trail)
    return _notice(f"Details of {approval.pathspec.step}", [*blocks, _foot(approval)])


def why_view(approval: Approval, *, now: datetime, trail: Sequence[Version]) -> Block:
    """Show how it came to the decision: the question, the ending, and every version with who wrote it."""
    head: list[Block] = [
        *single.message_blocks(approval, _MESSAGE),
        context(single.origin(approval)),
    ]
    if approval.state is State.PENDING:
        head += _undecided(approval, now)
    else:
        head += [
            section(mrkdwn(single.verdict_line(approval))),
            *single.reason_blocks(approval, REASON),
        ]
    return _notice("Why?", [*head, *trail_blocks(trail), _foot(approval)])


def _undecided(approval: Approval, now: datetime) -> list[Block]:
    """Say that there is no decision yet, who has voted, and what is missing."""
    asked = f"It was asked {sentences.ago(approval.requested_at, now)}."
    if approval.is_due(now):
        return [section(plain(f"There is no decision yet: the deadline has passed and is being applied. {asked}"))]
    so_far = voting.votes_so_far(approval, mention, lambda written: approver(written, {}))
    said = so_far or f"No one has answered yet. Missing: an answer from {single.who_decides(approval, {})}."
    return [section(mrkdwn(f"There is no decision yet. {said}")), context(f"{asked} {_until(approval, now)}".strip())]


def _until(approval: Approval, now: datetime) -> str:
    if approval.deadline is None:
        return "There is no deadline."
    left = in_words(max(0.0, (approval.deadline - now).total_seconds()))
    return f"Answer by {single.answer_by(approval)} · {left} left"


def trail_blocks(trail: Sequence[Version]) -> list[Block]:
    """List what happened, oldest first; of a long trail the newest versions."""
    shown = trail[-_VERSIONS:]
    earlier = [context(f"{len(trail) - len(shown)} earlier")] if len(trail) > len(shown) else []
    lines = [f"{version.number}. {date(version.at)} {happened(version)}" for version in shown]
    return [section(mrkdwn("*Trail*")), *earlier, *[context(line) for line in lines]]


def loading_view(title: str) -> Block:
    """Hold the place for a view whose record is still being read: a trigger lives for three seconds only."""
    return notice_view(title, "Reading the question…")


def saving_view(approval_id: str) -> Block:
    """Hold the place while a decision is written for longer than Slack waits for an ack."""
    return _notice(
        "Saving", [section(plain("Saving the answer… The message in the channel will show the result."))]
    ) | {"private_metadata": metadata_of(approval_id)}


def refused_view(error: Exception) -> Block:
    """Say why something did not happen, in the view where it was tried."""
    return _notice("Not possible", [refusal_block(error)])


def notice_view(title: str, text: str) -> Block:
    """Say something, with nothing to submit."""
    return _notice(title, [section(plain(text))])


def approval_of(view: Mapping[str, Any]) -> str:
    """Read the approval id out of a view that Slack sent back; empty if it holds none."""
    try:
        held = json.loads(view.get("private_metadata") or "{}")
    except ValueError:
        return ""
    found = held.get("approval") if isinstance(held, dict) else None
    return found if isinstance(found, str) else ""


def reason_of(values: Mapping[str, Any]) -> str:
    """Read the reason out of ``view["state"]["values"]`` of the reject view; empty if it holds none."""
    entered = values.get(controls.REASON_BLOCK, {}).get(controls.REASON_VALUE, {}).get("value")
    return entered.strip() if isinstance(entered, str) else ""


def _voted(approval: Approval) -> str:
    if not approval.votes:
        return "*Not answered yet*"
    return f"*Your vote was recorded*. {voting.votes_so_far(approval, mention, lambda name: approver(name, {}))}"


def _question(approval: Approval, now: datetime) -> list[Block]:
    """Ask again, so that nobody answers the wrong question: at most four blocks."""
    blocks = [*single.message_blocks(approval, _MESSAGE), context(single.origin(approval))]
    if approval.deadline is not None:
        blocks.append(context(_until(approval, now)))
    return blocks


class Focus(Enum):
    """Where the cursor stands when a view opens."""

    AT_ONCE = "at once"
    LATER = "later"


def rule_wants_one(approval: Approval) -> str:
    """Say why an approval takes a reason."""
    rule = approval.requirements.name[:80]
    return f"The rule “{rule}” of the operator's policy requires one. It becomes part of the record."


def reason_input(label: str, hint: str, focus: Focus = Focus.LATER) -> Block:
    """Build the input for a reason; ``reason_of`` reads it."""
    element: Block = {
        "type": "plain_text_input",
        "action_id": controls.REASON_VALUE,
        "multiline": True,
        "min_length": 1,
        "max_length": REASON,
    }
    if focus is Focus.AT_ONCE:
        element["focus_on_load"] = True
    return {
        "type": "input",
        "block_id": controls.REASON_BLOCK,
        "label": plain(label),
        "hint": plain(hint),
        "element": element,
    }


def _foot(approval: Approval) -> Block:
    posted = next((post.url for post in approval.posts if post.url), None)
    seen = f" · {link(posted, 'the message')}" if posted else ""
    return context(f"{code(approval.id)}{seen}")


def metadata_of(approval_id: str) -> str:
    return json.dumps({"approval": approval_id})


def _notice(title: str, blocks: Sequence[Block]) -> Block:
    return modal(title, blocks, callback_id=controls.NOTICE_VIEW, close="Close")


# The view that runs a workflow again with other parameters.
#
# Source of the limits: docs.slack.dev/reference/views (100 blocks), docs.slack.dev/reference/block-kit (a label takes
# 2,000 characters, a ``block_id`` 255, an input 3,000).

_LONGEST = 3_000  # characters of an input
_LONGEST_NAME = 200
_PARAMETERS = 90  # beside the other blocks


def run_again_view(approval: Approval, parameters: Mapping[str, str]) -> Block:
    """Build the form: what should change, and the parameters as they were.

    A value that is too long for an input is not offered, and stays as it was.
    """
    by = approval.decision.by.name if approval.decision else ""
    reason = approval.decision.reason if approval.decision else ""
    offered = {name: value for name, value in parameters.items() if _fits(name, value)}
    shown = dict(list(offered.items())[:_PARAMETERS])
    said = f"*{escape(by, 80)}* asked for changes:\n{quoted(reason, 1_000)}"
    blocks = [section(mrkdwn(said)), *[_input(name, value) for name, value in shown.items()]]
    if not parameters:
        blocks.append(section(plain("This flow has no parameters. It runs again as it is deployed now.")))
    if len(shown) < len(parameters):
        kept = ", ".join(name for name in parameters if name not in shown)
        blocks.append(context(f"Kept as they were: {escape(one_line(kept), 500)}"))
    return modal(
        "Run again",
        blocks,
        callback_id=controls.RUN_AGAIN_VIEW,
        close="Cancel",
        submit=plain("Run again"),
        private_metadata=metadata_of(approval.id),
    )


def parameters_of(values: Mapping[str, Any]) -> dict[str, str]:
    """Read the parameters out of ``view["state"]["values"]``; one that was emptied is an empty text."""
    beginning = controls.PARAMETER_BLOCK
    return {
        block_id.removeprefix(beginning): str(inputs[controls.PARAMETER_VALUE].get("value") or "")
        for block_id, inputs in values.items()
        if block_id.startswith(beginning)
    }


def parameter_block(name: str) -> str:
    """Return the ``block_id`` of a parameter's input."""
    return f"{controls.PARAMETER_BLOCK}{name}"


def started(workflow: str) -> str:
    """Say that it runs; the question comes when it gets to its gate."""
    return (
        f"Workflow {workflow} has started. Its question is posted here when the run reaches the gate, and "
        "links to this one."
    )


def _fits(name: str, value: str) -> bool:
    return len(name) <= _LONGEST_NAME and len(value) <= _LONGEST


def _input(name: str, value: str) -> Block:
    element: Block = {
        "type": "plain_text_input",
        "action_id": controls.PARAMETER_VALUE,
        "multiline": "\n" in value,
        "max_length": _LONGEST,
    }
    if value:
        element["initial_value"] = value
    return {
        "type": "input",
        "block_id": parameter_block(name),
        "label": plain(name),
        "optional": not value,  # whoever wants to empty one has the command
        "element": element,
    }
