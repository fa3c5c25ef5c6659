"""Approvals from Python: what waits, what was decided, answering and waiting. ``metaflow_hitl`` exports it."""

import getpass
import logging
import os
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from heapq import nlargest
from math import inf
from pathlib import Path
from types import TracebackType
from typing import Any

from .approvals.auditing import Audited, audit_alone
from .approvals.deciding.proposal import Proposal
from .approvals.errors import HitlError, NoSuchApproval, NotTakenOverYet, StoreUnavailable
from .approvals.ledger import Entry, Ledger
from .approvals.ports import Store
from .approvals.queries import Queries
from .approvals.record import Answer, Approval, EngineKind, Obligation, Origin, Person, State, Verdict, Where
from .approvals.refusals import NeedsConfirmation, NoSuchObligation
from .approvals.sealed import Trust, parse_keys
from .approvals.statistics import RuleScore, Statistics
from .approvals.use_cases import Outcome, UseCases
from .configuration import Configuration
from .engines.local import LocalEngine
from .slack import ClaimedPeople
from .stores import open_store

log = logging.getLogger("metaflow_hitl")

_NONCE_BYTES = 16
_TAKEN_OVER_IN = 10.0  # seconds in which a bot takes over what was asked just now
_CONFIRMED_EVERY = 2.0  # seconds between two looks whether an answer is confirmed
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_RUN_LATELY = timedelta(days=7)  # how long ago an answer of a run may be that `wait_for_run` still finds


class StillWaiting(HitlError, TimeoutError):
    """The time is over, and nobody has decided. The question stays open."""

    def __init__(self, approvals: Collection[Approval], unasked: str = "") -> None:
        names = ", ".join(approval.id for approval in approvals)
        super().__init__(f"Nobody has decided {names} in time." if names else unasked)
        self.approvals = tuple(approvals)


@dataclass(frozen=True, kw_only=True)
class Answered:
    """An answer that was taken.

    Attributes
    ----------
    approval : Approval
        As it is now. It stays pending while more people must agree.
    unfinished : tuple of HitlError
        What could not be carried out here. A bot does it later.
    proposal : AnswerProposal or DoneProposal, optional
        What the person has to confirm in the chat system before it counts: it matters who answers, and a name that is
        only claimed proves nothing. ``Approvals.wait_until_confirmed`` waits for it.
    """

    approval: Approval
    unfinished: tuple[HitlError, ...] = ()
    proposal: Proposal | None = None

    @property
    def counts(self) -> bool:
        """Whether the answer is in the record."""
        return self.proposal is None or self.proposal.is_confirmed(self.approval)


class Approvals:
    """The approvals of one store. Threads may share it.

    ``Approvals.open`` makes one from a root. An answer through it counts as one from a command line: it carries a name
    that nobody vouches for.

    Parameters
    ----------
    cases : UseCases
        What can be done with an approval here.
    who : Person
        In whose name it answers.
    flow : str, optional
        The only flow whose approvals are listed. Default: all of the store.
    sleep : Callable[[float], object]
        Waits so many seconds.
    monotonic : Callable[[], float]
        Seconds that only ever grow.
    """

    def __init__(
        self,
        cases: UseCases,
        who: Person,
        *,
        flow: str | None = None,
        sleep: Callable[[float], object] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cases = cases
        self._ledger = cases.ledger
        self._queries = Queries(cases.ledger, cases.clock)
        self._who = who
        self._flow = flow
        self._sleep = sleep
        self._monotonic = monotonic

    @classmethod
    def open(
        cls, root: str | Path | None = None, *, user: str | None = None, public_keys: str | None = None
    ) -> "Approvals":
        """Open a store.

        Parameters
        ----------
        root : str or Path, optional
            ``s3://bucket/prefix`` or a path, as in ``METAFLOW_HITL_ROOT``. Default: what Metaflow's configuration says.
        user : str, optional
            The name to answer with. Default: ``METAFLOW_USER``, then the login's name.
        public_keys : str, optional
            The bots' public keys, with blanks between them, where records are sealed. Default:
            ``METAFLOW_HITL_PUBLIC_KEYS``.

        Raises
        ------
        HitlError
            The root, the keys or the configuration can't be used.
        """
        configuration = Configuration.read(os.environ, Path.cwd())
        store = open_store(
            configuration.root if root is None else str(root), s3_client=lambda: _s3_client(configuration.s3_endpoint)
        )
        keys = parse_keys(configuration.public_keys if public_keys is None else public_keys)
        name = user or configuration.user or getpass.getuser()
        return cls(_use_cases(store, Trust.of(keys)), Person(id=name, name=name, origin=Origin.CLAIM))

    def __enter__(self) -> "Approvals":  # noqa: PYI034 - Self needs Python 3.11
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the store. It holds nothing open today; a later one may."""

    @property
    def who(self) -> Person:
        """In whose name it answers."""
        return self._who

    @property
    def url(self) -> str:
        """Where the records are: ``s3://bucket/prefix`` or a path."""
        return self._ledger.store.url

    # Looking.

    def waiting(
        self,
        *,
        flow: str | None = None,
        run: str | None = None,
        step: str | None = None,
        problems: list[HitlError] | None = None,
    ) -> list[Approval]:
        """Return what waits for an answer, the oldest first.

        One LIST for each 1,000 open approvals, and two requests for each.

        Parameters
        ----------
        problems : list, optional
            Takes why others could not be read; without one, that is logged as a warning. It may be some of other flows.
        """
        found = self._read(self._ledger.open_ids(), Chosen(flow=flow, run=run, step=step), problems, is_open=True)
        return sorted((one for one in found if one.state is State.PENDING), key=lambda one: one.requested_at)

    def history(
        self,
        *,
        since: datetime | None = None,
        flow: str | None = None,
        run: str | None = None,
        step: str | None = None,
        limit: int | None = None,
        problems: list[HitlError] | None = None,
    ) -> list[Approval]:
        """Return what has ended, the newest first: what was decided, and what was closed without an answer.

        Parameters
        ----------
        since : datetime, optional
            Aware. Default: everything that is kept.
        limit : int, optional
            At most so many are read.
        problems : list, optional
            As for ``waiting``.
        """
        markers = self._ledger.decided_since(since or _EPOCH, flow=flow or self._flow)
        newest = sorted(markers, reverse=True) if limit is None else nlargest(limit, markers)
        ids = (approval_id for _, approval_id in newest)
        ended = list(self._read(ids, Chosen(flow=flow, run=run, step=step), problems))
        return [one for one in ended if one.state is not State.PENDING]

    def statistics(
        self, *, since: datetime, flow: str | None = None, problems: list[HitlError] | None = None
    ) -> tuple[Statistics, int]:
        """Count what was asked and decided since a moment; and how many older decisions were not read.

        Days that are over cost a GET each where a bot has written their digests, others two for each decision.

        Parameters
        ----------
        problems : list, optional
            As for ``waiting``.
        """
        found: list[HitlError] = []
        counted = self._queries.statistics(since, flow=flow or self._flow, sees=lambda _: True, problems=found)
        _report(found, problems)
        return counted

    def rule_scores(
        self, *, since: datetime, flow: str | None = None, problems: list[HitlError] | None = None
    ) -> tuple[list[RuleScore], int]:
        """Compare the rules in shadow mode with what people decided since a moment; reads as ``statistics`` does."""
        found: list[HitlError] = []
        scores = self._queries.rule_scores(since, flow=flow or self._flow, sees=lambda _: True, problems=found)
        _report(found, problems)
        return scores

    def get(self, approval_id: str) -> Approval:
        """Return one approval, by its ID, a unique beginning of it, or the pathspec of its task.

        Raises
        ------
        NoSuchApproval, AmbiguousId, BadId
            There is none, or more than one.
        """
        return self._entry(approval_id).approval

    def trail(self, approval_id: str) -> list[Entry]:
        """Return every version of an approval with its SHA-256, the oldest first."""
        return self._ledger.trail(self._resolve(approval_id))

    def verify(self, approval_id: str) -> list[Entry]:
        """Prove that nobody changed the record, and return its versions with their SHA-256, the oldest first.

        Raises
        ------
        CorruptRecord
            The first thing that is wrong.
        """
        return self._ledger.verify(self._resolve(approval_id))

    def audit(self, approval_id: str) -> Audited:
        """Check one record, and say who vouches for each of its versions and what is wrong with it, if anything is.

        Raises
        ------
        NoSuchApproval, AmbiguousId, BadId
            There is none, or more than one.
        """
        return audit_alone(self._ledger, self._resolve(approval_id))

    # Answering.

    def approve(
        self,
        approval_id: str,
        *,
        input: Mapping[str, Any] | None = None,  # noqa: A002 - the record's word
        reason: str = "",
        obligation: Obligation | None = None,
    ) -> Answered:
        """Approve, with the input that the step needs, and perhaps with what somebody owes for it.

        Raises
        ------
        DuePassed
            The day on which the obligation is due is over.
        NotAllowed
            A claimed name may not answer this one.
        InvalidInput
            The input does not fit the step's schema; it names each problem.
        AlreadyDecided, TooLate, Closed
            It can no longer be answered so.
        """
        if obligation is not None:
            obligation.check_not_over(self._cases.clock().astimezone().date())
        return self._answer(
            approval_id, Answer(verdict=Verdict.APPROVE, input=dict(input or {}), reason=reason, obligation=obligation)
        )

    def reject(self, approval_id: str, *, reason: str) -> Answered:
        """Reject; the run fails with the reason. Raises as ``approve`` does."""
        return self._answer(approval_id, Answer(verdict=Verdict.REJECT, reason=reason))

    def request_changes(self, approval_id: str, *, reason: str) -> Answered:
        """Say what must change, where the step offers it. Raises as ``approve`` does."""
        return self._answer(approval_id, Answer(verdict=Verdict.CHANGES, reason=reason))

    def _answer(self, approval_id: str, answer: Answer) -> Answered:
        approval_id = self._resolve(approval_id)
        came = self._cases.answer_from_command_line(
            approval_id, answer, who=self._who, nonce=secrets.token_hex(_NONCE_BYTES)
        )
        if isinstance(came, Outcome):
            return Answered(approval=came.approval, unfinished=came.pending)
        return Answered(approval=self._ledger.read(approval_id).approval, proposal=came)

    # Obligations.

    def obligations(
        self,
        *,
        flow: str | None = None,
        run: str | None = None,
        step: str | None = None,
        problems: list[HitlError] | None = None,
    ) -> list[tuple[Approval, int]]:
        """Return the open obligations, the first due first: each as an approval and the number in it.

        ``approval.open_obligations[number]`` has the text, the owner and the day. What several approvals of a step
        owe together is returned once. One LIST for each 1,000, and two requests for each approval.

        Parameters
        ----------
        problems : list, optional
            As for ``waiting``.
        """
        numbers = [(one.approval_id, one.number) for one in self._ledger.owed()]
        chosen = Chosen(flow=flow, run=run, step=step)
        found = {one.id: one for one in self._read((approval_id for approval_id, _ in numbers), chosen, problems)}
        owed = [
            (found[approval_id], number)
            for approval_id, number in numbers
            if approval_id in found and number in found[approval_id].open_obligations
        ]
        return list({approval.promise(number): (approval, number) for approval, number in reversed(owed)}.values())[
            ::-1
        ]

    def close_obligation(self, approval_id: str, number: int | None = None, *, comment: str) -> Answered:
        """Say that an obligation is done, and how; it is closed for all approvals that owe it together.

        Parameters
        ----------
        number : int, optional
            Which one of the approval's, from 1. Default: the only one that is open.

        Raises
        ------
        NoSuchObligation
            There is none that is open, or more than one and no number.
        """
        approval = self._entry(approval_id).approval
        open_ = list(approval.open_obligations)
        if number is None and len(open_) != 1:
            raise NoSuchObligation(approval)
        came = self._cases.obligations.close_from_command_line(
            approval.id,
            open_[0] if number is None else number,
            who=self._who,
            comment=comment,
            nonce=secrets.token_hex(_NONCE_BYTES),
        )
        if isinstance(came, Approval):
            return Answered(approval=came)
        return Answered(approval=approval, proposal=came)

    def wait_until_confirmed(self, answered: Answered, *, timeout: float | None = None) -> Answered:
        """Wait until an answer counts that its person has to confirm, or until others have decided.

        Returns
        -------
        Answered
            As it is then, or when the time is over; ``counts`` tells the two apart.
        """
        end = self._end(timeout)
        while (
            not answered.counts and answered.proposal is not None and not answered.proposal.is_over(answered.approval)
        ):
            left = self._left(end)
            if left is not None and left <= 0:
                break
            self._sleep(_CONFIRMED_EVERY if left is None else min(_CONFIRMED_EVERY, left))
            answered = replace(answered, approval=self._ledger.read(answered.approval.id).approval)
        return answered

    def refusal(self, approval: Approval, verdict: Verdict) -> HitlError | None:
        """Return what an answer with this verdict would be refused with because of who gives it; None if it is not."""
        try:
            self._cases.check_may_decide(approval, self._who, verdict=verdict, where=Where.COMMAND_LINE)
        except NeedsConfirmation:
            return None
        except HitlError as error:
            return error
        return None

    # Waiting.

    def wait(self, approval_id: str, *, timeout: float | None = None) -> Approval:
        """Wait until an approval has ended, and return it, however it ended. One request a look.

        Parameters
        ----------
        timeout : float, optional
            Seconds. Default: as long as it takes.

        Raises
        ------
        StillWaiting
            The time is over. It is a ``TimeoutError``, too.
        """
        return self.wait_for_all([approval_id], timeout=timeout)[0]

    def wait_for_run(self, run: str, *, flow: str | None = None, timeout: float | None = None) -> list[Approval]:
        """Wait until a run has asked at least one question and none of its questions waits; return them.

        A run that goes on may ask another one later. Raises as ``wait`` does.
        """
        flow, _, run = run.rpartition("/") if flow is None else (flow, "", run)
        flow = flow or None
        end = self._end(timeout)
        since = self._cases.clock() - _RUN_LATELY
        seen = {one.id: one for one in self.history(since=since, flow=flow, run=run)}
        while True:
            open_ = self.waiting(flow=flow, run=run)
            seen |= {one.id: one for one in open_}
            still = [one for one in seen.values() if one.state is State.PENDING]
            if seen and not still:
                return sorted(seen.values(), key=lambda one: one.requested_at)
            if still:
                seen |= {one.id: one for one in self.wait_for_all(still, timeout=self._left(end))}
            else:
                self._pause(end, (), f"The run {run} has asked nothing in time.")

    def wait_for_all(self, approvals: Iterable[Approval | str], *, timeout: float | None = None) -> list[Approval]:
        """Wait until all of some approvals have ended, and return them in their order. Raises as ``wait`` does.

        Parameters
        ----------
        approvals : Iterable of Approval or str
            Approvals, or what ``get`` takes.
        """
        end = self._end(timeout)
        ids = [one if isinstance(one, str) else one.id for one in approvals]
        try:
            entries = [self._ledger.read(self._resolve(one, inf if end is None else end)) for one in ids]
        except NotTakenOverYet as error:
            raise StillWaiting((), str(error)) from error
        while True:
            entries = [self._newest(entry) for entry in entries]
            still = [entry.approval for entry in entries if entry.approval.state is State.PENDING]
            if not still:
                return [entry.approval for entry in entries]
            self._pause(end, still)

    def _newest(self, entry: Entry) -> Entry:
        """Look for newer versions. An unavailable store is not an answer: the wait goes on."""
        with suppress(StoreUnavailable):
            while entry.approval.state is State.PENDING:
                local = entry.approval.gate.engine is EngineKind.LOCAL and self._ledger.trust.writes
                if local and entry.approval.is_due(self._cases.clock()):
                    with suppress(StoreUnavailable):  # who may only read waits for others to write it
                        self._cases.expire(entry)  # as the waiting run does, whose process may be gone
                newer = self._ledger.read_version(entry.approval.id, entry.number + 1)
                if newer is None:
                    break
                entry = newer
        return entry

    def _end(self, timeout: float | None) -> float | None:
        return None if timeout is None else self._monotonic() + timeout

    def _left(self, end: float | None) -> float | None:
        return None if end is None else max(0.0, end - self._monotonic())

    def _pause(self, end: float | None, still: Collection[Approval], unasked: str = "") -> None:
        left = self._left(end)
        if left is not None and left <= 0:
            raise StillWaiting(still, unasked)
        interval = self._ledger.store.poll_interval
        self._sleep(interval if left is None else min(interval, left))

    # Reading.

    def _entry(self, approval_id: str) -> Entry:
        return self._ledger.read(self._resolve(approval_id))

    def _resolve(self, approval_id: str, end: float | None = None) -> str:
        """Return the whole ID. A question that was asked just now is waited for until a bot has taken it over."""
        end = self._monotonic() + _TAKEN_OVER_IN if end is None else end
        while True:
            try:
                return self._ledger.resolve(approval_id)
            except NotTakenOverYet:
                if self._monotonic() >= end:
                    raise
            self._sleep(self._ledger.store.poll_interval)

    def _read(
        self, ids: Iterable[str], chosen: "Chosen", problems: list[HitlError] | None, *, is_open: bool = False
    ) -> Iterator[Approval]:
        found = self._queries.these(dict.fromkeys(ids))
        _report(found.problems if is_open else [one for one in found.problems if not _is_gone(one)], problems)
        return (one for one in found.approvals if chosen.has(one) and self._flow in {None, one.pathspec.flow})


def _is_gone(error: HitlError) -> bool:
    """Whether a marker is all that is left of a record that has ended and was removed."""
    return isinstance(error, NoSuchApproval)


def _report(found: Sequence[HitlError], problems: list[HitlError] | None) -> None:
    if problems is not None:
        problems += found
        return
    for problem in found:
        log.warning("%s", problem)


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Which approvals are meant."""

    flow: str | None = None
    run: str | None = None
    step: str | None = None

    def has(self, approval: Approval) -> bool:
        """Whether an approval is one of them."""
        path = approval.pathspec
        wanted = ((self.flow, path.flow), (self.run, path.run), (self.step, path.step))
        return all(one in {None, found} for one, found in wanted)


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


def _use_cases(store: Store, trust: Trust) -> UseCases:
    """Build what needs the store alone: messages and workflows are left to the bot."""
    return UseCases(
        Ledger(store, trust),
        engines={EngineKind.LOCAL: LocalEngine(store, _utc_now)},
        notifiers={},
        people=ClaimedPeople(),
        check_input=_check_input,
        clock=_utc_now,
        batched={"slack"},
    )


def parse_input(schema: Mapping[str, Any] | None, texts: Mapping[str, str | Sequence[str]]) -> dict[str, Any]:
    """Turn what a person typed, by field, into the values that a step asks for; several texts are a list's items.

    Parameters
    ----------
    schema : Mapping, optional
        ``approval.question.schema``. Without one the texts stay as they are.

    Raises
    ------
    InvalidInput
        They do not fit; it names each problem.
    """
    if schema is None:
        return {
            name: text if isinstance(text, str) else text[0] if len(text) == 1 else list(text)
            for name, text in texts.items()
        }
    from .inputs import parse  # noqa: PLC0415 - jsonschema takes 100 ms

    return parse(schema, texts)


def _check_input(schema: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    from .inputs import validate  # noqa: PLC0415 - jsonschema takes 100 ms

    return validate(schema, values)


def _s3_client(endpoint_url: str | None) -> Any:
    from .stores.s3 import s3_client  # noqa: PLC0415 - boto3 takes 200 ms

    return s3_client(endpoint_url)
