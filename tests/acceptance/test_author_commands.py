"""``hitl check`` and ``hitl preview``, as the author of a flow types them."""

from __future__ import annotations

FLOW = """
@step
def start(self):
    self.candidates = ["a", "b"]
    self.accuracy = 0.94
    self.next(self.gate)

@hitl(
    message="Deploy {message}?",
    input_schema={{"model": {{"type": "choice", "choices": "{{self.candidates}}"}}, "notes": "str?"}},
    metrics=[{metric!r}],
    plots={{"The matrix": {plot!r}}},
    approvers={approvers!r},
)
@step
def gate(self):
    self.later = 1
    self.next(self.end)

@step
def end(self):
    pass
"""


def test_check_names_what_can_not_work_with_its_line(flow, sandbox):
    """A name that no step before assigns, a group and a channel that are not there, and a misspelt setting."""
    gated = flow(
        FLOW.format(message="{self.later}", metric="acuracy", plot="matrx", approvers=["@ml-leeds", "bob@example.com"]),
        METAFLOW_HITL_SLACK_BOT_TOKEN=sandbox.bot_token,
        METAFLOW_HITL_SLACK_API_URL=sandbox.api_url,
        METAFLOW_HITL_SLACK_CHANNEL="#no-such-channel",
        METAFLOW_HITL_UI_ULR="https://ui.example.com",
    )
    checked = gated.hitl("check")
    assert checked.process.returncode == 1
    place = next(line.split()[0] for line in checked.lines if "self.later" in line)
    number = int(place.split(":")[1])
    assert gated.file.read_text().splitlines()[number - 1].strip() == "def gate(self):"
    for words in (
        "the message names self.later, which no step before gate assigns.",
        "the metric 'acuracy' names self.acuracy, which no step before gate assigns.",
        "the picture 'The matrix' names self.matrx, which no step before gate assigns.",
        "no one in Slack matches @ml-leeds. Fix `approvers`.",
        "the bot can't see a channel #no-such-channel.",
        "Did you mean METAFLOW_HITL_UI_URL?",
        "6 problems found.",
    ):
        assert words in checked.output
    assert "bob@example.com" not in checked.output


def test_preview_shows_what_a_past_run_would_ask(flow):
    """From the artifacts of a run that was stopped at its gate; nothing is recorded."""
    gated = flow(
        FLOW.format(message="{self.accuracy:.1%}", metric="accuracy", plot="accuracy", approvers=["@ml-leads"])
    )
    assert "No problems found." in gated.hitl("check").output
    run = gated.start("run")
    (asked,) = gated.wait_for_approvals()
    run.interrupt()
    run.wait()
    shown = gated.hitl("preview", "gate").output
    assert {key.split("/")[1] for key in gated.ledger.store.list("approvals/")} == {asked.id}
    for words in ("Deploy 94.0%?", "model", "a, b", "@ml-leads", "starts gate", "accuracy"):
        assert words in shown
    refused = gated.hitl("preview", "gate", "--run", "no-such-run")
    assert refused.process.returncode == 1
    assert "no-such-run" in refused.output


def test_check_says_what_the_operators_policy_demands(flow, tmp_path):
    """As the bot would rule: what the rule demands of the gate, and what of the step it leaves without effect."""
    policy = tmp_path / "policy.yaml"
    policy.write_text("rules: [{name: production, match: {step: gate}, quorum: 2, named_approvers: required}]\n")
    gated = flow(
        '@hitl(on_timeout="approve")\n@step\ndef start(self):\n    self.next(self.gate)\n\n'
        '@hitl(on_timeout="approve")\n@step\ndef gate(self):\n    self.next(self.end)\n\n'
        "@step\ndef end(self):\n    pass\n",
        METAFLOW_HITL_POLICY=str(policy),
    )
    checked = gated.hitl("check")
    assert "gate: the rule “production” requires: at least 2 different people agree; the step names its approvers" in (
        checked.output
    )
    assert "requires named approvers. Name them with `approvers`." in checked.output
    assert 'lets no deadline approve, so on_timeout="approve" rejects.' in checked.output
    assert "2 problems found." in checked.output
    assert "start: the rule" not in checked.output
