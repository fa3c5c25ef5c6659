"""The bot and workflows on Argo: a click, and the gate in a real API server opens; what it says when it can't."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timezone
from http.client import HTTPConnection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from hitl_bot.bootstrap import Bot, bootstrap
from hitl_bot.doctor import examine
from hitl_bot.doctor.checks import Finding, Health
from hitl_bot.sandbox.driver import Message, Person
from hitl_bot.settings import Settings
from metaflow_extensions.hitl.api import Approvals
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.record import Approval, EngineKind, State
from metaflow_extensions.hitl.approvals.use_cases import UseCases
from metaflow_extensions.hitl.commands.context import Context
from metaflow_extensions.hitl.commands.looking import list_
from metaflow_extensions.hitl.messages import controls
from metaflow_extensions.hitl.slack import ClaimedPeople
from tests.fixtures.approvals import REQUESTER, HandClock, any_input, question
from tests.fixtures.engines import ArgoPlace
from tests.fixtures.slack import connect
from tests.integration.bot.conftest import CHANNEL

if TYPE_CHECKING:
    from tests.cluster.control_plane import Cluster
    from tests.cluster.gated import Gated


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Callable[[object], None]:
    """Let the Kubernetes client find a kubeconfig as it finds KUBECONFIG, which it reads when it is imported."""

    def configure_kubectl(kubeconfig: object) -> None:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))

    return configure_kubectl


@pytest.fixture
def by_kubernetes(
    settings: Settings, cluster: Cluster, namespace: str, bot_account: str, configure: Callable[[object], None]
) -> Settings:
    configure(cluster.kubeconfig(bot_account, namespace=namespace))
    return settings


@pytest.fixture
def by_argo_server(settings: Settings, argo_server_place: ArgoPlace) -> Settings:
    place = argo_server_place
    token = place.cluster.token(f"system:serviceaccount:{place.namespace}:hitl-bot-server")
    return with_parts(settings, argo_server_url=place.proxy.url, argo_server_token=token)


@pytest.fixture(params=["kubernetes", "argo_server"])
def argo_settings(request: pytest.FixtureRequest) -> Settings:
    """Settings of a bot that can resume workflows, in one way or the other."""
    return request.getfixturevalue(f"by_{request.param}")


def with_parts(settings: Settings, **parts: object) -> Settings:
    return Settings(**{**settings.model_dump(), **parts})


@contextmanager
def running(settings: Settings, store: Store, clock: HandClock) -> Iterator[Bot]:
    bot = bootstrap(settings, store=store, clock=clock)
    connect(bot)
    try:
        yield bot
    finally:
        assert bot.stop(60), "something of the bot did not end"


@pytest.fixture
def flow(cluster: Cluster, namespace: str) -> Gated:
    from tests.cluster.gated import gated  # noqa: PLC0415 - it imports the Kubernetes client

    return gated(cluster, namespace)


def ask(bot: Bot, flow: Gated, number: int = 0) -> Approval:
    waiting = flow.approvals[number]
    asked = question(notifiers=("slack",), message=f"Deploy {number}?")
    return bot.cases.ask(waiting.pathspec, asked, waiting.gate, REQUESTER).approval


def asks(message: Message) -> bool:
    return controls.APPROVE in [element.action_id for element in message.elements]


def test_click_opens_the_gate(
    argo_settings: Settings, store: Store, clock: HandClock, flow: Gated, bob: Person, ledger: Ledger
) -> None:
    """Approve in Slack: exactly that suspend node succeeds with the person's name on it, and all is settled."""
    with running(argo_settings, store, clock) as bot:
        asked = ask(bot, flow)
        message = bob.wait_for_message(CHANNEL, asks)
        bob.click(message, "Approve", confirm="Approve")
        assert "the run continues" in bob.wait_for_update(message).plain
    assert flow.phases() == ["Succeeded", "Running", "Running"]
    assert flow.node(asked)["message"] == "approved by bob via Slack button"
    settlement = ledger.read(asked.id).approval.settlement
    assert settlement is not None
    assert settlement.problem == ""


def test_a_rejected_run_is_found_although_no_pod_starts(
    by_kubernetes: Settings, store: Store, clock: HandClock, flow: Gated, bob: Person
) -> None:
    """The gate's node fails and nothing writes to Metaflow's metadata: what finds the run is `hitl list --all`.

    So does `Approvals.history`, by the run, with the reason.
    """
    with running(by_kubernetes, store, clock) as bot:
        asked = ask(bot, flow)
        message = bob.wait_for_message(CHANNEL, asks)
        bob.command(f"/hitl reject {asked.id} too much drift")
        assert "Rejected" in bob.wait_for_update(message, lambda one: "Rejected" in one.plain).plain
    assert flow.phases() == ["Failed", "Running", "Running"]
    machine = UseCases(
        Ledger(store), engines={}, notifiers={}, people=ClaimedPeople(), check_input=any_input, clock=clock
    )
    approvals = Approvals(machine, REQUESTER)
    (found,) = approvals.history(flow=asked.pathspec.flow, run=asked.pathspec.run)
    assert (found.state, found.decision.reason) == (State.REJECTED, "too much drift")
    said: list[str] = []
    context = Context(
        approvals=approvals, command="hitl", write=said.append, warn=said.append, now=clock(), zone=timezone.utc
    )
    list_(
        context, Namespace(all=True, limit=50, flow=None, run=asked.pathspec.run, step=None, json=False, shards=False)
    )
    assert "rejected" in said[0]
    assert asked.pathspec.run in said[0]


def test_workflow_gone_is_told_on_the_message(
    argo_settings: Settings, store: Store, clock: HandClock, flow: Gated, bob: Person
) -> None:
    """Between question and click the workflow was deleted: the message says so, and what to do; nothing stays open."""
    with running(argo_settings, store, clock) as bot:
        asked = ask(bot, flow)
        message = bob.wait_for_message(CHANNEL, asks)
        flow.delete()
        bob.click(message, "Approve", confirm="Approve")
        shown = bob.wait_for_update(message).plain
    assert "The run could not be resumed: the workflow" in shown
    assert "Start a new run" in shown
    assert asked.id not in bot.cases.ledger.open_ids()


def test_question_of_a_stopped_run_is_closed(
    by_kubernetes: Settings, store: Store, clock: HandClock, flow: Gated, bob: Person, ledger: Ledger
) -> None:
    """The sweeper closes what nobody waits for any more, and leaves the question of a run that waits."""
    with running(by_kubernetes, store, clock) as bot:
        asked = ask(bot, flow)
        message = bob.wait_for_message(CHANNEL, asks)
        bot.sweeper.tick()
        assert ledger.read(asked.id).approval.state is State.PENDING
        flow.change({"op": "add", "path": "/spec/shutdown", "value": "Terminate"})
        clock.forward(601)
        bot.sweeper.tick()
        assert "was stopped in Argo" in bob.wait_for_update(message).plain
    assert ledger.read(asked.id).approval.state is State.CLOSED
    assert flow.phases() == ["Running"] * 3


def test_bot_that_died_before_the_resume_is_made_up_for(
    by_kubernetes: Settings, settings: Settings, store: Store, clock: HandClock, flow: Gated, bob: Person
) -> None:
    """What one bot recorded and could not carry out, another one does in its first look, once."""
    with running(with_parts(settings, argo_server_url="http://127.0.0.1:1"), store, clock) as cut_off:
        asked = ask(cut_off, flow)
        message = bob.wait_for_message(CHANNEL, asks)
        bob.click(message, "Approve", confirm="Approve")
        bob.wait_for_update(message)
    assert flow.phases() == ["Running"] * 3
    clock.forward(5)
    with running(by_kubernetes, store, clock) as bot:
        bot.sweeper.tick()
        bot.sweeper.tick()
        assert asked.id not in bot.cases.ledger.open_ids()
    assert flow.phases() == ["Succeeded", "Running", "Running"]


def test_bot_without_a_cluster_serves_the_rest(
    settings: Settings, store: Store, clock: HandClock, flow: Gated, bob: Person, caplog: pytest.LogCaptureFixture
) -> None:
    """It says at the start that it can't resume workflows; an answer is recorded, and stays open for one that can."""
    with caplog.at_level("INFO", logger="hitl_bot"), running(settings, store, clock) as bot:
        assert set(bot.cases.engines) == {EngineKind.LOCAL}
        asked = ask(bot, flow)
        message = bob.wait_for_message(CHANNEL, asks)
        bob.click(message, "Approve", confirm="Approve")
        bob.wait_for_update(message)
        assert bot.cases.ledger.read(asked.id).approval.state is State.APPROVED
        assert asked.id in bot.cases.ledger.open_ids()
    assert flow.phases() == ["Running"] * 3


def test_bot_is_ready_when_the_cluster_is(
    by_argo_server: Settings, argo_server_place: ArgoPlace, store: Store, clock: HandClock
) -> None:
    """Among what a bot with a cluster needs to be ready is that it answers."""
    with running(by_argo_server, store, clock) as bot:
        bot.web.start()
        assert readiness(bot)["cluster"] == "ok"
    argo_server_place.go_away()
    with running(by_argo_server, store, clock) as bot:
        bot.web.start()
        assert "is temporarily unavailable" in readiness(bot)["cluster"]


def readiness(bot: Bot) -> dict[str, str]:
    with closing(HTTPConnection(urlsplit(bot.web.url).netloc, timeout=60)) as connection:
        connection.request("GET", "/readyz")
        problems: dict[str, str] = json.loads(connection.getresponse().read())["checks"]
    return problems


# The doctor.


def findings(settings: Settings, namespace: str) -> dict[str, Finding]:
    wanted = with_parts(settings, argo_namespace=namespace)
    return {one.check: one for one in examine(wanted) if one.check in {"cluster", "workflows", "argo"}}


def test_doctor_sees_a_cluster_that_serves(argo_settings: Settings, namespace: str) -> None:
    """With the cluster, Argo and the rights in place nothing is bad, by either way."""
    seen = findings(argo_settings, namespace)
    assert [one.health for one in seen.values()][:2] == [Health.GOOD] * 2
    proven = "read and patched" if argo_settings.argo_server_url is None else "can be read"
    assert proven in seen["workflows"].detail
    assert namespace in seen["workflows"].detail
    assert seen["argo"].health is (Health.GOOD if argo_settings.argo_server_url else Health.UNKNOWN)


def test_doctor_reads_argos_version_off_its_controller(
    settings: Settings, cluster: Cluster, namespace: str, configure: Callable[[object], None]
) -> None:
    """Who may list deployments sees which version of Argo there is."""
    import kubernetes  # noqa: PLC0415 - 300 ms, and not for the tests above

    container = {"name": "controller", "image": "quay.io/argoproj/workflow-controller:v3.7.3"}
    labels = {"app": "workflow-controller"}
    spec = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
    }
    kubernetes.client.AppsV1Api(cluster.api_client("admin")).create_namespaced_deployment(
        namespace, {"metadata": {"name": "workflow-controller"}, "spec": spec}
    )
    configure(cluster.kubeconfig("admin", namespace=namespace))
    assert findings(settings, namespace)["argo"].detail == "v3.7.3"


@pytest.mark.parametrize(("verbs", "missing"), [([], "get"), (["get", "list", "watch"], "patch")])
def test_doctor_misses_a_right(
    settings: Settings,
    cluster: Cluster,
    namespace: str,
    configure: Callable[[object], None],
    verbs: list[str],
    missing: str,
) -> None:
    """An account that may not do all of it is told which verb is missing, where; nothing is changed to find out."""
    account = cluster.service_account(namespace, "half")
    if verbs:
        cluster.allow(account, "workflows", verbs)
    configure(cluster.kubeconfig(account, namespace=namespace))
    finding = findings(settings, namespace)["workflows"]
    assert finding.health is Health.BAD
    assert f"may not {missing} workflows in namespace {namespace}" in finding.detail
    assert "METAFLOW_HITL_ARGO_NAMESPACE" in finding.fix


def test_doctor_reaches_no_cluster(settings: Settings) -> None:
    """A cluster that is configured and does not answer is bad, and nothing further is asked of it."""
    seen = findings(with_parts(settings, argo_server_url="http://127.0.0.1:1"), "argo")
    assert list(seen) == ["cluster"]
    assert seen["cluster"].health is Health.BAD
    assert "METAFLOW_HITL_ARGO_SERVER_URL" in seen["cluster"].fix
