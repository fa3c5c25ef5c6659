"""The Request changes… button."""

from __future__ import annotations

from hitl_bot.listeners.actions.opening_a_form import opens
from hitl_bot.listeners.forms import changes_form

request_changes = opens("Request changes", changes_form)
