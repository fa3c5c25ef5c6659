"""Questions to show: one with everything in it, and words that would like to be carried out."""

from __future__ import annotations

from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.record import Approval, Post
from metaflow_extensions.hitl.approvals.schema import normalise
from tests.fixtures.approvals import NOW, approval

HOSTILE = (
    "<!channel> <@U0CAROL> <https://evil.example|click> @everyone `rm` ```x``` [a](https://evil.example) &lt;!here&gt;"
    "\r\nBcc: eve@evil.example\r\n\r\n<script>alert(1)</script><img src=https://evil.example/x>"
)


def everything() -> Approval:
    """A question with all that a message may show."""
    schema = normalise({"deploy_target": "str"})
    asked = approval(
        message="Deploy fraud v7?\nAccuracy 94.0%",
        schema=schema,
        approvers=("U0BOB", "alice@example.com"),
        timeout=86_400,
        run_url="https://ui.example/TrainFlow/17",
    )
    return transitions.posted(
        asked, Post(notifier="slack", at=NOW, channel="C0", ts="1.0", url="https://x.slack.com/p1")
    )


def texts_of(value: object) -> str:
    if isinstance(value, dict):
        return "\n".join(texts_of(inner) for inner in value.values())
    if isinstance(value, list):
        return "\n".join(texts_of(inner) for inner in value)
    return str(value)
