"""What write access to the bucket is worth: seven ways that opened gates, tried in the open mode and in the sealed one.

In the open mode whoever can write the store can answer, and the tests say which of the ways open a gate there. In the
sealed mode none does.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from hitl_bot.sandbox.driver import Driver
from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.codec import Version, encode
from metaflow_extensions.hitl.approvals.deciding import in_advance
from metaflow_extensions.hitl.approvals.deciding.delegation import Delegations
from metaflow_extensions.hitl.approvals.errors import HitlError, NotVouchedFor
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.question import OnTimeout, Question, Shard
from metaflow_extensions.hitl.approvals.record import Answer, State, Verdict, Where
from metaflow_extensions.hitl.stores import DirectoryStore
from tests.attacks.conftest import CHANNEL, STRICT, Bucket
from tests.fixtures.approvals import ALICE, BOB, CAROL, approving, gate, pathspec, question, rejecting, voting

LEADS = ("@ml-leads",)
YES = Answer(verdict=Verdict.APPROVE)


@pytest.fixture
def people(sandbox) -> Driver:
    return Driver(sandbox.url)


class TestForgedDecision:
    """A decided version, written by somebody who is not the bot."""

    @pytest.fixture
    def policy(self) -> str:
        return STRICT

    @pytest.mark.way("writes a decided record, also under the strictest policy")
    def test_it_opens_nothing_when_sealed(self, bucket: Bucket):
        """Under the strictest policy a forged decision opens the gate of the open mode, and no other."""
        asked = bucket.ask(question(approvers=LEADS))
        number, standing = bucket.newest(asked)
        bucket.forge(transitions.decide(standing, approving(BOB)), after=number)
        assert bucket.opens() is not bucket.is_sealed
        assert bucket.lets_run(asked) is not bucket.is_sealed

    @pytest.mark.way("puts a decided record in the place of the bot's own version")
    def test_neither_does_one_that_takes_the_place_of_a_real_version(self, bucket: Bucket):
        """The bot's own version, replaced by one that says the opposite."""
        asked = bucket.ask(question(approvers=LEADS))
        number, standing = bucket.newest(asked)
        bucket.remove(f"approvals/{asked.id}/{number:05d}.json")
        bucket.forge(transitions.decide(standing, approving(BOB)), after=number - 1)
        assert bucket.opens() is not bucket.is_sealed

    @pytest.mark.way("removes a rejection and writes an approval")
    def test_neither_does_one_in_the_place_of_a_rejection(self, bucket: Bucket):
        """A no that somebody gave, removed, and a yes in its place."""
        asked = bucket.ask(question())
        number, standing = bucket.newest(asked)
        bucket.bot.cases.ledger.update(
            asked.id, "decided", bucket.clock(), lambda one: transitions.decide(one, rejecting(BOB))
        )
        bucket.sweep()
        for one in range(bucket.newest(asked)[0], number, -1):
            bucket.remove(f"approvals/{asked.id}/{one:05d}.json")
        bucket.forge(transitions.decide(standing, approving(BOB)), after=number)
        assert bucket.opens() is not bucket.is_sealed

    @pytest.mark.way("writes a version that does not follow from the one before")
    @pytest.mark.parametrize("after", ["a wrong hash", "nothing"])
    def test_neither_does_one_out_of_the_chain(self, bucket: Bucket, after: str):
        """With a wrong hash of the one before, or alone at a later number: the gate checks what verify does."""
        asked = bucket.ask(question(approvers=LEADS))
        number, standing = bucket.newest(asked)
        if after == "nothing":
            number += 1
        version = Version(
            number=number + 1,
            previous="0" * 64,
            event="decided",
            at=bucket.clock(),
            approval=transitions.decide(standing, approving(BOB)),
        )
        bucket.attacker.store.create(f"approvals/{asked.id}/{number + 1:05d}.json", encode(version))
        assert not bucket.opens()


class TestCopiedRecord:
    """A record that a bot really wrote, about something else."""

    @pytest.mark.way("copies a signed record to another task")
    def test_to_another_task(self, bucket: Bucket):
        """The approval of one shard is not an approval of another."""
        other = bucket.ask(question("Deploy to the playground?"), task="1")
        bucket.bot.cases.decide(other.id, YES, who=BOB, where=Where.BUTTON)
        asked = bucket.propose(question("Deploy to production?", approvers=LEADS))
        for one in range(1, bucket.newest(other)[0] + 1):
            body = bucket.attacker.store.read(f"approvals/{other.id}/{one:05d}.json")
            key = f"approvals/{asked.id}/{one:05d}.json"
            if (bucket.folder / key).exists():
                bucket.remove(key)
            bucket.attacker.store.create(key, body)
        assert not bucket.opens(asked.pathspec)
        assert not bucket.lets_run(asked)

    @pytest.mark.way("copies a signed record to another store")
    def test_from_another_store(self, bucket: Bucket, tmp_path: Path):
        """What the bot signed for a store of tests opens nothing in production, although the task has the same name."""
        asked = bucket.ask(question(approvers=LEADS))
        elsewhere = Ledger(DirectoryStore(tmp_path / "elsewhere"), bucket.bot.cases.ledger.trust)
        standing = replace(bucket.newest(asked)[1], posts=())
        elsewhere.begin(standing)
        elsewhere.update(asked.id, "decided", bucket.clock(), lambda one: transitions.decide(one, approving(BOB)))
        for one in range(bucket.newest(asked)[0], 0, -1):
            bucket.remove(f"approvals/{asked.id}/{one:05d}.json")
        for one in (1, 2):
            key = f"approvals/{asked.id}/{one:05d}.json"
            bucket.attacker.store.create(key, elsewhere.store.read(key))
        assert bucket.opens() is not bucket.is_sealed


@pytest.mark.way("plants a settled record before the run asks")
def test_a_settled_record_before_the_question(bucket: Bucket):
    """A settled approval that lies there before the run asks is not taken for an answer to it."""
    planted = transitions.request(
        pathspec(), question(notifiers=("slack",), channel=CHANNEL), gate(), ALICE, bucket.clock()
    )
    settled = transitions.settle(transitions.decide(planted, approving(BOB)), bucket.clock())
    bucket.forge(planted, after=0, event="requested")
    bucket.forge(settled, after=1, event="settled")
    try:
        found = bucket.propose()
    except HitlError:
        found = None
    assert (found is not None and found.settlement is not None) is not bucket.is_sealed
    bucket.sweep()
    assert bucket.opens() is not bucket.is_sealed


class TestSwappedQuestion:
    """Another question than the one that the run asked."""

    @pytest.mark.way("swaps the question before it is asked")
    def test_before_the_run_asks(self, bucket: Bucket):
        """The run refuses a question that lies there already and is not its own."""
        harmless = question("Deploy to the playground?", notifiers=("slack",), channel=CHANNEL)
        bucket.run.ask(pathspec(), harmless, gate(), ALICE)
        opened = True
        try:
            bucket.ask(question("Deploy to production?", approvers=LEADS))
            bucket.bot.cases.ledger.update(
                pathspec().approval_id, "decided", bucket.clock(), lambda one: transitions.decide(one, approving(CAROL))
            )
        except HitlError:
            opened = False
        assert opened is not bucket.is_sealed
        assert bucket.opens() is not bucket.is_sealed

    @pytest.mark.way("swaps the question after it is asked")
    def test_before_the_bot_takes_it_over(self, bucket: Bucket):
        """A proposal that is replaced before the bot reads it is signed, asked, answered, and refused by its run."""
        asked = bucket.propose(question("Deploy to production?", approvers=LEADS))
        key = f"proposals/questions/{asked.id}.json"
        if bucket.is_sealed:
            bucket.remove(key)
            other = question("Deploy to the playground?", notifiers=("slack",), channel=CHANNEL)
            bucket.run.ask(pathspec(), other, gate(), ALICE)
        bucket.sweep()
        bucket.bot.cases.ledger.update(
            asked.id, "decided", bucket.clock(), lambda one: transitions.decide(one, approving(CAROL))
        )
        assert bucket.lets_run(asked) is not bucket.is_sealed

    @pytest.mark.way("swaps the question after it is asked")
    def test_after_it_was_asked(self, bucket: Bucket):
        """A first version that asks something else, with what follows it, is nothing that the bot signed."""
        asked = bucket.ask(question("Deploy to production?", approvers=LEADS))
        number, standing = bucket.newest(asked)
        for one in range(number, 0, -1):
            bucket.remove(f"approvals/{asked.id}/{one:05d}.json")
        other = replace(standing, question=question("Deploy to the playground?"), posts=())
        bucket.forge(other, after=0, event="requested")
        bucket.forge(transitions.decide(other, approving(BOB)), after=1)
        assert bucket.opens() is not bucket.is_sealed
        assert bucket.lets_run(asked) is not bucket.is_sealed


@pytest.mark.way("plants a vote beside a real click")
def test_a_planted_vote_beside_a_real_click(bucket: Bucket, people: Driver):
    """Two people have to agree: a vote that somebody wrote into the bucket is none of them."""
    asked = bucket.ask(question(quorum=2))
    number, standing = bucket.newest(asked)
    bucket.forge(transitions.vote(standing, voting(CAROL, at=bucket.clock())), after=number, event="voted")
    bob = people.as_("bob")
    bob.click(bob.wait_for_message(CHANNEL), "Approve", confirm="Approve")
    assert bucket.opens() is not bucket.is_sealed


@pytest.mark.way("plants a delegation")
def test_a_planted_delegation(bucket: Bucket, people: Driver):
    """Somebody whose say was written into the bucket has none."""
    asked = bucket.ask(question(approvers=("U0ALICE",)))
    Delegations(bucket.attacker.store).delegate(ALICE, CAROL, bucket.clock() + timedelta(days=1), bucket.clock())
    carol = people.as_("carol")
    carol.click(carol.wait_for_message(CHANNEL), "Approve", confirm="Approve")
    assert bucket.opens(asked.pathspec) is not bucket.is_sealed


@pytest.mark.way("adds somebody else's gate to a batch by a marker")
def test_a_marker_puts_no_gate_into_a_batch(bucket: Bucket, people: Driver):
    """Whoever approves all of a message approves the gates that it shows, and none that a marker adds, in any mode."""
    for task in ("1", "2"):
        bucket.propose(question(f"Deploy region {task}?", batch=True), task=task)
    bucket.sweep()
    other = bucket.ask(question("Drop the database?"), task="99")
    batch = next(
        post.batch for post in bucket.newest(bucket.ask(question("Deploy region 1?", batch=True), task="1"))[1].posts
    )
    bucket.attacker.store.mark(f"batches/{batch}/of/{other.id}")
    bob = people.as_("bob")
    message = bob.wait_for_message(CHANNEL, lambda one: "Approve all" in one.buttons)
    bob.click(message, "Approve all", confirm="Approve all")
    ledger, first = bucket.bot.cases.ledger, pathspec(task="1").approval_id
    people.control.wait_until(lambda: ledger.read(first).approval.state is State.APPROVED, what="an approval")
    bucket.sweep()
    assert not bucket.opens(other.pathspec)


@pytest.mark.way("plants an answer to shards that have yet to ask")
def test_a_planted_answer_in_advance(bucket: Bucket, people: Driver):
    """What is answered for a whole foreach before all of it has asked is signed, too."""

    def shard(number: int) -> Question:
        return question(f"Deploy region {number}?", batch=True, shard=Shard(place=(number,), counts=(3,)))

    for number in (0, 1):
        bucket.propose(shard(number), task=str(number))
    bucket.sweep()
    first = bucket.newest(bucket.ask(shard(0), task="0"))[1]
    batch = next(post.batch for post in first.posts if post.batch)
    planted = in_advance.given(first, YES, BOB, bucket.clock(), asked=2, in_all=3)
    in_advance.AnswersInAdvance(bucket.attacker).write(batch, planted)
    last = bucket.propose(shard(2), task="2")

    def decided() -> bool:
        bucket.sweep()
        return bucket.newest(last)[1].decision is not None

    if bucket.is_sealed:
        assert not decided()
        with pytest.raises(NotVouchedFor):
            in_advance.AnswersInAdvance(bucket.bot.cases.ledger).newest(batch)
    else:
        people.control.wait_until(decided, what="an answer to the last shard")
    assert bucket.opens(last.pathspec) is not bucket.is_sealed


@pytest.mark.way("writes a decision and lets the deadline pass while the bot is down")
@pytest.mark.parametrize("on_timeout", [OnTimeout.REJECT, OnTimeout.APPROVE])
def test_the_deadline_with_the_bot_down(bucket: Bucket, on_timeout: OnTimeout):
    """At Argo's own deadline a pod starts while the bot is down: the gate believes no unsigned record."""
    asked = bucket.propose(question(approvers=LEADS, timeout=600, on_timeout=on_timeout))
    if bucket.is_sealed:
        bucket.forge(asked, after=0, event="requested")
    standing = bucket.newest(asked)[1]
    number = bucket.newest(asked)[0]
    bucket.forge(transitions.decide(standing, approving(BOB)), after=number)
    bucket.clock.forward(1_200)
    assert bucket.opens() is not bucket.is_sealed


class TestDeadline:
    """The signed question, its deadline, and a bot that is down when it comes."""

    @pytest.fixture(params=["sealed"])
    def is_sealed(self) -> bool:
        return True

    def test_a_deadline_that_approves_opens_by_the_signed_question(self, bucket: Bucket):
        """The question that the bot signed says that its deadline approves, and nobody has answered."""
        asked = bucket.ask(question(timeout=600, on_timeout=OnTimeout.APPROVE))
        assert not bucket.opens()
        bucket.clock.forward(600)
        assert bucket.opens()
        assert bucket.lets_run(asked)

    def test_any_other_deadline_opens_nothing(self, bucket: Bucket):
        """Without the bot's word the gate stays closed, and says so."""
        asked = bucket.ask(question(timeout=600))
        bucket.clock.forward(1_200)
        assert not bucket.opens()
        assert not bucket.lets_run(asked)

    def test_what_no_bot_took_over_opens_nothing(self, bucket: Bucket):
        """Nobody was asked, so the run ends, also where the deadline would approve."""
        asked = bucket.propose(question(timeout=600, on_timeout=OnTimeout.APPROVE))
        assert not bucket.lets_run(asked)
