"""Asking: the record first, then the message."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metaflow_extensions.hitl.approvals.bucket_map import SURPLUS
from metaflow_extensions.hitl.approvals.errors import NotifierRefused, NotifierUnavailable, StoreUnavailable
from metaflow_extensions.hitl.approvals.posting import unposted
from metaflow_extensions.hitl.approvals.record import Approval, Post, State, TrailEvent
from metaflow_extensions.hitl.notifiers.memory import MemoryNotifier
from tests.fixtures.approvals import REQUESTER, Bench, gate, pathspec, question
from tests.fixtures.watched_stores import WatchedStore
from tests.unit.approvals.use_cases.acts import ID, decide, events, is_open


def test_asking_records_the_question_and_posts_it(bench):
    """The record comes first, then the message, then where it stands."""
    asked = bench.ask()
    assert bench.notifier.shown[ID].question == asked.question
    assert asked.posts == (bench.notifier.posts[ID],)
    assert events(bench) == [TrailEvent.REQUESTED, TrailEvent.POSTED]


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
    assert (events(bench), is_open(bench)) == ([TrailEvent.REQUESTED], True)
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
    bench.cases.posting.notifiers = {"memory": bench.notifier, "second": second}
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

    slow = bench.cases.posting.notifiers["memory"] = Slow(bench.clock)
    asked = bench.ask()
    assert asked.state is State.APPROVED
    assert slow.shown[ID].state is State.APPROVED
    assert bench.engine.released.keys() == {ID}


class TwoMessages(MemoryNotifier):
    """A channel in which another process has posted first, and where messages can be removed."""

    def __init__(self, bench: Bench, *, batch: str | None) -> None:
        super().__init__(bench.clock)
        self.bench, self.batch = bench, batch
        self.removed: list[Post] = []

    def post(self, approval: Approval) -> Post:
        first = Post(notifier=self.name, at=self.bench.clock(), channel="C1", ts="1")
        self.bench.cases.posting.note_post(self.bench.ledger.read(approval.id), first)
        return replace(first, ts="2", batch=self.batch)

    def find(self, approval: Approval) -> Post | None:  # noqa: ARG002 - the port's signature
        return None

    def withdraw(self, post: Post) -> None:
        self.removed.append(post)


@pytest.mark.parametrize(("batch", "removed"), [(None, ["2"]), ("deploy-mwqrb7bioh-1", [])])
def test_of_two_messages_the_second_is_removed_unless_other_gates_are_on_it(bench, batch, removed):
    """The record names the first; whoever posted the second removes it, and leaves one that many gates share."""
    notifier = TwoMessages(bench, batch=batch)
    bench.cases.posting.notifiers = {notifier.name: notifier}
    assert [post.ts for post in bench.ask().posts] == ["1"]
    assert [post.ts for post in notifier.removed] == removed
    assert len(list(bench.store.list(SURPLUS.root))) == len(removed)  # for a bot, in case it could not be removed
