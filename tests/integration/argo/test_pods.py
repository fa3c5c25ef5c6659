"""The compiled containers, run: their own commands, where nothing is installed but what a Metaflow container has."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from base64 import b64encode
from datetime import datetime, timezone

import pytest

from hitl_bot.keys import PrivateKey, SigningKeys
from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.codec import Version, encode
from metaflow_extensions.hitl.approvals.intake import Intake
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.proposing import asked_digest
from metaflow_extensions.hitl.approvals.question import OnReject
from metaflow_extensions.hitl.approvals.record import EngineKind, Gate, TrailEvent
from metaflow_extensions.hitl.approvals.sealed import Trust
from metaflow_extensions.hitl.stores import open_store
from tests.fixtures.approvals import REQUESTER, Bench, HandClock, approving, pathspec, question
from tests.fixtures.flows import clean_environment

# A pod starts Python a dozen times, as Metaflow has it.
pytestmark = pytest.mark.timeout(1_800)

# Metaflow keeps a pod's log by processes of its own, as many as do the work. One test has them; the others do without.
# What every pod of one workflow prepares alike (the code package, the parameters) the first of a test prepares.
SHORTER = """python() {
    case "$*" in
        "-m metaflow.mflog.save_logs") ;;
        "-m metaflow.mflog.tee "*) cat ;;
        "-c import boto3, os; "*download_file*) once job.tar "$@" ;;
        "-m metaflow.plugins.argo.set_parameters "*) once "$3" "$@" ;;
        "flow.py dump "*/_parameters/*) [ -e "$PREPARED/init" ] || command python "$@" ;;
        *" init --run-id "*) command python "$@" && touch "$PREPARED/init" ;;
        *) command python "$@" ;;
    esac
}
once() {
    local made=$1; shift
    [ -e "$PREPARED/$made" ] || { command python "$@" && cp "$made" "$PREPARED"; } || return
    cp "$PREPARED/$made" .
}"""

FLOW = """
class Pod(FlowSpec):
    alpha = Parameter("alpha", default="0.5")

    @catch(var="problem")
    @retry(times=2)
    @hitl(message="Deploy with {self.alpha}?", input_schema={"target": "str", "share": "int"}, timeout="1h"{more})
    @step
    def start(self):
        print("RUNS", self.hitl_input)
        self.next(self.end)

    @step
    def end(self):
        pass
"""

# The same, where the answer is a choice that is made with a button, and leads the workflow one way.
CHOOSING = """
class Pod(FlowSpec):
    alpha = Parameter("alpha", default="0.5")

    @retry(times=2)
    @hitl(
        message="Deploy with {self.alpha}?",
        input_schema={"target": {"type": "choice", "choices": ["staging", "prod"], "buttons": True}},
        timeout="1h",
    )
    @step
    def start(self):
        print("RUNS", self.hitl_input)
        self.target = self.hitl_input["target"]
        self.next({"staging": self.staging, "prod": self.prod}, condition="target")

    @step
    def staging(self):
        self.next(self.end)

    @step
    def prod(self):
        self.next(self.end)

    @step
    def end(self):
        pass
"""


@pytest.fixture(scope="session")
def root_of_pods(tmp_path_factory):
    """Where each pod has its files, one after the other.

    A pod unpacks Metaflow's source anew and would compile it anew, which takes most of its time. In one place, with the
    times that its code package gives them, the files of all pods are the same to Python, so it compiles them once.
    """
    return tmp_path_factory.mktemp("pods")


@pytest.fixture
def pod(compiler, pod_python, root_of_pods, tmp_path):
    """Run a container of the compiled flow as a pod of the workflow ``pod-x7k2p`` would."""
    asked = [""]  # what the container that asked said last of its question
    work = root_of_pods / "work"
    prepared = tmp_path / "prepared"
    prepared.mkdir()

    def run(template, **extra):
        shutil.rmtree(work, ignore_errors=True)
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        for folder in (work, out):
            folder.mkdir()
        filled = {
            "{{workflow.name}}": "pod-x7k2p",
            "{{workflow.creationTimestamp}}": "2026-11-23T20:00:00Z",
            "{{=toBase64(workflow.parameters['alpha'])}}": b64encode(b"0.5").decode(),
            "{{retries}}": "0",
            "{{inputs.parameters.question-sha256}}": asked[0],
            "/mnt/out": str(out),
            "/tmp/mf-input-paths": str(work / "input-paths"),
        }
        text = json.dumps(template["container"])
        for name, value in filled.items():
            text = text.replace(name, value)
        assert "{{" not in text
        container = json.loads(text)
        variables = {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}
        environment = {
            **compiler.place.environment(),
            **variables,
            "PATH": f"{pod_python}:/usr/bin:/bin",
            "METAFLOW_KUBERNETES_POD_NAME": "pod-x7k2p-1",
            "METAFLOW_KUBERNETES_POD_NAMESPACE": "flows",
            "METAFLOW_KUBERNETES_NAMESPACE": "flows",
            "METAFLOW_KUBERNETES_POD_ID": "1",
            "METAFLOW_KUBERNETES_SERVICE_ACCOUNT_NAME": "default",
            "METAFLOW_KUBERNETES_NODE_IP": "127.0.0.1",
            "METAFLOW_SKIP_INSTALL_DEPENDENCIES": "1",
            "METAFLOW_HOME": str(work / "no-configuration"),
            "METAFLOW_INIT_SCRIPT": SHORTER,
            "PREPARED": str(prepared),
            "PYTHONPYCACHEPREFIX": str(root_of_pods / "bytecode"),
            **extra,
        }
        ended = subprocess.run(
            container["command"],
            cwd=work,
            env=clean_environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        ended.out = out
        if (digest := ended.out / "question_sha256").exists():
            asked[0] = digest.read_text()
        return ended

    return run


@pytest.fixture
def compiled_pod(compiled, request):
    """The flow, with records of this test's own."""

    def compile_it(more="", source=FLOW, **settings):
        root = f"s3://argo-templates/{request.node.originalname}"
        return compiled(source.replace("{more}", more), seeded=False, METAFLOW_HITL_ROOT=root, **settings)

    return compile_it


@pytest.fixture
def ledger(compiler, request):
    """The records of this test."""
    return Ledger(open_store(f"s3://argo-templates/{request.node.originalname}", s3_client=compiler.place.client))


def settle(ledger, approval_id):
    """Note that a decision was carried out, and take it off the list of open ones."""
    now = datetime.now(timezone.utc)
    ledger.finish(
        ledger.update(approval_id, TrailEvent.SETTLED, now, lambda one: transitions.settle(one, now)).approval
    )


def test_asking_twice_asks_once(compiled_pod, pod, ledger):
    """The pod says the id in its log and as a parameter; a workflow that is retried asks again, and need not wait."""
    flow = compiled_pod(METAFLOW_HITL_ARGO_UI_URL="https://argo")
    gate = flow.gate("start")
    first = pod(gate.notify, METAFLOW_HITL_ARGO_NAMESPACE="of-the-authors-choice")
    assert first.returncode == 0, first.stdout
    (approval_id,) = ledger.open_ids()
    assert (first.out / "approval_id").read_text() == approval_id
    assert (first.out / "approval_settled").read_text() == "false"
    assert approval_id in first.stdout.splitlines()
    approval = ledger.read(approval_id).approval
    assert approval.question.message == "Deploy with 0.5?"
    assert approval.pathspec.run == "argo-pod-x7k2p"
    assert approval.pathspec.task.startswith("t-")
    assert (approval.gate.engine, approval.gate.namespace, approval.gate.workflow) == (
        EngineKind.ARGO,
        "flows",
        "pod-x7k2p",
    )
    assert approval.question.run_url == "https://argo/workflows/flows/pod-x7k2p"
    assert approval.question.notifiers == ("slack", "terminal")
    assert approval.requester.name == "alice"  # who deployed it; the pod's own user says nothing
    flow.call("hitl", "approve", approval_id, "--set", "target=prod", "--set", "share=7")
    decided = ledger.read(approval_id).approval
    second = pod(gate.notify)
    assert second.returncode == 0, second.stdout
    assert (second.out / "approval_id").read_text() == approval_id
    assert (second.out / "approval_settled").read_text() == "false"  # somebody is about to end the suspend node
    assert ledger.read(approval_id).approval == decided  # the deadline, too, counts from the first time
    settle(ledger, approval_id)
    third = pod(gate.notify)
    assert third.returncode == 0, third.stdout
    assert (third.out / "approval_settled").read_text() == "true"
    assert list(ledger.open_ids()) == []


@pytest.mark.way("lets something fail before the answer, with `@catch` or `@retry`")
@pytest.mark.on_argo
@pytest.mark.parametrize("is_sealed", ["open"], indirect=True)
def test_the_gated_container_starts_only_after_an_approval(compiled_pod, pod, ledger, compiler, attempts):
    """Unasked, unanswered or with other code it exits 202; approved it runs, says which way, and leaves a card."""
    flow = compiled_pod(source=CHOOSING)
    gate = flow.gate("start")
    unasked = pod(gate.task, METAFLOW_INIT_SCRIPT="")
    assert unasked.returncode == 202, unasked.stdout
    assert not attempts.tried(opened="RUNS" in unasked.stdout)
    assert pod(gate.notify).returncode == 0
    pending = pod(gate.task)
    assert pending.returncode == 202, pending.stdout
    assert "Nobody has approved" in pending.stdout
    assert not attempts.tried(opened="RUNS" in pending.stdout)
    (approval_id,) = ledger.open_ids()
    said = flow.call("hitl", "approve", approval_id, "--set", "target=prod")
    assert "No Kubernetes cluster is configured here" in said
    resume = f"argo resume pod-x7k2p -n flows --node-field-selector inputs.parameters.approval-id.value={approval_id}"
    assert resume in said
    other_code = pod(gate.task, METAFLOW_CODE_SHA="b" * 40)
    assert other_code.returncode == 202, other_code.stdout
    assert "was approved for something else: the code package" in other_code.stdout
    assert "RUNS" not in other_code.stdout
    elsewhere = pod(gate.task, METAFLOW_KUBERNETES_POD_NAMESPACE="production")
    assert elsewhere.returncode == 202, elsewhere.stdout
    assert "this task runs in the workflow pod-x7k2p in namespace production" in elsewhere.stdout
    assert "RUNS" not in elsewhere.stdout
    approved = pod(gate.task)
    assert "RUNS {'target': 'prod'}" in approved.stdout
    task = ledger.read(approval_id).approval.pathspec
    kept = flow.call("dump", f"{task.run}/{task.step}/{task.task}", "--private", "--include", "_transition")
    assert re.search(r"\[.?prod.?\]", kept)  # what Metaflow tells Argo, which starts this step and not the other
    (card,) = cards_of_gates(compiler)
    assert b"<h1>Deploy with 0.5?</h1>" in card
    assert b"Approved by alice" in card


def cards_of_gates(compiler):
    """Return the cards that gates left in the datastore, where Metaflow looks for them."""
    client = compiler.place.client()
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="argo-templates")
    keys = [one["Key"] for page in pages for one in page.get("Contents", ())]
    named = [key for key in keys if "mf.cards/Pod/" in key and key.rsplit("/", 1)[-1].startswith("hitl-")]
    return [client.get_object(Bucket="argo-templates", Key=key)["Body"].read() for key in named]


def test_a_rejection_is_refused_also_by_a_workflow_that_is_retried(compiled_pod, pod, ledger):
    """Whoever resumes the workflow by hand: it says who rejected and why, and exits 202; so does asking again."""
    flow = compiled_pod()
    gate = flow.gate("start")
    assert pod(gate.notify).returncode == 0
    (approval_id,) = ledger.open_ids()
    said = flow.call("hitl", "reject", approval_id, "--reason", "drift {{too}} high")
    assert f"approval-id.value={approval_id} --phase Failed" in said
    refused = pod(gate.task)
    assert refused.returncode == 202, refused.stdout
    assert "rejected by alice" in refused.stdout
    assert "RUNS" not in refused.stdout
    settle(ledger, approval_id)
    again = pod(gate.notify)
    assert again.returncode == 202, again.stdout
    assert "drift {{too}} high" in again.stdout
    assert not (again.out / "approval_id").exists()


def test_with_on_reject_continue_the_workflow_goes_on(compiled, compiler):
    """What the person is told to type resumes the workflow; the step sees the verdict."""
    flow = compiled("ungated")
    bench = Bench(store=compiler.place.store(), clock=HandClock(datetime.now(timezone.utc)))
    place = Gate(engine=EngineKind.ARGO, namespace="flows", workflow="pod-x7k2p")
    asked = bench.cases.ask(pathspec(), question(on_reject=OnReject.CONTINUE), place, REQUESTER).approval
    assert "argo resume pod-x7k2p" in flow.call("hitl", "reject", asked.id, "--reason", "no")


def test_a_message_that_cannot_be_written_is_not_tried_again(compiled, pod):
    """Exit code 202 ends Argo's attempts, and the log names the artifact."""
    source = FLOW.replace("{more}", "").replace("{self.alpha}", "{self.beta}")
    asked = pod(compiled(source).gate("start").notify)
    assert asked.returncode == 202, asked.stdout
    assert "'beta'" in asked.stdout


def test_a_slack_that_is_away_does_not_stop_the_question(compiled_pod, pod, ledger):
    """The record stands, the pod succeeds, and the log says that the bot posts it."""
    gate = compiled_pod(METAFLOW_HITL_SLACK_API_URL="http://127.0.0.1:9/api/", METAFLOW_HITL_SLACK_SECRET="slack").gate(
        "start"
    )
    asked = pod(gate.notify, METAFLOW_HITL_SLACK_BOT_TOKEN="xoxb-1", METAFLOW_HITL_SLACK_CHANNEL="#ml")
    assert asked.returncode == 0, asked.stdout
    assert "the bot posts it" in asked.stdout
    assert len(list(ledger.open_ids())) == 1
    assert "xoxb-1" not in asked.stdout


def test_the_pod_posts_in_slack(compiled_pod, pod, ledger, sandbox):
    """With a token the question is in Slack when the pod ends, by the slack_sdk of the code package."""
    gate = compiled_pod(METAFLOW_HITL_SLACK_API_URL=sandbox.api_url, METAFLOW_HITL_SLACK_CHANNEL="#ml-approvals").gate(
        "start"
    )
    asked = pod(gate.notify, METAFLOW_HITL_SLACK_BOT_TOKEN=sandbox.bot_token)
    assert asked.returncode == 0, asked.stdout
    (approval_id,) = ledger.open_ids()
    (post,) = ledger.read(approval_id).approval.posts
    assert (post.notifier, bool(post.ts)) == ("slack", True)
    assert sandbox.bot_token not in asked.stdout


class TestSealed:
    """The same containers with a public key: they propose, and believe nothing that no bot signed."""

    key = PrivateKey(bytes(range(32)))

    def failed(self, _, error):
        """Let nothing that the intake sets aside go unseen."""
        raise error

    broke = failed

    @pytest.mark.way("lets something fail before the answer, with `@catch` or `@retry`")
    @pytest.mark.on_argo
    @pytest.mark.parametrize("is_sealed", ["sealed"], indirect=True)
    def test_only_a_signed_answer_opens(self, compiled_pod, pod, ledger, attempts):
        """A pod proposes and writes nothing else; resumed by hand, or by a forged decision, it runs nothing."""
        gate = compiled_pod(METAFLOW_HITL_PUBLIC_KEYS=str(self.key.public_key)).gate("start")
        clock = HandClock(datetime.now(timezone.utc))
        bot = Bench(store=ledger.store, trust=Trust.of((), SigningKeys([self.key])), clock=clock)
        proposed = pod(gate.notify)
        assert proposed.returncode == 0, proposed.stdout
        approval_id = (proposed.out / "approval_id").read_text()
        assert f"proposals/questions/{approval_id}.json" in ledger.store.list("")
        assert list(ledger.store.list("approvals/")) == []
        assert Intake(bot.cases, self).tick() == 1
        answer = approving(at=clock(), input={"target": "prod", "share": 7})
        first = ledger.read(approval_id)
        forged = Version(
            number=2,
            previous=first.digest,
            event=TrailEvent.SETTLED,
            at=clock(),
            approval=transitions.settle(transitions.decide(first.approval, answer), clock()),
        )
        second = f"approvals/{approval_id}/00002.json"
        ledger.store.create(second, encode(forged))
        refused = pod(gate.task)
        assert refused.returncode == 202, refused.stdout
        assert "No bot vouches for" in refused.stdout
        assert not attempts.tried(opened="RUNS" in refused.stdout)
        ledger.store.unmark(second)
        bot.ledger.update(approval_id, TrailEvent.DECIDED, clock(), lambda one: transitions.decide(one, answer))
        replaced = pod(gate.task, METAFLOW_HITL_QUESTION_SHA256=asked_digest(question("Deploy to the playground?")))
        assert replaced.returncode == 202, replaced.stdout
        assert "was asked with a different question" in replaced.stdout
        assert "RUNS" not in replaced.stdout
        approved = pod(gate.task)
        assert "RUNS {'target': 'prod', 'share': 7}" in approved.stdout
