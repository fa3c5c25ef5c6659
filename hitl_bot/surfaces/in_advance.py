"""Answers for shards of a foreach that have not asked yet: who gives them, and giving them to each shard that asks."""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Lock

import structlog

from hitl_bot.sweeper import BackgroundJob
from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.deciding import in_advance
from metaflow_extensions.hitl.approvals.deciding.in_advance import (
    AnsweredInAdvance,
    AnswerInAdvance,
    AnswersInAdvance,
    NotInAdvance,
    problem_with,
)
from metaflow_extensions.hitl.approvals.errors import HitlError, PeopleUnavailable, StoreUnavailable
from metaflow_extensions.hitl.approvals.ledger import Entry
from metaflow_extensions.hitl.approvals.ports import People
from metaflow_extensions.hitl.approvals.record import Answer, Approval, Person, State, Where
from metaflow_extensions.hitl.approvals.use_cases import UseCases
from metaflow_extensions.hitl.messages.batch import Batch

from .batches import Batches

_RETRY = timedelta(seconds=5)  # after the store, or Slack, did not answer

log = structlog.get_logger("hitl_bot.in_advance")


class InAdvance:
    """Takes answers in advance, and carries them to the shards that ask. Threads may share it.

    Parameters
    ----------
    cases : UseCases
        What decides, under the same rules as a click.
    batches : Batches
        The messages, which say what was answered.
    workers : Executor
        Where shards are decided, so that the sweeper does not wait.
    """

    def __init__(self, cases: UseCases, batches: Batches, workers: Executor) -> None:
        self._cases = cases
        self._batches = batches
        self._answers = AnswersInAdvance(cases.ledger)
        self._workers = workers
        self._asking: dict[str, dict[str, Entry]] = {}  # by batch: what waits and was not held against an answer yet
        self._not_before: datetime | None = None
        self._lock = Lock()
        self._job = BackgroundJob(workers, self._answer_all, name="answers in advance")

    # What people do.

    def give(self, batch: Batch, answer: Answer, who: Person) -> AnswerInAdvance:
        """Record an answer to all shards of a message, also to those that have not asked yet.

        Raises
        ------
        NotInAdvance
            All have asked, the run has ended, or a rule wants each of them looked at.
        AnsweredInAdvance
            Somebody else was faster.
        ApprovalError, InvalidInput, PeopleUnavailable, StoreError
            As a click on one of them.
        """
        first = self._on_message(batch, (batch.waiting or batch.members)[0])
        if batch.run_has_ended:
            raise NotInAdvance("The run has ended, so no further shard asks. Nothing was recorded for them.")
        if not batch.to_come or batch.in_all is None:
            raise NotInAdvance("All shards have asked, so there is nothing to answer in advance.")
        if why := problem_with(first):
            raise NotInAdvance(f"Shards to come can't be answered in advance: {why}. Nothing was recorded for them.")
        self._cases.check_may_decide(first, who, verdict=answer.verdict, where=Where.IN_ADVANCE)
        transitions.check_complete(first, answer)
        entered = replace(answer, input=self._cases.checked(first, answer), reason=answer.reason.strip())
        given = in_advance.given(
            first, entered, who, self._cases.clock(), asked=len(batch.members), in_all=batch.in_all.number
        )
        standing = self._answers.newest(batch.id)
        if standing is not None and standing.answer is not None and standing.terms == given.terms:
            if standing.answer != entered:
                raise AnsweredInAdvance(standing)
            return standing  # a second click
        self._answers.write(batch.id, given)
        self._batches.note_standing(batch.id, given)
        return given

    def take_back(self, batch: Batch, who: Person) -> None:
        """Let shards to come wait for an answer of their own. Whoever may give the answer may; raises as ``give``."""
        standing = self._answers.newest(batch.id)
        if standing is None or standing.verdict is None:
            raise NotInAdvance("Nobody has answered these in advance, so there is nothing to take back.")
        for one in self._bound(batch, standing):
            self._cases.check_may_decide(one, who, verdict=standing.verdict, where=Where.IN_ADVANCE)
        ended = in_advance.taken_back(standing, who, self._cases.clock())
        self._answers.write(batch.id, ended)
        self._batches.note_standing(batch.id, ended)

    def _bound(self, batch: Batch, standing: AnswerInAdvance) -> list[Approval]:
        """Return a gate that the answer is bound to; where the rules have changed since, one under each of them."""
        members = [self._on_message(batch, one) for one in batch.members]
        alike = {in_advance.terms(one): one for one in members}
        return [alike[standing.terms]] if standing.terms in alike else list(alike.values())

    def _on_message(self, batch: Batch, approval: Approval) -> Approval:
        """Return a gate as it is once its record names its message: people see that before the record does.

        Raises
        ------
        NotInAdvance
            Nobody can say yet where the message is, and so whose channel it is.
        """
        governed = self._cases.governed(approval)
        if any(post.batch is not None for post in governed.posts):
            return governed
        post = self._batches.stands_at(batch.id)
        if post is None:
            raise NotInAdvance("This message isn't recorded yet, so nothing was decided. Try again in a minute.")
        return replace(governed, posts=(*governed.posts, post))

    # What the sweeper sees.

    def changed(self, entry: Entry) -> None:
        """Note a gate that waits on a shared message: somebody may have answered it before it asked."""
        approval = entry.approval
        batch_id = next((post.batch for post in approval.posts if post.batch is not None), None)
        if batch_id is None:
            return
        with self._lock:
            asking = self._asking.setdefault(batch_id, {})
            if approval.state is State.PENDING and not problem_with(approval):
                asking[approval.id] = entry
            else:
                asking.pop(approval.id, None)
            if not asking:
                del self._asking[batch_id]

    def tick(self) -> None:
        """Answer what was answered in advance."""
        with self._lock:
            due = bool(self._asking) and (self._not_before is None or self._cases.clock() >= self._not_before)
        if due:
            self._job.ask()

    def _answer_all(self) -> None:
        with self._lock:
            asking, self._asking, self._not_before = self._asking, {}, None
        for batch_id, entries in asking.items():
            try:
                standing = self._answers.newest(batch_id)
            except StoreUnavailable as error:
                self._again(batch_id, entries, error)
                continue
            except HitlError as error:
                log.warning("an answer in advance is ignored", batch=batch_id, why=str(error))
                continue
            if standing is None or standing.verdict is None:
                continue
            self._batches.note_standing(batch_id, standing)
            answer_one = self._answering(batch_id, standing, self._cases.people.now())
            for _ in self._workers.map(answer_one, entries.values()):
                pass

    def _answering(self, batch_id: str, standing: AnswerInAdvance, people: People) -> Callable[[Entry], None]:
        def answer_one(entry: Entry) -> None:
            try:
                self._cases.take_in_advance(entry, standing, people)
            except (StoreUnavailable, PeopleUnavailable) as error:
                self._again(batch_id, {entry.approval.id: entry}, error)
            except HitlError as error:
                # It waits for people, as its message says: nobody answered this one.
                log.info("not answered in advance", approval_id=entry.approval.id, why=str(error))

        return answer_one

    def _again(self, batch_id: str, entries: dict[str, Entry], error: HitlError) -> None:
        log.warning("answered in advance, not carried out yet", batch=batch_id, why=str(error))
        with self._lock:
            self._asking[batch_id] = {**entries, **self._asking.get(batch_id, {})}
            self._not_before = self._cases.clock() + _RETRY
