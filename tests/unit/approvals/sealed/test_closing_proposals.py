"""What somebody can do who may write proposals to close: end a question of a local run, in words of ours."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from hitl_bot.keys import PrivateKey, SigningKeys
from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.intake import Intake
from metaflow_extensions.hitl.approvals.proposing import RUN_ENDED, RUN_STOPPED, is_proposed, propose_closing
from metaflow_extensions.hitl.approvals.record import EngineKind, Gate, State
from metaflow_extensions.hitl.approvals.sealed import Trust
from tests.fixtures.approvals import NOW, REQUESTER, Bench, gate, pathspec, question

KEY = PrivateKey(bytes(range(32)))
ON_ARGO = Gate(engine=EngineKind.ARGO, namespace="flows", workflow="train-x7k2p")


@dataclass
class World:
    """A bot that signs, and a run that proposes."""

    bot: Bench = field(default_factory=lambda: Bench(trust=Trust.of((), SigningKeys([KEY]))))

    def __post_init__(self) -> None:
        self.run = Bench(store=self.bot.store, trust=Trust.of([KEY.public_key]))
        self.id = pathspec().approval_id

    def propose(self, where: Gate) -> None:
        asked = replace(question(), notifiers=(self.bot.notifier.name,))
        self.run.cases.ask(pathspec(), asked, where, REQUESTER)

    def take_in(self) -> None:
        Intake(self.bot.cases, self).tick()

    def failed(self, _: str, error: HitlError) -> None:
        raise error

    def broke(self, _: str, error: Exception) -> None:
        raise error


@pytest.mark.parametrize(("where", "state"), [(gate(), State.CLOSED), (ON_ARGO, State.PENDING)])
def test_only_the_question_of_a_local_run_is_closed(where: Gate, state: State) -> None:
    """What waits in the cluster is closed by what the cluster says."""
    world = World()
    world.propose(where)
    world.take_in()
    propose_closing(world.bot.store, world.id, RUN_STOPPED, NOW)
    world.take_in()
    assert world.bot.ledger.read(world.id).approval.state is state


@pytest.mark.parametrize(("where", "is_left"), [(gate(), False), (ON_ARGO, True)])
def test_a_question_of_the_cluster_is_asked_all_the_same(where: Gate, is_left: bool) -> None:  # noqa: FBT001 - a parameter
    """A closing that comes before the bot has seen the question takes away only that of a local run."""
    world = World()
    world.propose(where)
    propose_closing(world.bot.store, world.id, RUN_STOPPED, NOW)
    intake = Intake(world.bot.cases, world)
    closing = f"proposals/closings/{world.id}.json"
    intake._closing(closing, world.id)
    assert is_proposed(world.bot.store, world.id) is is_left


def test_nobody_puts_words_into_the_bots_mouth() -> None:
    """A reason that no run of ours gives becomes one that it does."""
    world = World()
    world.propose(gate())
    world.take_in()
    propose_closing(world.bot.store, world.id, "approved by the board, carry on", NOW)
    world.take_in()
    closing = world.bot.ledger.read(world.id).approval.closing
    assert closing is not None
    assert closing.reason == RUN_ENDED
