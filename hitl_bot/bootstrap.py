"""The bot's composition root: the one place that turns settings into parts."""

import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Event, Thread
from typing import Any

import structlog
from slack_bolt import App
from slack_sdk import WebClient

from metaflow_extensions.hitl.approvals.intake import Intake
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.ports import Clock, Each, Engine, Notifier, Store
from metaflow_extensions.hitl.approvals.queries import History, Projection, Queries
from metaflow_extensions.hitl.approvals.record import EngineKind
from metaflow_extensions.hitl.approvals.shown import Shown
from metaflow_extensions.hitl.approvals.sweeping import Sweeper
from metaflow_extensions.hitl.approvals.use_cases import RecordedPolicy, UseCases
from metaflow_extensions.hitl.engines.argo import ArgoEngine
from metaflow_extensions.hitl.engines.kubernetes import NoCluster
from metaflow_extensions.hitl.engines.local import LocalEngine
from metaflow_extensions.hitl.inputs import validate
from metaflow_extensions.hitl.notifiers.registry import configured
from metaflow_extensions.hitl.notifiers.slack.calls import Pace
from metaflow_extensions.hitl.notifiers.slack.notifier import NAME as SLACK, SlackNotifier
from metaflow_extensions.hitl.stores import open_store

from .clock import CheckedClock, SlackTime, listening
from .cluster import argo_engine
from .events import destinations_of
from .keys import trust_of
from .listeners import table
from .listeners.table import Parts, parts_adder
from .policy.file import NO_POLICY, PolicyFile
from .settings import Mode, Settings, mode_of, needed
from .slack.client import NOT_HERE, authorizer, slack_client
from .slack.connection import THREADS, AcksFirst, Connection, Transport
from .slack.people import SlackPeople, nobody_is_known
from .surfaces.attendance import Attendance
from .surfaces.batches import Batches, BatchingNotifier
from .surfaces.confirming import Confirming
from .surfaces.home import HomeTabs
from .surfaces.in_advance import InAdvance
from .surfaces.obligations import OwnerReminders
from .surfaces.outbox import Outbox
from .surfaces.pictures import Pictures
from .surfaces.reminding import Reminding, never_quiet
from .surfaces.threads import Threads
from .sweeper import Digests, LogObserver, SweeperThread
from .telemetry.logs import Outage, ProblemLog, reporting
from .telemetry.metrics import CountingObserver, Metrics, ReportingStore, reports_versions
from .web import readiness
from .web.readiness import Readiness
from .web.request_url import RequestUrl, Signatures
from .web.server import WebServer, application

_KEYS = {Mode.SOCKET: "slack_app_token", Mode.HTTP: "slack_signing_secret"}
_SWEEPERS = 8  # approvals that the sweeper works on at once
_READERS = 16  # reads at once; S3 answers each in some 20 ms, and the client has a connection for each
# Bolt reads these by itself. The first two turn a bot with one token into an OAuth app that refuses every request
# (slack_bolt 1.30, ``app/app.py``); the others are said by the settings.
_NOT_FOR_BOLT = ("SLACK_CLIENT_ID", "SLACK_CLIENT_SECRET", "SLACK_BOT_TOKEN", "SLACK_SIGNING_SECRET")

log = structlog.get_logger("hitl_bot")


@dataclass(frozen=True, kw_only=True)
class Bot:
    """Every part of a running bot.

    Attributes
    ----------
    app : App
        Bolt's, with all listeners.
    cases : UseCases
        What can be done with an approval.
    sweeper : Sweeper
        Finishes what is open; ``sweeping`` is the thread it works in.
    transport : Transport
        How Slack reaches the bot: Socket Mode or HTTP.
    web : WebServer
        Health and metrics, and in HTTP mode the request URL.
    policy : Callable[[], str]
        Says which policy holds now, or that none does.
    """

    app: App
    cases: UseCases
    people: SlackPeople
    sweeper: Sweeper
    sweeping: SweeperThread
    transport: Transport
    web: WebServer
    policy: Callable[[], str]
    executors: tuple[ThreadPoolExecutor, ...]

    def start(self, stopping: Event) -> None:
        """Prove that the store is fit, serve, sweep, and connect, unless it is time to stop before Slack answers.

        Raises
        ------
        StoreUnfit, StoreUnavailable, CantListen
            Nothing was started.
        CantConnect
            Slack refuses; the sweeper works. Call ``stop``.
        """
        self.cases.ledger.store.check()
        self.web.start()
        self.sweeping.start()
        self.transport.open(stopping)

    def stop(self, seconds: float) -> bool:
        """Take nothing more, finish what is in flight, and say whether all of it ended in time.

        What is left is safe: every effect can be the last before a crash, and a sweeper finishes it.
        """
        end = time.monotonic() + seconds
        self.sweeping.stop()
        draining = Thread(target=self._drain, name="drain", daemon=True)
        draining.start()
        draining.join(max(0.0, end - time.monotonic()))
        swept = self.sweeping.join(max(0.0, end - time.monotonic()))
        served = self.web.stop(max(0.0, end - time.monotonic()))
        return swept and served and not draining.is_alive()

    def _drain(self) -> None:
        self.transport.give_up()  # here, because it may have to wait for a connection that is just being opened
        self.transport.drain()
        for executor in self.executors:
            executor.shutdown(wait=True)
        self.transport.close()


@dataclass(frozen=True, kw_only=True)
class Pools:
    """The threads of a bot, by what they do; none starts before it has something to do.

    Attributes
    ----------
    workers : Executor
        Do what takes longer than Slack waits, and what the sweeper leaves to others.
    sweep, read : Each
        Work on many approvals at once; read many records at once.
    """

    workers: Executor
    sweep: Each
    read: Each


@dataclass(frozen=True, kw_only=True)
class Core:
    """What a bot does, whichever way Slack reaches it.

    Attributes
    ----------
    parts : Parts
        For the listeners.
    sweeper : Sweeper
        Finishes what is open.
    policy : PolicyFile, optional
        The operator's.
    """

    parts: Parts
    sweeper: Sweeper
    policy: PolicyFile | None


def assemble(
    settings: Settings,
    *,
    store: Store,
    engines: Mapping[EngineKind, Engine],
    notifiers: Mapping[str, Notifier],
    clock: Clock,
    client: WebClient,
    pools: Pools,
    projection: Projection,
    metrics: Metrics,
    problems: ProblemLog,
    pace: Pace | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Core:
    """Build what a bot does. Nothing here has a thread or a clock but those that are handed in.

    Parameters
    ----------
    notifiers : Mapping[str, Notifier]
        Besides Slack.
    pace, monotonic, sleep
        How calls keep to Slack's limits.

    Raises
    ------
    SettingsError, BadPolicy
        A key or the policy can't be used.
    """
    name = f"{socket.gethostname()}-{secrets.token_hex(4)}"
    trust = trust_of(settings)
    history = History(Ledger(store, trust, each=pools.read), clock)
    ledger = Ledger(
        store, trust, observers=(projection.learn, history.learn), on_write=reports_versions(metrics), each=pools.read
    )
    queries = Queries(ledger, clock, projection=projection, history=history)
    policy = None if settings.policy is None else PolicyFile(settings.policy)
    known_as = nobody_is_known if policy is None else policy.known_as
    people = SlackPeople(
        client, clock, known_as, default_channel=settings.slack_channel, monotonic=monotonic, sleep=sleep
    )
    pace = pace or Pace(monotonic)
    slack = SlackNotifier(client, default_channel=settings.slack_channel, clock=clock, pace=pace, wait=sleep)
    bulk = slack.for_bulk()  # never waits, so that people come first
    batches = Batches(ledger, bulk, clock=clock, workers=pools.workers, problems=problems, holder=name)
    use_cases = partial(
        UseCases,
        ledger,
        engines=engines,
        people=people,
        check_input=validate,
        clock=clock,
        policy=policy or RecordedPolicy(),  # an operator without a policy accepts everything
        batched={SLACK},
        shown=Shown(),
    )
    cases = use_cases(notifiers=reporting({SLACK: BatchingNotifier(slack, batches), **notifiers}, problems))
    swept = use_cases(notifiers=reporting({SLACK: BatchingNotifier(bulk, batches), **notifiers}, problems))
    homes = HomeTabs(cases, queries, people, client, pools.workers)
    quiet_for = never_quiet if policy is None else policy.quiet_for
    reminding = Reminding(cases, people, quiet_for)
    threads = Threads(cases, bulk, reminding, workers=pools.workers, problems=problems, holder=name)
    pictures = Pictures(cases, bulk, workers=pools.workers, problems=problems, holder=name)
    confirming = Confirming(cases, queries, people, client, threads, workers=pools.workers, holder=name)
    in_advance = InAdvance(cases, batches, pools.workers)
    parts = Parts(
        cases=cases,
        queries=queries,
        people=people,
        workers=pools.workers,
        homes=homes,
        batches=batches,
        in_advance=in_advance,
        reminding=reminding,
        threads=threads,
        confirming=confirming,
    )
    observer = CountingObserver(LogObserver(), metrics)
    outbox = Outbox(
        ledger,
        destinations_of(settings, store.url),
        clock=clock,
        workers=pools.workers,
        metrics=metrics,
        holder=name,
    )
    sweeper = Sweeper(
        swept,
        observer,
        name=name,
        each=pools.sweep,
        reminders=reminding,
        subscribers=(
            threads,
            batches,
            in_advance,
            confirming,
            homes,
            OwnerReminders(cases, people, client, quiet_for, workers=pools.workers, holder=name),
            outbox,
            pictures,
            Digests(history, pools.workers),
            Attendance(swept, projection, pools.workers),
        ),
        projection=projection,
        history=history,
        intake=Intake(swept, observer),
    )
    return Core(parts=parts, sweeper=sweeper, policy=policy)


def bootstrap(
    settings: Settings,
    *,
    store: Store | None = None,
    engines: Mapping[EngineKind, Engine] | None = None,
    clock: Clock | None = None,
    client: WebClient | None = None,
    pace: Pace | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> Bot:
    """Build every part once; a test hands in those that it wants to be others.

    Parameters
    ----------
    settings : Settings
        ``root`` is needed without a store, the bot token always, and the app-level token or the signing
        secret, depending on the mode.
    store, engines, clock, client, pace, monotonic
        In place of those that the settings describe.

    Raises
    ------
    SettingsError, BadRoot, BadPolicy
        A setting is missing, or names no place or no policy.
    """
    # What is missing is said before anything is built.
    bot_token = needed(settings, "slack_bot_token")
    key = needed(settings, _KEYS[mode_of(settings)])
    clock = clock or CheckedClock()
    projection = Projection()
    metrics = Metrics(clock, projection.set_aside)
    outage = Outage(projection.counts, monotonic)
    client = client or slack_client(bot_token, settings.slack_api_url, _SlackObserver(clock, metrics, outage))
    store = ReportingStore(store or _store(settings, clock), metrics.store_failed)
    engines = _engines(settings, store, clock) if engines is None else engines
    # Of listeners twice as many as requests at once: those that have acknowledged wait for the others, which need
    # threads, too.
    sizes = {"listener": 2 * THREADS, "worker": THREADS, "sweep": _SWEEPERS, "read": _READERS}
    listeners, workers, sweepers, readers = (
        ThreadPoolExecutor(size, thread_name_prefix=prefix) for prefix, size in sizes.items()
    )
    core = assemble(
        settings,
        store=store,
        engines=engines,
        notifiers=configured(settings.for_notifiers(), clock=clock),
        clock=clock,
        client=client,
        pools=Pools(workers=workers, sweep=sweepers.map, read=readers.map),
        projection=projection,
        metrics=metrics,
        problems=ProblemLog(clock, outage),
        pace=pace,
        monotonic=monotonic,
    )
    awake = Event()
    acks = AcksFirst()
    app = _bolt_app(core.parts, client, listeners, awake.set, acks)
    transport = _transport(settings, key, app, client, acks, clock=clock, metrics=metrics)
    # With a bad policy file the rules before it hold, so the bot stays ready, and says so beside that.
    policy = core.policy
    notices = {} if policy is None else {"policy": lambda: policy.problem}
    readiness = _readiness(transport, store, engines)

    def which_policy() -> str:
        return NO_POLICY if policy is None else policy.summary

    return Bot(
        app=app,
        cases=core.parts.cases,
        people=core.parts.people,
        sweeper=core.sweeper,
        sweeping=SweeperThread(core.sweeper, clock, metrics.caught_up, awake),
        transport=transport,
        web=WebServer(
            application(readiness, metrics.registry, transport, notices, {"policy": which_policy}),
            settings.host,
            settings.port,
        ),
        policy=which_policy,
        executors=(listeners, workers, sweepers, readers),
    )


class _SlackObserver(SlackTime):
    """Tells everybody who wants to know of calls to Slack."""

    def __init__(self, clock: Clock, metrics: Metrics, outage: Outage) -> None:
        super().__init__(clock)
        self._metrics = metrics
        self._outage = outage

    def answered(self, headers: Mapping[str, Any]) -> None:
        super().answered(headers)
        self._outage.answered()

    def failed(self, method: str, kind: str, *, answered: bool) -> None:
        self._metrics.slack_failed(method, kind)
        if answered:
            self._outage.answered()
        else:
            self._outage.no_answer(method, kind)


def _bolt_app(
    parts: Parts,
    client: WebClient,
    listeners: ThreadPoolExecutor,
    acknowledged: Callable[[], None],
    acks: AcksFirst,
) -> App:
    with _environment_without(_NOT_FOR_BOLT):
        app = App(
            name="hitl-bot",
            authorize=authorizer(str(client.token)),  # type: ignore[arg-type] # Bolt refuses a request of which it gets None
            user_facing_authorize_error_message=NOT_HERE,
            before_authorize=parts_adder(parts, client, acknowledged, acks),
            request_verification_enabled=False,  # RequestUrl does it before a request gets here
            raise_error_for_unhandled_request=True,  # so that the error listener can acknowledge it
            listener_executor=listeners,
        )
    table.register(app)
    return app


def _transport(
    settings: Settings, key: str, app: App, client: WebClient, acks: AcksFirst, *, clock: Clock, metrics: Metrics
) -> Transport:
    if mode_of(settings) is Mode.HTTP:
        signatures = Signatures(key, clock)
        return RequestUrl(app, signatures, refused=metrics.refused, threads=THREADS, acks=acks)
    return Connection(app, client, key, settings.slack_api_url, acks)


def _readiness(transport: Transport, store: Store, engines: Mapping[EngineKind, Engine]) -> Readiness:
    looks = {"slack": readiness.slack(transport), "store": readiness.store(store)}
    if isinstance(argo := engines.get(EngineKind.ARGO), ArgoEngine):
        looks["cluster"] = readiness.cluster(argo)
    return Readiness(looks)


def _store(settings: Settings, clock: Clock) -> Store:
    """Open the store with a connection for every thread that may use it, and short of patience."""
    return open_store(needed(settings, "root"), s3_client=lambda: _s3_client(settings.s3_endpoint, clock))


def _s3_client(endpoint_url: str | None, clock: Clock) -> Any:
    from metaflow_extensions.hitl.stores.s3 import s3_client  # noqa: PLC0415 - boto3 takes a second, and a directory none

    connections = 2 * THREADS + _SWEEPERS + _READERS
    client = s3_client(endpoint_url, connections=connections, attempts=3, connect_timeout=2, read_timeout=5)
    return listening(client, clock) if isinstance(clock, CheckedClock) else client


def _engines(settings: Settings, store: Store, clock: Clock) -> dict[EngineKind, Engine]:
    """Build what can carry decisions out here. Without a cluster, what waits on Argo stays open for another bot."""
    engines: dict[EngineKind, Engine] = {EngineKind.LOCAL: LocalEngine(store, clock)}
    try:
        engines[EngineKind.ARGO] = argo = argo_engine(settings, clock, connections=THREADS + _SWEEPERS)
    except NoCluster as error:
        log.info("workflows on Argo can't be resumed from here", why=str(error))
    else:
        log.info("workflows on Argo are resumed from here", by=str(argo))
    return engines


@contextmanager
def _environment_without(names: tuple[str, ...]) -> Iterator[None]:
    hidden = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)
