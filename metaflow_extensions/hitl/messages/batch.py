"""The message that the gates of one foreach share."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from metaflow_extensions.hitl.approvals.deciding import votes
from metaflow_extensions.hitl.approvals.deciding.in_advance import (
    AnswerInAdvance,
    InAll,
    problem_with,
    shards_in_all,
)
from metaflow_extensions.hitl.approvals.record import Approval, EngineKind, State, Verdict, is_id

from . import controls, evidence, sentences, single, voting
from .blocks import (
    ELLIPSIS,
    Block,
    actions,
    approver,
    bold,
    button,
    code,
    confirm,
    context,
    cut,
    date,
    escape,
    field_sections,
    fits,
    header,
    literal,
    mention,
    mrkdwn,
    name,
    one_line,
    plain,
    quoted,
    section,
)
from .single import Rendered

_CODE = re.compile(r"`([a-z0-9-]+)`")
_LINES = 20  # shards that the message lists; those that wait come first
_LINE = 110  # characters of a shard's question there
_LABEL = 60  # characters of what a shard works on
_TITLE = 100  # characters of a question that all of them ask alike
_GROUPS = 4  # different ways in which votes stand, before they are only counted


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The gates of one step of one run, which share a message.

    Attributes
    ----------
    id : str
        Of the batch.
    pathspec : str
        ``flow/run/step``.
    members : Sequence[Approval]
        One of each gate, one at least, in the order of the foreach.
    standing : AnswerInAdvance, optional
        What somebody has answered for all shards, also those to come.
    """

    id: str
    pathspec: str
    members: Sequence[Approval]
    standing: AnswerInAdvance | None = None

    @property
    def in_all(self) -> InAll | None:
        """How many shards there are, also those that have not asked yet; None where nobody knows."""
        return shards_in_all(self.members)

    @property
    def not_asked(self) -> int:
        """How many have not asked, as far as is known."""
        return max(0, self.in_all.number - len(self.members)) if self.in_all is not None else 0

    @property
    def to_come(self) -> int:
        """How many have not asked yet and will, as far as is known."""
        return 0 if self.run_has_ended else self.not_asked

    @property
    def run_has_ended(self) -> bool:
        """Whether none waits and one of them shows that the run has ended, so that no further shard asks.

        While one waits, that of another may be its own: a gate of a workflow can be closed alone. On one machine
        Metaflow starts no further task after a rejection that fails the step.
        """
        return not self.waiting and any(
            one.state is State.CLOSED
            or (one.gate.engine is EngineKind.LOCAL and one.decision is not None and not one.lets_run)
            for one in self.members
        )

    @property
    def offers_in_advance(self) -> bool:
        """Whether somebody may answer for those to come, and nobody has."""
        taken_back = self.standing is None or self.standing.verdict is None
        return bool(self.to_come) and taken_back and not problem_with(self.members[0])

    @property
    def waiting(self) -> list[Approval]:
        return [one for one in self.members if one.state is State.PENDING]

    @cached_property
    def strictest(self) -> Approval:
        """The gate whose form serves for all: of those that wait, one that wants most of an approval."""

        def wanted(one: Approval) -> tuple[bool, bool]:
            return one.requirements.obligation_required, one.requirements.reason_required

        return max(self.waiting or self.members, key=wanted)  # the first of those that want as much

    @cached_property  # a form of a hundred shards asks for each of them
    def asks_alike(self) -> bool:
        """Whether all of them ask in the same words."""
        return len({sentences.question_text(one) for one in self.members}) == 1


def render(
    batch: Batch, *, now: datetime, ids: Mapping[str, str] | None = None, nobody: Collection[str] = ()
) -> Rendered:
    """Render the message as the gates stand.

    Parameters
    ----------
    ids, nobody
        As for a single question, of which the posts of the gates tell them as soon as there are any.
    """
    first = batch.members[0]
    known = dict(ids or {})
    for post in (post for one in batch.members for post in one.posts):
        known.update(post.ids)
        nobody = {*nobody, *post.nobody}
    title = title_of(batch)
    head: list[Block] = [header(title), context(single.origin(first))]
    if said := how_far(batch):
        head.append(section(plain(said)))
    head += _in_advance(batch, now)
    head += evidence.batch_blocks(batch.waiting, lambda one: label(batch, one, _LABEL))
    foot = _foot(batch, now)
    blocks = head
    for groups in range(_GROUPS, -1, -1):
        blocks = [*head, *(_asked(batch, now, known, nobody, groups) if batch.waiting else [])]
        if fits([*blocks, *foot, context(f"and {len(batch.members)} more")]):
            break
    blocks = [*blocks, *foot]  # before the list of shards, which a phone's first screen has no room for
    listed = sorted(batch.members, key=lambda one: one.state is not State.PENDING)
    left = len(listed)
    for approval in listed[:_LINES]:
        shown = context(line(batch, approval))
        if not fits([*blocks, shown, context(f"and {left} more")]):
            break
        blocks.append(shown)
        left -= 1
    if left:
        blocks.append(context(f"and {left} more: {code(f'/hitl list step {first.pathspec.step}')}"))
    return Rendered(
        text=f"{escape(title)} ({escape(sentences.step_name(first))})",
        blocks=blocks,
        metadata={
            "event_type": controls.EVENT_TYPE,
            "event_payload": {"approval_id": batch.id, "pathspec": batch.pathspec},
        },
    )


def gate_on_message(message: Mapping[str, Any]) -> str | None:
    """Return the id of a gate that a message as Slack sends it lists; None if it lists none."""
    for block in message.get("blocks") or ():
        for element in block.get("elements") or () if block.get("type") == "context" else ():
            for written in _CODE.findall(str(element.get("text", ""))):
                if is_id(written):
                    return str(written)
    return None


def how_far(batch: Batch) -> str:
    """Say how many shards have asked, and how they stand; empty where all have asked and all wait."""
    in_all, asked = batch.in_all, ""
    if in_all is not None and batch.not_asked:
        least = "" if in_all.is_exact else "at least "
        have = "has" if len(batch.members) == 1 else "have"
        ask = f"{have} asked so far" if batch.to_come else "had asked when the run ended"
        asked = f"{len(batch.members)} of {least}{in_all.number} {ask}"
    return " · ".join(filter(None, [asked, progress(batch) if len(batch.waiting) < len(batch.members) else ""]))


def _in_advance(batch: Batch, now: datetime) -> list[Block]:
    """Say what was answered for shards that nobody has seen, by whom, or why nobody can."""
    standing, to_come = batch.standing, batch.to_come
    if standing is not None and standing.verdict is not None:
        done = "Approved" if standing.verdict is Verdict.APPROVE else "Rejected"
        seen = f"{standing.asked} of {standing.in_all} had asked; nobody has seen the others"
        said = [f"*{done} in advance* by {mention(standing.by)}, including those to come: {seen}."]
        if standing.reason:
            said.append(quoted(standing.reason, 150))
        if to_come:
            said.append(f"It holds until {date(standing.until)}." if now < standing.until else "It no longer holds.")
        return [section(mrkdwn(" ".join(said)))]
    if not to_come:
        return []
    why = problem_with(batch.members[0])
    return [context(f"Those to come can't be answered in advance: {escape(why, 300)}.")] if why else []


def progress(batch: Batch) -> str:
    """Count how the gates stand."""
    ended = ended_how([one for one in batch.members if one.state is not State.PENDING])
    waiting = f"{len(batch.waiting)} waiting" if batch.waiting else ""
    return " · ".join(filter(None, [ended, waiting]))


def ended_how(ended: Collection[Approval]) -> str:
    """Count how gates ended."""
    states = Counter(one.state for one in ended)
    return " · ".join(f"{states[state]} {state.value}" for state in State if states[state])


def label(batch: Batch, approval: Approval, most: int) -> str:
    """Name a shard: by what it works on, and by its question where that says more; plain text of one line.

    Parameters
    ----------
    most : int
        UTF-16 units.
    """
    shard = approval.question.shard
    works_on = shard.value if shard is not None else ""
    asks = "" if batch.asks_alike and works_on else one_line(sentences.question_text(approval)[: 4 * most])
    if not works_on or works_on in asks:
        return cut(asks, most)
    return cut(f"{works_on}: {asks}" if asks else works_on, most)


def ending(approval: Approval) -> str:
    """Say how a gate that can no longer be answered ended; mrkdwn that mentions nobody."""
    said = sentences.verdict(approval, name)
    if approval.closing is not None:  # its reason is text from outside; what is said of a decision is ours
        return f"*{said.head}*{escape(one_line(said.tail[:400]), 100)}"
    reason = sentences.reason(approval)
    return f"*{said.head}*{said.tail}" + (f", {quoted(reason, 100)}" if reason else "")


def title_of(batch: Batch) -> str:
    """Say how many wait for what, in one line of plain text."""
    waiting, count = len(batch.waiting), len(batch.members)
    if waiting == count:
        said = f"{count} {'shard waits' if count == 1 else 'shards wait'}"
    elif waiting:
        said = f"{waiting} of {count} shards wait"
    elif all(one.state is State.CLOSED for one in batch.members):
        said = "1 shard was closed without an answer" if count == 1 else f"{count} shards were closed without an answer"
    elif batch.not_asked or any(one.state is State.CLOSED for one in batch.members):
        answered = sum(one.state is not State.CLOSED for one in batch.members)
        said = f"{answered} of {count + batch.not_asked} shards {'is' if answered == 1 else 'are'} answered"
    else:
        said = f"All {count} shards are answered" if count > 1 else "1 shard is answered"
    asks = cut(one_line(sentences.question_text((batch.waiting or batch.members)[0])[: 4 * _TITLE]), _TITLE)
    return f"{said}: {asks}" if batch.asks_alike else f"{said}: {asks} and others"


def _asked(batch: Batch, now: datetime, ids: Mapping[str, str], nobody: Collection[str], groups: int) -> list[Block]:
    """Say who decides, until when, who has voted, and what will be asked for.

    Parameters
    ----------
    groups : int
        In how many different ways votes may stand before they are only counted.
    """
    waiting = batch.waiting
    first = waiting[0]
    soonest = min(waiting, key=lambda one: (one.deadline is None, one.deadline or now))
    # Of one run all wait, or none: a shard for which somebody does is reason enough to say nothing.
    attended = next((one for one in waiting if one.unattended_since is None), first)
    return [
        *single.attendance_blocks(attended),
        *field_sections(
            [
                f"*Who decides*\n{single.who_decides(first, ids)}",
                f"*Answer by*\n{single.answer_by(soonest)}",
            ]
        ),
        *single.demands_blocks(first),
        *single.nobody_blocks(first, nobody),
        *_votes(batch, ids, groups),
        *([section(plain(sentences.asked_when_approving(first), 600))] if sentences.asks_for_input(first) else []),
    ]


def _votes(batch: Batch, ids: Mapping[str, str], groups: int) -> list[Block]:
    """Show who has voted how and who is missing: once for all shards of which that is the same."""
    standing: dict[str, list[Approval]] = {}
    for one in batch.waiting:
        said = voting.votes_so_far(one, mention, lambda written: approver(written, ids))
        standing.setdefault(said, []).append(one)
    if set(standing) == {""}:
        return []
    if len(standing) == 1 and groups:
        [(said, some)] = standing.items()
        shown = [section(mrkdwn(f"*Votes*\n{said}"))]
        proposals = [votes.proposal(one) for one in some]
        alike = all(one == proposals[0] for one in proposals)
        return [*shown, *single.input_fields(some[0], proposals[0] or {}, 300)] if alike else shown
    blocks = [section(mrkdwn("*Votes*"))]
    most = sorted(standing.items(), key=lambda group: -len(group[1]))
    blocks += [section(mrkdwn(f"{_shards(len(some))}: {said or 'nobody yet.'}")) for said, some in most[:groups]]
    if rest := sum(len(some) for _, some in most[groups:]):
        blocks.append(context(f"{_shards(rest)} have different votes: {code('/hitl show ID')}"))
    return blocks


def _shards(count: int) -> str:
    return f"{count} {'shard' if count == 1 else 'shards'}"


def line(batch: Batch, approval: Approval) -> str:
    """Say in one line how a gate stands; mrkdwn that mentions nobody."""
    shard = approval.question.shard
    asks = cut(one_line(sentences.question_text(approval)[: 4 * _LINE]), _LINE)
    about = literal(asks, 2 * _LINE)
    if shard is not None and shard.value and shard.value not in asks:
        about = bold(shard.value, _LABEL) if batch.asks_alike else f"{bold(shard.value, _LABEL)} {about}"
    if approval.state is not State.PENDING:
        return f"{ending(approval)}: {about} · {code(approval.id)}"
    cast = f" ({_cast(approval)})" if approval.votes else ""
    return f"Waits{cast}: {about} · {code(approval.id)}"


def _cast(approval: Approval) -> str:
    """Count the votes of one shard."""
    agree, needed = len(votes.in_favour(approval.votes)), max(approval.requirements.quorum, 1)
    against = len(approval.votes) - agree
    return f"{agree} of {needed} agree" + (f", {against} against" if against else "")


def _foot(batch: Batch, now: datetime) -> list[Block]:
    waiting = batch.waiting
    if not waiting:
        return [actions(further)] if (further := _to_come_buttons(batch)) else []
    if all(one.is_due(now) for one in waiting):
        return [section(mrkdwn("*The deadline has passed*, so this can no longer be answered."))]
    return [actions(answer_buttons(batch))]


def answer_buttons(batch: Batch) -> list[Block]:
    """Build the buttons that answer all that wait."""
    first, count = batch.waiting[0], len(batch.waiting)
    about = _about(batch)
    if sentences.opens_form(first):
        approve = button(f"Approve all{ELLIPSIS}", controls.APPROVE_ALL, batch.id, about=about, style="primary")
    else:
        label = (
            "Approve all" if not batch.offers_in_advance else f"Approve these {count}" if count > 1 else "Approve this"
        )
        asked = confirm(f"{label}?", f"{count} of {sentences.step_name(first)[:200]}", yes=label)
        approve = button(label, controls.APPROVE_ALL, batch.id, about=about, style="primary", confirm=asked)
    return [
        approve,
        *_to_come_buttons(batch),
        button(f"Approve all except{ELLIPSIS}", controls.APPROVE_EXCEPT, batch.id, about=about),
        button(f"Reject all{ELLIPSIS}", controls.REJECT_ALL, batch.id, about=about, style="danger"),
    ]


def _about(batch: Batch) -> str:
    first = batch.members[0]
    return f"{_shards(len(batch.waiting) or len(batch.members))} of {first.pathspec.step}, run {first.pathspec.run}"


def _to_come_buttons(batch: Batch) -> list[Block]:
    """Build the buttons for shards that have not asked yet: to answer them, or to take such an answer back."""
    about, to_come = _about(batch), batch.to_come
    if not to_come:
        return []
    if batch.standing is not None and batch.standing.verdict is not None:
        text = f"{to_come} more will then wait for an answer of their own. What was decided so far stays decided."
        sure = confirm("Take the answer back?", text, yes="Take it back")
        return [button("Take back", controls.TAKE_BACK, batch.id, about=about, confirm=sure)]
    if not batch.offers_in_advance or sentences.opens_form(batch.members[0]):
        return []  # the form asks whether it is for those to come as well
    waiting = len(batch.waiting)
    label = f"Approve all {waiting + to_come}"
    text = f"{waiting} wait now. {to_come} more will be approved as they ask, before anybody has seen them."
    return [
        button(label, controls.APPROVE_TO_COME, batch.id, about=about, confirm=confirm(f"{label}?", text, yes=label))
    ]
