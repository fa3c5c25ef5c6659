"""The engine for the Kubernetes API, on recorded workflows in a real API server.

Which node it changes, how many requests that takes, who may, and what becomes of it on the API server's bad days.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.errors import EngineUnavailable
from metaflow_extensions.hitl.approvals.ports import Engine
from metaflow_extensions.hitl.approvals.record import Gate, Where
from metaflow_extensions.hitl.engines import argo, kubernetes as engine_module
from metaflow_extensions.hitl.engines.kubernetes import NoCluster, load_api_client
from tests.cluster import recorded
from tests.cluster.control_plane import Cluster
from tests.cluster.gated import approved, gated, rejected
from tests.cluster.proxy import Answer, First, Hang, LoseAnswer, as_json
from tests.fixtures.approvals import BOB, after
from tests.fixtures.engines import ArgoPlace, Pauses, kubernetes_engine

GET, PATCH = ("GET", 200), ("PATCH", 200)
RECORDINGS = [recorded.FOREACH_3_7, recorded.FOREACH_4_1, recorded.RECURSION_3_7, recorded.COMPRESSED_4_1]


@pytest.fixture
def place(kubernetes_place: ArgoPlace) -> ArgoPlace:
    return kubernetes_place


@pytest.fixture
def engine(place: ArgoPlace) -> Engine:
    return place.engine


# Exactly one node.


@pytest.mark.parametrize("recording", RECORDINGS)
def test_only_the_one_node_changes(place: ArgoPlace, recording: str) -> None:
    """Of everything that Argo wrote, phase, finishedAt and message of one node change, and nothing else."""
    flow = gated(place.cluster, place.namespace, recording)
    before = recorded.nodes(flow.read())
    asked = flow.approvals[0]
    assert place.engine.carry_out(approved(asked)) == ""
    chosen = flow.node(asked)
    after_all = recorded.nodes(flow.read())
    expected = {**before[chosen["id"]], "phase": "Succeeded", "message": "approved by Alice Adams via Slack button"}
    assert {**after_all[chosen["id"]], "finishedAt": None} == {**expected, "finishedAt": None}
    assert {**after_all, chosen["id"]: None} == {**before, chosen["id"]: None}


def test_one_of_three_thousand(place: ArgoPlace) -> None:
    """In a compressed workflow of 3,000 gates one opens, another fails, 2,998 wait, and all stay compressed."""
    flow = gated(place.cluster, place.namespace, recorded.COMPRESSED_4_1)
    first, second, _ = flow.approvals
    assert place.engine.carry_out(approved(first)) == ""
    assert place.engine.carry_out(rejected(second)) == ""
    assert flow.phases() == ["Succeeded", "Failed", "Running"]
    assert [node["phase"] for node in flow.nodes().values()].count("Running") == 2998
    assert "nodes" not in flow.read()["status"]


def test_message_names_who_and_why(place: ArgoPlace, engine: Engine) -> None:
    """On the node stand the person, the way in and the reason; the time is the engine's clock's, in UTC."""
    flow = gated(place.cluster, place.namespace)
    asked = flow.approvals[0]
    engine.carry_out(rejected(asked, by=BOB, where=Where.FORM, reason="drift too high"))
    node = flow.node(asked)
    assert node["message"] == "rejected by Bob Brown via Slack form: drift too high"
    assert node["finishedAt"].endswith("Z")
    assert node["finishedAt"] >= node["startedAt"]


def test_two_requests_a_decision(place: ArgoPlace, engine: Engine) -> None:
    """From decision to patched node it takes one GET and one PATCH; to see that it was done before, one GET."""
    asked = place.ask()[0]
    engine.carry_out(approved(asked))
    assert place.proxy.requests() == [GET, PATCH]
    engine.carry_out(approved(asked))
    assert place.proxy.requests() == [GET, PATCH, GET]


@pytest.mark.parametrize("recording", [recorded.FOREACH_4_1, recorded.COMPRESSED_4_1])
def test_one_look_for_all_gates_of_a_workflow(place: ArgoPlace, pauses: Pauses, recording: str) -> None:
    """Whether anybody waits is asked once for all gates of one workflow, and again some seconds later."""
    flow = gated(place.cluster, place.namespace, recording)
    assert [place.engine.gone(asked) for asked in flow.approvals] == [None] * 3
    assert place.proxy.requests() == [GET]
    flow.delete()
    pauses.sleep(argo.KEPT.total_seconds())
    assert all("deleted" in (place.engine.gone(asked) or "") for asked in flow.approvals)
    assert place.proxy.requests() == [GET, ("GET", 404)]


def test_only_so_many_workflows_are_remembered(place: ArgoPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was seen is forgotten when others were seen since, so that a bot for many workflows does not grow."""
    monkeypatch.setattr(argo, "REMEMBERED", 1)
    place.engine._lately = argo._Lately(place.engine._read, place.engine._clock)
    asked = place.ask()[0]
    elsewhere = replace(asked, gate=replace(asked.gate, workflow="another"))
    for one in (asked, elsewhere, asked):
        place.engine.gone(one)
    assert place.proxy.requests() == [GET, ("GET", 404), GET]


# Others at the same time.


def test_two_bots_race(
    place: ArgoPlace, cluster: Cluster, namespace: str, bot_account: str, pauses: Pauses, tmp_path: Path
) -> None:
    """Of two bots that both saw the gate wait, one patch is effective, and both report that it is done."""
    asked = approved(place.ask()[0])
    with kubernetes_engine(cluster, place.proxy, bot_account, namespace, pauses, tmp_path) as other:
        place.proxy.fail("PATCH", First(lambda: other.carry_out(asked)))
        assert place.engine.carry_out(asked) == ""
        assert other.carry_out(asked) == ""
    patches = [status for method, status in place.proxy.requests() if method == "PATCH"]
    assert patches == [200, 422]
    assert place.phases() == ["Succeeded", "Running", "Running"]


def test_many_bots_race_for_a_compressed_workflow(place: ArgoPlace) -> None:
    """Each of eight threads that carry out two decisions at once reports it done, and no patch undoes another."""
    flow = gated(place.cluster, place.namespace, recorded.COMPRESSED_4_1)
    first, second, _ = flow.approvals
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(place.engine.carry_out, [approved(first), rejected(second)] * 4))
    assert done == [""] * 8
    assert flow.phases() == ["Succeeded", "Failed", "Running"]
    assert [status for method, status in place.proxy.requests() if method == "PATCH"].count(200) == 2


@pytest.mark.parametrize("recording", RECORDINGS)
def test_patch_between_read_and_write_is_kept(place: ArgoPlace, recording: str) -> None:
    """What somebody changes between the engine's read and its patch is still there afterwards, as is the decision."""
    flow = gated(place.cluster, place.namespace, recording)
    touch = {"op": "add", "path": "/metadata/labels/touched", "value": "yes"}
    place.proxy.fail("PATCH", First(lambda: flow.change(touch)))
    assert place.engine.carry_out(approved(flow.approvals[0])) == ""
    assert flow.read()["metadata"]["labels"]["touched"] == "yes"
    assert flow.phases()[0] == "Succeeded"


def test_gate_that_ends_between_read_and_write_is_left(place: ArgoPlace) -> None:
    """A gate that somebody stops between read and patch stays as they left it, and the person is told why."""
    asked = place.ask()[0]
    place.proxy.fail("PATCH", First(lambda: place.gated.change_node(asked, phase="Failed", message="stopped by carol")))
    assert 'stopped in Argo before: "stopped by carol"' in place.engine.carry_out(approved(asked))
    assert place.gated.node(asked)["phase"] == "Failed"


def test_deletion_between_read_and_write_is_told(place: ArgoPlace) -> None:
    """A workflow deleted between read and patch is a matter for the message, and no error."""
    asked = place.ask()[0]
    place.proxy.fail("PATCH", First(place.end))
    assert "deleted" in place.engine.carry_out(approved(asked))


def test_workflow_that_never_rests_is_tried_later(place: ArgoPlace) -> None:
    """When every patch meets a change, the engine gives up after some attempts, and asks to be called again."""
    flow = gated(place.cluster, place.namespace, recorded.COMPRESSED_4_1)
    touches = iter(range(100))

    def touch() -> None:
        flow.change({"op": "add", "path": "/metadata/labels/touched", "value": f"n{next(touches)}"})

    place.proxy.fail("PATCH", *[First(touch)] * argo.ATTEMPTS)
    with pytest.raises(EngineUnavailable, match="kept changing"):
        place.engine.carry_out(approved(flow.approvals[0]))
    assert place.engine.carry_out(approved(flow.approvals[0])) == ""


# A gate that does not wait.


def finish(place: ArgoPlace) -> None:
    place.gated.change({"op": "replace", "path": "/status/phase", "value": "Failed"})


def terminate(place: ArgoPlace) -> None:
    place.gated.change({"op": "add", "path": "/spec/shutdown", "value": "Terminate"})


@pytest.mark.parametrize(("end", "words"), [(finish, "has ended (Failed)"), (terminate, "was stopped in Argo")])
def test_ended_workflow_is_never_patched(place: ArgoPlace, engine: Engine, end: object, words: str) -> None:
    """A workflow that is finished or terminated is left as it is, and both calls say what is."""
    asked = place.ask()[0]
    end(place)
    assert words in (engine.gone(asked) or "")
    assert words in engine.carry_out(approved(asked))
    assert words in engine.carry_out(rejected(asked))
    assert place.phases() == ["Running"] * 3


def test_gate_resumed_by_hand_after_the_answer_is_done(place: ArgoPlace, engine: Engine) -> None:
    """Somebody's own `argo resume` after an approval is as good as the engine's: nothing is left to do."""
    asked = place.ask()[0]
    place.gated.change_node(asked, phase="Succeeded", message="Resumed by: map[User:carol]")
    assert engine.carry_out(approved(asked)) == ""
    assert place.gated.node(asked)["message"] == "Resumed by: map[User:carol]"


def test_gate_resumed_by_hand_can_still_be_answered(place: ArgoPlace, engine: Engine, pauses: Pauses) -> None:
    """After a bare `argo resume` the step itself looks for an answer; until it has failed, the question stays open."""
    asked = place.ask()[0]
    place.gated.change_node(asked, phase="Succeeded")
    assert engine.gone(asked) is None
    pauses.sleep(argo.KEPT.total_seconds())
    wrapper = place.gated.node(asked)["boundaryID"]
    refused_at = after(1, asked.requested_at).strftime("%Y-%m-%dT%H:%M:%SZ")
    for key, value in (("phase", "Failed"), ("finishedAt", refused_at)):
        place.gated.change({"op": "add", "path": f"/status/nodes/{wrapper}/{key}", "value": value})
    assert "refused to start" in (engine.gone(asked) or "")
    assert "refused to start" in engine.carry_out(approved(asked))


def test_rejection_after_a_resume_by_hand_is_told(place: ArgoPlace, engine: Engine) -> None:
    """A gate that is open can't be failed any more; the person reads that the step itself does not run."""
    asked = place.ask()[0]
    place.gated.change_node(asked, phase="Succeeded")
    assert "does not run its code" in engine.carry_out(rejected(asked))


def test_gate_that_opened_by_its_own_clock_is_no_trouble(place: ArgoPlace, engine: Engine) -> None:
    """After an expiry the gate may be open by the suspend's own duration; the step refuses, so all is well."""
    asked = place.ask(timeout=60)[0]
    place.gated.change_node(asked, phase="Succeeded")
    assert engine.carry_out(transitions.expire(asked, after(61, asked.requested_at))) == ""


def test_workflow_on_its_way_to_the_gate(place: ArgoPlace, engine: Engine) -> None:
    """Who answers before the workflow has come to the gate is not told that it is gone: it is tried again."""
    asked = replace(place.ask()[0], id="deploy-notyetthere")
    assert engine.gone(asked) is None
    with pytest.raises(EngineUnavailable, match="had not reached the gate"):
        engine.carry_out(approved(asked))
    assert place.phases() == ["Running"] * 3


def test_another_workflow_of_this_name_is_left_alone(place: ArgoPlace, engine: Engine) -> None:
    """A workflow created long after the question was asked asks its own: its gates stay shut, and both calls say so."""
    asked = replace(place.ask()[0], id="deploy-ofanother")
    asked = replace(asked, requested_at=after(-3600, asked.requested_at))
    assert "another workflow" in (engine.gone(asked) or "")
    assert "another workflow" in engine.carry_out(approved(asked))
    assert place.phases() == ["Running"] * 3


def test_nodes_that_cannot_be_read_name_the_way(place: ArgoPlace, engine: Engine) -> None:
    """Offloaded, or packed by zstd: the answer stands, and an operator reads which setting to make."""
    asked = place.ask()[0]
    place.gated.change(
        {"op": "remove", "path": "/status/nodes"},
        {"op": "add", "path": "/status/offloadNodeStatusVersion", "value": "fnv:1"},
    )
    for call in (engine.gone, lambda asked: engine.carry_out(approved(asked))):
        with pytest.raises(EngineUnavailable, match="METAFLOW_HITL_ARGO_SERVER_URL"):
            call(asked)
    place.gated.change({"op": "add", "path": "/status/compressedNodes", "value": "KLUv/QBYAQA="})
    with pytest.raises(EngineUnavailable, match="zstd"):
        engine.carry_out(approved(asked))


@pytest.mark.parametrize("name", ["", "..", "../../../api/v1/secrets", "a/b", "A", "-a", "a" * 254])
def test_record_cannot_name_another_resource(place: ArgoPlace, engine: Engine, name: str) -> None:
    """A name that no workflow can have reaches no server, in either place of the record."""
    asked = place.ask()[0]
    for gate in (replace(asked.gate, workflow=name or None), replace(asked.gate, namespace=name or "..")):
        assert "does not name its workflow" in engine.carry_out(approved(replace(asked, gate=gate)))
        assert "does not name its workflow" in (engine.gone(replace(asked, gate=gate)) or "")
    assert place.proxy.seen == []


def test_default_namespace_is_where_a_record_names_none(place: ArgoPlace, engine: Engine) -> None:
    """A record without a namespace means the one that the engine was built for."""
    asked = place.ask()[0]
    gate = Gate(engine=asked.gate.engine, workflow=asked.gate.workflow)
    assert engine.carry_out(approved(replace(asked, gate=gate))) == ""
    assert place.phases()[0] == "Succeeded"


# Rights.


def test_bot_may_do_its_work_and_no_more(cluster: Cluster, namespace: str, bot_account: str) -> None:
    """The bot's role has get, list, watch and patch on workflows, in its namespace; nothing else of Argo's."""
    verbs = ["get", "list", "watch", "patch", "create", "update", "delete", "deletecollection"]
    assert [verb for verb in verbs if cluster.may(bot_account, verb, "workflows", namespace)] == verbs[:4]
    for resource in ("workflowtemplates", "workflowtaskresults"):
        assert not any(cluster.may(bot_account, verb, resource, namespace) for verb in verbs)
    assert not cluster.may(bot_account, "patch", "workflows", cluster.namespace())


@pytest.mark.parametrize("verbs", [[], ["get"]])
def test_pod_cannot_resume(
    cluster: Cluster, namespace: str, place: ArgoPlace, pauses: Pauses, tmp_path: Path, verbs: list[str]
) -> None:
    """With a pod's token, even one that may read, the gate stays shut; an operator reads which right is missing."""
    asked = place.ask()[0]
    pod = cluster.service_account(namespace, "flow")
    cluster.allow(pod, "workflowtaskresults", ["create", "patch"])
    if verbs:
        cluster.allow(pod, "workflows", verbs)
    with (
        kubernetes_engine(cluster, place.proxy, pod, namespace, pauses, tmp_path) as engine,
        pytest.raises(
            EngineUnavailable, match=f"may not {'patch' if verbs else 'get'} workflows in namespace {namespace}"
        ),
    ):
        engine.carry_out(approved(asked))
    assert place.phases() == ["Running"] * 3
    assert pauses == []


# Bad days of the API server.


@pytest.mark.parametrize("method", ["GET", "PATCH"])
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_busy_server_is_asked_again(place: ArgoPlace, pauses: Pauses, method: str, status: int) -> None:
    """A server that can't for a moment is asked again after a pause, from the reading on, and it is done."""
    asked = place.ask()[0]
    place.proxy.fail(method, Answer(status))
    assert place.engine.carry_out(approved(asked)) == ""
    assert pauses == [argo.PAUSE]
    assert place.phases() == ["Succeeded", "Running", "Running"]


def test_server_says_how_long_to_wait(place: ArgoPlace, pauses: Pauses) -> None:
    """Retry-After is kept to while it is short; one that is longer than anybody waits is left to the sweeper."""
    asked = place.ask()[0]
    place.proxy.fail("GET", Answer(429, {"Retry-After": "3"}))
    assert place.engine.carry_out(approved(asked)) == ""
    assert pauses == [3.0]
    place.proxy.fail("GET", Answer(429, {"Retry-After": "600"}))
    with pytest.raises(EngineUnavailable):
        place.engine.gone(asked)
    assert pauses == [3.0]


def test_conflict_is_tried_at_once(place: ArgoPlace, pauses: Pauses) -> None:
    """A 409 means that others were quicker: the workflow is read again without a pause."""
    asked = place.ask()[0]
    place.proxy.fail("PATCH", Answer(409), Answer(409))
    assert place.engine.carry_out(approved(asked)) == ""
    assert pauses == []
    assert place.proxy.requests() == [GET, ("PATCH", 409), GET, ("PATCH", 409), GET, PATCH]


def test_server_that_stays_broken_is_left_after_some_attempts(place: ArgoPlace, pauses: Pauses) -> None:
    """The pauses grow, all of it stays within what a stopping bot waits for, and then the sweeper has to come back."""
    asked = place.ask()[0]
    place.proxy.down = True
    with pytest.raises(EngineUnavailable, match=r"as the test wants it \(HTTP 503\)"):
        place.engine.carry_out(approved(asked))
    assert pauses == sorted(set(pauses))
    assert 0 < sum(pauses) < argo.PATIENCE.total_seconds()


@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_server_that_hangs_is_not_waited_for(place: ArgoPlace, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """A request without an answer ends by itself, and the next one does it."""
    monkeypatch.setattr(engine_module, "READ_TIMEOUT", 1.5)  # no less: the others have to make it in time
    asked = place.ask()[0]
    place.proxy.fail(method, Hang())
    assert place.engine.carry_out(approved(asked)) == ""
    assert place.phases()[0] == "Succeeded"


def test_lost_answer_was_a_success(place: ArgoPlace) -> None:
    """A patch whose answer is lost is not made again: the engine looks, and sees that it is done."""
    asked = place.ask()[0]
    place.proxy.fail("PATCH", LoseAnswer())
    assert place.engine.carry_out(approved(asked)) == ""
    assert place.proxy.requests() == [GET, PATCH, GET]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(401, body=as_json({"message": "Unauthorized"})), "Unauthorized"),
        (Answer(404, {"Content-Type": "text/plain"}, b"404 page not found"), "Argo Workflows is not installed"),
        (Answer(400, body=b"<html>"), "HTTP 400"),
        (Answer(302, {"Location": "https://elsewhere.example/"}), "HTTP 302"),
    ],
)
def test_refusals_leave_the_decision_open(place: ArgoPlace, pauses: Pauses, answer: Answer, words: str) -> None:
    """What only an operator can fix is not tried in a hurry, and not given up either."""
    asked = place.ask()[0]
    place.proxy.fail("GET", answer)
    with pytest.raises(EngineUnavailable, match=words):
        place.engine.carry_out(approved(asked))
    assert pauses == []


def test_nobody_listens(
    place: ArgoPlace, cluster: Cluster, namespace: str, bot_account: str, pauses: Pauses, tmp_path: Path
) -> None:
    """A refused connection is tried some times, and is then for the sweeper."""
    asked = place.ask()[0]
    nowhere = replace(place.proxy, url="http://127.0.0.1:1")
    with (
        kubernetes_engine(cluster, nowhere, bot_account, namespace, pauses, tmp_path) as engine,
        pytest.raises(EngineUnavailable, match="does not answer"),
    ):
        engine.carry_out(approved(asked))
    assert pauses


# The configuration.


def test_own_kubeconfig_is_used(cluster: Cluster, namespace: str, bot_account: str) -> None:
    """A kubeconfig file, with the certificate that it names, is all that an engine needs."""
    flow = gated(cluster, namespace)
    with load_api_client(str(cluster.kubeconfig(bot_account, namespace=namespace)), connections=3) as api:
        engine = engine_module.KubernetesEngine(api, namespace=namespace, clock=lambda: after(0), sleep=[].append)
        assert engine.gone(flow.approvals[0]) is None


@pytest.mark.parametrize("content", [None, "", "{}", "[]", "a: [", "current-context: x\nclusters: []\n"])
def test_no_cluster_is_said(tmp_path: Path, content: str | None) -> None:
    """A kubeconfig that is missing, empty or broken is no defect: it says that no cluster is configured."""
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content)
    with pytest.raises(NoCluster, match="No Kubernetes cluster is configured"):
        load_api_client(str(path))
