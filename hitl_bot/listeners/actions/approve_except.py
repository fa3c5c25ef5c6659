"""The Approve all except… button of a message that many gates share."""

from __future__ import annotations

from hitl_bot.listeners.actions.opening_a_batch import opens
from metaflow_extensions.hitl.messages.batch import approve_except_view

approve_except = opens(approve_except_view)
