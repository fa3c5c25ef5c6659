"""One history: the real parts of runs and bots, people who click, and what must hold whatever goes wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Any

import structlog
from pydantic import SecretStr
from slack_sdk.errors import SlackApiError

from hitl_bot.bootstrap import Core, Pools, assemble
from hitl_bot.clock import CheckedClock
from hitl_bot.keys import PrivateKey, SigningKeys
from hitl_bot.settings import Settings
from hitl_bot.surfaces.threads import SAID
from hitl_bot.sweeper import SweeperThread
from hitl_bot.telemetry.logs import ProblemLog
from hitl_bot.telemetry.metrics import Metrics
from metaflow_extensions.hitl.approvals import bucket, codec, ledger as ledger_module, sealed
from metaflow_extensions.hitl.approvals.deciding.delegation import Delegations
from metaflow_extensions.hitl.approvals.errors import HitlError, NoSuchApproval, StoreUnavailable
from metaflow_extensions.hitl.approvals.ledger import Entry, Ledger
from metaflow_extensions.hitl.approvals.ports import Clock
from metaflow_extensions.hitl.approvals.queries import History, Projection
from metaflow_extensions.hitl.approvals.question import Question, Shard
from metaflow_extensions.hitl.approvals.record import (
    Approval,
    Decision,
    EngineKind,
    Gate,
    Origin,
    Pathspec,
    Person,
    State,
    TrailEvent,
    Vote,
    Where,
)
from metaflow_extensions.hitl.approvals.refusals import Closed, Rejected, StillPending
from metaflow_extensions.hitl.approvals.sealed import OPEN, Trust
from metaflow_extensions.hitl.approvals.use_cases import UseCases
from metaflow_extensions.hitl.approvals.waiting import wait, wait_for_bot
from metaflow_extensions.hitl.engines.fake import FakeEngine
from metaflow_extensions.hitl.engines.local import LocalEngine
from metaflow_extensions.hitl.inputs import validate
from metaflow_extensions.hitl.messages import batch as batch_messages, single as question_messages
from metaflow_extensions.hitl.notifiers.slack.calls import Pace
from metaflow_extensions.hitl.notifiers.slack.notifier import NAME as SLACK, SlackNotifier
from metaflow_extensions.hitl.slack import SLACK as USER_OF_SLACK, ClaimedPeople
from metaflow_extensions.hitl.stores.memory import MemoryStore
from tests.simulation.kernel import EPOCH, Kernel, Lock, Process, Threads, simulated_locks
from tests.simulation.people import USERS, People, answered, holds
from tests.simulation.schedule import Schedule
from tests.simulation.world import (
    BOT_TIMEOUT,
    CHANNEL,
    RUN_TIMEOUT,
    Calls,
    Client,
    Engine,
    Heard,
    Message,
    Store,
    Workspace,
    buttons_in,
    nobody_listens,
)

REQUESTER = Person(id="rita", name="rita", origin=Origin.CLAIM)
BOUND = 900.0  # seconds from the last fault, or the last answer, until everything is settled and shown
_AFTERWARDS = (12.0, 3.0, 3.0)  # seconds that are watched after that, by turns
_A_MOMENT = 2.0  # seconds
_A_MINUTE = timedelta(seconds=61)
_CORRECTED = 17.0  # seconds that a clock may be off where there is a second opinion
_KEY = PrivateKey(bytes(range(32)))
_TRUST = {False: OPEN, True: Trust.of((_KEY.public_key,))}  # by whether only the bot's signature counts
_OF_BOTS = {False: OPEN, True: Trust.of((), SigningKeys([_KEY]))}
_SCHEMA = {"type": "object", "properties": {"place": {"enum": ["eu", "us"], "x-buttons": True}}, "required": ["place"]}
_digests: dict[bool, dict[str, bytes]] = {}


@dataclass
class Report:
    """What came of a history.

    Attributes
    ----------
    violations : list[str]
        What did not hold; each begins with a word that tells the kind.
    settled_after : float
        Seconds from the last fault, or the last answer, until everything was settled and shown.
    """

    schedule: Schedule
    violations: list[str] = field(default_factory=list)
    settled_after: float = 0.0
    released_after: float = 0.0
    calls: int = 0
    faults: dict[int, Any] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def kinds(self) -> set[str]:
        return {one.split(":")[0] for one in self.violations}


class Awake:
    """What ends a bot's long pause."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._set = False
        self._sleeper: Any = None

    def set(self) -> None:
        self._set = True
        if self._sleeper is not None:
            self._process.kernel.wake(self._sleeper)

    def is_set(self) -> bool:
        return self._set

    def clear(self) -> None:
        self._set = False

    def wait(self, seconds: float) -> None:
        if not self._set:
            self._sleeper = self._process.kernel.current
            self._process.kernel.block(seconds)
            self._sleeper = None


@dataclass
class Bot:
    process: Process
    client: Client
    core: Core
    awake: Awake


class Simulation:
    """The world of one schedule."""

    def __init__(self, schedule: Schedule, *, log: bool = False) -> None:
        self.schedule = schedule
        self.kernel = Lock.kernel = Kernel()
        self.calls = Calls(
            self.kernel,
            schedule.seed,
            schedule.faults,
            schedule.outages,
            schedule.strikes,
            self._drawer(schedule.fault_drawer()),
        )
        if log:
            self.calls.log = []
        self.store = _store_of_yesterday(self.kernel, signed=schedule.sealed)
        self.trust = _TRUST[schedule.sealed]
        self.ledger = Ledger(self.store, self.trust, each=map)  # as the world sees it, without faults
        self.engine = FakeEngine()
        self.slack = Workspace(self.kernel, USERS)
        self.slack.seen = self._seen
        self.bots: list[Bot | None] = [None] * schedule.bots
        self.opened: dict[str, Approval] = {}
        self.violations: list[str] = []
        self.decided_at: dict[str, float] = {}
        self.released_at: dict[str, float] = {}
        self._named_at: dict[str, float] = {}  # since when records name their message
        self.people = People(self)

    def _drawer(self, draw: Callable[[str, str], Any]) -> Callable[[str, str], Any]:
        return lambda process, about: draw(process, about) if self.kernel.now < 60 else None

    def run(self) -> Report:
        schedule, kernel = self.schedule, self.kernel
        for number in range(schedule.bots):
            kernel.at(0.0, lambda number=number: self._start_bot(number))
        for gate in range(schedule.gates):
            kernel.at(0.1 * gate, lambda gate=gate: self._start_run(gate))
        for act in schedule.acts:
            self.people.plan(act)
        report = Report(schedule)
        while self._runs_until_done():
            begin = max([self.calls.last_fault, *self.decided_at.values()])
            report.settled_after = max(0.0, kernel.now - begin)
            kernel.run(kernel.now + _AFTERWARDS[schedule.seed % len(_AFTERWARDS)])
            if self._is_done():  # nothing came afterwards that takes its own time
                break
        self._judge()
        kernel.end()
        report.violations = self.violations + [f"defect: {one}" for one in kernel.defects]
        report.calls, report.faults = self.calls.number, self.calls.faults
        report.log = self.calls.log or []
        return report

    def _runs_until_done(self) -> bool:
        while not (done := self.kernel.run(min(self.kernel.now + 300.0, self._bound()), self._is_done)):
            if self.kernel.now >= self._bound():
                return False
        return done

    def _bound(self) -> float:
        return max([self.calls.last_fault, *self.decided_at.values(), *(act.at for act in self.schedule.acts)]) + BOUND

    # The processes.

    def _start_bot(self, number: int) -> None:
        process = Process(self.kernel, f"bot-{number}", skew=self.schedule.skews[number])
        process.come_back = lambda: self._start_bot(number)
        clock: Clock = process.clock
        heard: Heard = nobody_listens
        if self.schedule.second_opinion:
            clock = checked = CheckedClock(process.clock)
            heard = checked.hear
        client = Client(self.calls, process, self.slack, timeout=BOT_TIMEOUT, heard=heard)
        store = Store(self.calls, process, self.store, heard)
        projection = Projection()
        workers = Threads(process)
        core = assemble(
            Settings.model_construct(
                slack_channel=CHANNEL,
                signing_key=SecretStr(_KEY.text) if self.schedule.sealed else None,
                public_keys=None,
                policy=None,
            ),
            store=store,
            engines={
                EngineKind.LOCAL: LocalEngine(),
                EngineKind.ARGO: Engine(self.calls, process, self.engine, self._released),
            },
            notifiers={},
            clock=clock,
            client=client,
            pools=Pools(workers=workers, sweep=workers.map, read=map),
            projection=projection,
            metrics=Metrics(clock, projection.set_aside),
            problems=ProblemLog(clock),
            pace=Pace(self.kernel.monotonic),
            monotonic=self.kernel.monotonic,
            sleep=self.kernel.sleep,
        )
        bot = self.bots[number] = Bot(process, client, core, Awake(process))
        process.spawn(lambda: self._sweep(bot))

    def _sweep(self, bot: Bot) -> None:
        sweeping = SweeperThread(bot.core.sweeper, bot.core.parts.cases.clock, lambda: None, bot.awake)  # type: ignore[arg-type]
        while True:
            pause = sweeping._work()
            if pause > 1.0:
                bot.awake.wait(pause)
            else:
                self.kernel.sleep(pause)

    def cases(self, process: Process) -> UseCases:
        """Build what a flow has, or a command line."""
        client = Client(self.calls, process, self.slack, timeout=RUN_TIMEOUT)
        pace = Pace(self.kernel.monotonic)
        slack = SlackNotifier(client, default_channel=CHANNEL, clock=process.clock, pace=pace, wait=self.kernel.sleep)
        return UseCases(
            Ledger(Store(self.calls, process, self.store), self.trust, each=map),
            engines={EngineKind.LOCAL: LocalEngine()},
            notifiers={SLACK: slack} if self.schedule.token else {},
            people=ClaimedPeople(),
            check_input=validate,
            clock=process.clock,
            batched={SLACK},
        )

    def pathspec(self, gate: int) -> Pathspec:
        return Pathspec(flow="TrainFlow", run="17", step="deploy", task=str(gate))

    def _question(self, gate: int) -> Question:
        schedule = self.schedule
        return Question(
            message="Deploy?",
            notifiers=(SLACK,),
            quorum=schedule.quorum,
            timeout=schedule.timeout,
            on_timeout=schedule.on_timeout,
            remind_every=schedule.remind_every,
            approvers=("U0ALICE",) if schedule.named else (),
            schema=_SCHEMA if schedule.choice else None,
            obligations=schedule.form,
            allow_changes=any(act.what == "changes" for act in schedule.acts),
            batch=schedule.shared,
            shard=Shard(place=(gate,), value=f"part {gate}") if schedule.shared else None,
        )

    def _start_run(self, gate: int) -> None:
        process = Process(self.kernel, f"run-{gate}", skew=self.schedule.skews[2])
        process.come_back = lambda: self._start_run(gate)
        process.spawn(lambda: self._ask(process, gate))

    def _ask(self, process: Process, gate: int) -> None:
        cases, pathspec, sleep = self.cases(process), self.pathspec(gate), self.kernel.sleep
        asked = Gate(engine=self.schedule.engine, namespace=None, workflow="train-17")
        while True:
            try:
                found = cases.ask(pathspec, self._question(gate), asked, REQUESTER).approval
                if self.schedule.engine is EngineKind.ARGO:
                    return
                if self.schedule.sealed:
                    passed = wait_for_bot(
                        cases,
                        found,
                        poll_interval=2.0,
                        sleep=sleep,
                        on_trouble=_nothing,
                        on_posted=_nothing,
                        on_unheard=_nothing,
                    )
                else:
                    passed = wait(cases, found.id, poll_interval=2.0, sleep=sleep, on_trouble=_nothing)
            except StoreUnavailable:
                sleep(3.0)
            except (Rejected, Closed):
                return
            else:
                self._open(passed)
                return

    def _released(self, approval: Approval) -> None:
        self.released_at[approval.id] = self.kernel.now
        pathspec = approval.pathspec

        def begin() -> None:
            process = Process(self.kernel, f"pod-{pathspec.task}", skew=self.schedule.skews[2])
            process.come_back = begin
            process.spawn(lambda: start(process))

        def start(process: Process) -> None:
            cases = self.cases(process)
            while True:
                try:
                    self._open(cases.open_gate(pathspec))
                except StoreUnavailable:
                    self.kernel.sleep(3.0)
                except (Rejected, Closed, StillPending) as error:
                    self.violations.append(f"released: {approval.id} was let go, and may not start: {error}")
                    return
                else:
                    return

        begin()

    def _open(self, passed: Approval) -> None:
        newest = self.ledger.read(passed.id).approval
        # Where the signed question says that the deadline approves, a run need not hear that from the bot.
        by_deadline = self.schedule.sealed and passed.decision is not None and passed.decision.where is Where.TIMEOUT
        if not newest.lets_run and not by_deadline:
            self.violations.append(f"opened: {passed.id} opened, and its record is {newest.state.value}")
        self.released_at.setdefault(passed.id, self.kernel.now)
        self.opened[passed.id] = passed

    # What is so.

    def newest(self, approval_id: str) -> Approval | None:
        try:
            return self.ledger.read(approval_id).approval
        except NoSuchApproval:
            return None

    def approvals(self) -> list[Approval]:
        found = [self.newest(self.pathspec(gate).approval_id) for gate in range(self.schedule.gates)]
        return [one for one in found if one is not None]

    def bots_there(self) -> list[Bot]:
        return [bot for bot in self.bots if bot is not None and bot.process.alive]

    def answered_by(self, who: str) -> set[str]:
        return {one.id for one in self.approvals() if who in answered(one)}

    def _seen(self, message: Message) -> None:
        """Hold what people see to the record, but for what another process has changed in the last two seconds."""
        if message.thread is not None or message.buttons():
            return
        about = message.metadata.get("event_payload", {}).get("approval_id", "")
        for one in self.approvals():
            if not one.posts or self.kernel.now - self._named_at.setdefault(one.id, self.kernel.now) < _A_MOMENT:
                continue
            if about == one.id or (about.startswith(one.id.rsplit("-", 1)[0]) and self.schedule.shared):
                overdue = one.deadline is not None and self.kernel.present() >= one.deadline - _A_MINUTE
                if one.state is State.PENDING and not overdue and message.ts in {post.ts for post in one.posts}:
                    self.violations.append(f"untrue: the message of {one.id} has no buttons, and it is pending")

    def _is_done(self) -> bool:
        if self.people.acting:
            return False
        approvals = self.approvals()
        for one in approvals:
            if one.decision is not None or one.closing is not None:
                self.decided_at.setdefault(one.id, self.kernel.now)
        if any(one.state is not State.PENDING and one.settlement is None for one in approvals):
            return False  # as it is most of the time
        return (
            len(approvals) == self.schedule.gates
            and not self._missing(approvals)
            and not any(self._unsaid(approvals))
            and not any(self._wrong(approvals, self.slack.questions()))
        )

    def _missing(self, approvals: list[Approval]) -> list[str]:  # noqa: C901, PLR0912 - a line for each fact
        """Say what has yet to be done."""
        missing: list[str] = []
        questions = self.slack.questions()
        for one in approvals:
            if one.state is State.PENDING:
                overdue = one.deadline is not None and self.kernel.present() >= one.deadline
                missing += [f"undecided: {one.id} is overdue"] if overdue else []
                missing += [] if one.posts else [f"unposted: {one.id}"]
                continue
            if one.settlement is None:
                missing.append(f"unsettled: {one.id} is {one.state.value}")
            elif any(self.store.list(bucket.open_key(one.id))):
                missing.append(f"unsettled: {one.id} is on the list of open ones")
            if one.lets_run and one.id not in self.opened:
                missing.append(f"unopened: {one.id}")
            if one.gate.engine is EngineKind.ARGO and one.id not in {**self.engine.released, **self.engine.refused}:
                missing.append(f"uncarried: {one.id}")
        named = {one.id: {post.ts for post in one.posts} for one in approvals}
        for message in questions:
            about = message.metadata["event_payload"]["approval_id"]
            if message.ts not in named.get(about, {message.ts}):
                missing.append(f"unnamed: {message.ts} shows {about}, and its record does not name it")
        ended = {one.id for one in approvals if one.state is not State.PENDING}
        if not any(
            fault.kind.startswith("crash") for fault in self.calls.faults.values()
        ):  # else nobody may know of it
            for who, home in self.slack.homes.items():
                if {button.get("value") for button in buttons_in(home["blocks"])} & ended:
                    missing.append(f"asks: the Home of {who} goes on asking")
        for message in questions:
            if {button.get("value") for button in message.buttons()} & ended or (
                message.buttons() and self.schedule.shared and len(ended) == len(approvals)
            ):
                missing.append(f"asks: the message {message.ts} goes on asking")
        return missing

    def _unsaid(self, approvals: list[Approval]) -> Iterator[str]:
        said = self._said()
        for one in approvals:
            if not any(post.ts for post in one.posts):
                continue
            for number in self._to_say(one.id):
                if f"{one.id}/{number}" not in said:
                    yield f"unsaid: version {number} of {one.id} has no line"

    def _said(self) -> list[str]:
        lines = [one for one in self.slack.messages.values() if one.thread is not None and not one.deleted]
        return [name for line in lines for name in line.metadata.get("event_payload", {}).get("said", ())]

    def _to_say(self, approval_id: str) -> list[int]:
        return [entry.number for entry in self.ledger.trail(approval_id) if entry.version.event in SAID]

    def _judge(self) -> None:  # noqa: C901 - a line for each fact
        """Hold the end to everything that must be so."""
        say = self.violations.append
        for key in {key.split("/")[1] for key in self.store.list("approvals/")}:
            try:
                trail = self.ledger.verify(key)
            except HitlError as error:
                say(f"record: {error}")
            else:
                self._judge_trail(trail)
        approvals = self.approvals()
        for one in approvals:
            if self.opened.get(one.id) is not None and not one.lets_run:
                say(f"opened: {one.id} opened, and its record is {one.state.value}")
        for missing in (*self._missing(approvals), *self._unsaid(approvals)):
            say(missing)
        questions = self.slack.questions()
        abouts = [message.metadata.get("event_payload", {}).get("approval_id") for message in questions]
        for about in set(abouts):
            if abouts.count(about) > 1:
                say(f"twice: {abouts.count(about)} messages ask about {about}")
        said = self._said()
        for name in set(said):
            if said.count(name) > 1:
                say(f"line twice: {name} stands {said.count(name)} times")
        for approval_id, who, verdict in self.people.acknowledged:
            # The vote of who decides for somebody gives way to that person's own.
            if not any(holds(entry.approval, who, verdict) for entry in self.ledger.trail(approval_id)):
                say(f"acknowledged: {who}'s {verdict.value} of {approval_id} is not in the record")
        self.violations += [*self._wrong(approvals, questions), *self._judge_delegations()]

    def _judge_trail(self, trail: list[Entry]) -> None:
        decisions = [entry.approval.decision for entry in trail if entry.approval.decision is not None]
        if any(one != decisions[0] for one in decisions):
            self.violations.append(f"verdicts: {trail[0].approval.id} has several")
        reminded = [entry.version.at for entry in trail if "remind" in str(entry.version.event)]
        every = trail[0].approval.question.remind_every or 0
        for first, second in pairwise(reminded):
            skew = max(self.schedule.skews) - min(self.schedule.skews)
            if (second - first).total_seconds() < every / 2 - skew:
                self.violations.append(f"reminded twice: {trail[0].approval.id} at {first} and {second}")

        for entry in trail:
            if entry.version.event == TrailEvent.TIMED_OUT and entry.approval.deadline is not None:
                key = bucket.version_key(entry.approval.id, entry.number)
                age = dict(self.store.ages(key))[key]
                if self.kernel.present() - timedelta(seconds=age - self._clocks_off()) < entry.approval.deadline:
                    self.violations.append(f"early: {entry.approval.id} ended before its deadline")
        if trail[0].approval.question.approvers:
            self._judge_capacities(trail[-1].approval)

    def _clocks_off(self) -> float:
        """Return by how much, in seconds, clocks may differ that go by what they hear."""
        most = _CORRECTED if self.schedule.second_opinion else 0.0
        skews = self.schedule.skews
        return 2 * max(abs(skew) if most == 0.0 else min(abs(skew), most) for skew in skews) + 1

    def was_too_late(self, approval: Approval) -> None:
        """Somebody was told that they are too late."""
        ahead = timedelta(seconds=self._clocks_off())
        if approval.deadline is not None and self.kernel.present() + ahead < approval.deadline:
            self.violations.append(f"untrue: {approval.id} was refused as late before its deadline")

    def _judge_capacities(self, approval: Approval) -> None:
        """Hold every answer to who may give it: those who are named, and whom they delegated to."""
        given: list[Vote | Decision] = list(approval.votes)
        if approval.decision is not None and approval.decision.where is not Where.TIMEOUT:
            given.append(approval.decision)
        for one in given:
            absent = one.on_behalf_of
            if one.by.id in approval.question.approvers:
                continue
            if absent is None or absent.id not in approval.question.approvers:
                self.violations.append(f"capacity: {one.by.id} answered {approval.id}, and may not")
            elif not self._held(absent, one.by, one.at):
                self.violations.append(f"capacity: {one.by.id} answered for {absent.id} without a delegation")

    def _held(self, by: Person, to: Person, at: datetime) -> bool:
        """Whether somebody decided for somebody else at a moment, give or take slow calls and wrong clocks."""
        about = timedelta(seconds=40 + self._clocks_off())
        trail = Delegations(self.store, self.trust).trail(by)
        ends = [*(later.at for later in trail[1:]), bucket.LAST_MOMENT - 2 * about]
        return any(
            one.to is not None and one.to.id == to.id and one.at - about <= at <= until + about
            for one, until in zip(trail, ends, strict=True)
        )

    def _judge_delegations(self) -> Iterator[str]:
        """Hold what people were told of delegations to what is recorded, and what is recorded to what is found."""
        if not self.schedule.named:
            return
        delegations, now = Delegations(self.store, self.trust), self.kernel.present()
        everybody = [Person(id=who, name=name, origin=USER_OF_SLACK) for who, name in USERS.items()]
        for person in everybody:
            recorded = delegations.trail(person)
            told = [to for by, to in self.people.delegated if by == person.id]
            if set(told) - {one.to.id for one in recorded if one.to is not None}:
                yield f"delegated: {person.id} was told that {told} decide, and nothing is recorded"
            standing = delegations.of(person, now)
            if standing is not None and standing.to is not None:
                found = [one.id for one in delegations.absent_for(standing.to, now)]
                if person.id not in found:
                    yield f"delegated: {standing.to.id} decides for {person.id}, and is not found to"

    def _wrong(self, approvals: list[Approval], questions: list[Message]) -> Iterator[str]:
        """Hold every message to exactly what the record would show, and yield the differences."""
        by_id = {one.id: one for one in approvals}
        now = self.kernel.present()
        for message in questions:
            about = message.metadata["event_payload"]["approval_id"]
            if about in by_id:
                if by_id[about].state is not State.PENDING:
                    yield from _compare(message, question_messages.render(by_id[about], now=now))
                continue
            on = [one for one in approvals if any(post.batch == about for post in one.posts)]
            if on and all(one.state is not State.PENDING for one in on):
                whole = batch_messages.Batch(
                    id=about,
                    pathspec="TrainFlow/17/deploy",
                    members=sorted(on, key=lambda one: one.question.shard.place),  # type: ignore[union-attr]
                )
                yield from _compare(message, batch_messages.render(whole, now=now))


def _compare(message: Message, expected: question_messages.Rendered) -> Iterator[str]:
    if (message.text, message.blocks) != (expected.text, expected.blocks):
        shown = [block for block in message.blocks if block not in expected.blocks]
        right = [block for block in expected.blocks if block not in message.blocks]
        yield f"shows: {message.ts} shows {shown}, and should {right}"


def _nothing(_: object) -> None:
    """Take no notice."""


def _store_of_yesterday(kernel: Kernel, *, signed: bool) -> MemoryStore:
    """Return a store in which nothing was asked yet, with the digests that a bot would write at its start."""
    if signed not in _digests:
        empty = MemoryStore()
        History(Ledger(empty, _OF_BOTS[signed], each=map), lambda: EPOCH).write_digests()
        _digests[signed] = {key: empty.read(key) for key in empty.list("")}
    store = MemoryStore(kernel.monotonic)
    for key, body in _digests[signed].items():
        store.create(key, body)
    return store


@contextmanager
def simulating() -> Iterator[list[str]]:
    """Prepare this process for simulations; yields what our code logs as its own defects."""
    broke: list[str] = []

    def note(_logger: Any, _method: str, event: dict[str, Any]) -> Any:
        defect = "broke" in event["event"] or "failed" in event["event"]
        if defect and not isinstance(event.get("exc_info"), (SlackApiError, OSError)):
            broke.append(f"{event['event']}: {sys.exc_info()[1]!r}")
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[note], wrapper_class=structlog.make_filtering_bound_logger(40))
    original = ledger_module.decode
    decoded: dict[tuple[bytes, bool], codec.Version] = {}

    def decode(key: str, body: bytes, trust: Trust = OPEN, **more: Any) -> codec.Version:
        # Pure, and every process asks for the same bytes.
        known = (body, trust.is_sealed)
        if known not in decoded:
            if len(decoded) > 500:
                decoded.clear()
            decoded[known] = original(key, body, trust, **more)
        return decoded[known]

    ledger_module.decode = decode
    valid = sealed.is_valid
    sealed.is_valid = lru_cache(10_000)(valid)  # likewise
    try:
        with simulated_locks():
            yield broke
    finally:
        ledger_module.decode = original
        sealed.is_valid = valid
        structlog.configure(**before)
