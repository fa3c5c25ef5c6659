"""The use cases: what happens in which order, and what stays open when a step of it fails."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metaflow_extensions.hitl.approvals import pathspec as pathspecs
from metaflow_extensions.hitl.approvals.codec import NotJson
from metaflow_extensions.hitl.approvals.errors import (
    EngineUnavailable,
    HitlError,
    NoSuchApproval,
    NotifierRefused,
    NotifierUnavailable,
    OtherPathspec,
    PeopleUnavailable,
    StoreUnavailable,
)
from metaflow_extensions.hitl.approvals.question import OnReject, OnTimeout
from metaflow_extensions.hitl.approvals.record import State, Verdict, Where
from metaflow_extensions.hitl.approvals.refusals import (
    AlreadyDecided,
    NotAllowed,
    ReasonMissing,
    Rejected,
    StillPending,
    Superseded,
    TooLate,
)
from metaflow_extensions.hitl.approvals.use_cases import Answer, Outcome, passed, unposted
from metaflow_extensions.hitl.notifiers.memory import MemoryNotifier
from metaflow_extensions.hitl.stores.memory import MemoryStore
from tests.fixtures.approvals import (
    ALICE,
    BOB,
    REQUESTER,
    Bench,
    CountedStore,
    Directory,
    WatchedStore,
    approval,
    approving,
    gate,
    pathspec,
    question,
)

ID = pathspec().approval_id
APPROVE = Answer(verdict=Verdict.APPROVE)
REJECT = Answer(verdict=Verdict.REJECT, reason="The data is stale.")


@pytest.fixture
def bench() -> Bench:
    return Bench()


def decide(bench: Bench, answer: Answer = APPROVE, *, who=ALICE, where=Where.BUTTON) -> Outcome:
    return bench.cases.decide(ID, answer, who=who, where=where)


def events(bench: Bench) -> list[str]:
    return [entry.version.event for entry in bench.ledger.verify(ID)]


def is_open(bench: Bench) -> bool:
    return ID in list(bench.ledger.open_ids())


# Asking.


def test_asking_records_the_question_and_posts_it(bench):
    """The record comes first, then the message, then where it stands."""
    asked = bench.ask()
    assert bench.notifier.shown[ID].question == asked.question
    assert asked.posts == (bench.notifier.posts[ID],)
    assert events(bench) == ["requested", "posted"]


def test_asking_twice_is_asking_once(bench):
    """A retry finds the question, and the message, that are there."""
    first = bench.ask()
    bench.clock.forward(60)
    assert bench.ask() == first
    assert len(bench.notifier.posts) == 1


def test_asking_what_was_answered_posts_nothing(bench):
    """A retry of the step after the answer finds the answer, and nobody is asked again."""
    bench.notifier.go_away()
    bench.ask()
    decide(bench)
    bench.notifier.come_back()
    assert bench.ask().state is State.APPROVED
    assert bench.notifier.posts == {}


@pytest.mark.parametrize(("trouble", "error"), [("go_away", NotifierUnavailable), ("refuse", NotifierRefused)])
def test_a_question_that_can_not_be_posted_stands(bench, trouble, error):
    """While Slack is down the record is written, the outcome says what is missing, and asking again posts it."""
    getattr(bench.notifier, trouble)()
    outcome = bench.cases.ask(pathspec(), question(notifiers=("memory",)), gate(), REQUESTER)
    assert [type(each) for each in outcome.pending] == [error]
    assert (events(bench), is_open(bench)) == (["requested"], True)
    assert unposted(outcome.approval) == ("memory",)
    bench.notifier.come_back()
    assert bench.ask().posts == (bench.notifier.posts[ID],)


def test_a_question_for_a_notifier_that_is_not_here_is_left_to_the_bot(bench):
    """A pod without a token asks by Slack all the same: the bot posts what it finds unposted."""
    outcome = bench.cases.ask(pathspec(), question(notifiers=("slack", "memory")), gate(), REQUESTER)
    assert outcome.pending == ()
    assert unposted(outcome.approval) == ("slack",)


def test_one_notifier_that_fails_does_not_keep_another_from_posting(bench):
    """Each notifier is on its own."""
    second = MemoryNotifier(bench.clock, "second")
    bench.cases.notifiers = {"memory": bench.notifier, "second": second}
    bench.notifier.refuse()
    assert [post.notifier for post in bench.ask(notifiers=("memory", "second")).posts] == ["second"]


def test_nothing_is_posted_about_a_question_that_is_not_recorded(bench):
    """Without a record nobody is asked: an answer would have nowhere to go."""

    def no_create(request, key):
        if request == "create":
            raise StoreUnavailable(key)

    other = bench.on(WatchedStore(bench.store, no_create))
    with pytest.raises(StoreUnavailable):
        other.ask()
    assert bench.notifier.posts == {}


def test_a_message_that_comes_behind_the_answer_shows_it(bench):
    """If somebody answers while the question is on its way to Slack, the message loses its buttons all the same."""

    class Slow(MemoryNotifier):
        def post(self, approval):
            post = super().post(approval)
            if bench.ledger.read(ID).approval.state is State.PENDING:
                decide(bench)
            return post

    slow = bench.cases.notifiers["memory"] = Slow(bench.clock)
    asked = bench.ask()
    assert asked.state is State.APPROVED
    assert slow.shown[ID].state is State.APPROVED
    assert bench.engine.released.keys() == {ID}


# Deciding.


def test_an_approval_releases_the_gate_shows_it_and_settles_it(bench):
    """After Approve the task runs, the message says who, the record is settled and off the list of open ones."""
    bench.ask()
    bench.clock.forward(60)
    outcome = decide(bench, Answer(verdict=Verdict.APPROVE, input={"target": "staging"}, reason=" Looks right. "))
    decision = outcome.approval.decision
    assert (decision.by, decision.where, decision.at) == (ALICE, Where.BUTTON, bench.clock.now)
    assert (decision.input, decision.reason) == ({"target": "staging"}, "Looks right.")
    assert outcome.pending == ()
    assert bench.engine.released[ID].decision == decision
    assert bench.notifier.shown[ID] == outcome.approval
    assert events(bench) == ["requested", "posted", "decided", "settled"]
    assert not is_open(bench)
    assert bench.ledger.decided_ids("TrainFlow", "deploy", limit=5) == [ID]


def test_a_rejection_fails_the_gate(bench):
    """After Reject the task is failed, with no input, and the reason is in the record."""
    bench.ask()
    outcome = decide(bench, replace(REJECT, input={"target": "staging"}))
    assert bench.engine.refused.keys() == {ID}
    assert bench.engine.released == {}
    assert (outcome.approval.decision.input, outcome.approval.decision.reason) == ({}, "The data is stale.")


def test_effects_come_in_their_order(bench):
    """The record, the workflow, the message, settled: who dies in between leaves what can be finished."""
    order = []

    def note(request, key):
        if request in ("create", "unmark") or key.startswith("decided/"):
            order.append(key.split("/")[0] + "/" + key.split("/")[-1])

    bench.ask()
    other = bench.on(WatchedStore(bench.store, note))

    class Engine(type(bench.engine)):
        def carry_out(self, approval):
            order.append("engine")
            return super().carry_out(approval)

    class Notifier(MemoryNotifier):
        def update(self, approval, post):
            order.append("message")
            super().update(approval, post)

    other.cases.engines = {gate().engine: Engine()}
    notifier = Notifier(bench.clock)
    notifier.post(approval())
    other.cases.notifiers = {"memory": notifier}
    decide(other)
    assert [each for each in order if not each.startswith("decided")] == [
        "approvals/00003.json",
        "engine",
        "message",
        "approvals/00004.json",
        f"open/{ID}",
    ]


def test_the_same_click_twice_is_one_decision(bench):
    """The second click changes nothing and is told no error; the engine has released the gate once."""
    bench.ask()
    first = decide(bench)
    bench.clock.forward(5)
    assert decide(bench, who=BOB).approval == first.approval
    assert len(bench.engine.calls) == 1
    assert events(bench) == ["requested", "posted", "decided", "settled"]


def test_another_answer_is_told_who_won(bench):
    """Approve on what is rejected is a conflict that names the winner; nothing is carried out again."""
    bench.ask()
    decide(bench, REJECT, who=BOB)
    with pytest.raises(AlreadyDecided, match="rejected by Bob Brown"):
        decide(bench)
    assert bench.engine.released == {}
    assert len(bench.engine.calls) == 1


def refuse_every_input(schema, values):
    raise HitlError("target is missing")


SCHEMA = {"type": "object", "properties": {"target": {}}, "required": ["target"]}


def test_an_input_that_does_not_fit_is_refused(bench):
    """The schema in the record decides; the record stays as it was, and a rejection needs no input."""
    bench.cases.check_input = refuse_every_input
    bench.ask(schema=SCHEMA)
    with pytest.raises(HitlError, match="target is missing"):
        decide(bench)
    assert events(bench) == ["requested", "posted"]
    assert decide(bench, REJECT).approval.state is State.REJECTED


def test_the_input_is_recorded_as_the_schema_reads_it(bench):
    """Values arrive typed: what the check returns is what the step sees."""
    bench.cases.check_input = lambda schema, values: {"n": int(values["n"]), "of": schema["type"]}
    bench.ask(schema=SCHEMA)
    recorded = decide(bench, Answer(verdict=Verdict.APPROVE, input={"n": "3"})).approval.decision.input
    assert recorded == {"n": 3, "of": "object"}


def test_the_same_answer_in_other_words_is_the_same(bench):
    """Whether somebody decided the same is judged after the schema has read both inputs."""
    bench.cases.check_input = lambda schema, values: {name: int(values[name]) for name in schema["properties"]}
    bench.ask(schema={"type": "object", "properties": {"n": {}}})
    first = decide(bench, Answer(verdict=Verdict.APPROVE, input={"n": "3"}))
    assert decide(bench, Answer(verdict=Verdict.APPROVE, input={"n": "03"}), who=BOB).approval == first.approval


def test_who_comes_too_late_is_told_that_and_not_to_mend_the_input(bench):
    """Behind the deadline, or behind another answer, a bad input is not what a person needs to hear of."""
    bench.cases.check_input = refuse_every_input
    bench.ask(schema=SCHEMA, timeout=60)
    bench.clock.forward(60)
    with pytest.raises(TooLate):
        decide(bench)
    bench.ask(pathspec(run="18"), schema=SCHEMA)
    other = pathspec(run="18").approval_id
    bench.cases.decide(other, REJECT, who=BOB, where=Where.FORM)
    with pytest.raises(AlreadyDecided, match="rejected by Bob Brown"):
        bench.cases.decide(other, APPROVE, who=ALICE, where=Where.FORM)


def test_an_input_that_is_no_json_is_refused(bench):
    """Without a schema any JSON will do; NaN is none, and nothing is written."""
    bench.ask()
    with pytest.raises(NotJson):
        decide(bench, Answer(verdict=Verdict.APPROVE, input={"share": float("nan")}))
    assert events(bench) == ["requested", "posted"]


@pytest.mark.parametrize(
    ("people", "refusal"),
    [
        (Directory(bars={ALICE.id: "guests never decide."}), NotAllowed),
        (Directory(outage=PeopleUnavailable("Slack does not answer.")), PeopleUnavailable),
    ],
)
def test_who_may_not_decide_changes_nothing(bench, people, refusal):
    """A guest, and everybody while Slack can't be asked, is refused; the question stays open."""
    bench.cases.people = people
    bench.ask()
    with pytest.raises(refusal):
        decide(bench)
    assert events(bench) == ["requested", "posted"]
    assert bench.engine.calls == []


def test_a_rejection_without_a_reason_changes_nothing(bench):
    """Blanks are no reason."""
    bench.ask()
    with pytest.raises(ReasonMissing):
        decide(bench, Answer(verdict=Verdict.REJECT, reason=" \n"))
    assert events(bench) == ["requested", "posted"]


def test_an_unknown_id_is_refused(bench):
    """A forged or mistyped id decides nothing."""
    with pytest.raises(NoSuchApproval):
        decide(bench)
    assert list(bench.store.list("")) == []


def test_taking_an_answer_leaves_carrying_it_out_to_the_caller(bench):
    """Slack waits three seconds: the answer is in the record at once, and its effects come when the caller says so."""
    bench.ask()
    entry = bench.cases.take(ID, APPROVE, who=ALICE, where=Where.FORM)
    assert bench.ledger.read(ID) == entry
    assert bench.engine.calls == []
    assert is_open(bench)
    assert bench.cases.carry_out(entry).approval.settlement is not None


def test_an_answer_is_recorded_within_three_requests(bench):
    """From the click to the record: one LIST, one GET, one PUT; one PUT if the caller has just read it."""
    bench.ask()
    counted = CountedStore(bench.store)
    seen_by_engine = []

    class Engine(type(bench.engine)):
        def carry_out(self, approval):
            seen_by_engine.append(dict(counted.requests))
            return super().carry_out(approval)

    other = bench.on(counted)
    other.cases.engines = {gate().engine: Engine()}
    decide(other)
    assert seen_by_engine == [{"list": 1, "read": 1, "create": 1, "mark": 1}]  # the mark comes behind the record

    bench.ask(pathspec(run="18"))
    seen = other.ledger.read(pathspec(run="18").approval_id)
    counted.requests.clear()
    other.cases.take(seen.approval.id, APPROVE, who=ALICE, where=Where.BUTTON, seen=seen)
    assert counted.requests == {"create": 1, "mark": 1}


# Carrying out.


def test_an_engine_that_is_away_leaves_it_open(bench):
    """The decision stands and is shown; the workflow is let go later, by whoever finishes what is open."""
    bench.ask()
    bench.engine.go_away()
    outcome = decide(bench)
    assert [type(error) for error in outcome.pending] == [EngineUnavailable]
    assert bench.notifier.shown[ID].state is State.APPROVED
    assert bench.notifier.shown[ID].settlement is None
    assert (events(bench)[-1], is_open(bench)) == ("decided", True)
    bench.engine.come_back()
    again = bench.cases.carry_out(bench.ledger.read(ID))
    assert again.pending == ()
    assert bench.engine.released.keys() == {ID}
    assert (events(bench)[-1], is_open(bench)) == ("settled", False)


def test_an_engine_that_is_not_here_is_left_to_the_bot(bench):
    """Where nothing can carry a decision out, it is recorded and shown, and stays open for who can."""
    bench.ask()
    bench.cases.engines = {}
    outcome = decide(bench)
    assert [str(error) for error in outcome.pending] == [f"The bot carries out what was decided about {ID}."]
    assert (events(bench)[-1], is_open(bench)) == ("decided", True)


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


@pytest.mark.parametrize("trouble", [lambda notifier: notifier.refuse(), lambda notifier: notifier.delete(ID)])
def test_a_message_that_can_never_be_changed_holds_up_nothing(bench, trouble):
    """If the message is gone, or its channel archived, the run goes on and the approval is settled."""
    bench.ask()
    trouble(bench.notifier)
    assert decide(bench).pending == ()
    assert bench.engine.released.keys() == {ID}
    assert not is_open(bench)


def test_a_message_of_another_notifier_is_left_to_who_has_it(bench):
    """Who answers on the command line without a token leaves the message to the bot, and the gate opens."""
    bench.ask()
    bench.cases.notifiers = {}
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
    assert events(bench) == ["requested", "posted", "decided", "settled"]
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
    noted = bench.ledger.update(ID, "posted", bench.clock(), lambda newest: replace(newest, posts=(post,)))
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
    assert (events(bench)[-1], is_open(bench)) == ("decided", True)
    assert bench.cases.carry_out(bench.ledger.read(ID)).pending == ()
    assert not is_open(bench)


# The deadline, and closing.


@pytest.mark.parametrize(
    ("on_timeout", "released", "state"),
    [(OnTimeout.APPROVE, True, State.APPROVED), (OnTimeout.REJECT, False, State.EXPIRED)],
)
def test_an_expiry_is_carried_out_like_an_answer(bench, on_timeout, released, state):
    """At the deadline the gate is released or failed, the message says so, and all is settled."""
    bench.ask(timeout=60, on_timeout=on_timeout)
    bench.clock.forward(60)
    outcome = bench.cases.expire(bench.ledger.read(ID))
    assert outcome.approval.state is state
    assert (ID in bench.engine.released, ID in bench.engine.refused) == (released, not released)
    assert bench.notifier.shown[ID] == outcome.approval
    assert not is_open(bench)


def test_expiring_before_the_deadline_does_nothing(bench):
    """A sweeper whose clock is early leaves the question open."""
    bench.ask(timeout=60)
    bench.clock.forward(59.999999)
    assert bench.cases.expire(bench.ledger.read(ID)).approval.state is State.PENDING
    assert events(bench) == ["requested", "posted"]
    assert is_open(bench)


def test_expiring_what_was_answered_carries_the_answer_out(bench):
    """A sweeper with an old view finds the answer, and that is what happens."""
    bench.ask(timeout=60)
    old = bench.ledger.read(ID)
    bench.cases.take(ID, APPROVE, who=ALICE, where=Where.BUTTON)
    bench.clock.forward(60)
    assert bench.cases.expire(old).approval.state is State.APPROVED
    assert bench.engine.released.keys() == {ID}


def test_closing_shows_it_and_touches_no_engine(bench):
    """A question whose run is gone is closed, shown as closed and off the list."""
    bench.ask()
    outcome = bench.cases.close(bench.ledger.read(ID), "The run was stopped.")
    assert outcome.approval.state is State.SUPERSEDED
    assert bench.notifier.shown[ID] == outcome.approval
    assert bench.engine.calls == []
    assert not is_open(bench)
    with pytest.raises(Superseded):
        decide(bench)


def test_closing_what_was_answered_carries_the_answer_out(bench):
    """An answer from just before is not lost to a closing with an old view."""
    bench.ask()
    old = bench.ledger.read(ID)
    bench.cases.take(ID, REJECT, who=ALICE, where=Where.BUTTON)
    assert bench.cases.close(old, "gone").approval.state is State.REJECTED
    assert bench.engine.refused.keys() == {ID}


# The gate.


def test_the_gate_is_closed_until_somebody_approved(bench):
    """A bare resume of the workflow is no answer: without one the task is told how to get it."""
    bench.ask()
    with pytest.raises(StillPending, match="Resuming the workflow is not an answer"):
        bench.cases.open_gate(pathspec())
    decide(bench)
    assert bench.cases.open_gate(pathspec()).decision.by == ALICE


def test_the_gate_is_closed_where_nobody_asked(bench):
    """A task without a record does not run."""
    with pytest.raises(NoSuchApproval):
        bench.cases.open_gate(pathspec())


def test_a_rejection_keeps_the_gate_closed_unless_the_step_wants_to_see_it(bench):
    """With ``on_reject="continue"`` the task starts and sees the verdict."""
    bench.ask()
    decide(bench, REJECT, who=BOB)
    with pytest.raises(Rejected, match=r'rejected by Bob Brown: "The data is stale\."'):
        bench.cases.open_gate(pathspec())
    seeing = pathspec(run="18")
    bench.ask(seeing, on_reject=OnReject.CONTINUE)
    bench.cases.decide(seeing.approval_id, REJECT, who=BOB, where=Where.FORM)
    assert bench.cases.open_gate(seeing).state is State.REJECTED


def test_a_closed_approval_keeps_the_gate_closed(bench):
    """What was superseded does not run."""
    bench.ask()
    bench.cases.close(bench.ledger.read(ID), "The run was stopped.")
    with pytest.raises(Superseded):
        bench.cases.open_gate(pathspec())


@pytest.mark.parametrize("on_timeout", [OnTimeout.APPROVE, OnTimeout.REJECT])
def test_the_gate_lets_the_record_decide_about_a_deadline(bench, on_timeout):
    """If the engine's own clock opened the gate, the expiry is recorded before the task starts or fails."""
    bench.ask(timeout=60, on_timeout=on_timeout)
    bench.clock.forward(60)
    if on_timeout is OnTimeout.APPROVE:
        assert bench.cases.open_gate(pathspec()).decision.where is Where.TIMEOUT
    else:
        with pytest.raises(Rejected, match="expired: nobody answered in 1 min"):
            bench.cases.open_gate(pathspec())
    assert bench.ledger.read(ID).approval.decision.where is Where.TIMEOUT


def test_a_deadline_that_only_notifies_opens_nothing(bench):
    """Behind it the gate is as closed as before."""
    bench.ask(timeout=60, on_timeout=OnTimeout.NOTIFY)
    bench.clock.forward(10_000)
    with pytest.raises(StillPending):
        bench.cases.open_gate(pathspec())


def test_the_gate_stays_closed_when_the_expiry_can_not_be_recorded(bench):
    """What is not in the record did not happen, even where the deadline would have approved."""
    bench.ask(timeout=60, on_timeout=OnTimeout.APPROVE)
    bench.clock.forward(60)

    def no_create(request, key):
        if request == "create":
            raise StoreUnavailable(key)

    with pytest.raises(StoreUnavailable):
        bench.on(WatchedStore(bench.store, no_create)).cases.open_gate(pathspec())
    assert bench.ledger.read(ID).approval.state is State.PENDING


def test_the_gate_of_another_task_takes_no_answer_of_this_one(bench):
    """A record that was put under another task's id opens nothing."""
    bench.ask()
    decide(bench)
    copied = MemoryStore()
    other = pathspec(run="18")
    for key in bench.store.list(f"approvals/{ID}/"):
        copied.create(key.replace(ID, other.approval_id), bench.store.read(key))
    with pytest.raises(OtherPathspec):
        Bench(store=copied).cases.open_gate(other)


def test_a_task_that_happens_to_share_an_id_takes_no_answer(bench, monkeypatch):
    """The record names its task in full: were two ids ever the same, the second task would stay closed."""
    monkeypatch.setattr(pathspecs, "_HASH_LENGTH", 1)
    first = pathspec(run="0")
    second = next(
        other for run in range(1, 10_000) if (other := pathspec(run=str(run))).approval_id == first.approval_id
    )
    bench.ask(first)
    bench.cases.decide(first.approval_id, APPROVE, who=ALICE, where=Where.BUTTON)
    with pytest.raises(OtherPathspec, match=f"is about {first}, not about {second}"):
        bench.cases.open_gate(second)
    with pytest.raises(OtherPathspec):
        bench.ask(second)
    assert bench.cases.open_gate(first).lets_run


def test_only_a_decision_passes():
    """``passed`` is the one place where an approval becomes a start."""
    with pytest.raises(StillPending):
        passed(approval())
    assert passed(replace(approval(), decision=approving())).lets_run
