"""Planted notes and markers beside the records: answers in advance, the history, events, obligations, and gates."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest
from pydantic import SecretStr

from hitl_bot.surfaces.outbox import Outbox
from metaflow_extensions.hitl.approvals import bucket as keys, bucket_map, transitions
from metaflow_extensions.hitl.approvals.deciding import in_advance
from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.evidence.collected import Artifacts, Code, Evidence
from metaflow_extensions.hitl.approvals.queries import History, Queries
from metaflow_extensions.hitl.approvals.question import Question, Shard
from metaflow_extensions.hitl.approvals.record import (
    Answer,
    Approval,
    FollowUp,
    FollowUpKind,
    Obligation,
    Pathspec,
    Verdict,
    Where,
)
from metaflow_extensions.hitl.stores import MemoryStore
from tests.attacks.conftest import CHANNEL, Bucket
from tests.fixtures.approvals import ALICE, BOB, REQUESTER, Bench, HandClock, approving, gate, pathspec, question
from tests.fixtures.outlets import Web

YES = Answer(verdict=Verdict.APPROVE)
SECRET = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


# Answers in advance.


def shard(number: int) -> Question:
    asked = question(f"Deploy region {number}?", batch=True, shard=Shard(place=(number,), counts=(3,)))
    return replace(asked, notifiers=("slack",), channel=CHANNEL)


def ask_shards(bucket: Bucket, run: str) -> tuple[Approval, str]:
    """Let two of three shards ask; return the first one, and the id of the message that they share."""
    for number in (0, 1):
        bucket.run.ask(pathspec(run=run, task=str(number)), shard(number), gate(), REQUESTER)
    bucket.sweep()
    first = bucket.bot.cases.ledger.read(pathspec(run=run, task="0").approval_id).approval
    return first, next(post.batch for post in first.posts if post.batch)


def last_shard_is_decided(bucket: Bucket, run: str) -> bool:
    bucket.run.ask(pathspec(run=run, task="2"), shard(2), gate(), REQUESTER)
    bucket.sweep()
    bucket.sweep()
    last = bucket.bot.cases.ledger.read(pathspec(run=run, task="2").approval_id).approval
    return bucket.attempts.tried(opened=last.decision is not None)


@pytest.mark.way("copies an answer in advance to another foreach, or over one that was taken back")
@pytest.mark.parametrize("to", ["another run", "a newer number"])
def test_a_copied_answer_in_advance(bucket: Bucket, to: str):
    """What somebody said about all shards of a run counts for that run, until they take it back."""
    first, batch = ask_shards(bucket, "1")
    answers = in_advance.AnswersInAdvance(bucket.bot.cases.ledger)
    said = in_advance.given(first, YES, BOB, bucket.clock(), asked=2, in_all=3)
    answers.write(batch, said)
    body = bucket.attacker.store.read(keys.in_advance_key(batch, 1))
    if to == "another run":
        _, other = ask_shards(bucket, "2")
        bucket.attacker.store.create(keys.in_advance_key(other, 1), body)
        assert not last_shard_is_decided(bucket, "2")
    else:
        answers.write(batch, in_advance.taken_back(said, BOB, bucket.clock()))
        bucket.attacker.store.create(keys.in_advance_key(batch, 3), body)
        assert not last_shard_is_decided(bucket, "1")


# The history of a day that is over.


@pytest.mark.way("plants what was decided on a day that is over")
def test_a_planted_day_of_history(bucket: Bucket):
    """Sealed, a day that the bot has not signed is not shown; open, whoever writes the store makes history."""
    scratch = Bench(store=MemoryStore(), clock=HandClock(bucket.clock()))
    asked = scratch.ask(pathspec(run="invented"))
    scratch.cases.decide(asked.id, YES, who=ALICE, where=Where.BUTTON)
    yesterday = scratch.clock().date()
    scratch.clock.forward(timedelta(days=2).total_seconds())
    History(scratch.ledger, scratch.clock).write_digests()
    planted = scratch.store.read(keys.digest_key(yesterday))
    bucket.attacker.store.create(keys.digest_key(yesterday), planted)
    bucket.clock.forward(timedelta(days=2).total_seconds())
    found = Queries(bucket.bot.cases.ledger, bucket.clock).decided(bucket.clock() - timedelta(days=7))
    shown = bucket.attempts.tried(opened=asked.id in {one.id for one in found.approvals})
    assert shown is not bucket.is_sealed


# Events.


@contextmanager
def sending(bucket: Bucket) -> Iterator[Outbox]:
    """A bot that sends events, as it begins."""
    (outbox,) = [one for one in bucket.bot.sweeper._subscribers if isinstance(one, Outbox)]
    yield outbox
    while outbox._job.is_busy:
        bucket.bot.executors[1].submit(lambda: None).result(60)


class TestEvents:
    """The markers of the outbox say where to look, and the record says what is sent."""

    @pytest.fixture
    def more_settings(self, web: Web) -> dict[str, object]:
        return {"events_url": SecretStr(web.url), "events_secret": SecretStr(SECRET)}

    @pytest.mark.way("plants an event about a decision that no bot wrote")
    def test_a_planted_event(self, bucket: Bucket, web: Web):
        """A marker for a forged version sends what the open mode believes, and nothing that no bot signed."""
        asked = bucket.propose()
        if bucket.is_sealed:
            bucket.forge(asked, after=0, event="requested")
        at = bucket.clock()
        bucket.forge(transitions.decide(bucket.newest(asked)[1], approving(BOB)), after=1)
        bucket.attacker.store.mark(
            keys.waiting_event_key(keys.WaitingEvent(at=at, approval_id=asked.id, number=2, where="webhook"))
        )
        with sending(bucket) as outbox:
            outbox.tick()
        opened = bucket.attempts.tried(opened="hitl.approved" in [body["type"] for body in web.bodies])
        assert opened is not bucket.is_sealed

    @pytest.mark.way("has an old event sent again")
    def test_an_old_event_with_a_new_marker(self, bucket: Bucket, web: Web):
        """A flow that an approval starts is not started anew weeks later, by a marker that gives it today's date."""
        asked = bucket.bot.cases.ask(pathspec(), question(), gate(), REQUESTER).approval
        bucket.bot.cases.decide(asked.id, YES, who=BOB, where=Where.BUTTON)
        bucket.clock.forward(timedelta(days=30).total_seconds())
        number = bucket.newest(asked)[0] - 1  # the last one says that it is settled
        assert bucket.attacker.read_version(asked.id, number).version.event == "decided"
        now = keys.WaitingEvent(at=bucket.clock(), approval_id=asked.id, number=number, where="webhook")
        bucket.attacker.store.mark(keys.waiting_event_key(now))
        with sending(bucket) as outbox:
            outbox.tick()
        assert not bucket.attempts.tried(opened=bool(web.bodies))
        assert keys.waiting_event_key(now) not in bucket.attacker.store.list(bucket_map.OUTBOX.root)


# Obligations.


@pytest.mark.way("closes somebody's obligation by a forged version")
def test_a_forged_end_of_an_obligation(bucket: Bucket):
    """What somebody owes is over when the record says so, and sealed only the bot writes it."""
    asked = bucket.ask()
    owes = Obligation(text="Look at it again.", owner=ALICE, due="2026-12-31")
    bucket.bot.cases.ledger.update(
        asked.id, "decided", bucket.clock(), lambda one: transitions.decide(one, approving(BOB, obligation=owes))
    )
    bucket.sweep()
    number, standing = bucket.newest(asked)
    assert standing.open_obligations
    done = FollowUp(number=1, kind=FollowUpKind.DONE, at=bucket.clock(), by=ALICE, comment="Done.")
    bucket.forge(replace(standing, follow_ups=(done,)), after=number, event="obligation_done")
    try:
        over = not bucket.bot.cases.ledger.read_to_act(asked.id).approval.open_obligations
    except HitlError:
        over = False
    assert bucket.attempts.tried(opened=over) is not bucket.is_sealed


# Gates, which say where an answer is.


@pytest.mark.way("points a gate at somebody else's answer by a marker")
def test_a_marker_that_names_another_gates_answer(bucket: Bucket):
    """The container of a local run takes an answer over only with the artifacts that it was about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Metaflow's own copy of yaml, where another one is installed
        resuming = importlib.import_module("metaflow_extensions.hitl.plugins.resuming")
    harmless = Evidence(code=Code(commit="4f2c1d9"), artifacts=Artifacts.of({"model": "harmless"}))
    given = bucket.ask(question("Deploy to the playground?", evidence=harmless))
    bucket.bot.cases.decide(given.id, YES, who=BOB, where=Where.BUTTON)
    victim = Pathspec(flow="TrainFlow", run="99", step="deploy", task="1")
    bucket.attacker.store.mark(keys.gate_key(victim.flow, victim.run, victim.step, (), given.id))
    task = SimpleNamespace(pathspec=victim, flow=SimpleNamespace(name="TrainFlow", _foreach_stack=None), step="deploy")
    found = replace(harmless, artifacts=Artifacts.of({"model": "dangerous"}))
    try:
        approval = resuming.open_in_container(bucket.run, task)
        resuming.check_taken_over(approval, found)
    except HitlError:
        opened = False
    else:
        opened = True
    assert not bucket.attempts.tried(opened=opened)
