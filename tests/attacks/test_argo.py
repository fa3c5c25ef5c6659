"""On Argo: what opens is what docs/security.md says, and sealed that is nothing. Recorded workflows, real API server.

Here a gate has two locks: the suspend node, which only Argo or somebody with rights in the cluster ends, and the gated
container, which looks at the record whenever its node has ended, however that came.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from hitl_bot.keys import PrivateKey, SigningKeys
from metaflow_extensions.hitl.approvals import codec, transitions
from metaflow_extensions.hitl.approvals.bucket import gate_key, version_key
from metaflow_extensions.hitl.approvals.codec import Version, encode
from metaflow_extensions.hitl.approvals.deciding.delegation import Delegations
from metaflow_extensions.hitl.approvals.errors import HitlError, OtherPathspec, OtherQuestion
from metaflow_extensions.hitl.approvals.evidence.binding import check_same
from metaflow_extensions.hitl.approvals.evidence.collected import Artifacts, Code, Evidence
from metaflow_extensions.hitl.approvals.intake import Intake
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.question import OnTimeout
from metaflow_extensions.hitl.approvals.record import (
    Answer,
    Approval,
    EngineKind,
    Gate,
    Origin,
    Person,
    State,
    TrailEvent,
    Verdict,
    Where,
)
from metaflow_extensions.hitl.approvals.refusals import NotAsApproved
from metaflow_extensions.hitl.approvals.running_again import RunningAgain
from metaflow_extensions.hitl.approvals.sealed import OPEN, Trust
from metaflow_extensions.hitl.approvals.use_cases import UseCases
from metaflow_extensions.hitl.stores import DirectoryStore
from tests.cluster.gated import Gated, gated
from tests.fixtures.approvals import ALICE, BOB, Bench, Directory, HandClock, any_input, approving, rejecting, voting
from tests.fixtures.attempts import Attempts
from tests.fixtures.engines import ArgoPlace, utc_now

pytestmark = pytest.mark.on_argo
YES = Answer(verdict=Verdict.APPROVE)
DEADLINE = 600  # seconds


class SetAside:
    """Remembers what the bot did not take over."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []

    def failed(self, _: str, error: HitlError) -> None:
        self.errors.append(error)

    def broke(self, _: str, error: Exception) -> None:
        self.errors.append(error)


@dataclass(kw_only=True)
class World:
    """A workflow that waits, its pods, a bot that signs, and somebody who may write the bucket.

    Attributes
    ----------
    pod : UseCases
        As in the containers: with the public key, and no rights in the cluster.
    bot : Bench
        With the bot's own rights, and sealed with the private key.
    attacker : Ledger
        Writes any record, and signs none.
    folder : Path
        For another store.
    gate, resuming : ModuleType
        What the gated container runs before the step.
    """

    place: ArgoPlace
    flow: Gated
    pod: UseCases
    bot: Bench
    attacker: Ledger
    aside: SetAside
    gate: ModuleType
    resuming: ModuleType
    folder: Path

    @property
    def is_sealed(self) -> bool:
        return self.pod.ledger.trust.is_sealed

    @property
    def asked(self) -> Approval:
        return self.flow.approvals[0]

    def ask(self, **changes: object) -> Approval:
        """Ask as the container before the gate does, and let the bot take over."""
        asked = self.propose(**changes)
        if self.flow.asked(asked) is None:
            self.flow.say_what_was_asked(asked)
        self.bot_takes_over()
        return self.bot.ledger.read(self.asked.id).approval

    def bot_takes_over(self) -> None:
        Intake(self.bot.cases, self.aside).tick()

    def propose(self, **changes: object) -> Approval:
        one = self.asked
        return self.pod.ask(one.pathspec, replace(one.question, **changes), one.gate, one.requester).approval

    def forge(self, approval: Approval, *, after: int, event: TrailEvent = TrailEvent.DECIDED) -> None:
        before = self.attacker.read_version(approval.id, after) if after else None
        version = Version(
            number=after + 1,
            previous=before.digest if before else None,
            event=event,
            at=self.bot.clock(),
            approval=approval,
        )
        self.attacker.store.create(f"approvals/{approval.id}/{after + 1:05d}.json", encode(version))

    def forged_yes(self, standing: Approval) -> Approval:
        return transitions.decide(standing, approving(BOB, at=self.bot.clock()))

    def bot_acts(self) -> None:
        """Let the bot do what the record asks for, as its sweeper does."""
        try:
            entry = self.bot.ledger.read(self.asked.id)
            self.bot.cases.try_to_carry_out(entry)
        except HitlError:
            pass  # the sweeper reports it and goes on

    def resume_by_hand(self) -> None:
        """End the suspend node as `argo resume`, or Argo's own clock, does."""
        self.flow.change_node(self.asked, phase="Succeeded")

    def runs(self) -> bool:
        """Whether the step's code runs: its node has ended well, and its container finds its gate open."""
        if self.flow.node(self.asked)["phase"] != "Succeeded":
            return False
        try:
            opened = self.resuming.open_in_container(self.pod, self.task)
            self.gate.check_place(opened, self.environment)
            if self.is_sealed:
                self.gate.check_asked(opened, self.environment)
        except HitlError:
            return False
        return True

    @property
    def task(self) -> SimpleNamespace:
        """The task of the gated container, as Metaflow has it."""
        path = self.asked.pathspec
        flow = SimpleNamespace(name=path.flow, _foreach_stack=None)
        return SimpleNamespace(pathspec=path, flow=flow, step=path.step)

    @property
    def environment(self) -> dict[str, str]:
        """What Argo tells the gated container."""
        return {
            "ARGO_WORKFLOW_NAME": self.flow.name,
            "METAFLOW_KUBERNETES_POD_NAMESPACE": self.flow.namespace,
            "METAFLOW_HITL_QUESTION_SHA256": self.flow.asked(self.asked) or "",
        }


@pytest.fixture(scope="module")
def plugins() -> tuple[ModuleType, ModuleType]:
    """The plugin loads Metaflow, whose own copy of yaml warns where another one is installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gate, resuming = (
            importlib.import_module(f"metaflow_extensions.hitl.plugins.{name}") for name in ("gate", "resuming")
        )
    return gate, resuming


@pytest.fixture
def world(
    kubernetes_place: ArgoPlace,
    plugins: tuple[ModuleType, ModuleType],
    is_sealed: bool,  # noqa: FBT001 - a fixture's name
    tmp_path: Path,
) -> World:
    place, key = kubernetes_place, PrivateKey(bytes(range(32)))
    clock = HandClock(utc_now())
    bot = Bench(clock=clock, trust=Trust.of((), SigningKeys([key])) if is_sealed else OPEN)
    bot.cases.engines = {EngineKind.ARGO: place.engine}
    pod = UseCases(
        Ledger(bot.store, Trust.of([key.public_key]) if is_sealed else OPEN),
        engines={},
        notifiers={},
        people=Directory(),
        check_input=any_input,
        clock=clock,
    )
    flow = gated(place.cluster, place.namespace, notifiers=(bot.notifier.name,), timeout=DEADLINE)
    gate, resuming = plugins
    return World(
        place=place,
        flow=flow,
        pod=pod,
        bot=bot,
        attacker=Ledger(bot.store),
        aside=SetAside(),
        gate=gate,
        resuming=resuming,
        folder=tmp_path,
    )


ONLY_SEALED = pytest.mark.parametrize("is_sealed", ["sealed"], indirect=True)


def test_an_answer_in_slack_opens_it(world: World) -> None:
    """What all the others are measured by: the bot patches the node, and the container finds a yes to its question."""
    asked = world.ask()
    world.bot.cases.decide(asked.id, YES, who=ALICE, where=Where.BUTTON)
    assert world.flow.phases() == ["Succeeded", "Running", "Running"]
    assert world.runs()


def forged_decision(world: World) -> None:
    world.forge(world.forged_yes(world.ask()), after=1)


def in_the_place_of_a_vote(world: World) -> None:
    """The bot's own version, replaced by one that says more."""
    asked = world.ask(quorum=2)
    world.bot.cases.decide(asked.id, YES, who=ALICE, where=Where.BUTTON)
    number = world.attacker.read(asked.id).number
    world.bot.store.unmark(version_key(asked.id, number))
    world.forge(world.forged_yes(asked), after=number - 1)


def in_the_place_of_a_rejection(world: World) -> None:
    """A no that somebody gave, removed before the bot could end the suspend node, and a yes in its place."""
    asked = world.ask()
    number = world.attacker.read(asked.id).number
    world.bot.ledger.update(
        asked.id, TrailEvent.DECIDED, world.bot.clock(), lambda one: transitions.decide(one, rejecting(BOB))
    )
    world.bot.store.unmark(version_key(asked.id, number + 1))
    world.forge(world.forged_yes(asked), after=number)


def after_a_wrong_digest(world: World) -> None:
    asked = world.ask()
    number = world.attacker.read(asked.id).number
    version = Version(
        number=number + 1,
        previous="0" * 64,
        event=TrailEvent.DECIDED,
        at=world.bot.clock(),
        approval=world.forged_yes(asked),
    )
    world.attacker.store.create(version_key(asked.id, number + 1), encode(version))


def copied_from_another_task(world: World) -> None:
    """A real yes to the next gate of the same workflow."""
    one, other = world.flow.approvals[:2]
    world.pod.ask(other.pathspec, other.question, other.gate, other.requester)
    world.bot_takes_over()
    world.bot.cases.decide(other.id, YES, who=ALICE, where=Where.BUTTON)
    for number in range(1, world.attacker.read(other.id).number + 1):
        world.bot.store.create(version_key(one.id, number), world.bot.store.read(version_key(other.id, number)))


def copied_from_another_store(world: World) -> None:
    """What the bot signed for a store of tests, where the task has the same name."""
    asked = world.ask()
    elsewhere = Ledger(DirectoryStore(world.folder / "elsewhere"), world.bot.ledger.trust)
    elsewhere.begin(replace(asked, posts=()))
    elsewhere.update(asked.id, TrailEvent.DECIDED, world.bot.clock(), world.forged_yes)
    for number in range(world.attacker.read(asked.id).number, 0, -1):
        world.bot.store.unmark(version_key(asked.id, number))
    for number in (1, 2):
        world.bot.store.create(version_key(asked.id, number), elsewhere.store.read(version_key(asked.id, number)))


def marker_for_an_answer_of_a_run_elsewhere(world: World) -> None:
    """A yes to the same step of a run on somebody's machine, which the gated container is pointed at."""
    path = world.asked.pathspec
    mine = replace(path, run="1732", task="1")
    local = Gate(engine=EngineKind.LOCAL)
    world.pod.ask(mine, world.asked.question, local, world.asked.requester)
    world.bot_takes_over()
    world.bot.cases.decide(mine.approval_id, YES, who=ALICE, where=Where.BUTTON)
    world.attacker.store.mark(gate_key(path.flow, path.run, path.step, (), mine.approval_id))


def planted_settled_record(world: World) -> None:
    """Before the container asks, so that it would skip the suspend node."""
    planted = world.asked
    world.forge(planted, after=0, event=TrailEvent.REQUESTED)
    settled = transitions.settle(world.forged_yes(planted), world.bot.clock())
    world.forge(settled, after=1, event=TrailEvent.SETTLED)
    with pytest.raises(HitlError, match="vouches for") if world.is_sealed else nullcontext():
        world.ask()


def swapped_question(world: World) -> None:
    """Asked before the container asks, and answered by somebody who is shown something harmless."""
    harmless = world.ask(message="Deploy to the playground?")
    world.bot.cases.decide(harmless.id, YES, who=ALICE, where=Where.BUTTON)
    if not world.is_sealed:
        world.propose()
        return
    with pytest.raises(OtherQuestion):
        world.propose()
    world.flow.change_node(world.asked, phase="Failed")  # as Argo does after the container that asks has failed


def replaced_message(world: World) -> None:
    """The proposal, replaced before the bot reads it, by one that differs in its text alone; a person says yes."""
    asked = world.propose(message="Deploy to production?")
    world.flow.say_what_was_asked(asked)
    world.bot.store.unmark(f"proposals/questions/{asked.id}.json")
    harmless = world.ask(message="Deploy to the playground?")
    world.bot.cases.decide(harmless.id, YES, who=ALICE, where=Where.BUTTON)


def swapped_record(world: World) -> None:
    """Another first version, with what follows it, in place of what the bot signed."""
    asked = world.ask()
    world.bot.store.unmark(f"approvals/{asked.id}/00001.json")
    other = replace(asked, question=replace(asked.question, message="Deploy to the playground?"), posts=())
    world.forge(other, after=0, event=TrailEvent.REQUESTED)
    world.forge(world.forged_yes(other), after=1)


def foreign_namespace(world: World) -> None:
    """The question names another namespace, and with it other rules; the bot signs and a person says yes there."""
    one = world.asked
    elsewhere = replace(one.gate, namespace="playground")
    world.pod.ask(one.pathspec, one.question, elsewhere, one.requester)
    world.bot_takes_over()
    world.bot.cases.decide(one.id, YES, who=ALICE, where=Where.BUTTON)


def foreign_workflow(world: World) -> None:
    """The question names a workflow that is not the one of its own run."""
    one = world.asked
    other = replace(one.gate, workflow=f"{world.flow.name}-other")
    world.pod.ask(one.pathspec, one.question, other, one.requester)
    world.bot_takes_over()
    world.bot.cases.decide(one.id, YES, who=ALICE, where=Where.BUTTON)


def planted_vote(world: World) -> None:
    """Two people have to agree, and one of them was written into the bucket."""
    asked = world.ask(quorum=2)
    world.forge(transitions.vote(asked, voting(BOB, at=world.bot.clock())), after=1, event=TrailEvent.VOTED)
    with suppress(HitlError):
        world.bot.cases.decide(asked.id, YES, who=ALICE, where=Where.BUTTON)


def planted_delegation(world: World) -> None:
    asked = world.ask(approvers=(ALICE.id,))
    until = world.bot.clock() + timedelta(days=1)
    Delegations(world.attacker.store).delegate(ALICE, BOB, until, world.bot.clock())
    with suppress(HitlError):
        world.bot.cases.decide(asked.id, YES, who=BOB, where=Where.BUTTON)


def typed_name(world: World) -> None:
    """A command line with the rights of the bot in the cluster, and a name that is an approver's."""
    asked = world.ask(approvers=(ALICE.id,))
    for name in (ALICE.id, "alice@example.com", "@ml-leads"):
        by_command_line(world, asked, name)


def two_typed_names(world: World) -> None:
    """From one keyboard, where two people have to agree."""
    asked = world.ask(quorum=2)
    for name in ("alice", "bob", "@ml-leads"):
        by_command_line(world, asked, name)


def answer_before_the_bot_came(world: World) -> None:
    """Within the first second, with one's own kubeconfig."""
    by_command_line(world, world.propose(), "bob")


def by_command_line(world: World, asked: Approval, name: str) -> None:
    person = UseCases(
        world.pod.ledger,
        engines=world.bot.cases.engines,
        notifiers={},
        people=Directory(),
        check_input=any_input,
        clock=world.bot.clock,
    )
    who = Person(origin=Origin.CLAIM, id=name, name=name)
    with suppress(HitlError):
        person.answer_from_command_line(asked.id, YES, who=who, nonce=f"{len(name):032x}")


def own_run_under_another_name(world: World) -> None:
    """The record says that carol started it, the workflow that alice deployed it: alice approves."""
    world.bot.people.in_slack_as["alice"] = ALICE
    one = world.asked
    claimed = Person(origin=Origin.CLAIM, id="carol", name="carol")
    asked = replace(one.question, allow_self_approval=False)
    proposed = world.pod.ask(one.pathspec, asked, one.gate, claimed).approval
    world.flow.say_what_was_asked(proposed)
    world.bot_takes_over()
    with suppress(HitlError):
        world.bot.cases.decide(one.id, YES, who=ALICE, where=Where.BUTTON)


def bare_resume(world: World) -> None:
    world.ask()


def resume_before_anybody_was_asked(world: World) -> None:
    world.propose()


def deadline_with_the_bot_down(world: World) -> None:
    """Argo's clock ends the node ten minutes after the deadline, and a forged yes lies there."""
    world.forge(world.forged_yes(world.ask()), after=1)
    world.bot.clock.forward(2 * DEADLINE)


def deadline_that_would_approve_before_the_bot_came(world: World) -> None:
    """No bot ever signed the question, so nobody was asked."""
    world.propose(on_timeout=OnTimeout.APPROVE)
    world.bot.clock.forward(2 * DEADLINE)


way = pytest.mark.way
ELSEWHERE = way("names another namespace or workflow in the question")
RESUMED = way("resumes the gate in Argo before anyone has answered")
WAYS = [
    pytest.param(forged_decision, marks=way("writes a decided record, also under the strictest policy")),
    pytest.param(in_the_place_of_a_vote, marks=way("puts a decided record in the place of the bot's own version")),
    pytest.param(in_the_place_of_a_rejection, marks=way("removes a rejection and writes an approval")),
    pytest.param(after_a_wrong_digest, marks=way("writes a version that does not follow from the one before")),
    pytest.param(copied_from_another_task, marks=way("copies a signed record to another task")),
    pytest.param(copied_from_another_store, marks=way("copies a signed record to another store")),
    pytest.param(
        marker_for_an_answer_of_a_run_elsewhere, marks=way("points a gate at somebody else's answer by a marker")
    ),
    pytest.param(planted_settled_record, marks=way("plants a settled record before the run asks")),
    pytest.param(swapped_question, marks=way("swaps the question before it is asked")),
    pytest.param(swapped_record, marks=way("swaps the question after it is asked")),
    pytest.param(foreign_namespace, marks=ELSEWHERE),
    pytest.param(foreign_workflow, marks=ELSEWHERE),
    pytest.param(planted_vote, marks=way("plants a vote beside a real click")),
    pytest.param(planted_delegation, marks=way("plants a delegation")),
    pytest.param(typed_name, marks=way("types the name of a group or of a person")),
    pytest.param(two_typed_names, marks=way("types two names where two people must agree")),
    pytest.param(answer_before_the_bot_came, marks=way("answers before the bot has seen the question")),
    pytest.param(
        own_run_under_another_name,
        marks=way("approves their own run, which they started under somebody else's name"),
    ),
    pytest.param(bare_resume, marks=RESUMED),
    pytest.param(resume_before_anybody_was_asked, marks=RESUMED),
    pytest.param(
        deadline_with_the_bot_down,
        marks=way("writes a decision and lets the deadline pass while the bot is down"),
    ),
    pytest.param(
        deadline_that_would_approve_before_the_bot_came,
        marks=way("lets the deadline approve before the bot has seen the question"),
    ),
]


@pytest.mark.parametrize("attack", WAYS)
def test_what_starts_code_is_what_the_page_says(
    world: World, attack: Callable[[World], None], attempts: Attempts
) -> None:
    """Sealed, the bot resumes no gate for it, and whoever resumes it by hand starts a container that refuses."""
    try_on(world, attack, attempts)
    if world.is_sealed:
        assert not any(attempts.opened)


@ONLY_SEALED
@pytest.mark.way("swaps the question after it is asked")
def test_a_proposal_with_another_message_starts_nothing(world: World, attempts: Attempts) -> None:
    """People said yes to what they were shown, and the bot tells them that it is not what the run asked."""
    try_on(world, replaced_message, attempts)
    settled = world.bot.ledger.read(world.asked.id).approval.settlement
    assert settled is not None
    assert "the run asked another question" in settled.problem


def try_on(world: World, attack: Callable[[World], None], attempts: Attempts) -> None:
    """Attack, let the bot act unless it is down, then resume by hand what still waits."""
    attack(world)
    if attack is not deadline_with_the_bot_down:
        world.bot_acts()
    if world.is_sealed:
        assert world.flow.node(world.asked)["phase"] != "Succeeded"
    attempts.tried(opened=world.runs())
    if world.flow.node(world.asked)["phase"] == "Running":
        world.resume_by_hand()
        attempts.tried(opened=world.runs())


EVIDENCE = Evidence(
    parameters={"alpha": "0.1"},
    code=Code(commit="4f2c1d9", package="a" * 40),
    artifacts=Artifacts.of({"model": "a1", "data": "b2"}),
)
OTHERWISE = {
    "artifact model": replace(EVIDENCE, artifacts=Artifacts.of({"model": "c3", "data": "b2"})),
    "the code package": replace(EVIDENCE, code=replace(EVIDENCE.code, package="b" * 40)),
    "parameter alpha": replace(EVIDENCE, parameters={"alpha": "0.9"}),
}


@pytest.mark.parametrize("named", OTHERWISE)
def test_what_is_not_as_it_was_approved_does_not_start(world: World, named: str) -> None:
    """Swapped between the answer and the gate: the workflow was resumed, and the container names what is another."""
    asked = world.ask(evidence=EVIDENCE)
    world.bot.cases.decide(asked.id, YES, who=ALICE, where=Where.BUTTON)
    assert world.runs()
    opened, now = world.pod.open_gate(asked.pathspec), world.bot.clock()
    assert check_same(opened, EVIDENCE, now) == opened
    with pytest.raises(NotAsApproved, match=f"was approved for something else: {named}"):
        check_same(opened, OTHERWISE[named], now)


def test_a_record_of_another_gate_opens_nothing_here(world: World) -> None:
    """Replayed as this one's: the container says whose it is."""
    copied_from_another_task(world)
    one, other = world.flow.approvals[:2]
    with pytest.raises(OtherPathspec, match=f"is about {other.pathspec}, not about"):
        world.pod.open_gate(one.pathspec)


@pytest.mark.way("lets a bot of an older release decide")
def test_a_bot_of_an_older_release(world: World, attempts: Attempts, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has never heard of a quorum takes nothing over, decides nothing, and resumes nothing."""
    known = codec._known()
    asked = world.propose(quorum=2)
    with monkeypatch.context() as older:
        older.setattr(codec, "_known", lambda: known - {"question.quorum"})
        world.bot_takes_over()
        with pytest.raises(HitlError):
            world.bot.cases.decide(asked.id, YES, who=ALICE, where=Where.BUTTON)
        world.bot_acts()
    attempts.tried(opened=world.runs())
    world.resume_by_hand()
    attempts.tried(opened=world.runs())


@pytest.mark.way("has a workflow started that a record merely names")
def test_a_record_does_not_choose_what_is_started_again(world: World, attempts: Attempts) -> None:
    """Forged requests for changes to a run of alice's, which she then runs again: the bot starts no other workflow."""
    world.place.let_start()
    again = RunningAgain(world.bot.cases.engines, world.bot.people)
    changes = replace(approving(BOB, at=world.bot.clock()), verdict=Verdict.CHANGES, reason="Lower alpha.")
    for number, record in enumerate(foreign_records(world)):
        path = replace(record.pathspec, task=f"t-forged-{number}")
        planted = replace(record, pathspec=path, id=path.approval_id, requester=ALICE)
        world.forge(planted, after=0, event=TrailEvent.REQUESTED)
        world.forge(transitions.decide(planted, changes), after=1)
        with pytest.raises(HitlError):
            again.run_again(world.bot.ledger.read(planted.id).approval, {"alpha": "9"}, ALICE)
        attempts.tried(opened=bool(world.flow.started()))


def foreign_records(world: World) -> list[Approval]:
    """Records that name the workflow that waits, or another one, and aren't about any of its gates."""
    asked = world.asked
    return [
        asked,
        replace(asked, pathspec=replace(asked.pathspec, run="argo-another")),
        replace(asked, pathspec=replace(asked.pathspec, flow="Another")),
        replace(asked, gate=replace(asked.gate, workflow="../workflows")),
        replace(asked, gate=replace(asked.gate, namespace="default")),
    ]


@ONLY_SEALED
def test_a_resume_by_hand_closes_the_question_and_says_so(world: World) -> None:
    """The container has refused, so nobody can answer any longer, and people read that somebody resumed the gate."""
    asked = world.ask()
    world.flow.change_node(
        asked,
        phase="Succeeded",
        message="Resumed by: carol",
        finishedAt=(asked.requested_at + timedelta(seconds=5)).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
    boundary = world.flow.node(asked)["boundaryID"]
    world.flow.change({"op": "add", "path": f"/status/nodes/{boundary}/phase", "value": "Failed"})
    world.flow.change({"op": "replace", "path": "/status/phase", "value": "Failed"})
    why = world.bot.cases.engines[EngineKind.ARGO].gone(asked)
    assert (
        why == 'somebody resumed the gate in Argo without an answer: "Resumed by: carol", so the step refused to start'
    )
    assert world.bot.cases.close(world.bot.ledger.read(asked.id), why).approval.state is State.CLOSED
