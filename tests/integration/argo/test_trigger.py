"""A decision starts another flow: what docs/events.md shows is compiled for Argo, and waits for what the bot sends."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable

from hitl_bot.events import OutgoingEvent, argo_events
from metaflow_extensions.hitl.approvals import transitions
from tests.fixtures.approvals import NOW, approval, approving
from tests.fixtures.flows import REPOSITORY
from tests.integration.argo.conftest import Compiled


def test_the_flow_of_the_page_waits_for_what_the_bot_sends(compiled: Callable[..., Compiled]) -> None:
    """The name of its trigger, and the keys that its parameters are taken from, are in what the bot posts."""
    page = (REPOSITORY / "docs" / "events.md").read_text(encoding="utf-8")
    (flow,) = re.findall(r"^(@trigger.*?)\n\n\nif __name__", page, re.MULTILINE | re.DOTALL)
    parameters = ast.literal_eval(re.search(r'"parameters": (\{.*?\})', flow)[1])
    (trigger,) = json.loads(compiled(flow).template["metadata"]["annotations"]["metaflow/triggers"])
    decided = transitions.decide(approval(), approving(input={"target": "production"}))
    sent = argo_events(OutgoingEvent(type="approved", number=3, at=NOW, approval=decided))
    payload = {one["name"]: one["payload"] for one in sent}[trigger["name"]]
    assert payload["name"] == trigger["name"]
    assert {name: payload[key] for name, key in parameters.items()} == {
        "target": "production",
        "approval": decided.id,
    }
