"""The form that approves what is ticked; the others are rejected, or wait on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hitl_bot.listeners.submitting import FormErrors
from hitl_bot.listeners.submitting_all import answers_all, approval_in
from metaflow_extensions.hitl.approvals.record import Verdict
from metaflow_extensions.hitl.approvals.use_cases import Answer
from metaflow_extensions.hitl.messages import action_ids
from metaflow_extensions.hitl.messages.batch import chosen, others_are_rejected

if TYPE_CHECKING:
    from hitl_bot.listeners.payloads import Json
    from hitl_bot.listeners.submitting_all import Chosen
    from metaflow_extensions.hitl.messages.batch import Batch


def _choose(found: Batch, view: Json) -> Chosen:
    ticked, unticked = chosen(view)
    approval = approval_in(view, found)
    rejected = unticked if others_are_rejected(view) else set()
    if rejected and not approval.reason:
        raise FormErrors({action_ids.REASON_BLOCK: "Rejecting needs a reason: the requester reads it."})
    rejection = Answer(verdict=Verdict.REJECT, reason=approval.reason)
    meant = [one for one in found.waiting if one.id in ticked | rejected]
    return [(one, approval if one.id in ticked else rejection) for one in meant]


approve_except = answers_all(_choose)
