"""The direct messages that ask somebody whether an answer, or a run, is theirs."""

from __future__ import annotations

from metaflow_extensions.hitl.approvals.deciding.proposal import AnswerProposal
from metaflow_extensions.hitl.approvals.record import Approval, Verdict
from metaflow_extensions.hitl.messages import action_ids, sentences
from metaflow_extensions.hitl.messages.answers import Reply, reply
from metaflow_extensions.hitl.messages.blocks import Block, actions, button, context, mrkdwn, section
from metaflow_extensions.hitl.messages.mrkdwn import bold, code, escape, literal, one_line, quoted

_QUESTION, _INPUT, _SHOWN = 1_000, 300, 20
_SEPARATOR = ":"
_HEADS = {Verdict.APPROVE: "approved", Verdict.REJECT: "rejected", Verdict.CHANGES: "requested changes"}


def was_that_you(approval: Approval, proposal: AnswerProposal) -> Reply:
    """Ask whether an answer from a command line is theirs. The button is about exactly this answer."""
    said = f"On a command line, {code(proposal.claimed)} has {_HEADS[proposal.verdict]} this. Was that you?"
    blocks = [section(mrkdwn(bold(one_line(sentences.question(approval)), _QUESTION))), _place(approval)]
    blocks.append(section(mrkdwn(said)))
    if lines := _answer(proposal):
        blocks.append(section(mrkdwn("\n".join(lines))))
    value = _SEPARATOR.join((approval.id, proposal.nonce, proposal.digest))
    about = sentences.spoken(approval)
    yes = button("Yes, that was me", action_ids.CONFIRM_ANSWER, value, about=about, style="primary")
    blocks.append(actions([yes]))
    blocks.append(context("It counts as your answer once you confirm it. If it wasn't you, do nothing."))
    return reply(f"Was that you? {one_line(sentences.question(approval))}", blocks)


def did_you_start_it(approval: Approval) -> Reply:
    """Ask whether a run is theirs, where nobody may approve their own."""
    run = f"{approval.pathspec.flow}/{approval.pathspec.run}"
    said = f"The run {code(run)} says that {code(approval.requester.name)} started it. Did you start it?"
    about = sentences.spoken(approval)
    blocks = [
        section(mrkdwn(said)),
        _place(approval),
        actions([button("Yes, I started it", action_ids.CONFIRM_RUN, approval.id, about=about, style="primary")]),
        context(
            "Nobody may approve their own run here, so others can approve it only after its owner has confirmed "
            "the run. If it isn't yours, do nothing."
        ),
    ]
    return reply(f"Did you start the run {run}?", blocks)


def confirmed_answer(value: str) -> tuple[str, str, str]:
    """Split the value of the button into approval id, nonce and digest; each may be empty."""
    approval_id, _, rest = value.partition(_SEPARATOR)
    nonce, _, digest = rest.partition(_SEPARATOR)
    return approval_id, nonce, digest


def _place(approval: Approval) -> Block:
    place = f"{escape(sentences.place(approval), 200)} · run {escape(approval.pathspec.run, 100)}"
    return context(f"{place} · {code(approval.id)}")


def _answer(proposal: AnswerProposal) -> list[str]:
    pairs = list(proposal.input.items())
    lines = [
        f"{literal(one_line(key), 100)}: {literal(one_line(sentences.value_text(value)), _INPUT)}"
        for key, value in pairs[:_SHOWN]
    ]
    if len(pairs) > _SHOWN:
        lines.append(f"and {len(pairs) - _SHOWN} more")
    return lines + ([f"Reason: {quoted(proposal.reason)}"] if proposal.reason else [])
