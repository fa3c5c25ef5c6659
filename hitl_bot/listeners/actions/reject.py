"""The Reject… button."""

from __future__ import annotations

from hitl_bot.listeners.actions.opening_a_form import opens
from hitl_bot.listeners.forms import reject_form

reject = opens("Reject", reject_form)
