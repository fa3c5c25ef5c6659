"""Who vouches for an answer, in words for people."""

from __future__ import annotations

from collections.abc import Callable

from metaflow_extensions.hitl.approvals.auditing import Voucher
from metaflow_extensions.hitl.approvals.record import Approval, Person, Where


def vouched(approval: Approval) -> str:
    """Say who vouches for what a record says about its answer; empty while it has none."""
    if approval.decision is None or approval.closing is not None:
        return ""
    if approval.vouched_by is not None:
        return "verified by the bot's key"
    if approval.decision.where is Where.FLOW_CLI:
        return "answered from a command line; no one vouches for who"
    return "no one vouches for this answer"


def requester(approval: Approval, name: Callable[[Person], str]) -> str:
    """Name who started the run, and say so where that is only the run's own claim.

    Parameters
    ----------
    approval : Approval
        Any.
    name : Callable[[Person], str]
        How the medium names a person.
    """
    if approval.confirmed_requester is not None:
        return name(approval.confirmed_requester)
    return name(approval.requester) + (", not confirmed" if approval.requester.is_claimed else "")


def vouchers(approval: Approval) -> str:
    """Name who vouches for an answer, for a step to compare: a key's id, or nobody."""
    return "nobody" if approval.vouched_by is None else f"the bot's key {approval.vouched_by}"


def who_vouches(voucher: Voucher) -> str:
    """Say who vouches for one version of a record; plain text, not yet escaped for any medium."""
    if voucher.key is not None:
        return f"the bot's key {voucher.key}"
    if voucher.unchecked_key is not None:
        return f"nobody here (signed with the key {voucher.unchecked_key[:40]}, which was not checked)"
    if voucher.claimed_by is not None:
        return f"only a claim ({voucher.claimed_by.name or voucher.claimed_by.id})"
    return "nobody"
