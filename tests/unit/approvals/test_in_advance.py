"""Answers to a whole foreach before all of its shards have asked: what they are bound to, and who can write them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from hitl_bot.keys import PrivateKey, SigningKeys
from metaflow_extensions.hitl.approvals.deciding import in_advance
from metaflow_extensions.hitl.approvals.deciding.in_advance import (
    AnsweredInAdvance,
    AnswersInAdvance,
    problem_with,
    shards_in_all,
    terms,
)
from metaflow_extensions.hitl.approvals.errors import CorruptRecord, NotVouchedFor
from metaflow_extensions.hitl.approvals.evidence.collected import Code, Evidence
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.question import Need, PolicyRule, Shard
from metaflow_extensions.hitl.approvals.record import Answer, Verdict
from metaflow_extensions.hitl.approvals.sealed import Trust
from metaflow_extensions.hitl.approvals.transitions import govern
from metaflow_extensions.hitl.stores.memory import MemoryStore
from tests.fixtures.approvals import ALICE, BOB, NOW, approval, pathspec

APPROVED = Answer(verdict=Verdict.APPROVE)
KEY = PrivateKey(bytes(32))
BOT, FLOW = Trust.of((), SigningKeys([KEY])), Trust.of([KEY.public_key])
BATCH = "deploy-aaaaaaaaaa-1"


def shard(*place, counts=(60,), **parts):
    where = pathspec(task="-".join(map(str, place)))
    return approval(where, shard=Shard(place=place, value=f"region {place}", counts=counts), **parts)


def given(first=None, answer=APPROVED, by=BOB):
    return in_advance.given(first or shard(0), answer, by, NOW, asked=1, in_all=60)


@pytest.mark.parametrize(
    ("shards", "in_all"),
    [
        ([shard(0), shard(5)], (60, True)),
        ([shard(0, 0, counts=(3, 4))], (6, False)),  # of two others nobody knows how many they hold
        ([shard(0, 0, counts=(2, 4)), shard(1, 0, counts=(2, 7))], (11, True)),
        ([shard(0, counts=())], None),
        ([shard(0), approval()], None),
        ([shard(0, 0, counts=(2, 0))], None),
    ],
)
def test_how_many_there_are(shards, in_all):
    """A foreach knows its number; one inside another is counted by the outer one, at least one for each not started."""
    assert shards_in_all(shards) == in_all


@pytest.mark.parametrize(
    "other",
    [
        replace(shard(1), pathspec=pathspec(run="18")),
        replace(shard(1), pathspec=pathspec(step="train")),
        shard(1, approvers=("U0ALICE",)),
        shard(1, schema={"type": "object"}),
        shard(1, timeout=60),
        shard(1, channel="#elsewhere"),
        shard(1, evidence=Evidence(code=Code(commit="4f2c1d9"))),
        shard(1, evidence=Evidence(parameters={"alpha": "0.3"})),
        govern(shard(1), PolicyRule(name="production", deciders=("U0BOB",))),
    ],
)
def test_what_it_is_bound_to(other):
    """Run, step, what the shards ask alike, code, parameters, the operator's rule, and whose channel it is."""
    words = {"message": "Deploy to another region?", "markdown": "*Deploy*?", "links": {"Map": "https://m.example"}}
    assert terms(shard(0)) == terms(shard(1, **words))
    assert not given().is_good_for(other, NOW)


def test_it_ends():
    """It holds as long as the question itself waits, seven days at most."""
    first = shard(0, timeout=3_600)
    assert given(first).is_good_for(shard(1, timeout=3_600), NOW + timedelta(minutes=59))
    assert not given(first).is_good_for(shard(1, timeout=3_600), NOW + timedelta(hours=1))
    assert given(shard(0, timeout=None)).until == NOW + timedelta(days=7)
    assert not in_advance.taken_back(given(), ALICE, NOW).is_good_for(shard(1), NOW)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (shard(0), ""),
        (shard(0, quorum=2), "several people"),
        (govern(shard(0), PolicyRule(name="two", needs=(Need(of=("@risk",)),))), "several people"),
        (govern(shard(0), PolicyRule(name="look", in_advance_allowed=False)), "the rule “look”"),
    ],
)
def test_where_it_is_not_offered(asked, why):
    """Where each shard has to be looked at, the reason is one that people can read."""
    assert problem_with(asked).startswith(why)
    assert bool(problem_with(asked)) == bool(why)


def test_the_newest_counts():
    """What was written last counts, and two who write at once don't overwrite each other."""
    answers = AnswersInAdvance(Ledger(MemoryStore()))
    assert answers.newest(BATCH) is None
    answers.write(BATCH, given())
    assert answers.newest(BATCH) == given()
    ended = in_advance.taken_back(given(), ALICE, NOW)
    answers.write(BATCH, ended)
    assert answers.newest(BATCH) == ended


def test_two_at_once(monkeypatch):
    """Of two who answer in the same moment the second is told who was faster, and what they said."""
    store = MemoryStore()
    answers = AnswersInAdvance(Ledger(store))
    answers.write(BATCH, given())
    monkeypatch.setattr(answers, "_keys", lambda _: [])  # the second has looked before the first wrote
    monkeypatch.setattr(answers, "newest", lambda _: given())
    with pytest.raises(AnsweredInAdvance, match="Bob Brown approved all of them in advance"):
        answers.write(BATCH, given(answer=Answer(verdict=Verdict.REJECT, reason="no"), by=ALICE))


def test_damage_counts_for_nothing():
    """What can't be read, or was written for another message, approves nothing."""
    store = MemoryStore()
    answers = AnswersInAdvance(Ledger(store))
    answers.write(BATCH, given())
    (key,) = store.list("in-advance/")
    other = key.replace("-1/", "-2/")
    store.create(other, store.read(key))
    with pytest.raises(CorruptRecord):
        answers.newest("deploy-aaaaaaaaaa-2")


def test_only_the_bot_can_write_one():
    """Where the bot signs, an answer that somebody else put there is refused."""
    store = MemoryStore()
    AnswersInAdvance(Ledger(store)).write(BATCH, given())
    with pytest.raises(NotVouchedFor):
        AnswersInAdvance(Ledger(store, FLOW)).newest(BATCH)
    AnswersInAdvance(Ledger(store, BOT)).write("deploy-aaaaaaaaaa-2", given())
    assert AnswersInAdvance(Ledger(store, FLOW)).newest("deploy-aaaaaaaaaa-2") == given()
