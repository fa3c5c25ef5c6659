"""Carrying out a decision: what happens in which order, and what stays open when a step of it fails."""

from __future__ import annotations

from dataclasses import replace

from metaflow_extensions.hitl.approvals.errors import (
    EngineUnavailable,
    NotifierRefused,
    NotifierUnavailable,
    StoreUnavailable,
)
from metaflow_extensions.hitl.approvals.record import Approval, State, TrailEvent, Where
from metaflow_extensions.hitl.messages import sentences
from tests.fixtures.approvals import ALICE, approval
from tests.fixtures.watched_stores import WatchedStore
from tests.unit.approvals.use_cases.acts import APPROVE, ID, decide, events, is_open


def test_an_engine_that_is_away_leaves_it_open(bench):
    """The decision stands and is shown; the workflow is let go later, by whoever finishes what is open."""
    bench.ask()
    bench.engine.go_away()
    outcome = decide(bench)
    assert [type(error) for error in outcome.pending] == [EngineUnavailable]
    assert bench.notifier.shown[ID].state is State.APPROVED
    assert bench.notifier.shown[ID].settlement is None
    assert (events(bench)[-1], is_open(bench)) == (TrailEvent.DECIDED, True)
    bench.engine.come_back()
    again = bench.cases.carry_out(bench.ledger.read(ID))
    assert again.pending == ()
    assert bench.engine.released.keys() == {ID}
    assert (events(bench)[-1], is_open(bench)) == (TrailEvent.SETTLED, False)


def test_an_engine_that_is_not_here_is_left_to_the_bot(bench):
    """Where nothing can carry a decision out, it is recorded and shown, and stays open for who can."""
    bench.ask()
    bench.cases.engines = {}
    outcome = decide(bench)
    assert [str(error) for error in outcome.pending] == [f"The bot carries out what was decided about {ID}."]
    assert (events(bench)[-1], is_open(bench)) == (TrailEvent.DECIDED, True)


def test_a_message_that_can_not_be_changed_now_leaves_it_open(bench):
    """The run goes on at once; the message is changed later, and only then is the approval settled."""
    bench.ask()
    bench.notifier.go_away()
    outcome = decide(bench)
    assert [type(error) for error in outcome.pending] == [NotifierUnavailable]
    assert bench.engine.released.keys() == {ID}
    assert is_open(bench)
    bench.notifier.come_back()
    bench.cases.carry_out(bench.ledger.read(ID))
    assert bench.notifier.shown[ID].state is State.APPROVED
    assert not is_open(bench)


def test_a_message_that_only_the_bot_can_find_leaves_it_open(bench):
    """Decided where Slack is out of reach, before the record names a message: the bot looks for one, and settles it."""
    bench.ask(notifiers=("slack",))
    outcome = decide(bench, where=Where.COMMAND_LINE)
    assert [str(error) for error in outcome.pending] == [f"The bot looks for the message of {ID}."]
    assert bench.engine.released.keys() == {ID}
    assert (events(bench)[-1], is_open(bench)) == (TrailEvent.DECIDED, True)


def test_of_two_who_show_it_the_newest_version_is_seen_in_the_end(bench, monkeypatch):
    """A process whose update comes behind that of another one, which has settled it meanwhile, shows it once more."""
    bench.ask()
    bench.engine.go_away()
    update = bench.notifier.update

    def overtaken(asked, post):
        monkeypatch.setattr(bench.notifier, "update", update)
        bench.engine.come_back()
        bench.cases.carry_out(bench.ledger.read(ID))  # what another process does
        update(asked, post)

    monkeypatch.setattr(bench.notifier, "update", overtaken)
    decide(bench)
    assert events(bench)[-1] == TrailEvent.SETTLED
    assert bench.notifier.shown[ID].settlement is not None


def test_who_comes_late_shows_nothing_less_than_the_end(bench, monkeypatch):
    """A process that could not carry it out looks whether another one did, before the message shows less again."""
    bench.ask()
    bench.engine.go_away()
    decide(bench)
    stale = bench.ledger.read(ID)
    bench.engine.come_back()
    bench.cases.carry_out(stale)
    bench.engine.go_away()
    updates: list[Approval] = []
    monkeypatch.setattr(bench.notifier, "update", lambda asked, _: updates.append(asked))
    assert bench.cases.carry_out(stale).approval.settlement is not None
    assert updates == []


def test_a_message_that_an_operator_has_to_unlock_leaves_it_open(bench):
    """The run goes on at once; the approval is settled once the message shows the answer, and not before."""
    bench.ask()
    bench.notifier.refuse()
    assert [type(error) for error in decide(bench).pending] == [NotifierRefused]
    assert bench.engine.released.keys() == {ID}
    assert is_open(bench)
    bench.notifier.come_back()
    bench.cases.carry_out(bench.ledger.read(ID))
    assert bench.notifier.shown[ID].state is State.APPROVED
    assert not is_open(bench)


def test_a_message_that_is_gone_holds_up_nothing(bench):
    """If the message can no longer be reached, the run continues, and the record says why nobody can see the answer."""
    bench.ask()
    bench.notifier.delete(ID)
    outcome = decide(bench)
    assert outcome.pending == ()
    assert outcome.approval.settlement.not_shown == {"memory": f"The message of {ID} is gone."}
    assert sentences.not_shown(bench.ledger.read(ID).approval) == f"Not shown by memory: The message of {ID} is gone."
    assert bench.engine.released.keys() == {ID}
    assert not is_open(bench)


def test_a_message_of_another_notifier_is_left_to_who_has_it(bench):
    """Who answers on the command line without a token leaves the message to the bot, and the gate opens."""
    bench.ask()
    bench.cases.posting.notifiers = {}
    outcome = decide(bench)
    assert [str(error) for error in outcome.pending] == [f"The bot updates the message of {ID}."]
    assert bench.engine.released.keys() == {ID}
    assert is_open(bench)


def test_a_workflow_that_is_gone_is_told(bench):
    """A decision that can never be carried out is settled with the problem, which the message shows."""
    bench.ask()
    bench.engine.end(ID, "The workflow was stopped. Start a new run.")
    outcome = decide(bench)
    assert outcome.approval.settlement.problem == "The workflow was stopped. Start a new run."
    assert bench.notifier.shown[ID] == outcome.approval
    assert not is_open(bench)


def test_carrying_out_again_does_nothing_new(bench):
    """Any old view of a decided approval may be carried out again: nothing is written, released or posted twice."""
    bench.ask()
    entry = bench.cases.take(ID, APPROVE, who=ALICE, where=Where.BUTTON)
    first = bench.cases.carry_out(entry)
    bench.clock.forward(60)
    for view in (entry, bench.ledger.read(ID)):
        assert bench.cases.carry_out(view) == first
    assert events(bench) == [TrailEvent.REQUESTED, TrailEvent.POSTED, TrailEvent.DECIDED, TrailEvent.SETTLED]
    assert len(bench.notifier.posts) == 1


def test_carrying_out_what_is_pending_does_nothing(bench):
    """With an old view from before the answer, nothing is settled that was not carried out."""
    bench.ask()
    pending = bench.ledger.read(ID)
    bench.cases.take(ID, APPROVE, who=ALICE, where=Where.BUTTON)
    assert bench.cases.carry_out(pending).approval.state is State.PENDING
    assert bench.ledger.read(ID).approval.settlement is None
    assert is_open(bench)


def test_nothing_is_settled_before_every_message_shows_it(bench):
    """A message that was noted while the decision was carried out is changed as well, before all is settled."""
    bench.notifier.go_away()
    bench.ask()
    entry = bench.cases.take(ID, APPROVE, who=ALICE, where=Where.BUTTON)
    bench.notifier.come_back()
    post = bench.notifier.post(approval())
    noted = bench.ledger.update(ID, TrailEvent.POSTED, bench.clock(), lambda newest: replace(newest, posts=(post,)))
    outcome = bench.cases.carry_out(entry)
    assert noted.number == 3
    assert outcome.approval.settlement is not None
    assert bench.notifier.shown[ID].state is State.APPROVED


def test_a_store_that_fails_behind_the_record_leaves_it_open(bench):
    """If the store goes away right after the answer is recorded, that is no refusal: the rest is done later."""
    bench.ask()

    def away(request, key):
        if key.startswith("decided/"):
            raise StoreUnavailable(key)

    outcome = decide(bench.on(WatchedStore(bench.store, away)))
    assert outcome.approval.state is State.APPROVED
    assert [type(error) for error in outcome.pending] == [StoreUnavailable]
    assert (events(bench)[-1], is_open(bench)) == (TrailEvent.DECIDED, True)
    assert bench.cases.carry_out(bench.ledger.read(ID)).pending == ()
    assert not is_open(bench)
