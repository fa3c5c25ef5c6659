"""The form that rejects all that wait, for the same reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hitl_bot.listeners.submitting_all import answers_all
from metaflow_extensions.hitl.approvals.record import Verdict
from metaflow_extensions.hitl.approvals.use_cases import Answer
from metaflow_extensions.hitl.messages.views import reason_of

if TYPE_CHECKING:
    from hitl_bot.listeners.payloads import Json
    from hitl_bot.listeners.submitting_all import Chosen
    from metaflow_extensions.hitl.messages.batch import Batch


def _choose(found: Batch, view: Json) -> Chosen:
    answer = Answer(verdict=Verdict.REJECT, reason=reason_of(view["state"]["values"]))
    return [(one, answer) for one in found.waiting]


reject_all = answers_all(_choose)
