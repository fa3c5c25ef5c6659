"""What happened to an approval, version by version, in one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metaflow_extensions.hitl.approvals.record import Origin, Verdict, Where
from metaflow_extensions.hitl.messages import sentences, voting
from metaflow_extensions.hitl.messages.mrkdwn import escape, literal, name, one_line, quoted

if TYPE_CHECKING:
    from metaflow_extensions.hitl.approvals.codec import Version
    from metaflow_extensions.hitl.approvals.record import Approval, Decision, Vote

_INPUT = 400  # characters of what was entered


def happened(version: Version) -> str:
    """Say what a version adds, and who did it; mrkdwn that mentions nobody, at most 1,500 characters."""
    said = _while_open(version) or _at_the_end(version)
    return said or escape(version.event[:1].upper() + version.event[1:], 40)


def _while_open(version: Version) -> str:
    approval = version.approval
    if version.event == "requested":
        return f"Asked by {name(approval.requester)}"
    if version.event == "posted" and approval.posts:
        return f"Posted with {escape(approval.posts[-1].notifier, 40)}"
    if version.event == "ruled":
        said = voting.demands(approval.rule) or "No rule of the operator's policy applies any more"
        return escape(one_line(said), 500)
    if version.event == "voted" and approval.votes:
        return _voted(approval, approval.votes[-1])
    return ""


def _at_the_end(version: Version) -> str:
    approval = version.approval
    if version.event in {"decided", "expired"} and approval.decision is not None:
        return _decided(approval, approval.decision)
    if version.event == "closed" and approval.closing is not None:
        return f"Closed without an answer: {escape(one_line(approval.closing.reason), 300)}"
    if version.event == "annulled" and approval.closing is not None:
        return f"Not accepted: {escape(one_line(approval.closing.reason), 500)}"
    if version.event == "settled":
        after = sentences.trouble(approval) or f"Settled: {sentences.aftermath(approval)}".removesuffix(": ")
        return escape(one_line(after), 500)
    return ""


def _voted(approval: Approval, vote: Vote) -> str:
    said = f": {quoted(vote.reason)}" if vote.reason else ""
    aside = voting.put_aside(approval, name)
    return f"Vote of {voting.voter(vote, name)} ({vote.where.value}): {vote.verdict.value}{said}" + (
        aside and f". {aside}"
    )


def _decided(approval: Approval, decision: Decision) -> str:
    ending = sentences.verdict(approval, name)
    if decision.where is Where.TIMEOUT:
        return f"{ending.head}{ending.tail}"
    # The ending itself says how an answer came that is not from Slack.
    way = "" if decision.by.origin is Origin.LOCAL else f" ({decision.where.value})"
    said = f": {quoted(decision.reason)}" if decision.reason.strip() else ""
    entered = ""
    if decision.verdict is Verdict.APPROVE and decision.input:
        pairs = ", ".join(f"{key}={sentences.value_text(value)[:_INPUT]}" for key, value in decision.input.items())
        entered = f" with {literal(one_line(pairs[: 2 * _INPUT]), _INPUT)}"
    return f"{ending.head}{ending.tail}{way}{said}{entered}"
