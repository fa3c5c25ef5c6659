"""The form that approves what is ticked; the others are rejected, or wait on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hitl_bot.listeners.submitting import FormErrors
from hitl_bot.listeners.submitting_all import answers_all, approval_in
from metaflow_extensions.hitl.approvals.record import Verdict
from metaflow_extensions.hitl.approvals.use_cases import Answer
from metaflow_extensions.hitl.messages import action_ids
from metaflow_extensions.hitl.messages.batch_views import others_are_rejected
from metaflow_extensions.hitl.messages.choosing import chosen

if TYPE_CHECKING:
    from hitl_bot.listeners.payloads import Json
    from hitl_bot.listeners.submitting_all import Chosen
    from metaflow_extensions.hitl.messages.batch import Batch


def _choose(found: Batch, view: Json) -> Chosen:
    choice = chosen(found, view)
    approval = approval_in(view, found)
    rejected = choice.off if others_are_rejected(view) else frozenset[str]()
    if rejected and not approval.reason:
        raise FormErrors({action_ids.REASON_BLOCK: "Rejecting needs a reason: the requester reads it."})
    if not (choice.ticked or rejected):
        raise FormErrors({action_ids.OTHERS_BLOCK: "Nothing is ticked, so nothing would be answered."})
    rejection = Answer(verdict=Verdict.REJECT, reason=approval.reason)
    if not found.members[0].rule.reason_required:
        approval = replace(approval, reason="")  # it says why the others are rejected
    meant = [one for one in choice.offered if one.id in choice.ticked | rejected]
    return [(one, approval if one.id in choice.ticked else rejection) for one in meant]


approve_except = answers_all(_choose)
