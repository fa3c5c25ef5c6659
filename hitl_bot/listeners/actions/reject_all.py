"""The Reject all… button of a message that many gates share."""

from __future__ import annotations

from hitl_bot.listeners.actions.opening_a_batch import opens
from metaflow_extensions.hitl.messages.batch_views import reject_all_view

reject_all = opens(reject_all_view)
