"""`metaflow_hitl.Approvals`, over a real directory."""

from __future__ import annotations

from datetime import timedelta
from itertools import count
from threading import Thread

import pytest

from hitl_bot.keys import PrivateKey, SigningKeys
from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.codec import Version, encode
from metaflow_extensions.hitl.approvals.errors import NotTakenOverYet
from metaflow_extensions.hitl.approvals.intake import Intake
from metaflow_extensions.hitl.approvals.proposing import propose
from metaflow_extensions.hitl.approvals.record import Where
from metaflow_extensions.hitl.approvals.sealed import Trust
from metaflow_extensions.hitl.stores import open_store
from metaflow_hitl import (
    AlreadyDecided,
    Approvals,
    DuePassed,
    InvalidInput,
    NoSuchApproval,
    NoSuchObligation,
    Obligation,
    RecordError,
    State,
    StillWaiting,
    StoreUnavailable,
)
from tests.fixtures.approvals import (
    BOB,
    NOW,
    REQUESTER,
    Bench,
    HandClock,
    after,
    approval,
    approving,
    pathspec,
    rejecting,
)
from tests.fixtures.watched_stores import WatchedStore


def read_only(request, key):
    """Refuse what a role without s3:PutObject may not do."""
    if request in {"create", "mark", "unmark"}:
        raise StoreUnavailable(f"{request} {key} is refused")


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Other people and runs, on the same store; the machine is rita's."""
    monkeypatch.setenv("METAFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("METAFLOW_USER", "rita")
    return Bench(store=open_store(str(tmp_path / "records")))


@pytest.fixture
def approvals(world):
    with Approvals.open(world.store.url) as opened:
        yield opened


def test_what_waits_can_be_chosen_from(world, approvals):
    """By flow, run and step; the oldest first."""
    late = world.ask(pathspec(flow="ScoreFlow", run="2"))
    world.clock.forward(-60)
    early = world.ask(pathspec(run="1"))
    assert [one.id for one in approvals.waiting()] == [early.id, late.id]
    assert [one.id for one in approvals.waiting(flow="ScoreFlow")] == [late.id]
    assert approvals.waiting(run="2", step="other") == []


def test_an_answer_is_a_claim(world, approvals):
    """It counts as a command line's: with a name, and nobody who vouches for it."""
    asked = world.ask()
    answered = approvals.approve(asked.id, input={"target": "staging"}, reason="fine")
    assert answered.counts
    decision = approvals.get(asked.id).decision
    assert (decision.by.name, decision.by.is_vouched_for, decision.where) == ("rita", False, Where.COMMAND_LINE)
    assert decision.input == {"target": "staging"}
    with pytest.raises(AlreadyDecided):
        approvals.reject(asked.id, reason="no")


def test_an_input_that_does_not_fit_is_refused(world, approvals):
    """The error names each problem."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    asked = world.ask(schema=schema)
    with pytest.raises(InvalidInput, match="n must be a whole number") as refused:
        approvals.approve(asked.id, input={"n": "many"})
    assert [problem.field for problem in refused.value.problems] == ["n"]


def test_where_it_matters_who_answers_the_person_has_to_confirm(world, approvals):
    """The answer is proposed, doesn't count yet, and the time to wait for a confirmation is the caller's."""
    asked = world.ask(approvers=("U0BOB",))
    answered = approvals.approve(asked.id)
    assert not answered.counts
    assert not approvals.wait_until_confirmed(answered, timeout=0).counts
    world.cases.decide(asked.id, rejecting(), who=BOB, where=Where.BUTTON)
    after = approvals.wait_until_confirmed(answered, timeout=60)
    assert (after.counts, after.approval.state) == (False, State.REJECTED)


def test_wait_returns_when_somebody_has_decided(world, approvals):
    """However it ended; without a decision the error is a TimeoutError as well."""
    asked = world.ask()
    with pytest.raises(TimeoutError) as waited:
        approvals.wait(asked.id, timeout=0)
    assert isinstance(waited.value, StillWaiting)
    assert [one.id for one in waited.value.approvals] == [asked.id]
    deciding = Thread(target=world.cases.decide, args=(asked.id, rejecting()), kwargs={"who": BOB, "where": Where.FORM})
    deciding.start()
    assert approvals.wait(asked.id, timeout=60).state is State.REJECTED
    deciding.join()


def test_a_local_gate_expires_although_its_run_has_died(world, approvals):
    """Where nobody else does, who waits lets the deadline decide."""
    asked = world.ask(timeout=60)  # on a day long gone
    assert approvals.wait(asked.id, timeout=60).state is State.EXPIRED


def test_who_may_only_read_can_wait_as_well(world):
    """Where the deadline can't be written from here, what others write meanwhile is seen all the same."""
    asked = world.ask(timeout=60)
    cases = Bench(store=WatchedStore(world.store, read_only), clock=HandClock(after(61))).cases
    seconds = count()

    def others_expire_it(_: float) -> None:
        world.clock.now = after(61)
        world.cases.expire(world.ledger.read(asked.id))

    reading = Approvals(cases, REQUESTER, sleep=others_expire_it, monotonic=lambda: next(seconds))
    assert reading.wait(asked.id, timeout=9).state is State.EXPIRED


def test_a_run_is_waited_for_with_all_that_it_asked(world, approvals):
    """What was decided before the wait began is there, too; a pathspec names the flow as well."""
    world.clock.now = world.clock.now + timedelta(days=365 * 50)  # lately, whenever this runs
    first, second = world.ask(pathspec(task="1")), world.ask(pathspec(task="2"))
    approvals.approve(first.id)
    with pytest.raises(StillWaiting):
        approvals.wait_for_run("17", timeout=0)
    approvals.approve(second.id)
    ended = approvals.wait_for_run("TrainFlow/17", timeout=0)
    assert {one.id for one in ended} == {first.id, second.id}
    with pytest.raises(StillWaiting, match="has asked nothing"):
        approvals.wait_for_run("ScoreFlow/17", timeout=0)


def test_history_has_what_ended_since_the_newest_first(world, approvals):
    """Decided or closed unanswered; never what still waits."""
    old, new, open_ = (world.ask(pathspec(task=str(task))) for task in range(3))
    world.cases.decide(old.id, rejecting(), who=BOB, where=Where.FORM)
    world.clock.forward(3600)
    world.cases.close(world.ledger.read(new.id), "the run was stopped")
    assert [one.id for one in approvals.history()] == [new.id, old.id]
    assert [one.id for one in approvals.history(since=NOW + timedelta(minutes=1))] == [new.id]
    assert [one.id for one in approvals.history(limit=1)] == [new.id]
    assert open_.id not in {one.id for one in approvals.history()}


def test_what_can_not_be_read_is_logged_and_holds_up_nothing(world, approvals, caplog):
    """One bad record among many is a warning."""
    good = world.ask()
    world.store.mark("open/ghost-0123456789")
    assert [one.id for one in approvals.waiting()] == [good.id]
    assert "ghost-0123456789" in caplog.text


def test_an_unknown_id_is_an_error(approvals):
    """With the store in its words."""
    with pytest.raises(NoSuchApproval, match="No approval deploy-0123456789"):
        approvals.get("deploy-0123456789")


# Where only the bot writes records.

KEY = PrivateKey(bytes(range(32)))
BOT = Trust.of((), SigningKeys([KEY]))


@pytest.fixture
def sealed(world):
    """The bot's own world: it signs."""
    return Bench(store=world.store, trust=BOT)


def test_a_sealed_answer_is_a_proposal(sealed):
    """It leaves the record as it is, even where anybody may answer; what the bot signs then is waited for."""
    asked = sealed.ask()
    with Approvals.open(sealed.store.url, public_keys=str(KEY.public_key)) as approvals:
        answered = approvals.approve(asked.id)
        assert not answered.counts
        assert approvals.get(asked.id) == asked
        assert [one.vouched_by for one in approvals.waiting()] == [KEY.public_key.id]
        sealed.cases.decide(asked.id, rejecting(), who=BOB, where=Where.FORM)
        assert approvals.wait(asked.id, timeout=60).state is State.REJECTED


def test_what_no_bot_signed_is_no_answer(sealed):
    """Whoever can write the bucket can write an approval; who waits with the bot's key refuses it."""
    asked = sealed.ask()
    entry = sealed.ledger.read(asked.id)
    forged = transitions.decide(entry.approval, approving())
    version = Version(number=entry.number + 1, previous=entry.digest, event="decided", at=NOW, approval=forged)
    sealed.store.create(f"approvals/{asked.id}/{version.number:05d}.json", encode(version))
    with Approvals.open(sealed.store.url, public_keys=str(KEY.public_key)) as approvals:
        with pytest.raises(RecordError, match="No bot vouches"):
            approvals.wait(asked.id, timeout=60)
        assert approvals.waiting() == []


def propose_a_question(run):
    """As a run does where only a bot writes records."""
    asked = approval(pathspec(), notifiers=())
    propose(run.store, asked, [KEY.public_key.id])
    return asked


class Unobserved:
    """Fails the test on a proposal that can't be taken over."""

    def failed(self, _, error):
        raise error

    broke = failed


def test_what_no_bot_has_taken_over_yet_is_waited_for(sealed):
    """A run's line to paste may be used at once: what it names is found as soon as a bot has taken it over."""
    run = Bench(store=sealed.store, trust=Trust.of([KEY.public_key]))
    asked = propose_a_question(run)
    intake = Intake(sealed.cases, Unobserved())
    looks = Approvals(run.cases, BOB, sleep=lambda _: intake.tick(), monotonic=count().__next__)
    assert looks.get(asked.id).id == asked.id


def test_what_no_bot_takes_over_is_an_error_that_says_so(sealed):
    """It is told apart from an ID that nobody knows, after ten seconds."""
    run = Bench(store=sealed.store, trust=Trust.of([KEY.public_key]))
    asked = propose_a_question(run)
    looks = Approvals(run.cases, BOB, sleep=lambda _: None, monotonic=count().__next__)
    for named in (asked.id, str(asked.pathspec)):
        with pytest.raises(NotTakenOverYet, match="no bot has taken it over yet"):
            looks.get(named)
    with pytest.raises(StillWaiting):
        looks.wait(asked.id, timeout=5)


def test_obligations_from_python(world, approvals):
    """One that is over is refused; the others are listed, the first due first, and closed with a comment."""
    me = approvals.who
    asked = [world.ask(pathspec(run=str(run))) for run in range(2)]
    with pytest.raises(DuePassed, match="2020-01-01 has passed"):
        approvals.approve(asked[0].id, obligation=Obligation(text="Look again.", owner=me, due="2020-01-01"))
    for one, due in zip(asked, ("2199-12-31", "2199-01-31"), strict=True):
        approvals.approve(one.id, obligation=Obligation(text="Look again.", owner=me, due=due))
    assert [(one.id, number) for one, number in approvals.obligations()] == [(asked[1].id, 1), (asked[0].id, 1)]
    closed = approvals.close_obligation(asked[1].id, comment="All fine.")
    assert closed.counts
    assert closed.approval.follow_ups[-1].comment == "All fine."
    assert [one.id for one, _ in approvals.obligations(flow="TrainFlow")] == [asked[0].id]
    with pytest.raises(NoSuchObligation):
        approvals.close_obligation(asked[1].id, comment="Again.")
