"""The form that approves all that wait, with the same input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hitl_bot.listeners.submitting_all import answers_all, approval_in

if TYPE_CHECKING:
    from hitl_bot.listeners.payloads import Json
    from hitl_bot.listeners.submitting_all import Chosen
    from metaflow_extensions.hitl.messages.batch import Batch


def _choose(found: Batch, view: Json) -> Chosen:
    answer = approval_in(view, found)
    return [(one, answer) for one in found.waiting]


approve_all = answers_all(_choose)
