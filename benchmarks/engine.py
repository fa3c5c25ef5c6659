"""From a decision, and from a click, to the patched node: beside a bare read and patch of such an object.

A real etcd, a real API server, and workflows as real controllers wrote them. What is compared is measured in turn, so
that whatever else the machine does falls on all alike.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timezone
from threading import Event
from time import perf_counter, sleep
from typing import Any

import kubernetes

from benchmarks.rows import Row
from hitl_bot.bootstrap import bootstrap
from hitl_bot.sandbox import Sandbox
from hitl_bot.sandbox.driver import Driver
from hitl_bot.settings import Settings
from metaflow_extensions.hitl.approvals.record import Approval, EngineKind
from metaflow_extensions.hitl.engines.kubernetes import JSON_PATCH, KubernetesEngine, load_api_client
from metaflow_extensions.hitl.stores import MemoryStore
from tests.cluster import recorded
from tests.cluster.control_plane import ADMIN, Cluster, running_cluster
from tests.cluster.gated import RESOURCE, Gated, approved, gated
from tests.fixtures.approvals import REQUESTER, question

ROUNDS = 50
CLICKS = 20
CHANNEL = "#ml-approvals"


def measure() -> list[Row]:
    """Time the engine and the bare requests, in milliseconds."""
    with running_cluster() as cluster, _client(cluster) as api:
        requests = _counted(api)
        engine = KubernetesEngine(api, namespace="default", clock=_now, sleep=sleep)
        plain = _in_turn(cluster, engine, recorded.FOREACH_4_1)
        asked = len(requests)
        packed = _in_turn(cluster, engine, recorded.COMPRESSED_4_1)
        clicks = _clicks(cluster, engine)
    bare = Row.of("bare get and patch of a workflow", plain[0], "ms")
    return [
        bare,
        Row.of("decision to patched node (ratio: to the bare)", plain[1], "ms", _ratio(plain)),
        Row.of("decision to patched node: Kubernetes requests", [asked / ROUNDS], "requests"),
        Row.of("bare get and patch, 3,000 gates compressed", packed[0], "ms"),
        Row.of("decision to patched node, 3,000 gates (ratio: to the bare)", packed[1], "ms", _ratio(packed)),
        Row.of("click to patched node (under 100; ratio: to the bare)", clicks, "ms", min(clicks) / bare.min),
    ]


def _in_turn(cluster: Cluster, engine: KubernetesEngine, recording: str) -> tuple[list[float], list[float]]:
    """Return the milliseconds of the bare requests, and those of the engine."""
    api = kubernetes.client.CustomObjectsApi(cluster.api_client(ADMIN))
    bare: list[float] = []
    ours: list[float] = []
    for _ in range(ROUNDS):
        flow = gated(cluster, cluster.namespace(), recording)
        decided = approved(flow.approvals[0])
        bare.append(_milliseconds(lambda flow=flow: _bare(api, flow)))
        ours.append(_milliseconds(lambda decided=decided: engine.carry_out(decided)))
    return bare, ours


def _bare(api: Any, flow: Gated) -> None:
    place = (*RESOURCE, flow.namespace, "workflows", flow.name)
    api.get_namespaced_custom_object(*place)
    touch = {"op": "add", "path": "/metadata/annotations/touched", "value": "yes"}
    api.patch_namespaced_custom_object(*place, [touch], _content_type=JSON_PATCH)


def _clicks(cluster: Cluster, engine: KubernetesEngine) -> list[float]:
    """Return the milliseconds from the click in the local Slack to the API server's answer that the node is patched."""
    ends = Ends(engine)
    with ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox())
        settings = Settings(
            slack_bot_token=sandbox.bot_token,
            slack_app_token=sandbox.app_token,
            slack_api_url=sandbox.api_url,
            slack_channel=CHANNEL,
            port=0,
        )
        bot = bootstrap(settings, store=MemoryStore(), engines={EngineKind.ARGO: ends})
        stack.callback(bot.stop, 5)
        bot.transport.open(Event())
        bob = Driver(sandbox.url).as_("bob")
        taken: list[float] = []
        for _ in range(CLICKS):
            waiting = gated(cluster, cluster.namespace()).approvals[0]
            bot.cases.ask(waiting.pathspec, question(notifiers=("slack",)), waiting.gate, REQUESTER)
            message = bob.wait_for_message(CHANNEL, lambda one: "Approve" in one.buttons)
            begin = perf_counter()
            bob.click(message, "Approve", confirm="Approve")
            taken.append((ends.wait() - begin) * 1000)
            bob.wait_for_update(message)
    return taken


class Ends:
    """An engine that remembers when the last gate was ended."""

    def __init__(self, engine: KubernetesEngine) -> None:
        self._engine = engine
        self._ended = Event()
        self._at = 0.0

    def carry_out(self, approval: Approval) -> str:
        problem = self._engine.carry_out(approval)
        self._at = perf_counter()
        self._ended.set()
        return problem

    def namespace_of(self, approval: Approval) -> str | None:
        return approval.gate.namespace

    def gone(self, approval: Approval) -> str | None:
        return self._engine.gone(approval)

    def wait(self) -> float:
        assert self._ended.wait(30), "nothing was carried out"
        self._ended.clear()
        return self._at


def _client(cluster: Cluster) -> Any:
    return load_api_client(str(cluster.kubeconfig(ADMIN)))


def _counted(api: Any) -> list[str]:
    """Note each request of a client from now on."""
    seen: list[str] = []
    send = api.rest_client.pool_manager.request

    def request(method: str, *args: Any, **parts: Any) -> Any:
        seen.append(method)
        return send(method, *args, **parts)

    api.rest_client.pool_manager.request = request
    return seen


def _milliseconds(act: Callable[[], object]) -> float:
    begin = perf_counter()
    act()
    return (perf_counter() - begin) * 1000


def _ratio(pair: tuple[list[float], list[float]]) -> float:
    bare, ours = pair
    return min(ours) / min(bare)


def _now() -> datetime:
    return datetime.now(timezone.utc)
