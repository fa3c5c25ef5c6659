"""Whether the operator's policy accepts a decision that was made away from it: on a command line, or by a deadline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from metaflow_extensions.hitl.approvals.deciding.permission import Eligibility
from metaflow_extensions.hitl.approvals.record import Approval, Decision, Origin, Verdict, Where
from metaflow_extensions.hitl.approvals.refusals import NotAllowed
from metaflow_extensions.hitl.approvals.requirements import Automatic, PolicyRule

AWAY_FROM_POLICY = frozenset({Where.FLOW_CLI, Where.TIMEOUT, Where.RULE})
"""The ways in by which a process that doesn't know the operator's policy can decide."""


def unaccepted(
    approval: Approval, demands: PolicyRule | None, check: Callable[[Approval, Decision], Eligibility]
) -> str:
    """Say why a decision that lets the step run does not count; empty if it does.

    What came through a chat system was held to the policy before it was recorded.

    Parameters
    ----------
    demands : PolicyRule, optional
        What the operator demands now.
    check : Callable[[Approval, Decision], Eligibility]
        Holds the person behind the decision to the rule; raises NotAllowed.
    """
    decision = approval.decision
    if decision is None or not approval.lets_run:
        return ""
    governed = replace(approval, policy_rule=demands)
    if decision.where is Where.TIMEOUT:
        lets = decision.verdict is not Verdict.APPROVE or governed.rule.timeout_approves
        return "" if lets else f"It was approved by the deadline, but {_which(governed)} requires people to decide."
    if decision.where is Where.RULE and governed.rule.automatic is not Automatic.ALLOWED:
        return f"It was approved by a condition over metrics, but {_which(governed)} requires people to decide."
    if decision.where is Where.FLOW_CLI:
        return _unaccepted_on_command_line(governed, decision, check)
    return ""


def _unaccepted_on_command_line(
    governed: Approval, decision: Decision, check: Callable[[Approval, Decision], Eligibility]
) -> str:
    said = f"It was {decision.verdict.value} on a command line."
    # Whatever the record says of who it was: on a command line nobody vouches for that.
    claimed = replace(decision, by=replace(decision.by, origin=Origin.CLAIM), on_behalf_of=None)
    try:
        check(governed, claimed)
    except NotAllowed as error:
        return f"{said} {error}"
    if decision.verdict is Verdict.APPROVE and governed.rule.reason_required and not decision.reason:
        return f"{said} It has no reason, but {_which(governed)} requires one."
    return ""


def _which(governed: Approval) -> str:
    return f"the rule “{governed.rule.name}” of the operator's policy"
