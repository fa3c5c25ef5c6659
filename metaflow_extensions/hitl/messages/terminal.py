"""The question and the answer as plain text, for a terminal and for a log."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone, tzinfo
from itertools import groupby
from types import MappingProxyType

from metaflow_extensions.hitl.approvals.auditing import Audited, vouchers
from metaflow_extensions.hitl.approvals.codec import Version
from metaflow_extensions.hitl.approvals.deciding.in_advance import shards_in_all
from metaflow_extensions.hitl.approvals.deciding.permission import needs_confirming
from metaflow_extensions.hitl.approvals.deciding.proposal import DoneProposal, Proposal
from metaflow_extensions.hitl.approvals.duration import in_words
from metaflow_extensions.hitl.approvals.evidence.binding import question_digest
from metaflow_extensions.hitl.approvals.record import Approval, Person, State, Verdict
from metaflow_extensions.hitl.approvals.schema import Field, accepted
from metaflow_extensions.hitl.approvals.statistics import RuleScore, Statistics

from . import evidence, obligations, sentences, voting
from .blocks import is_web_address
from .trail import short
from .voting import requester, vouched, who_vouches

_MESSAGE = 2_000  # of a message that may be megabytes
_VALUE = 500
_ERROR = 4_000
_CELL = 44  # of the message in a table
_NO_COMMANDS: Mapping[str, str] = MappingProxyType({})
_UNSEEN = re.compile(
    r"[\x00-\x09\x0b-\x1f\x7f-\x9f]"  # control characters, so every escape sequence, but not the line feed
    r"|[\u200e\u200f\u202a-\u202e\u2066-\u2069]"  # would turn the line around
    r"|[\ud800-\udfff]"  # half a character: can't be printed
)


def harmless(text: str, limit: int) -> str:
    r"""Shorten text and write out what a terminal would obey: ``\x1b`` becomes those four letters."""
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    return _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text.replace("\r\n", "\n").replace("\t", "    "))


def words(error: Exception) -> str:
    """Say what went wrong; an error's words hold what people wrote, such as a reason."""
    return harmless(str(error), _ERROR)


def one_line(text: str, limit: int) -> str:
    return harmless(" ".join(text[: 4 * limit].split()), limit)


def question_text(approval: Approval, *, script: str = "flow.py", zone: tzinfo = timezone.utc) -> str:
    """Ask in a terminal.

    Parameters
    ----------
    approval : Approval
        Pending.
    script : str
        The flow's file, as it is written after ``python``.
    zone : tzinfo
        The time zone to show the deadline in.

    Returns
    -------
    str
        Several lines without a line break at the end.
    """
    post = next((post for post in approval.posts if post.channel or post.url), None)
    asked = harmless(sentences.question_text(approval), _MESSAGE).replace("\n", "\n  ")
    rows = _measured(approval)
    if post is not None:
        channel = approval.question.channel or post.channel or ""
        rows.append(("in Slack", one_line(f"{channel} {post.url or ''}", _VALUE)))
    rows.append(("answer" if post is None else "or here", sentences.approve_command(approval, script)))
    rows.append(("or reject", sentences.reject_command(approval, script)))
    rows.append(("until", _until(approval, zone)))
    rows += _attendance(approval, zone)
    if approval.requirements.asks_several:
        rows.append(("agree", one_line(voting.who_decides(approval, str), _VALUE)))
    return "\n".join([f"Waiting for approval: {asked}", *(f"  {label:<10} {text}" for label, text in rows)])


def _attendance(approval: Approval, zone: tzinfo) -> list[tuple[str, str]]:
    said = sentences.nobody_waits(approval, lambda moment: _at(moment, zone))
    return [("waiting", one_line(said, _VALUE))] if said else []


def _measured(approval: Approval) -> list[tuple[str, str]]:
    lines = evidence.text_lines(approval.question.evidence)
    links = ((name, url) for name, url in approval.question.links.items() if is_web_address(url))
    return [(one_line(label, _CELL).ljust(10), one_line(text, _VALUE)) for label, text in (*lines, *links)]


def nobody(approval: Approval) -> list[str]:
    """Report, a line each, the approvers that nobody in Slack stood behind when the question was posted."""
    return [
        one_line(f"No one in Slack matches {name}. Fix `approvers`, or nobody can answer {approval.id}.", _VALUE)
        for post in approval.posts
        for name in post.nobody
    ]


def preview(approval: Approval, *, zone: tzinfo = timezone.utc) -> str:
    """Show what would be asked: the message, what it is based on, the form, who decides and what follows."""
    rows = [
        *_measured(approval),
        *(("link", one_line(f"{name} {url}", _VALUE)) for name, url in approval.question.links.items()),
        *(("field", one_line(_asked_for(field), _VALUE)) for field in sentences.form_fields(approval)),
        *((button.lower(), one_line(text, _VALUE)) for button, text in sentences.what_happens(approval)),
        ("decided by", one_line(voting.who_decides(approval, str, "everybody in the channel"), _VALUE)),
        ("asked by", one_line(", ".join(approval.question.notifiers), _VALUE)),
        ("until", _until(approval, zone)),
    ]
    asked = harmless(sentences.question_text(approval), _MESSAGE).replace("\n", "\n  ")
    return "\n".join([asked, *(f"  {label:<10} {text}" for label, text in rows)])


def whose_run(approval: Approval) -> list[str]:
    """Say what has to happen before anybody can approve, where nobody may approve their own run."""
    if approval.state is not State.PENDING or approval.question.allow_self_approval or not needs_confirming(approval):
        return []
    who = one_line(approval.requester.name, 80)
    said = (
        f"allow_self_approval=False: before anybody can approve, {who} has to confirm in Slack that the run is theirs. "
        f"If {who} is neither an email address nor linked to a Slack user, nobody can: an operator links them under "
        f"`people` in the policy file: `{who}: their email address`."
    )
    return [said]


def waves(approval: Approval, shards: int, workers: int) -> list[str]:
    """Say in the first shard of a foreach that not all of them can ask at once on this machine.

    Parameters
    ----------
    shards : int
        Of the foreach, and of those around it.
    workers : int
        How many tasks the run starts at a time; 0 if nobody knows.
    """
    shard = approval.question.shard
    if approval.state is not State.PENDING or shard is None or any(shard.place) or not 0 < workers < shards:
        return []
    said = (
        f"The foreach has {shards} shards, and at most {workers} of them can ask at a time (--max-workers): each one "
        f"that waits is a process. The others ask as those end. To have all of them ask, use --max-workers {shards} or "
        "METAFLOW_HITL_LOCAL=leave."
    )
    return [said]


def taken_from(approval: Approval) -> str:
    """Say that the run that this one resumes has asked the same."""
    run = one_line(approval.pathspec.run, 80)
    if approval.state is State.PENDING:
        return f"Run {run} has asked the same in {approval.id}, which is still open, so nobody is asked again."
    return f"Run {run} has asked the same in {approval.id}, and nothing has started with its answer yet."


def asked_nobody(approval: Approval, script: str) -> str:
    """Say that no notifier could deliver a question, what follows from that, and what to do."""
    ways = ", ".join(approval.question.notifiers)
    unseen = " At the deadline the step is approved, although nobody has seen the question."
    return one_line(
        f"{approval.id} is recorded, but nobody has been asked: the question could not be delivered by {ways}. "
        "Start a bot (`hitl-bot serve`) on the same METAFLOW_HITL_ROOT, or answer it with "
        f"`{sentences.approve_command(approval, script)}`." + (unseen if voting.deadline_approves(approval) else ""),
        _MESSAGE,
    )


def figures(counted: Statistics, scope: str) -> str:
    """Show how many were asked and decided, and how long people took."""
    half, most = (None if one is None else in_words(one) for one in (counted.median, counted.p95))
    took = f"; half within {half}, 95% within {most}" if half and most else ""
    return (
        f"{scope}: {counted.asked} asked, {counted.approved} approved, {counted.rejected} rejected, "
        f"{counted.expired} expired{took}."
    )


def rules(scores: Sequence[RuleScore], scope: str) -> str:
    """Show for each rule in shadow mode how often it agreed with people, and every decision where it did not."""
    if not scores:
        return f"{scope}: no rule in shadow mode was compared with people."
    lines: list[str] = []
    for score in scores:
        lines.append(one_line(f"{score.flow} / {score.step}: {score.condition}", _VALUE))
        lines.append(f"  {sentences.agreement(score)}")
        for miss in score.misses:
            url = next((f" ({post.url})" for post in miss.posts if post.url), "")
            lines.append("    " + one_line(f"{miss.id}: {sentences.disagreement(miss)}{url}", _VALUE))
    return "\n".join(lines)


def decided(approval: Approval) -> str:
    """Say in one line how it ended: ``Approved by bob after 3 min: deploy_target=staging``; or who has yet to vote."""
    if approval.state is State.PENDING:
        return one_line(f"Voted. Still missing: {voting.missing(approval, str)}.", _MESSAGE)
    ending = sentences.verdict(approval, _name)
    decision = approval.decision
    line = f"{ending.head}{ending.tail}"
    if decision is not None and decision.input:
        line += ": " + ", ".join(f"{key}={sentences.value_text(value)}" for key, value in decision.input.items())
    if reason := sentences.reason(approval):
        line += f': "{reason}"'
    return one_line(line, _MESSAGE)


def what_follows(approval: Approval) -> list[str]:
    """Say what else has to happen after an answer, where no run waits for it."""
    if trouble := sentences.trouble(approval):
        return [one_line(trouble, _MESSAGE)]
    resume = approval.question.resume
    goes_on = approval.question.leaves and approval.lets_run and resume is not None
    return [one_line(f"To continue with this answer: {resume}", _MESSAGE)] if goes_on else []


def to_be_confirmed(proposal: Proposal) -> str:
    """Say what happens next to what its person has to confirm: an answer, or that an obligation is done."""
    claimed = one_line(proposal.claimed, 80)
    about = f"the answer to {proposal.approval_id} counts"
    may = "may not answer this"
    if isinstance(proposal, DoneProposal):
        about, may = f"the obligation of {proposal.approval_id} is closed", "may not close this"
    return (
        f"Your identity has to be confirmed, so {about} once you confirm it in Slack.\n"
        f"The bot asks the person whom {claimed} is linked to, in a direct message: “Was that you?”\n"
        f"If no message comes, {claimed} isn't linked to a Slack user or {may}; the question's thread says why.\n"
        f"An operator can link them under `people` in the policy file: `{claimed}: their email address`."
    )


def owed(approval: Approval) -> str:
    """Say in one line what is owed with an approval, and what became of it."""
    return one_line("; ".join(obligations.lines(approval)), _MESSAGE)


def owing(
    owed: Sequence[tuple[Approval, int]], *, now: datetime, zone: tzinfo = timezone.utc, unread: bool = False
) -> str:
    """List open obligations, one a line under a line of headings; a sentence if there are none.

    Parameters
    ----------
    unread : bool
        Whether some could not be read.
    """
    today = now.astimezone(zone).date()
    rows = [
        (
            approval.id,
            str(number),
            one.due + (" (overdue)" if one.day < today else ""),
            one_line(one.owner.name or one.owner.id, _CELL),
            one_line(sentences.step_name(approval).replace(" / ", "/") + f"/{approval.pathspec.run}", _CELL),
            one_line(one.text, _CELL),
        )
        for approval, number in owed
        for one in [approval.open_obligations[number]]
    ]
    if not rows:
        return "No obligation that can be read is open." if unread else "Nobody owes anything."
    return _columns([("ID", "NUMBER", "DUE", "OWNER", "STEP AND RUN", "WHAT IS OWED"), *rows])


def not_confirmed(proposal: Proposal) -> str:
    """Say that nobody has confirmed it yet."""
    if isinstance(proposal, DoneProposal):
        return (
            f"Not confirmed yet. The obligation of {proposal.approval_id} is still open; you can confirm in Slack "
            "within a day that it is done."
        )
    return f"Not confirmed yet. {proposal.approval_id} is still open; you can confirm the answer in Slack within a day."


def nothing_found(*, ended: bool = False, unread: bool = False) -> str:
    """Say that nothing waits, or that nothing was ever asked; of what can be read, if something could not be."""
    what = "Nothing that can be read" if unread else "Nothing"
    if ended:
        return f"{what} was asked{'' if unread else ' yet'}."
    return f"{what} is waiting for an answer."


def table(
    approvals: Sequence[Approval],
    *,
    now: datetime,
    zone: tzinfo = timezone.utc,
    nothing: str = "Nothing is waiting for an answer.",
    each_shard: bool = False,
) -> str:
    """List approvals under a line of headings, one a line; a sentence if there are none.

    Parameters
    ----------
    approvals : Sequence[Approval]
        In the order of the list.
    now : datetime
        The present.
    zone : tzinfo
        The time zone to show times in.
    nothing : str
        What to say of none.
    each_shard : bool
        Whether each shard of a foreach has a line, and not all of them one.
    """
    rows = [_row(some, now, zone) for some in ([[one] for one in approvals] if each_shard else _by_foreach(approvals))]
    if not rows:
        return nothing
    until = "UNTIL" if all(approval.state is State.PENDING for approval in approvals) else "UNTIL, OR ANSWERED BY"
    rows.insert(0, ("ID", "STATE", "STEP AND RUN", "ASKED", until, "QUESTION"))
    return _columns(rows)


def _columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(_width(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _by_foreach(approvals: Sequence[Approval]) -> list[list[Approval]]:
    """Put the shards of one foreach together, where the first of them stands."""
    groups: dict[object, list[Approval]] = {}
    for one in approvals:
        path = one.pathspec
        key = one.id if one.question.shard is None else (path.flow, path.run, path.step)
        groups.setdefault(key, []).append(one)
    return list(groups.values())


def _row(some: Sequence[Approval], now: datetime, zone: tzinfo) -> tuple[str, ...]:
    """Say in six cells how an approval stands, or how the shards of one foreach do."""
    waiting = [one for one in some if one.state is State.PENDING]
    first = min(waiting or some, key=lambda one: (one.deadline is None, one.deadline or now))
    in_all = shards_in_all(some)
    total = max(len(some), in_all.number if in_all is not None else 0)
    shards = f"{total} shards" if total == len(some) else f"{len(some)} of {total} shards"
    asks = {sentences.question_text(one) for one in some}
    states = Counter(_state(one) for one in some)
    until = _until(first, zone) if waiting else _ended(first, now)
    others = {_until(one, zone) for one in waiting} if waiting else {_ended(one, now) for one in some}
    return (
        first.id if len(some) == 1 else shards,
        next(iter(states)) if len(states) == 1 else ", ".join(f"{count} {state}" for state, count in states.items()),
        one_line(sentences.step_name(first).replace(" / ", "/") + f"/{first.pathspec.run}", _CELL),
        sentences.ago(min(one.requested_at for one in some), now),
        until if len(others) == 1 else f"first: {until}",
        one_line(sentences.question_text(first), _CELL) + ("" if len(asks) == 1 else " and others"),
    )


def shown(
    approval: Approval,
    trail: Sequence[Version] = (),
    *,
    now: datetime,
    commands: Mapping[str, str] = _NO_COMMANDS,
    elsewhere: str = "",
    zone: tzinfo = timezone.utc,
) -> str:
    """Show everything about an approval, and its versions if they are given.

    Parameters
    ----------
    approval : Approval
        As it is now.
    trail : Sequence[Version]
        Its versions, oldest first.
    now : datetime
        The present.
    commands : Mapping[str, str]
        Those that answer it here, by what they do.
    elsewhere : str
        Why other answers, or all of them, can't be given here.
    zone : tzinfo
        The time zone to show times in.
    """
    asked = harmless(sentences.question_text(approval), _MESSAGE).replace("\n", "\n  ")
    rows = [
        ("id", approval.id),
        ("state", _state(approval)),
        ("task", str(approval.pathspec)),
        ("asked", f"{_at(approval.requested_at, zone)} by {requester(approval, _name)}"),
        ("approvers", one_line(voting.who_decides(approval, str, "everyone who can see the question"), _VALUE)),
        ("until", _until(approval, zone)),
        *(("posted", one_line(f"{post.notifier} {post.url or post.channel or ''}", _VALUE)) for post in approval.posts),
    ]
    rows += [(one_line(name, _CELL), one_line(url, _VALUE)) for name, url in approval.question.links.items()]
    rows += _bound_to(approval)
    if approval.question.run_url:
        rows.append(("run", one_line(approval.question.run_url, _VALUE)))
    decision = approval.decision
    if approval.requirements.name:
        rows.append(("rule", one_line(voting.demands(approval.requirements), _VALUE)))
    if votes := voting.votes_so_far(approval, _name, str) if approval.state is State.PENDING else "":
        rows.append(("votes", one_line(votes, _VALUE)))
    rows += [("field", one_line(_asked_for(field), _VALUE)) for field in sentences.form_fields(approval)]
    if approval.state is State.PENDING:
        rows += [*_attendance(approval, zone), *commands.items()]
        if elsewhere:
            rows.append(("not here", one_line(elsewhere, _VALUE)))
    else:
        at = decision.at if decision else approval.closing.at if approval.closing else now
        rows.append(("answer", f"{decided(approval)} ({_at(at, zone)})"))
    if said := vouched(approval):
        rows.append(("vouched", said))
    if decision is not None:
        rows += [
            (
                "input",
                f"{one_line(key, _CELL)} = {harmless(sentences.value_text(value), _VALUE)}".replace(
                    "\n", "\n" + " " * 13
                ),
            )
            for key, value in decision.input.items()
        ]
    rows += [("owed", one_line(text, _VALUE)) for text in obligations.lines(approval)]
    if decision is not None and decision.verdict is Verdict.CHANGES and approval.question.run_again:
        rows.append(("again", harmless(approval.question.run_again, _MESSAGE)))
    after = sentences.trouble(approval) or sentences.aftermath(approval)
    for label, text in (("then", after), ("not shown", sentences.not_shown(approval))):
        rows += [(label, one_line(text, _VALUE))] if text else []
    rows += [
        ("version", f"{version.number} {one_line(short(version), _CELL)} {_at(version.at, zone)}") for version in trail
    ]
    return "\n".join([asked, *(f"  {label:<10} {text}" for label, text in rows)])


def _asked_for(field: Field) -> str:
    """Say what a field asks for: ``share: a whole number from 1 to 100; default 10``."""
    parts = [f"{field.name}: {accepted(field)}"]
    if field.default not in (None, "", []):
        parts.append(f"default {sentences.value_text(field.default)}")
    elif not field.required:
        parts.append("optional")
    if field.help:
        parts.append(field.help)
    return "; ".join(parts)


def _bound_to(approval: Approval) -> list[tuple[str, str]]:
    """Say what the answer is about, to the letter."""
    found = approval.question.evidence
    if found is None:
        return [("evidence", "nothing was recorded")]
    rows = [(one_line(label, _CELL), one_line(text, _VALUE)) for label, text in evidence.text_lines(found)]
    rows += [("parameter", one_line(f"{name} = {value}", _VALUE)) for name, value in found.parameters.items()]
    if words := evidence.code_words(found.code):
        rows.append(("code", words))
    if found.code.package:
        rows.append(("package", found.code.package))
    if found.artifacts is not None:
        rows += [("artifact", one_line(f"{name} {key}", _VALUE)) for name, key in found.artifacts.keys.items()]
        rows.append(("artifacts", f"{found.artifacts.count}, SHA-256 {found.artifacts.sha256}"))
    return [*rows, ("question", f"SHA-256 {question_digest(approval)}")]


def verified(trail: Sequence[Version], digest: str, *, zone: tzinfo = timezone.utc) -> str:
    """Say that a trail is intact.

    Parameters
    ----------
    trail : Sequence[Version]
        All versions, oldest first, at least one.
    digest : str
        SHA-256 of the newest version, in hex. Keep it to check later that nothing was changed.
    zone : tzinfo
        The time zone to show times in.
    """
    count = "1 version" if len(trail) == 1 else f"{len(trail)} versions"
    lines = [f"{trail[-1].approval.id} is intact: {count}, each with the hash of the one before it."]
    who = vouchers(trail)
    if any(voucher.key is None for voucher in who):
        lines.append("Anyone who can write to the store could have written what nobody vouches for.")
    lines += [
        f"  {version.number}  {_at(version.at, zone)}  {one_line(short(version), _CELL)}, "
        f"vouched for by {one_line(who_vouches(voucher), _VALUE)}"
        for version, voucher in zip(trail, who, strict=True)
    ]
    return "\n".join([*lines, f"  SHA-256 of the newest version: {digest}"])


def _state(approval: Approval) -> str:
    if approval.state is State.PENDING or approval.settlement is not None:
        return approval.state.value
    return f"{approval.state.value}, being carried out"


def _ended(approval: Approval, now: datetime) -> str:
    """Say who decided and how long ago, or why nobody did."""
    if approval.decision is not None:
        return f"{_name(approval.decision.by)}, {sentences.ago(approval.decision.at, now)}"
    return one_line(approval.closing.reason if approval.closing else "", _CELL)


def _until(approval: Approval, zone: tzinfo) -> str:
    if approval.deadline is None:
        return "no deadline"
    return f"{_at(approval.deadline, zone)}, {sentences.at_deadline(approval)}"


def _at(moment: datetime, zone: tzinfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M %Z}"


def _name(person: Person) -> str:
    return one_line(person.name or person.id, 80)


def _width(text: str) -> int:
    """Count the columns that a terminal gives to a text."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


# What an audit found, in words for a terminal.

_NAME = 80
_PROBLEM = 400


def audited(found: Audited) -> str:
    """Say what was found out about one record: one line, and one for each thing that is wrong."""
    place = found.approval.pathspec if found.approval is not None else None
    head = one_line(" ".join(filter(None, [found.approval_id, str(place or "")])), _NAME * 4)
    lines = ["  ".join(filter(None, ["intact" if found.is_intact else "BAD   ", head, "; ".join(_by_version(found))]))]
    lines += [f"         {one_line(f'{fault.key}: {fault.problem}', _PROBLEM)}" for fault in found.faults]
    return "\n".join(lines)


def _by_version(found: Audited) -> Iterator[str]:
    """Name who vouches, with the versions that they vouch for one after the other."""
    for said, group in groupby(found.versions, key=lambda version: one_line(who_vouches(version.voucher), 2 * _NAME)):
        numbers = [version.version.number for version in group]
        first, last = numbers[0], numbers[-1]
        yield f"{first}: {said}" if first == last else f"{first} to {last}: {said}"


def summary(records: int, faults: int, *, sealed: bool) -> str:
    """Say how an audit ended."""
    count = "1 record was checked" if records == 1 else f"{records:,} records were checked"
    said = {0: "no problems were found", 1: "1 problem was found"}.get(faults, f"{faults:,} problems were found")
    if sealed:
        return f"{count}: {said}."
    return f"{count}: {said}. No signature was checked, so nobody vouches for this; give --public-keys."
