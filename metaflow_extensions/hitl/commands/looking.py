"""``list``, ``show``, ``stats`` and ``verify``."""

from __future__ import annotations

from argparse import Namespace
from datetime import timedelta
from typing import Any

from metaflow_extensions.hitl.approvals.duration import parse_duration
from metaflow_extensions.hitl.approvals.record import Approval, State, Verdict
from metaflow_extensions.hitl.commands import as_json
from metaflow_extensions.hitl.commands.context import Context
from metaflow_extensions.hitl.commands.exit_codes import ExitCode
from metaflow_extensions.hitl.messages import sentences, terminal
from metaflow_extensions.hitl.messages.audit import audited


def list_(context: Context, options: Namespace) -> ExitCode:
    """Show what waits; with ``--all`` also what has ended, the newest first."""
    chosen = {"flow": options.flow, "run": options.run, "step": options.step}
    found = context.approvals.waiting(**chosen)
    if options.all:
        # What is being carried out is in both.
        found = [*reversed(found), *context.approvals.history(**chosen, limit=options.limit)]
    nothing = "Nothing was asked yet." if options.all else "Nothing is waiting for an answer."
    if options.json:
        context.write(as_json.written([as_json.document(approval) for approval in found]))
    else:
        context.write(terminal.table(found, now=context.now, zone=context.zone, nothing=nothing))
    return ExitCode.DONE


def show(context: Context, options: Namespace) -> ExitCode:
    """Show one approval and its history."""
    trail = context.approvals.trail(options.id)
    approval = trail[-1].approval
    commands, elsewhere = _commands(context, approval)
    if options.json:
        document = as_json.document(approval)
        document["commands"] = commands
        document["trail"] = [as_json.version_document(entry) for entry in trail]
        context.write(as_json.written(document))
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


def stats(context: Context, options: Namespace) -> ExitCode:
    """Count what was decided; of rules in shadow mode say how often they agreed with people, and where not."""
    since = context.now - timedelta(seconds=parse_duration("--since", options.since))
    scope = f"Since {since.astimezone(context.zone):%Y-%m-%d %H:%M %Z}"
    if options.about == "rules":
        scores, left_out = context.approvals.rule_scores(since=since, flow=options.flow)
        said, document = terminal.rules(scores, scope), [as_json.rule_score_document(score) for score in scores]
    else:
        counted, left_out = context.approvals.statistics(since=since, flow=options.flow)
        said, document = terminal.figures(counted, scope), [as_json.statistics_document(counted)]
    context.write(as_json.written(document) if options.json else said)
    if left_out:
        context.warn(f"{left_out} older decisions are not counted: name a flow or a shorter time.")
    return ExitCode.DONE


def verify(context: Context, options: Namespace) -> ExitCode:
    """Check that nobody changed the record, and say who vouches for each version."""
    found = context.approvals.audit(options.id)
    if options.json:
        document: dict[str, Any] = (
            {"id": found.approval_id} if found.approval is None else as_json.document(found.approval)
        )
        document["trail"] = [as_json.checked_version_document(version) for version in found.versions]
        document["faults"] = [{"key": fault.key, "problem": fault.problem} for fault in found.faults]
        context.write(as_json.written(document))
    elif found.is_whole:
        newest = found.versions[-1]
        context.write(terminal.verified([one.version for one in found.versions], newest.sha256, zone=context.zone))
    else:
        context.warn(f"{found.approval_id} can't be trusted, and its gate stays closed:\n{audited(found)}")
    return ExitCode.DONE if found.is_whole else ExitCode.FAILED


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
