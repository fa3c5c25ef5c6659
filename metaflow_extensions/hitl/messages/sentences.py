"""What there is to say about an approval, in words for any medium. Nothing here is escaped yet."""

import json
import shlex
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from metaflow_extensions.hitl.approvals.duration import in_words
from metaflow_extensions.hitl.approvals.question import OnReject, OnTimeout
from metaflow_extensions.hitl.approvals.record import Approval, Person, State, Verdict, Where
from metaflow_extensions.hitl.approvals.schema.fields import Field, fields
from metaflow_extensions.hitl.approvals.statistics import RuleScore

from . import markdown, voting

_HEADS = {Verdict.APPROVE: "Approved", Verdict.REJECT: "Rejected", Verdict.CHANGES: "Changes requested"}


class Headline(NamedTuple):
    """How an approval ended: the word that matters, and the rest of the sentence."""

    head: str
    tail: str


def question_text(approval: Approval) -> str:
    return approval.question.message.strip() or f"Start {approval.pathspec.step}?"


def formatted(approval: Approval) -> tuple[markdown.Piece, ...]:
    """Return the message as its author formatted it; nothing if it isn't, or if it says something else."""
    if approval.question.markdown is None:
        return ()
    parts = markdown.parse(approval.question.markdown)
    return parts if markdown.plain(parts) == question_text(approval) else ()


def step_name(approval: Approval) -> str:
    return f"{approval.pathspec.flow} / {approval.pathspec.step}"


def spoken(approval: Approval) -> str:
    """Name an approval for who hears a button and does not see what stands around it."""
    shard = f"{approval.shard_value}, " if approval.shard_value else ""
    return f"{shard}run {approval.pathspec.run}, {question_text(approval)}"


def form_fields(approval: Approval) -> tuple[Field, ...]:
    """Return what is asked when somebody approves."""
    return fields(approval.question.schema) if approval.question.schema else ()


def asks_for_input(approval: Approval) -> bool:
    return bool(form_fields(approval))


def opens_form(approval: Approval) -> bool:
    """Whether approving takes a form: for input, or for the reason that the operator's policy wants."""
    return (
        asks_for_input(approval) or approval.requirements.reason_required or approval.requirements.obligations_offered
    )


def chosen_by_button(approval: Approval) -> Field | None:
    """Return the field whose choices are buttons; None where approving takes a form, or asks for nothing."""
    shown = form_fields(approval)
    asks_more = approval.requirements.reason_required or approval.requirements.obligations_offered
    return shown[0] if len(shown) == 1 and shown[0].buttons and not asks_more else None


def asked_when_approving(approval: Approval) -> str:
    """Say which inputs the form will ask for: "Deploy target and notes are requested when you approve."."""
    labels = [field.label for field in form_fields(approval)]
    words = [labels[0], *(label[:1].lower() + label[1:] for label in labels[1:])]
    most = 5
    if len(words) > most:
        words = [*words[: most - 1], f"{len(words) - most + 1} more"]
    listed = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
    return f"{listed} {'is' if len(words) == 1 else 'are'} requested when you approve."


def what_happens(approval: Approval) -> list[tuple[str, str]]:
    """Say what each answer leads to, by the name of its button: what the author wrote, or what becomes of the run."""
    step, question = approval.pathspec.step, approval.question
    rejected = f"the run fails, {step} does not start"
    if question.on_reject is OnReject.CONTINUE:
        rejected = f"{step} starts anyway, and sees the rejection"
    starts = f"starts {step}"
    if question.leaves or approval.unattended_since is not None:
        starts = f"{step} starts once the run is resumed"
    approved = ("Approve", starts)
    if field := chosen_by_button(approval):
        approved = (" or ".join(title for title, _ in field.labelled), f"{starts} with it")
    derived = {"approve": approved, "reject": ("Reject", rejected)}
    if question.allow_changes:
        derived["changes"] = ("Request changes", "the run fails with what must change")
    return [(button, question.what_happens.get(answer, text)) for answer, (button, text) in derived.items()]


def nobody_waits(approval: Approval, moment: Callable[[datetime], str], command: Callable[[str], str] = str) -> str:
    """Say that an answer starts nothing by itself, and what does; empty where somebody waits.

    Parameters
    ----------
    moment : Callable[[datetime], str]
        How the medium writes a moment.
    command : Callable[[str], str]
        How it writes a command.
    """
    since, resume = approval.unattended_since, approval.question.resume
    if since is not None:
        said = f"Nobody has been waiting since {moment(since)}, so approving starts nothing"
        return f"{said} until somebody runs {command(resume)}" if resume else said
    if approval.question.leaves and resume:
        return f"The run does not wait: it continues with the answer when somebody runs {command(resume)}"
    return ""


def at_deadline(approval: Approval) -> str:
    """Say what the deadline does."""
    if approval.question.on_timeout is OnTimeout.APPROVE and not voting.deadline_approves(approval):
        return "else rejected"
    return {
        OnTimeout.REJECT: "else rejected",
        OnTimeout.APPROVE: "else approved",
        OnTimeout.NOTIFY: "stays open after that",
    }[approval.question.on_timeout]


def waited(approval: Approval) -> str:
    """Say how long the question was open until its deadline decided."""
    seconds = approval.question.timeout
    if seconds is None:
        seconds = int(approval.seconds_to_decide or 0)
    return in_words(seconds)


def verdict(approval: Approval, who: Callable[[Person], str]) -> Headline:
    """Say how an approval ended.

    Parameters
    ----------
    approval : Approval
        Not pending.
    who : Callable[[Person], str]
        How the medium names a person.
    """
    decision = approval.decision
    if decision is None:
        return Headline("Closed without an answer", f": {approval.closing.reason if approval.closing else ''}")
    if approval.closing is not None:
        return Headline("Not accepted", f": {approval.closing.reason}")
    if decision.where in {Where.TIMEOUT, Where.NEWER_QUESTION}:
        return _without_an_answer(approval, who(decision.by))
    by = voting.deciders(approval, decision, who)
    if decision.where is Where.RULE:
        return Headline("Approved", f" by {by}, without a person")
    if decision.given_at is not None:
        before = (approval.requested_at - decision.given_at).total_seconds()
        when = f"{in_words(before)} before this was asked" if before > 0 else "for all shards at once"
        return Headline(_HEADS[decision.verdict], f" by {by} in advance, {when}")
    if decision.by.is_claimed:
        by += f" ({decision.where.value})"
    return Headline(_HEADS[decision.verdict], f" by {by} after {in_words(approval.seconds_to_decide or 0)}")


def _without_an_answer(approval: Approval, by: str) -> Headline:
    if approval.state is State.SUPERSEDED:
        newer = f" in {approval.decision.by.id}" if approval.decision else ""
        return Headline("Superseded", f" by {by}, which asks the same{newer}")
    if approval.state is State.EXPIRED:
        return Headline("Expired", f" and rejected: no one answered in {waited(approval)}")
    return Headline("Approved by timeout", f": no one answered in {waited(approval)}")


def reason(approval: Approval) -> str:
    """Return what whoever decided said; of a newer question the verdict says it."""
    return approval.decision.reason.strip() if approval.decision and approval.state is not State.SUPERSEDED else ""


def ago(moment: datetime, now: datetime) -> str:
    return f"{in_words((now - moment).total_seconds())} ago"


def aftermath(approval: Approval) -> str:
    """Say what becomes of the run. Empty where there is nothing to say, or where `trouble` says it."""
    if approval.decision is None or trouble(approval):
        return ""
    if approval.closing is not None and approval.settlement is not None:
        return "the step does not run"
    if approval.question.leaves and approval.lets_run:
        return "the run continues once it is resumed"
    if approval.settlement is None:
        return "the run is being resumed" if approval.lets_run else "the step is being stopped"
    if approval.decision.verdict is Verdict.APPROVE:
        return "the run continues"
    goes_on = f"the run continues, {approval.decision.verdict.value}"
    return goes_on if approval.question.on_reject is OnReject.CONTINUE else "the step does not run"


def is_unaccepted(approval: Approval) -> bool:
    """Whether the run went on by a decision that the operator's policy does not accept."""
    return approval.settlement is not None and bool(approval.settlement.unaccepted)


def trouble(approval: Approval) -> str:
    """Say why the run could not be told, and what to do; empty if it could."""
    if approval.settlement is not None and is_unaccepted(approval):
        # Such a run waits for the record alone: there is nobody to be told.
        return (
            "The run had already continued. The operator's policy does not accept this decision: "
            f"{approval.settlement.unaccepted}"
        )
    if approval.settlement is None or not approval.settlement.problem:
        return ""
    what = "resumed" if approval.lets_run else "stopped"
    return f"The run could not be {what}: {approval.settlement.problem}"


def not_shown(approval: Approval) -> str:
    """Say which messages can never show how it ended, and why; empty if all do."""
    settlement = approval.settlement
    given_up = {} if settlement is None else settlement.not_shown
    return " ".join(f"Not shown by {name}: {why}" for name, why in given_up.items())


def value_text(value: Any) -> str:
    """Show an input value as a person would write it."""
    if value is None or value in ("", [], {}):
        return "(empty)"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, (str, int, float)) for item in value):
        return ", ".join(str(item) for item in value)
    return json.dumps(value, ensure_ascii=False)


def entered(approval: Approval, values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what was entered as the form showed it: labels, and choices by their titles."""
    known = {field.name: field for field in form_fields(approval)}
    return [
        (known[name].label, _as_chosen(known[name], value)) if name in known else (name, value_text(value))
        for name, value in values.items()
    ]


def _as_chosen(field: Field, value: Any) -> str:
    titles = {choice: title for title, choice in field.labelled}
    if isinstance(value, list):
        return value_text([titles.get(item, item) for item in value])
    return value_text(titles.get(value, value) if isinstance(value, str | int | float) else value)


def approve_command(approval: Approval, script: str) -> str:
    """Return the command that approves here, with a gap for each input that can't be left out.

    Parameters
    ----------
    script : str
        The flow's file, as it is written after ``python``.
    """
    return f"python {shlex.quote(script)} hitl {approve_words(approval)}"


def approve_words(approval: Approval) -> str:
    """Return what follows ``hitl`` on a command line that approves."""
    gaps = (
        f"--set {shlex.quote(field.name)}=..."
        for field in form_fields(approval)
        if field.required and field.default is None
    )
    requirements = approval.requirements
    reason = ["--reason ..."] if requirements.reason_required else []
    owed = ["--owes ... --due ..."] if requirements.obligation_required else []
    return " ".join(["approve", approval.id, *gaps, *reason, *owed])


def reject_command(approval: Approval, script: str) -> str:
    return f"python {shlex.quote(script)} hitl {reject_words(approval)}"


def reject_words(approval: Approval) -> str:
    """Return what follows ``hitl`` on a command line that rejects."""
    return f"reject {approval.id} --reason ..."


def request_changes_words(approval: Approval) -> str:
    """Return what follows ``hitl`` on a command line that asks for changes."""
    return f"request-changes {approval.id} --reason ..."


def agreement(score: RuleScore) -> str:
    """Say how often a rule in shadow mode would have done what people did: "agreed with people 41 of 43 times"."""
    times = "time" if score.compared == 1 else "times"
    said = f"agreed with people {score.agreed} of {score.compared} {times}"
    if not score.compared:
        said = "no decisions to compare yet"
    if score.wrong_approvals:
        said += f"; would have approved {score.wrong_approvals} that people did not approve"
    if score.no_answer:
        said += f"; had no answer {score.no_answer} {'time' if score.no_answer == 1 else 'times'}"
    return said


def disagreement(miss: Approval) -> str:
    """Say what a rule would have done where people did something else."""
    by = miss.decision.by.name if miss.decision is not None else ""
    if miss.decision is not None and miss.decision.verdict is Verdict.APPROVE:
        return f"the rule would have left it to people; {by} approved it"
    return f"the rule would have approved it; {by} did not"
