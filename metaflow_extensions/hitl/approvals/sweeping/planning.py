"""What an open approval needs next, and when: pure rules."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from metaflow_extensions.hitl.approvals.ports import Policy
from metaflow_extensions.hitl.approvals.record import Approval, EngineKind, State
from metaflow_extensions.hitl.approvals.shown import Shown
from metaflow_extensions.hitl.approvals.use_cases import unposted

POST_AFTER = timedelta(seconds=10)  # whoever asks posts as well; this is for one that could not
GATHER_FOR = timedelta(seconds=2)  # gates that share a message are left to the sweeper, which waits for the others
CARRY_OUT_AFTER = timedelta(seconds=3)  # whoever decides carries it out as well; likewise
CLAIM_FOR = timedelta(minutes=1)  # longer than any attempt to post takes


class Act(str, Enum):
    """What a sweeper can do about an approval."""

    GOVERN = "govern"
    JUDGE = "judge"
    POST = "post"
    EXPIRE = "expire"
    SHOW = "show"
    CARRY_OUT = "carry out"
    REMIND = "remind"
    FINISH = "finish"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What an approval needs next, and when."""

    act: Act
    at: datetime


def plan(
    approval: Approval,
    *,
    notifiers: Collection[str],
    engines: Collection[EngineKind],
    policy: Policy | None = None,
    shown: Shown | None = None,
) -> Plan | None:
    """Say what an open approval needs next, if nobody does anything before.

    Parameters
    ----------
    approval : Approval
        As it stands.
    notifiers : Collection[str]
        Those that can post from here.
    engines : Collection[EngineKind]
        Those that can be told from here.
    policy : Policy, optional
        What the operator demands, if that is known here.
    shown : Shown, optional
        What messages are known to show.

    Returns
    -------
    Plan, optional
        None: it waits for a person without a deadline that decides, or for a sweeper that can do more.
    """
    if approval.settlement is not None:
        return Plan(act=Act.FINISH, at=approval.settlement.at)
    ended = approval.decision or approval.closing
    if ended is not None:
        if approval.decision is not None and approval.gate.engine not in engines:
            return None
        return Plan(act=Act.CARRY_OUT, at=ended.at + CARRY_OUT_AFTER)
    plans: list[Plan] = []
    if policy is not None and policy.rule_for(approval) != approval.policy_rule:
        plans.append(Plan(act=Act.GOVERN, at=approval.requested_at))
    if approval.question.auto_approve is not None and approval.judgement is None:
        plans.append(Plan(act=Act.JUDGE, at=approval.requested_at))
    if any(name in notifiers for name in unposted(approval)):
        # Of what the bot signed, nobody else posts.
        alone = POST_AFTER if approval.vouched_by is None else timedelta(0)
        patience = GATHER_FOR if approval.question.batch else alone
        plans.append(Plan(act=Act.POST, at=approval.requested_at + patience))
    if shown is not None and not shown.is_up_to_date(approval, notifiers):
        plans.append(Plan(act=Act.SHOW, at=max(one.at for one in approval.votes) + CARRY_OUT_AFTER))
    if approval.deadline is not None and approval.is_due(approval.deadline):
        plans.append(Plan(act=Act.EXPIRE, at=approval.deadline))
    return min(plans, key=lambda candidate: candidate.at, default=None)


def deciding_deadline(approval: Approval) -> datetime | None:
    """Return when an approval that is open is decided by its deadline, if it is."""
    if approval.state is not State.PENDING or approval.deadline is None or not approval.is_due(approval.deadline):
        return None
    return approval.deadline
