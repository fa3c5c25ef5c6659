"""One history: the real parts of runs and bots, people who click, and what must hold whatever goes wrong."""

from __future__ import annotations

import inspect
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import structlog
from slack_sdk.errors import SlackApiError

from hitl_bot.bootstrap import Core, Pools, assemble
from hitl_bot.listeners import table
from hitl_bot.settings import Settings
from hitl_bot.surfaces.threads import SAID
from hitl_bot.sweeper import SweeperThread
from hitl_bot.telemetry.logs import ProblemLog
from hitl_bot.telemetry.metrics import Metrics
from metaflow_extensions.hitl.approvals import bucket, codec, ledger as ledger_module
from metaflow_extensions.hitl.approvals.errors import HitlError, NoSuchApproval, StoreUnavailable
from metaflow_extensions.hitl.approvals.ledger import Entry, Ledger
from metaflow_extensions.hitl.approvals.queries import History, Projection
from metaflow_extensions.hitl.approvals.question import Question, Shard
from metaflow_extensions.hitl.approvals.record import (
    Answer,
    Approval,
    EngineKind,
    Gate,
    Origin,
    Pathspec,
    Person,
    State,
    Verdict,
    Where,
)
from metaflow_extensions.hitl.approvals.refusals import Closed, Rejected, StillPending
from metaflow_extensions.hitl.approvals.use_cases import UseCases
from metaflow_extensions.hitl.approvals.waiting import wait
from metaflow_extensions.hitl.engines.fake import FakeEngine
from metaflow_extensions.hitl.engines.local import LocalEngine
from metaflow_extensions.hitl.inputs import validate
from metaflow_extensions.hitl.messages import batch as batch_messages, controls, single as question_messages
from metaflow_extensions.hitl.messages.views import approval_of
from metaflow_extensions.hitl.notifiers.slack.calls import Pace
from metaflow_extensions.hitl.notifiers.slack.notifier import NAME as SLACK, SlackNotifier
from metaflow_extensions.hitl.slack import ClaimedPeople
from metaflow_extensions.hitl.stores.memory import MemoryStore
from tests.simulation.kernel import EPOCH, Kernel, Lock, Process, Threads, simulated_locks
from tests.simulation.schedule import Act, Schedule
from tests.simulation.world import (
    BOT_TIMEOUT,
    CHANNEL,
    RUN_TIMEOUT,
    Calls,
    Client,
    Engine,
    Message,
    Store,
    Workspace,
    buttons_in,
)

USERS = {"U0ALICE": "Alice", "U0BOB": "Bob", "U0CAROL": "Carol"}
_WHO = tuple(USERS)
REQUESTER = Person(id="rita", name="rita", origin=Origin.CLAIM)
BOUND = 900.0  # seconds from the last fault, or the last answer, until everything is settled and shown
_AFTERWARDS = 12.0  # seconds that are watched after that
_A_MOMENT = 2.0  # seconds
_A_MINUTE = timedelta(seconds=61)
_BUTTONS = {"reject": controls.REJECT, "changes": controls.REQUEST_CHANGES, "all": controls.APPROVE_ALL}
_digests: dict[str, bytes] = {}
_TRIES = 40  # of a person who sees that nothing happens
_OF_FORM = {
    controls.APPROVE_VIEW: Verdict.APPROVE,
    controls.APPROVE_ALL_VIEW: Verdict.APPROVE,
    controls.CHANGES_VIEW: Verdict.CHANGES,
}  # all others reject


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
        self.store = _store_of_yesterday(self.kernel)
        self.ledger = Ledger(self.store, each=map)  # as the world sees it, without faults
        self.engine = FakeEngine()
        self.slack = Workspace(self.kernel, USERS)
        self.slack.seen = self._seen
        self.bots: list[Bot | None] = [None] * schedule.bots
        self.opened: dict[str, Approval] = {}
        self.acknowledged: list[tuple[str, Person | str, Verdict]] = []
        self.violations: list[str] = []
        self.acting = 0
        self.clicks: dict[str, int] = {}  # by who made them
        self.decided_at: dict[str, float] = {}
        self.released_at: dict[str, float] = {}
        self._named_at: dict[str, float] = {}  # since when records name their message
        self._rng = random.Random(f"people {schedule.seed}")
        self._people = Process(self.kernel, "people")

    def _drawer(self, draw: Callable[[str, str], Any]) -> Callable[[str, str], Any]:
        return lambda process, about: draw(process, about) if self.kernel.now < 60 else None

    def run(self) -> Report:
        schedule, kernel = self.schedule, self.kernel
        for number in range(schedule.bots):
            kernel.at(0.0, lambda number=number: self._start_bot(number))
        for gate in range(schedule.gates):
            kernel.at(0.1 * gate, lambda gate=gate: self._start_run(gate))
        for act in schedule.acts:
            self.acting += 1
            self._people.spawn(lambda act=act: self._act(act), act.at)
        report = Report(schedule)
        while self._runs_until_done():
            begin = max([self.calls.last_fault, *self.decided_at.values()])
            report.settled_after = max(0.0, kernel.now - begin)
            kernel.run(kernel.now + _AFTERWARDS)
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
        client = Client(self.calls, process, self.slack, timeout=BOT_TIMEOUT)
        store = Store(self.calls, process, self.store)
        projection = Projection()
        workers = Threads(process)
        core = assemble(
            Settings.model_construct(slack_channel=CHANNEL, signing_key=None, public_keys=None, policy=None),
            store=store,
            engines={
                EngineKind.LOCAL: LocalEngine(),
                EngineKind.ARGO: Engine(self.calls, process, self.engine, self._released),
            },
            notifiers={},
            clock=process.clock,
            client=client,
            pools=Pools(workers=workers, sweep=workers.map, read=map),
            projection=projection,
            metrics=Metrics(process.clock, projection.set_aside),
            problems=ProblemLog(process.clock),
            pace=Pace(self.kernel.monotonic),
            monotonic=self.kernel.monotonic,
            sleep=self.kernel.sleep,
        )
        bot = self.bots[number] = Bot(process, client, core, Awake(process))
        process.spawn(lambda: self._sweep(bot))

    def _sweep(self, bot: Bot) -> None:
        sweeping = SweeperThread(bot.core.sweeper, bot.process.clock, lambda: None, bot.awake)  # type: ignore[arg-type]
        while True:
            pause = sweeping._work()
            if pause > 1.0:
                bot.awake.wait(pause)
            else:
                self.kernel.sleep(pause)

    def _cases(self, process: Process) -> UseCases:
        """Build what a flow has, or a command line."""
        client = Client(self.calls, process, self.slack, timeout=RUN_TIMEOUT)
        pace = Pace(self.kernel.monotonic)
        slack = SlackNotifier(client, default_channel=CHANNEL, clock=process.clock, pace=pace, wait=self.kernel.sleep)
        return UseCases(
            Ledger(Store(self.calls, process, self.store), each=map),
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
        cases, pathspec, sleep = self._cases(process), self.pathspec(gate), self.kernel.sleep
        asked = Gate(engine=self.schedule.engine, namespace=None, workflow="train-17")
        while True:
            try:
                cases.ask(pathspec, self._question(gate), asked, REQUESTER)
                if self.schedule.engine is EngineKind.ARGO:
                    return
                passed = wait(cases, pathspec.approval_id, poll_interval=2.0, sleep=sleep, on_trouble=lambda _: None)
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
        process = Process(self.kernel, f"pod-{pathspec.task}", skew=self.schedule.skews[2])

        def start() -> None:
            cases = self._cases(process)
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

        process.come_back = lambda: process.__init__(self.kernel, process.name) or process.spawn(start)  # type: ignore[misc]
        process.spawn(start)

    def _open(self, passed: Approval) -> None:
        newest = self.ledger.read(passed.id).approval
        if not newest.lets_run:
            self.violations.append(f"opened: {passed.id} opened, and its record is {newest.state.value}")
        self.released_at.setdefault(passed.id, self.kernel.now)
        self.opened[passed.id] = passed

    # People.

    def _act(self, act: Act) -> None:
        approval_id, who = self.pathspec(act.gate).approval_id, _WHO[act.who]
        try:
            for _ in range(_TRIES):
                if act.what == "home":
                    if self._open_home(who):
                        return
                    self.kernel.sleep(2.0)
                    continue
                newest = self._newest(approval_id)
                if newest is not None and (newest.state is not State.PENDING or who in _answered(newest)):
                    return
                if act.what == "line":
                    if newest is not None:
                        self._answer_on_a_line(approval_id)
                        return
                elif not self._click(act, approval_id, who):
                    self.kernel.sleep(2.0)
                    continue
                self.kernel.sleep(self._rng.uniform(4, 12))
        finally:
            self.acting -= 1

    def _answer_on_a_line(self, approval_id: str) -> None:
        process = Process(self.kernel, "line", skew=self.schedule.skews[2])

        def answer() -> None:
            cases = self._cases(process)
            try:
                cases.decide(approval_id, Answer(verdict=Verdict.APPROVE), who=REQUESTER, where=Where.COMMAND_LINE)
            except HitlError:
                return
            self.acknowledged.append((approval_id, REQUESTER.id, Verdict.APPROVE))

        process.spawn(answer)

    def _click(self, act: Act, approval_id: str, who: str) -> bool:
        """Click what is to be seen; False if nothing is, or nobody is there to hear of it."""
        wanted = _BUTTONS.get(act.what, controls.APPROVE)
        if act.what != "all" and self.schedule.shared:
            wanted = controls.REJECT_ALL if act.what == "reject" else controls.APPROVE_ALL
        found = [
            (message, button)
            for message in self.slack.questions()
            for button in message.buttons()
            if button.get("action_id") == wanted and (self.schedule.shared or button.get("value") == approval_id)
        ]
        there = self._bots_there()
        if not found or not there:
            return False
        message, button = self._rng.choice(found)
        trigger = f"t{self.calls.number}"
        body = {
            "type": "block_actions",
            "user": {"id": who},
            "trigger_id": trigger,
            "container": {"type": "message", "channel_id": CHANNEL, "message_ts": message.ts},
            "message": {"blocks": message.blocks},
        }
        for _ in range(2 if act.twice else 1):
            self._deliver(self._rng.choice(there), table.BUTTONS[wanted], body, action=button)
        if act.what in ("reject", "changes") or self.schedule.form:
            self._fill_in(trigger, who)
        return True

    def _bots_there(self) -> list[Bot]:
        return [bot for bot in self.bots if bot is not None and bot.process.alive]

    def _open_home(self, who: str) -> bool:
        there = self._bots_there()
        if there:
            body = {"type": "event_callback", "user": {"id": who}}
            self._deliver(
                self._rng.choice(there), table.EVENTS["app_home_opened"], body, event={"tab": "home", "user": who}
            )
        return bool(there)

    def _fill_in(self, trigger: str, who: str) -> None:
        for _ in range(4):
            self.kernel.sleep(1.0)
            for view in list(self.slack.views.values()):
                if view["trigger"] == trigger and view["callback_id"] in table.FORMS:
                    state = {controls.REASON_BLOCK: {controls.REASON_VALUE: {"value": "Stale."}}}
                    body = {
                        "type": "view_submission",
                        "user": {"id": who},
                        "view": {**view, "state": {"values": state}},
                    }
                    if there := self._bots_there():
                        self._deliver(
                            self._rng.choice(there), table.FORMS[view["callback_id"]], body, view=body["view"]
                        )
                    return

    def _deliver(self, bot: Bot, callback: Callable[..., None], body: dict[str, Any], **given: Any) -> None:
        who, parts = body["user"]["id"], bot.core.parts
        acks: list[dict[str, Any]] = []

        def ack(**response: Any) -> None:
            acks.append(response)
            if response.get("response_action") == "clear":
                # A form for many closes with the first answer; the message shows what became of the others.
                about, verdict = approval_of(body["view"]), _OF_FORM.get(body["view"]["callback_id"], Verdict.REJECT)
                taken = (
                    self._newest(about)
                    if about
                    else next((one for one in self._all() if _holds(one, who, verdict)), None)
                )
                if taken is None:
                    self.violations.append(f"acknowledged: {who}'s form closed, and nothing is recorded")
                else:
                    self.acknowledged.append((taken.id, who, verdict))

        def respond(**reply: Any) -> None:
            self.calls.make(
                bot.process, "slack", "response_url", lambda: self._told(who, reply), error=ConnectionError, timeout=8.0
            )

        everything = {
            "ack": ack,
            "body": body,
            "client": bot.client,
            "respond": respond,
            **{name: getattr(parts, name) for name in parts.__dataclass_fields__},
            **given,
        }
        wanted = {name: everything[name] for name in inspect.signature(callback).parameters}

        def listen() -> None:
            bot.awake.set()
            before = self._answered_by(who)
            self.clicks[who] = self.clicks.get(who, 0) + 1
            try:
                callback(**wanted)
            except Exception as error:  # noqa: BLE001 - as Bolt does
                if not isinstance(error, (HitlError, SlackApiError, OSError)):
                    self.violations.append(f"defect: a click raised {error!r}")
                if isinstance(error, HitlError) and "nothing was" in str(error).lower():
                    after = self._answered_by(who)
                    if after - before and self.clicks[who] == 1:  # of two clicks, the other one may have decided
                        self.violations.append(f"untrue: {who} was told {error}, and answered {after - before}")
                context = SimpleNamespace(response_url="there")
                table.answer_error(error, body, context, bot.client, respond, None)  # type: ignore[arg-type]

        bot.process.spawn(listen, 0.05)

    def _told(self, who: str, reply: dict[str, Any]) -> None:
        pass

    # What is so.

    def _newest(self, approval_id: str) -> Approval | None:
        try:
            return self.ledger.read(approval_id).approval
        except NoSuchApproval:
            return None

    def _all(self) -> list[Approval]:
        found = [self._newest(self.pathspec(gate).approval_id) for gate in range(self.schedule.gates)]
        return [one for one in found if one is not None]

    def _answered_by(self, who: str) -> set[str]:
        return {one.id for one in self._all() if who in _answered(one)}

    def _seen(self, message: Message) -> None:
        """Hold what people see to the record, but for what another process has changed in the last two seconds."""
        if message.thread is not None or message.buttons():
            return
        about = message.metadata.get("event_payload", {}).get("approval_id", "")
        for one in self._all():
            if not one.posts or self.kernel.now - self._named_at.setdefault(one.id, self.kernel.now) < _A_MOMENT:
                continue
            if about == one.id or (about.startswith(one.id.rsplit("-", 1)[0]) and self.schedule.shared):
                overdue = one.deadline is not None and self.kernel.present() >= one.deadline - _A_MINUTE
                if one.state is State.PENDING and not overdue and message.ts in {post.ts for post in one.posts}:
                    self.violations.append(f"untrue: the message of {one.id} has no buttons, and it is pending")

    def _is_done(self) -> bool:
        if self.acting:
            return False
        approvals = self._all()
        for one in approvals:
            if one.decision is not None or one.closing is not None:
                self.decided_at.setdefault(one.id, self.kernel.now)
        return (
            len(approvals) == self.schedule.gates
            and not self._missing(approvals)
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
        said = self._said()
        for one in approvals:
            if not any(post.ts for post in one.posts):
                continue
            for number in self._to_say(one.id):
                if f"{one.id}/{number}" not in said:
                    missing.append(f"unsaid: version {number} of {one.id} has no line")
        return missing

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
        approvals = self._all()
        for one in approvals:
            if self.opened.get(one.id) is not None and not one.lets_run:
                say(f"opened: {one.id} opened, and its record is {one.state.value}")
        for missing in self._missing(approvals):
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
        for approval_id, who, verdict in self.acknowledged:
            one = self._newest(approval_id)
            if one is None or not _holds(one, str(who), verdict):
                say(f"acknowledged: {who}'s {verdict.value} of {approval_id} is not in the record")
        self.violations += self._wrong(approvals, questions)

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


def _answered(approval: Approval) -> set[str]:
    """Return the ids of those whose answers are in a record."""
    decided = set() if approval.decision is None else {approval.decision.by.id}
    return decided | {vote.by.id for vote in approval.votes}


def _holds(approval: Approval, who: str, verdict: Verdict) -> bool:
    """Whether a record has somebody's answer; the same one of whoever was slower changes nothing, and isn't refused."""
    return who in _answered(approval) or (approval.decision is not None and approval.decision.verdict is verdict)


def _store_of_yesterday(kernel: Kernel) -> MemoryStore:
    """Return a store in which nothing was asked yet, with the digests that a bot would write at its start."""
    if not _digests:
        empty = MemoryStore()
        History(Ledger(empty, each=map), lambda: EPOCH).write_digests()
        _digests.update({key: empty.read(key) for key in empty.list("")})
    store = MemoryStore(kernel.monotonic)
    for key, body in _digests.items():
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
    decoded: dict[bytes, codec.Version] = {}

    def decode(key: str, body: bytes, *arguments: Any, **more: Any) -> codec.Version:
        # Pure, and every process asks for the same bytes.
        if body not in decoded:
            if len(decoded) > 500:
                decoded.clear()
            decoded[body] = original(key, body, *arguments, **more)
        return decoded[body]

    ledger_module.decode = decode
    try:
        with simulated_locks():
            yield broke
    finally:
        ledger_module.decode = original
        structlog.configure(**before)
