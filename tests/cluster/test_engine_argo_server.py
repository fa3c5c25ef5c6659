"""The engine for argo-server, against a double of it that works on real Workflow objects with the caller's rights."""

from __future__ import annotations

import copy
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metaflow_extensions.hitl.approvals.errors import EngineUnavailable, HitlError
from metaflow_extensions.hitl.approvals.ports import Engine
from metaflow_extensions.hitl.engines import argo_server as engine_module
from metaflow_extensions.hitl.engines.argo_server import ArgoServerEngine
from tests.cluster import argo_server as double, recorded
from tests.cluster.control_plane import Cluster
from tests.cluster.gated import approved, gated, rejected
from tests.cluster.proxy import Answer, First, Hang, LoseAnswer, as_json
from tests.fixtures.approvals import BOB, after
from tests.fixtures.engines import ArgoPlace, Pauses

GET, PUT = ("GET", 200), ("PUT", 200)


@pytest.fixture
def place(argo_server_place: ArgoPlace) -> ArgoPlace:
    return argo_server_place


@pytest.fixture
def engine(place: ArgoPlace) -> Engine:
    return place.engine


def engine_at(url: str, token: str | None = None, **parts: Any) -> ArgoServerEngine:
    return ArgoServerEngine(url, token, namespace="argo", clock=lambda: after(0), sleep=[].append, **parts)


@pytest.fixture
def account(cluster: Cluster, namespace: str) -> str:
    """A user who may read workflows and not update them: enough for the Kubernetes API, not for argo-server."""
    user = cluster.service_account(namespace, "reader")
    cluster.allow(user, "workflows", ["get", "list", "watch", "patch"])
    return user


@pytest.mark.parametrize("recording", [recorded.FOREACH_3_7, recorded.COMPRESSED_4_1])
def test_one_gate_of_many_is_set(place: ArgoPlace, recording: str) -> None:
    """Plain or compressed, one gate opens, another fails, and every other waits."""
    flow = gated(place.cluster, place.namespace, recording)
    first, second, _ = flow.approvals
    others = len(flow.nodes()) - 2
    assert place.engine.carry_out(approved(first)) == ""
    assert place.engine.carry_out(rejected(second, by=BOB, reason="drift too high")) == ""
    assert flow.phases() == ["Succeeded", "Failed", "Running"]
    assert [node["phase"] for node in flow.nodes().values()].count("Running") == others
    assert flow.node(second)["message"] == "rejected by Bob Brown via Slack form: drift too high"


def test_offloaded_nodes_are_within_reach(place: ArgoPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A workflow whose nodes are in Argo's database is carried out through argo-server."""
    asked = place.ask()[0]
    found = recorded.nodes(place.gated.read())
    monkeypatch.setitem(double.OFFLOADED, "fnv:1", copy.deepcopy(found))
    place.gated.change(
        {"op": "remove", "path": "/status/nodes"},
        {"op": "add", "path": "/status/offloadNodeStatusVersion", "value": "fnv:1"},
    )
    assert place.engine.gone(asked) is None
    assert place.engine.carry_out(approved(asked)) == ""
    assert place.phases() == ["Succeeded", "Running", "Running"]


def test_two_requests_a_decision(place: ArgoPlace) -> None:
    """It looks once and sets once; to see that it was done before, it looks once."""
    asked = place.ask()[0]
    place.engine.carry_out(approved(asked))
    assert place.proxy.requests() == [GET, PUT]
    place.engine.carry_out(approved(asked))
    assert place.proxy.requests() == [GET, PUT, GET]


def test_never_without_a_selector(place: ArgoPlace) -> None:
    """What is not an approval ID is not put into a selector, where nothing, or a comma, would choose other gates."""
    flow = gated(place.cluster, place.namespace)
    odd = "deploy-x,phase=Running"
    node = flow.node(flow.approvals[0])
    flow.change({"op": "replace", "path": f"/status/nodes/{node['id']}/inputs/parameters/0/value", "value": odd})
    with pytest.raises(HitlError):
        place.engine.carry_out(approved(replace(flow.approvals[0], id=odd)))
    assert [status for method, status in place.proxy.requests() if method == "PUT"] == []


def test_gate_that_ends_between_look_and_set(place: ArgoPlace) -> None:
    """argo-server's 500 about no suspend node is no outage: the engine looks again and says what is."""
    asked = place.ask()[0]
    stop = First(lambda: place.gated.change_node(asked, phase="Failed", message="stopped by carol"))
    place.proxy.fail("PUT", stop)
    assert "stopped by carol" in place.engine.carry_out(approved(asked))
    assert place.proxy.requests() == [GET, ("PUT", 500), GET]


def test_set_by_another_bot_meanwhile(place: ArgoPlace) -> None:
    """When another bot was quicker, both report it done, and nothing is set twice."""
    asked = approved(place.ask()[0])
    place.proxy.fail("PUT", First(lambda: place.engine.carry_out(asked)))
    assert place.engine.carry_out(asked) == ""
    assert place.phases() == ["Succeeded", "Running", "Running"]


def test_deleted_between_look_and_set(place: ArgoPlace) -> None:
    """A workflow deleted meanwhile is a matter for the message, and no error."""
    asked = place.ask()[0]
    place.proxy.fail("PUT", First(place.end))
    assert "deleted" in place.engine.carry_out(approved(asked))


def test_lost_answer_was_a_success(place: ArgoPlace) -> None:
    """A set whose answer is lost is not made again: the engine looks, and sees that it is done."""
    asked = place.ask()[0]
    place.proxy.fail("PUT", LoseAnswer())
    assert place.engine.carry_out(approved(asked)) == ""
    assert place.proxy.requests() == [GET, PUT, GET]


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_busy_server_is_asked_again(place: ArgoPlace, pauses: Pauses, method: str, status: int) -> None:
    """A server that can't for a moment is asked again, by its own Retry-After if it gives one, and it is done."""
    asked = place.ask()[0]
    place.proxy.fail(method, Answer(status, {"Retry-After": "2"}, b"upstream connect error"))
    assert place.engine.carry_out(approved(asked)) == ""
    assert pauses == [2.0]


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_server_that_hangs_is_not_waited_for(place: ArgoPlace, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """A request without an answer ends by itself, and the next one does it."""
    monkeypatch.setattr(engine_module, "READ_TIMEOUT", 1.5)  # no less: the others have to make it in time
    asked = place.ask()[0]
    place.proxy.fail(method, Hang())
    assert place.engine.carry_out(approved(asked)) == ""


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(200, {"Content-Type": "text/html"}, b"<html>Sign in</html>"), "is not argo-server"),
        (Answer(302, {"Location": "https://elsewhere.example/login"}), "HTTP 302"),
        (Answer(400, body=as_json(["?"])), "HTTP 400"),
    ],
)
def test_page_to_sign_in_is_no_workflow(place: ArgoPlace, pauses: Pauses, answer: Answer, words: str) -> None:
    """What is not argo-server is named by its address, not tried in a hurry, and the decision stays open."""
    asked = place.ask()[0]
    place.proxy.fail("GET", answer)
    with pytest.raises(EngineUnavailable, match=words) as refusal:
        place.engine.carry_out(approved(asked))
    assert place.proxy.url in str(refusal.value)
    assert pauses == []


def test_token_may_come_with_its_word(place: ArgoPlace) -> None:
    """`argo auth token` prints "Bearer …", which is taken as it is."""
    asked = place.ask()[0]
    token = place.cluster.token(place.cluster.service_account(place.namespace, "other"))
    for said in (token, f"Bearer {token}"):
        with closing(engine_at(place.proxy.url, said)) as engine, pytest.raises(EngineUnavailable, match="may not get"):
            engine.gone(asked)  # it is known, and has no rights


def test_missing_token_is_named(place: ArgoPlace) -> None:
    """Without a token argo-server answers 401, and an operator reads which setting to make."""
    asked = place.ask()[0]
    with (
        closing(engine_at(place.proxy.url)) as engine,
        pytest.raises(EngineUnavailable, match="METAFLOW_HITL_ARGO_SERVER_TOKEN"),
    ):
        engine.carry_out(approved(asked))


def test_netrc_does_not_replace_the_token(
    place: ArgoPlace, account: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A password for this host in ~/.netrc is not sent in place of the token."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    asked = place.ask()[0]
    with closing(engine_at(place.proxy.url, place.cluster.token(account))) as engine:
        assert engine.gone(asked) is None


def test_right_to_update_is_needed(place: ArgoPlace, account: str) -> None:
    """With the rights that suffice for the Kubernetes API, argo-server can't update: an operator reads that."""
    asked = place.ask()[0]
    with (
        closing(engine_at(place.proxy.url, place.cluster.token(account))) as engine,
        pytest.raises(EngineUnavailable, match="may not update workflows: it needs get and update"),
    ):
        engine.carry_out(approved(asked))
    assert place.phases() == ["Running"] * 3


def test_certificate_is_checked(cluster: Cluster, account: str) -> None:
    """A server whose certificate nobody vouches for is not spoken to; with a CA file of one's own it is."""
    token = cluster.token(account)  # the API server speaks TLS with a certificate that it made for itself
    with closing(engine_at(cluster.url, token)) as engine, pytest.raises(EngineUnavailable, match="CERTIFICATE"):
        engine.version()
    trusting = engine_at(cluster.url, token, ca_file=str(cluster.certificate))
    with closing(trusting) as engine, pytest.raises(EngineUnavailable, match="HTTP 40"):
        engine.version()


def test_version_is_told(place: ArgoPlace) -> None:
    """Argo's version is what the server says it is; a slash at the end of its address makes no difference."""
    with closing(engine_at(f"{place.proxy.url}/", "any")) as engine:
        assert engine.version() == "Argo Workflows v4.1.2"
        assert engine.argo_version() == "v4.1.2"
