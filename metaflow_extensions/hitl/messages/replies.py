"""Replies that one person alone sees: to /hitl, to a button, to a form."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict

from metaflow_extensions.hitl.approvals.deciding.delegation import Delegation
from metaflow_extensions.hitl.approvals.deciding.proposal import AnswerProposal, DoneProposal, Proposal
from metaflow_extensions.hitl.approvals.duration import in_words
from metaflow_extensions.hitl.approvals.errors import GateNotReached, NotifierBusy
from metaflow_extensions.hitl.approvals.record import Approval, Person, State, Verdict
from metaflow_extensions.hitl.approvals.refusals import NotAllowed
from metaflow_extensions.hitl.approvals.use_cases import Outcome

from . import controls, sentences, single, voting
from .blocks import (
    Block,
    actions,
    approver,
    bold,
    button,
    code,
    code_block,
    context,
    escape,
    literal,
    mrkdwn,
    name,
    one_line,
    plain,
    quoted,
    section,
)

# Why something did not happen, with those who may as people and groups instead of their ids.

_LONGEST = 2_900  # characters, below the 3,000 of a section


def refusal_block(error: Exception) -> Block:
    """Show an error's own words; letter by letter, unless it names people by their ids."""
    ids = _ids(error)
    if not ids:
        return section(plain(str(error), _LONGEST))
    said = escape(str(error), _LONGEST - sum(len(shown) for shown in ids.values()))
    for written, shown in ids.items():
        said = said.replace(written, shown)
    return section(mrkdwn(said))


def _ids(error: Exception) -> dict[str, str]:
    """Return how those are shown whom the rule behind a refusal names by id."""
    if not isinstance(error, NotAllowed):
        return {}
    requirements = error.approval.requirements
    named = {name: approver(name, {}) for name in (*requirements.names, *requirements.deciders)}
    return {name: shown for name, shown in named.items() if name in shown and shown.startswith("<")}


# Answers that one person alone sees: to /hitl, to a button, to a form.

_WORDS = (
    ("/hitl list", "what waits for an answer; also: list mine, list flow NAME, list step NAME, list overdue"),
    ("/hitl show ID", "one approval, with everything about it"),
    ("/hitl approve ID", "approve; asks for input if the step needs any, or takes it as NAME=VALUE after the ID"),
    ('/hitl approve ID owes="look again" due=2026-12-31', "approve with an obligation, of others with owner=@person"),
    ("/hitl reject ID REASON", "reject; the requester reads the reason"),
    ("/hitl remind ID", "ask again in the thread, now"),
    ("/hitl history", "what was decided in the last 7 days; also: history flow NAME 30d"),
    ("/hitl stats", "how many were asked and how long answers took, in the last 30 days; also: stats flow NAME 7d"),
    ("/hitl stats rules", "how often rules in shadow mode agreed with people; also: stats rules flow NAME 90d"),
    ("/hitl obligations", "what you owe with an approval, and a button to close it; also: obligations all"),
    ("/hitl delegate @person until 2026-12-24", "let someone decide for you until then; also: delegate, delegate end"),
    ("/hitl help", "this list"),
)


class Reply(TypedDict):
    """What Bolt's ``respond`` takes. ``text`` says the same as the blocks, for notifications and screen readers."""

    text: str
    blocks: list[Block]
    response_type: str
    replace_original: bool


def nothing_waits(last_decided: Approval | None, *, now: datetime) -> Reply:
    """Say that nothing waits, and when the last one was decided."""
    text = "Nothing is waiting for an answer."
    if last_decided is None or last_decided.decision is None:
        return said(text)
    ago = sentences.ago(last_decided.decision.at, now)
    return said(text, f"The last one was {last_decided.decision.verdict.value} {ago}: {last_decided.id}.")


def shown(approval: Approval, *, now: datetime) -> Reply:
    """Show one approval, with its buttons if it still takes an answer."""
    message = single.render(approval, now=now)
    return reply(message.text, message.blocks)


def done(outcome: Outcome) -> Reply:
    """Say that a decision, or a vote, was taken, and what is still to come."""
    approval = outcome.approval
    about = escape(one_line(sentences.question_text(approval)), 300)
    if approval.state is State.PENDING:
        newest = approval.votes[-1] if approval.votes else None
        absent = newest.on_behalf_of if newest is not None else None
        whose = "Your vote" if absent is None else f"Your vote for {name(absent)}"
        return _voted(f"{whose} was recorded: {about}", outcome)
    text = f"{sentences.verdict(approval, name).head}: {about}"
    after = sentences.trouble(approval) or sentences.aftermath(approval)
    lines = [f"{after[:1].upper()}{after[1:].rstrip('.')}."] if after else []
    return reply(text, [section(mrkdwn(text)), *[section(plain(line)) for line in lines], *_pending(outcome)])


def voted_before(outcome: Outcome) -> Reply:
    """Say that the same vote was there already, so that nothing changed."""
    about = escape(one_line(sentences.question_text(outcome.approval)), 300)
    return _voted(f"You have already voted like this, so nothing changed: {about}", outcome)


def _voted(text: str, outcome: Outcome) -> Reply:
    so_far = voting.votes_so_far(outcome.approval, name, lambda written: approver(written, {}))
    return reply(f"{text} {so_far}", [section(mrkdwn(text)), section(mrkdwn(so_far)), *_pending(outcome)])


def _pending(outcome: Outcome) -> list[Block]:
    """Say what was not done yet: nothing to do for the reader, since the sweeper goes on where this stopped."""
    late = [error for error in outcome.pending if not isinstance(error, NotifierBusy)]
    # Nobody can correct this answer later, so that what is merely a matter of seconds is said in words that stay true.
    lines = [
        one_line(str(error))
        if isinstance(error, GateNotReached)
        else f"Not done when you answered; the bot will retry: {one_line(str(error))}"
        for error in late[:3]
    ]
    if len(late) < len(outcome.pending):
        lines.append("The message will show it as soon as Slack's limits allow.")
    return [*[section(plain(line)) for line in lines], context(code(outcome.approval.id))]


def command_to_copy(approval: Approval, *, script: str = "flow.py") -> Reply:
    """Show the commands that answer from a terminal, ready to be copied."""
    commands = f"{sentences.approve_command(approval, script)}\n{sentences.reject_command(approval, script)}"
    return reply(
        f"Commands that answer {approval.id}",
        [section(mrkdwn(f"To answer from a terminal, in the flow's directory:\n{code_block(commands, 2_800)}"))],
    )


def delegated(delegation: Delegation, *, day: str) -> Reply:
    """Say who decides for whom, and until when."""
    to = delegation.to.name if delegation.to else ""
    if delegation.to is not None and delegation.to.email:
        to += f" ({delegation.to.email})"  # names are not IDs: so that everybody sees who was meant
    return said(
        f"{to} decides for you until {day}, and every such decision says so. To end this: /hitl delegate end.",
        "Only your own vote is delegated; what others delegated to you stays with you. A policy may forbid "
        "delegation for some approvals.",
    )


def delegating(standing: Delegation | None, absent: Sequence[Person], *, now: datetime) -> Reply:
    """Say who decides for this person, and for whom this person decides."""
    lines = ["Nobody decides for you. To name someone: /hitl delegate @person until 2026-12-24."]
    if standing is not None and standing.to is not None:
        left = in_words((standing.until - now).total_seconds())
        lines = [f"{standing.to.name} decides for you, for {left} more. To end this: /hitl delegate end."]
    if absent:
        lines.append(f"You decide for {', '.join(person.name for person in absent)}.")
    return said(*lines)


def help_text(unknown: str | None = None) -> Reply:
    """List the words that /hitl knows; name the one that it does not."""
    rows = [f"{code(words)} {meaning}" for words, meaning in _WORDS]
    first = [] if unknown is None else [section(mrkdwn(f"Unknown command {code(unknown, 100)}. Try:"))]
    text = ", ".join(words for words, _ in _WORDS)
    if unknown is not None:
        verbs = ", ".join(dict.fromkeys(words.split()[1] for words, _ in _WORDS))
        text = f"Unknown command {code(unknown, 100)}. Try: {verbs}."
    return reply(text, [*first, section(mrkdwn("\n".join(rows)))])


def refusal(error: Exception) -> Reply:
    """Say why something did not happen. The errors' own words are written for this."""
    return reply(escape(str(error), 1_500).strip() or "–", [refusal_block(error)])


def broken(reference: str) -> Reply:
    """Say that the fault is ours; the reference finds it in the log. It may have come after an answer was recorded."""
    return said(
        "Something went wrong. If you gave an answer, the question's message and /hitl show ID say whether it was "
        f"recorded. If this happens again, give your operator this reference: {reference}"
    )


def said(*sentences_: str) -> Reply:
    """Say sentences, shown letter by letter."""
    text = " ".join(sentences_)
    return reply(escape(text, 1_500).strip() or "–", [section(plain(text, 2_900))])


def reply(text: str, blocks: list[Block]) -> Reply:
    """Build an answer for the asker alone, below what the person clicked or typed."""
    return Reply(text=text, blocks=blocks, response_type="ephemeral", replace_original=False)


# The direct messages that ask somebody whether an answer, or a run, is theirs.

_QUESTION, _INPUT, _SHOWN = 1_000, 300, 20
_SEPARATOR = ":"
_HEADS = {Verdict.APPROVE: "approved", Verdict.REJECT: "rejected", Verdict.CHANGES: "requested changes"}


def was_that_you(approval: Approval, proposal: AnswerProposal) -> Reply:
    """Ask whether an answer from a command line is theirs. The button is about exactly this answer."""
    said = f"On a command line, {code(proposal.claimed)} has {_HEADS[proposal.verdict]} this. Was that you?"
    blocks = [section(mrkdwn(bold(one_line(sentences.question_text(approval)), _QUESTION))), _place(approval)]
    blocks.append(section(mrkdwn(said)))
    if lines := _answer(proposal):
        blocks.append(section(mrkdwn("\n".join(lines))))
    blocks.append(actions([_yes(approval, proposal)]))
    blocks.append(context("It counts as your answer once you confirm it. If it wasn't you, do nothing."))
    return reply(f"Was that you? {one_line(sentences.question_text(approval))}", blocks)


def is_that_done(approval: Approval, proposal: DoneProposal) -> Reply:
    """Ask whether it was them who said on a command line that an obligation is done."""
    owed = approval.open_obligations[proposal.number]
    said = f"On a command line, {code(proposal.claimed)} has closed this obligation. Was that you?"
    lines = [f"{quoted(owed.text, _QUESTION)}, due {owed.due}", f"What was done: {quoted(proposal.comment)}"]
    blocks = [
        section(mrkdwn(said)),
        section(mrkdwn("\n".join(lines))),
        _place(approval),
        actions([_yes(approval, proposal)]),
        context("It is closed once you confirm it. If it wasn't you, do nothing."),
    ]
    return reply(f"Was that you? {one_line(owed.text)}", blocks)


def _yes(approval: Approval, proposal: Proposal) -> Block:
    value = _SEPARATOR.join((approval.id, proposal.nonce, proposal.digest))
    about = sentences.spoken(approval)
    return button("Yes, that was me", controls.CONFIRM_ANSWER, value, about=about, style="primary")


def did_you_start_it(approval: Approval) -> Reply:
    """Ask whether a run is theirs, where nobody may approve their own."""
    run = f"{approval.pathspec.flow}/{approval.pathspec.run}"
    said = f"The run {code(run)} says that {code(approval.requester.name)} started it. Did you start it?"
    about = sentences.spoken(approval)
    blocks = [
        section(mrkdwn(said)),
        _place(approval),
        actions([button("Yes, I started it", controls.CONFIRM_RUN, approval.id, about=about, style="primary")]),
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
    place = f"{escape(sentences.step_name(approval), 200)} · run {escape(approval.pathspec.run, 100)}"
    return context(f"{place} · {code(approval.id)}")


def _answer(proposal: AnswerProposal) -> list[str]:
    pairs = list(proposal.input.items())
    lines = [
        f"{literal(one_line(key), 100)}: {literal(one_line(sentences.value_text(value)), _INPUT)}"
        for key, value in pairs[:_SHOWN]
    ]
    if len(pairs) > _SHOWN:
        lines.append(f"and {len(pairs) - _SHOWN} more")
    owed = proposal.obligation
    if owed is not None:
        lines.append(f"Owed by {literal(owed.owner or 'you', 100)}: {quoted(owed.text, _QUESTION)}, due {owed.due}")
    return lines + ([f"Reason: {quoted(proposal.reason)}"] if proposal.reason else [])
