"""The form that asks what must change."""

from __future__ import annotations

from hitl_bot.listeners.views.refusing import answers
from metaflow_extensions.hitl.approvals.record import Verdict

request_changes = answers(Verdict.CHANGES)
