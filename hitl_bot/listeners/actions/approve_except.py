"""The Approve all except… button of a message that many gates share."""

from __future__ import annotations

from hitl_bot.listeners.actions.opening_a_batch import opens
from metaflow_extensions.hitl.messages.batch_views import approve_except_view, offer

approve_except = opens(lambda found: approve_except_view(found, offer(found)))
