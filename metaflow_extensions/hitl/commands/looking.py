"""``list``, ``show``, ``stats`` and ``verify``."""

import json
from argparse import Namespace
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from metaflow_extensions.hitl.api import StillWaiting
from metaflow_extensions.hitl.approvals.auditing import CheckedVersion
from metaflow_extensions.hitl.approvals.codec import plain_approval
from metaflow_extensions.hitl.approvals.duration import parse_duration
from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.ledger import Entry
from metaflow_extensions.hitl.approvals.record import Approval, Decision, FollowUpKind, Person, State, Verdict
from metaflow_extensions.hitl.approvals.schema import Field, accepted, fields
from metaflow_extensions.hitl.approvals.statistics import RuleScore, Statistics
from metaflow_extensions.hitl.messages import sentences, terminal
from metaflow_extensions.hitl.messages.terminal import audited

from .context import BadUsage, Context, ExitCode, code_of_state, worst

# An approval as JSON, for scripts: what people look for by short names, and the whole record beside it.


def approval_document(approval: Approval) -> dict[str, Any]:
    """Return all that the record tells about an approval."""
    path, question = approval.pathspec, approval.question
    return {
        "id": approval.id,
        "state": approval.state.value,
        "pathspec": str(path),
        "flow": path.flow,
        "run": path.run,
        "step": path.step,
        "task": path.task,
        "message": question.message,
        "requested_at": _time(approval.requested_at),
        "requested_by": approval.requester.name,
        "deadline": _time(approval.deadline),
        "approvers": list(approval.requirements.names),
        "fields": [field_document(field) for field in (fields(question.schema) if question.schema else ())],
        "url": next((post.url for post in approval.posts if post.url), None),
        "decision": None if approval.decision is None else _decision(approval.decision),
        "obligations": [_obligation(approval, number) for number in range(1, len(approval.obligations) + 1)],
        "closed": None if approval.closing is None else approval.closing.reason,
        "vouched_by": approval.vouched_by,
        "record": plain_approval(approval),
    }


def field_document(field: Field) -> dict[str, Any]:
    """Return what one field asks for; bounds that it does not have are null."""
    return {
        "name": field.name,
        "type": field.type,
        "label": field.label,
        "help": field.help,
        "required": field.required,
        "default": field.default,
        "choices": list(field.choices),
        "titles": list(field.titles),
        "min": field.min,
        "max": field.max,
        "above": field.above,
        "below": field.below,
        "min_length": field.min_length,
        "max_length": field.max_length,
        "pattern": field.pattern,
        "items": None if field.item is None else field_document(field.item),
        "accepts": accepted(field),
    }


def version_document(entry: Entry) -> dict[str, Any]:
    """Return what one version of a record added, and its SHA-256."""
    version = entry.version
    return {"version": version.number, "event": str(version.event), "at": _time(version.at), "sha256": entry.digest}


def checked_version_document(checked: CheckedVersion) -> dict[str, Any]:
    """Return what one version of a record added, its SHA-256, and who vouches for it."""
    version, voucher = checked.version, checked.voucher
    return {
        "version": version.number,
        "event": str(version.event),
        "at": _time(version.at),
        "sha256": checked.sha256,
        "vouched_by": voucher.key,
        "claimed_by": _name(voucher.claimed_by),
    }


def statistics_document(counted: Statistics) -> dict[str, Any]:
    """Return counts, and seconds from the question to the decision."""
    slowest = counted.slowest_open
    return {
        "asked": counted.asked,
        "approved": counted.approved,
        "rejected": counted.rejected,
        "expired": counted.expired,
        "median_seconds": counted.median,
        "p95_seconds": counted.p95,
        "slowest_open": None if slowest is None else slowest.id,
    }


def rule_score_document(score: RuleScore) -> dict[str, Any]:
    """Return how often a rule in shadow mode agreed with people, and each decision where it did not."""
    return {
        "flow": score.flow,
        "step": score.step,
        "condition": score.condition,
        "compared": score.compared,
        "agreed": score.agreed,
        "wrong_approvals": score.wrong_approvals,
        "no_answer": score.no_answer,
        "misses": [
            {
                "id": miss.id,
                "state": miss.state.value,
                "by": None if miss.decision is None else miss.decision.by.name,
                "at": None if miss.decision is None else _time(miss.decision.at),
                "url": next((post.url for post in miss.posts if post.url), None),
            }
            for miss in score.misses
        ],
    }


def written(value: Any) -> str:
    """Write a document for a terminal or a pipe."""
    return json.dumps(value, indent=2, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "verdict": decision.verdict.value,
        "by": decision.by.name,
        "on_behalf_of": _name(decision.on_behalf_of),
        "voters": [voter.name for voter in decision.voters] or [decision.by.name],
        "at": _time(decision.at),
        "where": decision.where.value,
        "input": decision.input,
        "reason": decision.reason,
    }


def _obligation(approval: Approval, number: int) -> dict[str, Any]:
    owed = approval.obligations[number - 1]
    ends = [one for one in approval.follow_ups if one.number == number and one.kind is FollowUpKind.DONE]
    end = ends[-1] if ends else None
    return {
        "number": number,
        "text": owed.text,
        "owner": owed.owner.name,
        "due": owed.due,
        "closed_at": None if end is None else _time(end.at),
        "closed_by": None if end is None else _name(end.by),
        "comment": None if end is None else end.comment,
    }


def _name(person: Person | None) -> str | None:
    return None if person is None else person.name


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


# ``list``, ``show``, ``stats`` and ``verify``.


def list_(context: Context, options: Namespace) -> ExitCode:
    """Show what waits, the shards of a foreach in one row; with ``--all`` also what has ended, the newest first."""
    chosen: dict[str, Any] = {"flow": options.flow, "run": options.run, "step": options.step}
    problems: list[HitlError] = []
    found = context.approvals.waiting(**chosen, problems=problems)
    if options.all:
        # What is being carried out is in both.
        found = [*reversed(found), *context.approvals.history(**chosen, limit=options.limit, problems=problems)]
    nothing = terminal.nothing_found(ended=options.all, unread=bool(problems))
    if options.json:
        context.write(written([approval_document(approval) for approval in found]))
    else:
        said = terminal.table(found, now=context.now, zone=context.zone, nothing=nothing, each_shard=options.shards)
        context.write(said)
    return unread(context, problems)


def unread(context: Context, problems: Sequence[HitlError]) -> ExitCode:
    """Say what could not be read, if anything, and return the code of a list that may lack something."""
    for problem in dict.fromkeys(map(terminal.words, problems)):
        context.warn(problem)
    return ExitCode.FAILED if problems else ExitCode.DONE


def show(context: Context, options: Namespace) -> ExitCode:
    """Show one approval and its history."""
    trail = context.approvals.trail(options.id)
    approval = trail[-1].approval
    commands, elsewhere = _commands(context, approval)
    if options.json:
        document = approval_document(approval)
        document["commands"] = commands
        document["trail"] = [version_document(entry) for entry in trail]
        context.write(written(document))
    else:
        context.write(
            terminal.shown(
                approval,
                [entry.version for entry in trail],
                now=context.now,
                commands=commands,
                elsewhere=elsewhere,
                zone=context.zone,
            )
        )
    return ExitCode.DONE


def obligations(context: Context, options: Namespace) -> ExitCode:
    """Show what is owed, the first due first; what several approvals owe together stands there once."""
    problems: list[HitlError] = []
    owed = context.approvals.obligations(flow=options.flow, run=options.run, step=options.step, problems=problems)
    if options.json:
        context.write(written([_owed_document(approval, number) for approval, number in owed]))
    else:
        context.write(terminal.owing(owed, now=context.now, zone=context.zone, unread=bool(problems)))
    return unread(context, problems)


def _owed_document(approval: Approval, number: int) -> dict[str, Any]:
    path = approval.pathspec
    about = {"id": approval.id, "flow": path.flow, "run": path.run, "step": path.step}
    return {**about, "message": approval.question.message, **_obligation(approval, number)}


def stats(context: Context, options: Namespace) -> ExitCode:
    """Count what was decided; of rules in shadow mode say how often they agreed with people, and where not."""
    since = context.now - timedelta(seconds=parse_duration("--since", options.since))
    scope = f"Since {since.astimezone(context.zone):%Y-%m-%d %H:%M %Z}"
    problems: list[HitlError] = []
    if options.about == "rules":
        scores, left_out = context.approvals.rule_scores(since=since, flow=options.flow, problems=problems)
        said, document = terminal.rules(scores, scope), [rule_score_document(score) for score in scores]
    else:
        counted, left_out = context.approvals.statistics(since=since, flow=options.flow, problems=problems)
        said, document = terminal.figures(counted, scope), [statistics_document(counted)]
    context.write(written(document) if options.json else said)
    if left_out:
        context.warn(f"{left_out} older decisions are not counted: name a flow or a shorter time.")
    if problems:
        context.warn("What could not be read is not counted:")
    return unread(context, problems)


def verify(context: Context, options: Namespace) -> ExitCode:
    """Check that nobody changed the record, and say who vouches for each version."""
    found = context.approvals.audit(options.id)
    if options.json:
        document: dict[str, Any] = (
            {"id": found.approval_id} if found.approval is None else approval_document(found.approval)
        )
        document["trail"] = [checked_version_document(version) for version in found.versions]
        document["faults"] = [{"key": fault.key, "problem": fault.problem} for fault in found.faults]
        context.write(written(document))
    elif found.is_intact:
        newest = found.versions[-1]
        context.write(terminal.verified([one.version for one in found.versions], newest.sha256, zone=context.zone))
    else:
        context.warn(f"{found.approval_id} can't be trusted, and its gate stays closed:\n{audited(found)}")
    return ExitCode.DONE if found.is_intact else ExitCode.FAILED


def _commands(context: Context, approval: Approval) -> tuple[dict[str, str], str]:
    """Return the commands that can answer here, by what they do, and why others can't."""
    if approval.state is not State.PENDING:
        return {}, ""
    words = {
        "approve": (Verdict.APPROVE, sentences.approve_words(approval)),
        "reject": (Verdict.REJECT, sentences.reject_words(approval)),
    }
    if approval.question.allow_changes:
        words["changes"] = (Verdict.CHANGES, sentences.request_changes_words(approval))
    refused = {name: context.approvals.refusal(approval, verdict) for name, (verdict, _) in words.items()}
    why = next((terminal.words(error) for error in refused.values() if error is not None), "")
    return {name: f"{context.command} {words[name][1]}" for name, error in refused.items() if error is None}, why


# ``wait``: until approvals have ended, for a script that goes on by how they ended.


def wait(context: Context, options: Namespace) -> ExitCode:
    """Wait for some approvals, or for those of a run, and end with a code that says how they ended."""
    if bool(options.ids) == bool(options.run):
        raise BadUsage("Say what to wait for: give IDs, or --run.")
    timeout = None if options.timeout is None else _seconds(options.timeout)
    approvals = context.approvals
    try:
        if options.run:
            ended = approvals.wait_for_run(options.run, flow=options.flow, timeout=timeout)
        else:
            ended = approvals.wait_for_all(options.ids, timeout=timeout)
    except StillWaiting as error:
        if options.json:
            context.write(written([approval_document(approval) for approval in error.approvals]))
        context.warn(terminal.words(error))
        return ExitCode.PENDING
    if options.json:
        context.write(written([approval_document(approval) for approval in ended]))
    else:
        for approval in ended:
            context.write(f"{approval.id}  {terminal.decided(approval)}")
    return worst(code_of_state(approval) for approval in ended)


def _seconds(text: str) -> int:
    """Read ``--timeout``; 0 looks once."""
    return 0 if text.strip() == "0" else parse_duration("--timeout", text)
