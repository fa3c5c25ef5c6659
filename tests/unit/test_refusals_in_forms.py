"""Where a form says what is missing in it."""

from __future__ import annotations

import pytest

from hitl_bot.listeners import forms
from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.question import PolicyRule
from metaflow_extensions.hitl.approvals.refusals import ApprovalReasonMissing, ObligationMissing, ReasonMissing
from metaflow_extensions.hitl.messages import views
from metaflow_extensions.hitl.messages.controls import OBLIGATION_TEXT, REASON_BLOCK
from tests.fixtures.approvals import Bench
from tests.unit.messages.examples import LATER, pending


@pytest.mark.parametrize(
    ("kind", "block"),
    [
        (ReasonMissing, REASON_BLOCK),
        (ApprovalReasonMissing, REASON_BLOCK),
        (ObligationMissing, OBLIGATION_TEXT),
    ],
)
def test_what_is_missing_is_said_at_its_input(kind, block):
    """A form with a reason and an obligation names the one that is missing, whichever stands last."""
    rule = PolicyRule(name="audited", reason_required=True)
    approval = transitions.govern(pending(obligations=True), rule)
    view = views.approve_view(approval, now=LATER)
    said = forms._refusal(kind(approval), view, Bench().cases)
    assert list(said["errors"]) == [block]
