"""Faults that the simulation has found: each history goes wrong again if the fault comes back."""

from __future__ import annotations

import pytest

from metaflow_extensions.hitl.approvals.question import OnTimeout
from metaflow_extensions.hitl.approvals.record import EngineKind
from tests.simulation.schedule import Act, Schedule
from tests.simulation.simulation import Simulation, simulating
from tests.simulation.world import Fault, Outage, Strike

_BOT_IS_AWAY = Strike("bot-", "store create claims/", Fault("crash before", 12.0))
_RUN_CAN_NOT_NOTE = Strike("run-1", "slack chat.postMessage", Fault("crash after", 200.0))

FOUND = {
    "a run died before it could note its message, and the gate was decided": Schedule(
        seed=1, gates=2, shared=True, strikes=(_BOT_IS_AWAY, _RUN_CAN_NOT_NOTE), acts=(Act(10.0, "line", 1),)
    ),
    "a run died before it could note its message, and the gate waits": Schedule(
        seed=1, gates=2, shared=True, strikes=(_BOT_IS_AWAY, _RUN_CAN_NOT_NOTE)
    ),
    "a run settled a gate without the message that it is on": Schedule(
        seed=1,
        gates=2,
        shared=True,
        timeout=10,
        strikes=(Strike("bot-", "store create approvals/deploy-gtp7pvpcnq/00002", Fault("crash before", 15.0)),),
    ),
    "a run could not remove the second message, and its process was over": Schedule(
        seed=1,
        engine=EngineKind.ARGO,
        skews=(10.5, 0.0, 0.0),
        strikes=(
            Strike("run-", "slack chat.postMessage", Fault("slow", 3.0)),
            Strike("run-", "slack chat.delete", Fault("before")),
        ),
    ),
    "a run showed less than the end, just before the end was recorded": Schedule(
        seed=1,
        timeout=10,
        on_timeout=OnTimeout.APPROVE,
        strikes=(
            Strike("run-", "slack chat.update", Fault("slow", 2.0)),
            Strike("bot-", "store create approvals/deploy-pikc7lnpaw/00004", Fault("slow", 4.0)),
        ),
    ),
    "a message came after all was settled, and its run was dead": Schedule(
        seed=1,
        timeout=10,
        on_timeout=OnTimeout.APPROVE,
        strikes=(
            Strike("run-", "slack chat.postMessage", Fault("slow", 17.5)),
            Strike("run-", "slack chat.getPermalink", Fault("crash after", 200.0)),
        ),
    ),
    "a bot posted what another bot settled, and could not note the message": Schedule(
        seed=1,
        bots=2,
        token=False,
        skews=(0.0, 9.0, 0.0),
        strikes=(
            Strike("bot-1", "slack chat.postMessage", Fault("slow", 3.0)),
            Strike("bot-1", "store list approvals/deploy-pikc7lnpaw/", Fault("before"), nth=3),
        ),
        acts=(Act(1.5, "line", 0),),
    ),
    "the answer to a new version was lost, and no marker told of it": Schedule(
        seed=1,
        engine=EngineKind.ARGO,
        token=False,
        strikes=(
            Strike("bot-", "store create approvals/deploy-pikc7lnpaw/00003", Fault("after")),
            Strike("bot-", "store create approvals/deploy-pikc7lnpaw/00004", Fault("after")),
        ),
        acts=(Act(12.0, "approve", 0),),
    ),
    "an older Home was published after a newer one": Schedule(
        seed=1,
        strikes=(Strike("bot-", "slack users.info", Fault("slow", 9.0)),),
        acts=(Act(4.9, "home", 0), Act(5.0, "line", 0)),
    ),
    "a run posted second, and the store failed before it knew that": Schedule(
        seed=187,
        skews=(14.2, 0.0, -9.5),
        strikes=(Strike("run-0", "store list approvals/deploy-pikc7lnpaw/", Fault("before")),),
    ),
    "somebody voted before the record named a message": Schedule(
        seed=830,
        gates=2,
        shared=True,
        quorum=2,
        outages=(Outage("store", 0.9, 22.9, "before"),),
        strikes=(Strike("bot-", "store create batches/deploy-mwqrb7bioh-1/post", Fault("after")),),
        acts=(Act(10.0, "all", 1),),
    ),
    "a delegation was given while an earlier one was being taken back": Schedule(
        seed=1,
        bots=2,
        named=True,
        strikes=(Strike("bot-", "store unmark delegates/", Fault("slow", 8.0)),),
        acts=(Act(1.0, "delegate", 0), Act(5.0, "take back", 0), Act(8.0, "delegate", 0), Act(25.0, "approve", 0, 1)),
    ),
}


@pytest.mark.parametrize("history", FOUND)
def test_what_went_wrong_once_holds(history: str):
    """Everything that a simulation looks at holds in a history in which it did not."""
    with simulating() as broke:
        report = Simulation(FOUND[history], log=True).run()
    assert not report.violations, "\n".join([*report.log, *report.violations])
    assert not broke
