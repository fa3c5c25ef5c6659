"""Sealed, on a real Argo: only an answer that the bot signed starts the step, whatever else ends its suspend node."""

from __future__ import annotations

import hashlib
import signal
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from hitl_bot.keys import PrivateKey
from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.bucket import proposed_question_key, version_key
from metaflow_extensions.hitl.approvals.codec import Version, decode, encode
from metaflow_extensions.hitl.approvals.errors import NoSuchApproval
from metaflow_extensions.hitl.approvals.record import Approval, Pathspec, TrailEvent
from tests.e2e.conftest import Deployed, Run
from tests.e2e.test_gates import question
from tests.fixtures.approvals import BOB, approving

KEY = PrivateKey.new()
LONG = 4 * 3600 + 600  # seconds, after which Argo's own clock ends the suspend node

GATED = """
why = Parameter("why", default="")

@hitl(message="Start for {self.why}?", timeout="4h")
@step
def start(self):
    print("RUNS", current.hitl.decided_by, current.hitl.where, current.hitl.vouched_by)
    self.next(self.end)

@step
def end(self):
    pass
"""


@pytest.fixture
def sealed(deploy):
    """A deployed flow that knows the bot's public key."""
    return deploy(GATED, METAFLOW_HITL_PUBLIC_KEYS=str(KEY.public_key))


def serve(bot, deployed: Deployed):
    return bot(deployed, METAFLOW_HITL_SIGNING_KEY=KEY.text)


def wait_until_taken_over(run: Run, deployed: Deployed) -> Approval:
    """Return what the bot made of the question of a run that waits."""
    (gate,) = run.wait_until_suspended()

    def taken_over(_: Run) -> Approval | None:
        try:
            return deployed.approval(gate)
        except NoSuchApproval:
            return None

    return run.until(taken_over)


def forge(deployed: Deployed, approval: Approval, number: int, event: TrailEvent) -> None:
    """Write a version that is right in everything but its signature."""
    ledger = deployed.ledger
    before = ledger.read_version(approval.id, number - 1) if number > 1 else None
    version = Version(
        number=number,
        previous=before.digest if before else None,
        event=event,
        at=datetime.now(timezone.utc),
        approval=approval,
    )
    ledger.store.create(version_key(approval.id, number), encode(version))


def forged_yes(standing: Approval) -> Approval:
    return transitions.decide(standing, approving(BOB, at=datetime.now(timezone.utc)))


def forge_decision(deployed: Deployed, asked: Approval) -> None:
    """Write the next version, as somebody who may write the bucket."""
    newest = deployed.ledger.read(asked.id)
    forge(deployed, forged_yes(newest.approval), newest.number + 1, TrailEvent.DECIDED)


def plant_settled(deployed: Deployed, run: Run, example: Approval) -> Approval:
    """Write a settled record under the id that a run is about to ask with, before its container has started Python."""
    made = run.workflow["metadata"]["creationTimestamp"]
    digest = hashlib.md5(f"start-{made}--\n".encode()).hexdigest()  # noqa: S324 - as Metaflow names the task
    where = Pathspec(flow=deployed.flow_name, run=f"argo-{run.name}", step="start", task=f"t-{digest[-8:]}")
    now = datetime.now(timezone.utc)
    asked = transitions.request(where, example.question, replace(example.gate, workflow=run.name), BOB, now)
    forge(deployed, asked, 1, TrailEvent.REQUESTED)
    forge(deployed, transitions.settle(forged_yes(asked), now + timedelta(seconds=1)), 2, TrailEvent.SETTLED)
    return asked


def refused(run: Run, why: str) -> None:
    """Hold a run to its end: the gated container ran no code of the step, once, and said why."""
    assert run.end() == "Failed", run.story()
    logs = run.logs()
    assert "RUNS" not in logs
    assert why in logs, run.story()
    assert len([pod for pod in run.pods() if "start-task" in pod.metadata.name]) == 1


def gate_of(run: Run) -> dict:
    return run.node("hitl-suspend-start")


def test_nothing_in_the_bucket_and_no_clock_opens_the_gate(sealed, bot):
    """A forged decision, one planted before the run asks, a bare resume, and Argo's deadline with the bot down."""
    running = serve(bot, sealed)
    others = {why: sealed.trigger("--why", why) for why in ("forged", "bare", "deadline")}
    approvals = {why: wait_until_taken_over(run, sealed) for why, run in others.items()}
    planted = sealed.trigger("--why", "planted")
    asked = plant_settled(sealed, planted, approvals["bare"])
    forge_decision(sealed, approvals["forged"])
    others["forged"].end_by_hand(gate_of(others["forged"]), "Succeeded")
    others["bare"].end_by_hand(gate_of(others["bare"]), "Succeeded")
    running.process.send_signal(signal.SIGTERM)
    running.wait(30)
    forge_decision(sealed, approvals["deadline"])
    others["deadline"].make_older(gate_of(others["deadline"]), LONG)
    refused(others["forged"], "No bot vouches for")
    refused(others["bare"], "Nobody has approved")
    refused(others["deadline"], "No bot vouches for")
    assert planted.end() == "Failed", planted.story()
    assert asked.id in planted.logs()
    assert "RUNS" not in planted.logs()


def replace_proposal(deployed: Deployed, run: Run, **changes: object) -> None:
    """Put another proposal in the place of the one that a run has made, before any bot has read it."""
    (gate,) = run.wait_until_suspended()
    approval_id = next(one["value"] for one in gate["inputs"]["parameters"] if one["name"] == "approval-id")
    key, store = proposed_question_key(approval_id), deployed.ledger.store
    version = decode(key, store.read(key))
    asked = version.approval
    message = changes.pop("message", asked.question.message)
    other = replace(asked, question=replace(asked.question, message=str(message)), gate=replace(asked.gate, **changes))
    store.unmark(key)
    store.create(key, encode(replace(version, approval=other)))


def test_another_question_than_the_run_asked_opens_nothing(sealed, bot):
    """One whose text or namespace was replaced is closed, and nobody is asked; beside them an answer starts a run."""
    swapped, foreign, real = (sealed.trigger("--why", why) for why in ("swapped", "foreign", "real"))
    replace_proposal(sealed, swapped, message="Start in the playground?")
    replace_proposal(sealed, foreign, namespace="playground")
    real.wait_until_suspended()
    serve(bot, sealed)
    bob, message = question(sealed, "Start for real?")
    bob.click(message, "Approve", confirm="Approve")
    for run, why in (
        (swapped, "the run asked another question"),
        (foreign, "no longer exists in namespace playground"),
    ):
        run.until(lambda one: (closing := wait_until_taken_over(one, sealed).closing) and closing.reason)
        assert len(run.suspended()) == 1, run.story()
        run.end_by_hand(gate_of(run), "Succeeded")
        refused(run, why)
    assert real.end() == "Succeeded", real.story()
    assert f"RUNS bob button the bot's key {KEY.public_key.id}" in real.logs()
