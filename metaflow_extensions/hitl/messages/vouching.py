"""Who vouches for an answer, in words for people."""

from __future__ import annotations

from metaflow_extensions.hitl.approvals.record import Approval, Where


def vouched(approval: Approval) -> str:
    """Say who vouches for what a record says about its answer; empty while it has none."""
    if approval.decision is None or approval.closing is not None:
        return ""
    if approval.vouched_by is not None:
        return "verified by the bot's key"
    if approval.decision.where is Where.FLOW_CLI:
        return "answered from a command line; no one vouches for who"
    return "no one vouches for this answer"


def vouchers(approval: Approval) -> str:
    """Name who vouches for an answer, for a step to compare: a key's id, or nobody."""
    return "nobody" if approval.vouched_by is None else f"the bot's key {approval.vouched_by}"
