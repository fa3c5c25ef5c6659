"""The form that asks why."""

from __future__ import annotations

from hitl_bot.listeners.views.refusing import answers
from metaflow_extensions.hitl.approvals.record import Verdict

reject = answers(Verdict.REJECT)
