"""Where a gate's choices are buttons, beside its own message."""

from __future__ import annotations

from metaflow_extensions.hitl.approvals.schema import normalise
from metaflow_extensions.hitl.messages import lists
from tests.fixtures.approvals import NOW, approval


def test_a_row_offers_the_choice_buttons():
    """A list and the Home tab offer a gate's choices as its message does: a button each, and no form."""
    asked = approval(schema=normalise({"target": {"type": "choice", "choices": ["eu", "us"], "buttons": True}}))
    (buttons,) = [block for block in lists.row(asked, NOW) if block["type"] == "actions"]
    assert [one["action_id"] for one in buttons["elements"]][:3] == ["hitl_choose_0", "hitl_choose_1", "hitl_reject"]
