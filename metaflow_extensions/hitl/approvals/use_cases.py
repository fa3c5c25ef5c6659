"""What can be done with an approval. Every way in ends here, and everything these touch is handed in.

The order of effects is always: the record, the workflow, the messages, settled. Each is idempotent and each may be
the last before a crash; the sweeper finishes what it finds open.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from . import errors, transitions
from .deciding.delegation import Delegations
from .deciding.in_advance import AnswerInAdvance, NotInAdvance
from .deciding.permission import AWAY_FROM_POLICY, Eligibility, check_may_decide, unaccepted
from .deciding.proposal import AnswerProposal, ProposedObligation, propose_answer
from .earlier_runs import compared, earlier_changes
from .ledger import Entry, Ledger
from .obligations import Obligations
from .ports import CheckInput, Clock, Engine, Notifier, People, Policy
from .posting import Posting, unposted
from .proposing import check_same_question, is_proposed, propose, propose_closing, without_what_the_bot_adds
from .question import PolicyRule, Question
from .record import (
    Answer,
    Approval,
    Decision,
    EngineKind,
    Gate,
    Origin,
    Pathspec,
    Person,
    State,
    TrailEvent,
    Verdict,
    Vote,
    Where,
)
from .refusals import (
    ChangesNotOffered,
    NeedsConfirmation,
    NotAllowed,
    Rejected,
    StillPending,
    closed,
)
from .shown import Shown

_SUPERSEDED = 50  # questions of older runs that one of a newer run lets go


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """An approval after a use case, and what could not be done yet. The sweeper does it later."""

    approval: Approval
    pending: tuple[errors.HitlError, ...] = ()


class RecordedPolicy:
    """The policy where the operator's own is not at hand: what the bot has written into the record."""

    def rule_for(self, approval: Approval) -> PolicyRule | None:
        return approval.policy_rule

    def depends_on_namespace(self, approval: Approval) -> bool:  # noqa: ARG002 - the port's signature
        return False


class UseCases:
    """Ask, decide, settle, and open the gate.

    Parameters
    ----------
    ledger : Ledger
        Where the records are.
    engines : Mapping[EngineKind, Engine]
        What carries decisions out here. An approval whose engine is not here stays open for who has it.
    notifiers : Mapping[str, Notifier]
        By the name that the question asks for. One that is not here is left to the bot.
    people : People
        Who is in which group.
    check_input : CheckInput
        Holds an input to its schema.
    clock : Clock
        The present.
    policy : Policy, optional
        What the operator demands. Default: what the record says, and where a bot is expected, which may know better,
        it has the last word on what was decided here.
    batched : Collection[str]
        Notifiers where the gates of a foreach can share a message. Whoever asks sees one gate only, so that such a
        message is left to the bot, which sees all of them. Default: none.
    shown : Shown, optional
        What messages show; use cases of one process share it.

    Attributes
    ----------
    posting : Posting
        The messages.
    obligations : Obligations
        What was promised with an answer.
    delegations : Delegations
        Who decides for somebody absent.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        engines: Mapping[EngineKind, Engine],
        notifiers: Mapping[str, Notifier],
        people: People,
        check_input: CheckInput,
        clock: Clock,
        policy: Policy | None = None,
        batched: Collection[str] = (),
        shown: Shown | None = None,
    ) -> None:
        self.ledger = ledger
        self.engines = engines
        self.people = people
        self.check_input = check_input
        self.clock = clock
        self.policy: Policy = policy or RecordedPolicy()
        self._knows_policy = policy is not None
        self.posting = Posting(ledger, notifiers, clock, batched=batched, shown=shown or Shown())
        self.obligations = Obligations(ledger, people, clock)
        self.delegations = Delegations(ledger.store, ledger.trust)

    # Asking.

    def ask(self, pathspec: Pathspec, question: Question, gate: Gate, requester: Person) -> Outcome:
        """Record the question and post it. Asking again about the same task finds what is there.

        Raises
        ------
        StoreError, RecordError
            Nothing was asked. What a notifier could not do is in the outcome instead: the record stands.
        OtherQuestion
            In the sealed mode: another question was asked for this task before.
        """
        if not self.ledger.trust.writes:
            return self._propose(transitions.request(pathspec, question, gate, requester, self.clock()))
        entry = self._begin(transitions.request(pathspec, question, gate, requester, self.clock()))
        if entry.approval.decision is not None or entry.approval.closing is not None:
            return _outcome(*self.posting.note_unnoted(entry))
        return self.post(entry, left_to_bot=self.posting.batched if question.batch else ())

    def take_over(self, proposed: Approval, *, key: str) -> Entry:
        """Record what a run proposed, as far as a run is believed, signed with this key. A sweep posts it."""
        # Whoever writes a proposal has a name at most; only a chat system vouches for a person.
        requester = replace(proposed.requester, origin=Origin.CLAIM, email=None)
        question = without_what_the_bot_adds(proposed.question)
        # The bot's clock counts: a run must not choose a deadline that passed before anybody was asked.
        return self._begin(
            transitions.request(proposed.pathspec, question, proposed.gate, requester, self.clock()), key=key
        )

    def _begin(self, asked: Approval, *, key: str | None = None) -> Entry:
        """Record a question with what the ledger and the policy add to it; it may be decided by its rule already."""
        question = asked.question
        if question.allow_changes and question.follows is None:
            question = replace(question, follows=earlier_changes(self.ledger, asked.pathspec, asked.requester))
        question = compared(self.ledger, asked.pathspec, question)
        entry = self.ledger.begin(self.governed(replace(asked, question=question)), key=key)
        if entry.approval.decision is not None or entry.approval.closing is not None:
            return entry
        self._supersede_older(entry.approval)
        if self._decides_by_rule(entry.approval):
            self.judge(entry)
            entry = self.ledger.read(entry.approval.id)
        return entry

    def _propose(self, asked: Approval) -> Outcome:
        """Leave a question to a bot, or find the record that a bot made of it."""
        entry = self.ledger.read_version(asked.id, 1)
        if entry is None:
            try:
                propose(self.ledger.store, asked, self.ledger.trust.keys)
            except errors.KeyMissing:
                entry = self.ledger.read(asked.id)  # a bot took it over in this very moment
        if entry is not None:
            entry = self.ledger.read(asked.id)
            check_same_question(asked, entry.approval)
            asked = entry.approval
        if asked.state is State.PENDING:
            self._say_here(asked)
        return Outcome(approval=asked)

    def _say_here(self, approval: Approval) -> None:
        """Show a question where nothing is left to bring up to date, such as a terminal: the bot posts the rest."""
        terminal = self.posting.notifiers.get("terminal")
        if terminal is not None and "terminal" in approval.question.notifiers:
            # The bot compares for itself before it signs; what is shown here must not call this the first time.
            question = compared(self.ledger, approval.pathspec, approval.question)
            terminal.post(replace(approval, question=question))

    def post(self, entry: Entry, *, left_to_bot: Collection[str] = ()) -> Outcome:
        """Post a question with every notifier that did not yet, as far as it is here and not left to the bot."""
        return _outcome(*self.posting.post(entry, left_to_bot=left_to_bot))

    # Without a person.

    def report(self, entry: Entry) -> Outcome:
        """Post what was decided without asking: people see it; where a message can't change, nobody is asked."""
        return self.post(entry, left_to_bot=self.posting.final)

    def is_unreported(self, approval: Approval) -> bool:
        """Whether the policy does not accept what was decided, and people can be told who were never asked."""
        here = set(unposted(approval)) & self.posting.notifiers.keys() - self.posting.final
        return bool(here) and approval.closing is None and bool(self._unaccepted(approval))

    def _decides_by_rule(self, approval: Approval) -> bool:
        """Whether this process lets the condition speak: where no bot is expected, who knows the operator's policy."""
        return approval.question.auto_approve is not None and not self._expects_bot(approval)

    def _expects_bot(self, approval: Approval) -> bool:
        return approval.gate.engine is not EngineKind.LOCAL or bool(
            set(approval.question.notifiers) & self.posting.batched
        )

    def judge(self, entry: Entry) -> Outcome:
        """Let the condition of ``auto_approve`` speak, and carry out what it decides. Again is fine."""
        now = self.clock()
        self._check_namespace(entry.approval)
        governed = self.governed(entry.approval)
        try:
            entered, missing = self.checked(governed, Answer(verdict=Verdict.APPROVE)), ""
        except errors.HitlError as error:
            entered, missing = None, f"a person has to fill in the form ({error})"
        judged = self.ledger.update(
            entry.approval.id,
            lambda newest: TrailEvent.DECIDED if newest.decision else TrailEvent.JUDGED,
            now,
            lambda newest: transitions.judge(transitions.govern(newest, governed.policy_rule), entered, missing, now),
            seen=entry,
        )
        if judged.approval.decision is None:
            failed = self.posting.show(judged.approval, self.posting.here(judged.approval))
            return Outcome(approval=judged.approval, pending=tuple(failed))
        posted = self.report(judged)
        done = self.try_to_carry_out(judged)
        return Outcome(approval=done.approval, pending=(*posted.pending, *done.pending))

    def _supersede_older(self, newer: Approval) -> None:
        """Let the same question of older runs go, where the step wants that; of two that ask at once, the older."""
        if not newer.question.supersede:
            return
        path = newer.pathspec
        for approval_id in self.ledger.asked_ids(path.flow, path.step, newer.shard_value, limit=_SUPERSEDED):
            if approval_id == newer.id:
                continue
            try:
                other = self.ledger.read(approval_id)
                if transitions.is_newer(other.approval, newer):
                    self._supersede(self.ledger.read(newer.id), other.approval)
                elif transitions.is_newer(newer, other.approval):
                    self._supersede(other, newer)
            except errors.RecordError:
                continue  # a marker only says where to look

    def _supersede(self, older: Entry, newer: Approval) -> None:
        if older.approval.state is not State.PENDING:
            return
        now = self.clock()
        ended = self.ledger.update(
            older.approval.id,
            TrailEvent.SUPERSEDED,
            now,
            lambda newest: transitions.supersede(newest, newer, now),
            seen=older,
        )
        if ended.approval.state is State.SUPERSEDED:
            self.try_to_carry_out(ended)

    # Deciding.

    def decide(
        self,
        approval_id: str,
        answer: Answer,
        *,
        who: Person,
        where: Where,
        seen: Entry | None = None,
        people: People | None = None,
    ) -> Outcome:
        """Take an answer, and carry it out. What it raises is what ``take`` raises."""
        return self.try_to_carry_out(self.take(approval_id, answer, who=who, where=where, seen=seen, people=people))

    def take(
        self,
        approval_id: str,
        answer: Answer,
        *,
        who: Person,
        where: Where,
        seen: Entry | None = None,
        people: People | None = None,
        given_at: datetime | None = None,
    ) -> Entry:
        """Take an answer into the record, and leave carrying it out to the caller, who may owe a reply before.

        Parameters
        ----------
        people : People, optional
            As they are at this moment, where one click gives several answers. By default they are asked afresh.
        seen : Entry, optional
            What the caller holds of this approval: spares reading it when it is still the newest.
        given_at : datetime, optional
            When it was given, if that was before the question was asked.

        Raises
        ------
        ApprovalError
            The answer is refused; the record is as it was.
        InvalidInput
            The input does not fit the schema; likewise.
        PeopleUnavailable, StoreError, RecordError
            It can't be known whether the answer counts; likewise.
        """
        seen = self.ledger.linked(seen or self.ledger.read(approval_id))
        approval = self.governed(seen.approval)
        eligibility = Eligibility()
        if approval.state is State.PENDING:
            self._check_namespace(approval)
            people = people or self.people.now()
            who = people.current(who)
            eligibility = self.check_may_decide(approval, who, verdict=answer.verdict, where=where, people=people)
        vote = Vote(
            verdict=answer.verdict,
            by=who,
            at=self.clock(),
            where=where,
            input=answer.input,
            reason=answer.reason.strip(),
            obligation=answer.obligation if answer.verdict is Verdict.APPROVE else None,
            on_behalf_of=eligibility.on_behalf_of,
            counts_for=eligibility.counts_for,
            given_at=given_at,
        )
        try:
            if answer.verdict is Verdict.CHANGES and not approval.question.allow_changes:
                raise ChangesNotOffered(approval)
            vote = replace(vote, input=self.checked(approval, answer))
        except errors.HitlError:
            # Where no answer can count, that is what the person needs to know, not what was wrong with the input.
            transitions.vote(approval, vote)
            raise
        return self.ledger.update(
            approval_id,
            lambda voted: TrailEvent.DECIDED if voted.decision else TrailEvent.VOTED,
            vote.at,
            lambda newest: transitions.vote(transitions.govern(newest, approval.policy_rule), vote),
            seen=seen,
        )

    def take_in_advance(self, entry: Entry, standing: AnswerInAdvance, people: People) -> Outcome:
        """Give an approval the answer that was given for all shards of its foreach before it asked.

        Raises
        ------
        NotInAdvance
            It asks something other than what was answered, or the answer no longer counts.
        ApprovalError, InvalidInput, PeopleUnavailable, StoreError, RecordError
            As ``take``: whoever gave it may not decide this one, or that can't be known.
        """
        approval, answer = self.governed(entry.approval), standing.answer
        if approval.state is not State.PENDING:
            return Outcome(approval=approval)
        if answer is None or not standing.is_good_for(approval, self.clock()):
            raise NotInAdvance(f"{approval.id} asks something other than what {standing.by.name} answered in advance.")
        taken = self.take(
            approval.id,
            answer,
            who=standing.by,
            where=Where.IN_ADVANCE,
            seen=entry,
            people=people,
            given_at=standing.at,
        )
        return self.try_to_carry_out(taken)

    def answer_from_command_line(
        self, approval_id: str, answer: Answer, *, who: Person, nonce: str
    ) -> Outcome | AnswerProposal:
        """Take an answer where it does not matter who gives it; propose it to the bot where it does.

        Parameters
        ----------
        who : Person
            As they call themselves.
        nonce : str
            32 random hex digits, for a proposal.

        Raises
        ------
        ApprovalError, InvalidInput, StoreError, RecordError
            As ``take`` does: nothing was recorded, and nothing proposed.
        """
        seen = self.ledger.read(approval_id)
        trust = self.ledger.trust
        if trust.is_sealed and not trust.writes:  # only the bot writes records, and only for who it knows
            return self._propose_answer(self.governed(seen.approval), answer, who, nonce)
        try:
            return self.decide(approval_id, answer, who=who, where=Where.COMMAND_LINE, seen=seen)
        except NeedsConfirmation as error:
            return self._propose_answer(error.approval, answer, who, nonce)

    def _propose_answer(self, approval: Approval, answer: Answer, who: Person, nonce: str) -> AnswerProposal:
        if answer.verdict is Verdict.CHANGES and not approval.question.allow_changes:
            raise ChangesNotOffered(approval)
        vote = Vote(
            verdict=answer.verdict,
            by=who,
            at=self.clock(),
            where=Where.COMMAND_LINE,
            input=self.checked(approval, answer),
            reason=answer.reason.strip(),
            obligation=answer.obligation if answer.verdict is Verdict.APPROVE else None,
        )
        transitions.vote(approval, vote)  # what would be refused after the click is refused here
        proposal = AnswerProposal(
            approval_id=approval.id,
            verdict=vote.verdict,
            claimed=who.name,
            at=vote.at,
            nonce=nonce,
            input=vote.input,
            reason=vote.reason,
            obligation=None if vote.obligation is None else ProposedObligation.of(vote.obligation, who),
        )
        propose_answer(self.ledger.store, proposal)
        return proposal

    def check_may_decide(
        self,
        approval: Approval,
        person: Person,
        *,
        verdict: Verdict = Verdict.APPROVE,
        where: Where = Where.BUTTON,
        people: People | None = None,
    ) -> Eligibility:
        """Hold a person to the rule of an approval, also by who delegated to them; raises as ``permission`` does."""
        return check_may_decide(
            self.governed(approval),
            person,
            people or self.people.now(),
            verdict=verdict,
            where=where,
            absent=self.delegations.absent_for(person, self.clock()),
            started_by=self._started_by(approval),
        )

    def check_may_answer(
        self, approval: Approval, person: Person, *, verdict: Verdict = Verdict.APPROVE, where: Where = Where.FORM
    ) -> None:
        """Say before somebody fills in a form what would be said after it. Asks afresh only before it refuses."""
        try:
            self.check_may_decide(approval, person, verdict=verdict, where=where, people=self.people)
        except NotAllowed:
            self.check_may_decide(approval, person, verdict=verdict, where=where)

    def _started_by(self, approval: Approval) -> Iterator[Person]:
        """Yield who deployed and who started the run, as the engine knows it; it is asked only if somebody looks."""
        engine = self.engines.get(approval.gate.engine)
        if engine is None:
            raise errors.EngineUnavailable(f"Only the bot can check who started the run of {approval.id}.")
        yield from engine.started_by(approval)

    def checked(self, approval: Approval, answer: Answer) -> dict[str, Any]:
        """Return the input as the record keeps it. Without a schema any object will do; a rejection has none."""
        if answer.verdict is not Verdict.APPROVE:
            return {}
        schema = approval.question.schema
        return answer.input if schema is None else self.check_input(schema, answer.input)

    # What the operator demands.

    def governed(self, approval: Approval) -> Approval:
        """Return an open approval under the operator's rule as it is now."""
        return transitions.govern(approval, self.policy.rule_for(approval))

    def _check_namespace(self, approval: Approval) -> None:
        """Raise EngineUnavailable if rules ask for the namespace and the run isn't found where its record says it is.

        What asks states where it is, so that alone must not choose the rule.
        """
        if not self.policy.depends_on_namespace(approval):
            return
        engine = self.engines.get(approval.gate.engine)
        if engine is None:
            raise errors.EngineUnavailable(f"Only the bot can see in which namespace the run of {approval.id} is.")
        found, recorded = engine.namespace_of(approval), approval.gate.namespace
        if found != recorded:
            raise errors.EngineUnavailable(
                f"The record of {approval.id} names the namespace {recorded or '(none)'}, and its run is in "
                f"{found or '(none)'}, so the operator's rules for it aren't known. Start a new run."
            )

    def govern(self, entry: Entry) -> Outcome:
        """Note the operator's rule in the record, once the messages show it."""
        governed = self.governed(entry.approval)
        here = self.posting.here(governed)
        # A message that nobody can change before an operator acts must not keep the operator's rule out of the record.
        failed = [error for error in self.posting.show(governed, here) if not isinstance(error, errors.NotifierRefused)]
        if failed:
            return Outcome(approval=entry.approval, pending=tuple(failed))
        ruled = self.ledger.update(
            entry.approval.id,
            TrailEvent.POLICY_APPLIED,
            self.clock(),
            lambda newest: transitions.govern(newest, governed.policy_rule),
            seen=entry,
        )
        if ruled.approval.state is not State.PENDING:
            self.posting.refresh(ruled.approval, here)  # decided meanwhile: the messages must not go back to asking
        return Outcome(approval=ruled.approval)

    def _unaccepted(self, approval: Approval) -> str:
        def check(governed: Approval, decision: Decision) -> Eligibility:
            return check_may_decide(governed, decision.by, self.people, verdict=decision.verdict, where=decision.where)

        return unaccepted(approval, self.policy.rule_for(approval), check)

    def _is_judged_by_bot(self, approval: Approval) -> bool:
        """Whether the bot has yet to say if the operator's policy accepts what was decided away from it."""
        decision = approval.decision
        if self._knows_policy or decision is None or not approval.lets_run:
            return False
        return decision.where in AWAY_FROM_POLICY and self._expects_bot(approval)

    def _not_accept(self, entry: Entry, why: str) -> Entry:
        now = self.clock()
        return self.ledger.update(
            entry.approval.id,
            TrailEvent.NOT_ACCEPTED,
            now,
            lambda newest: transitions.not_accept(newest, why, now),
            seen=entry,
        )

    def expire(self, entry: Entry) -> Outcome:
        """Let the deadline decide, if it has come, and carry it out."""
        now = self.clock()

        def expire(newest: Approval) -> Approval:
            ended = transitions.expire(self.governed(newest), now)
            if ended.decision is None:
                return newest
            if ended.lets_run:
                self._check_namespace(newest)
            return ended

        expired = self.ledger.update(entry.approval.id, TrailEvent.TIMED_OUT, now, expire, seen=entry)
        return Outcome(approval=expired.approval) if expired.approval.decision is None else self.carry_out(expired)

    def note_attendance(self, entry: Entry, nobody_since: datetime | None) -> Outcome:
        """Note, and show, since when nobody has been waiting for an answer, or that somebody does."""
        noted = self.ledger.update(
            entry.approval.id,
            TrailEvent.ATTENDED if nobody_since is None else TrailEvent.UNATTENDED,
            self.clock(),
            lambda newest: transitions.attend(newest, nobody_since),
            seen=entry,
        ).approval
        return Outcome(approval=noted, pending=tuple(self.posting.show(noted, self.posting.here(noted))))

    # Closing.

    def close(self, entry: Entry, reason: str) -> Outcome:
        """Close an approval that can no longer be answered, and show it."""
        now = self.clock()
        closed = self.ledger.update(
            entry.approval.id,
            TrailEvent.CLOSED,
            now,
            lambda approval: transitions.close(approval, reason, now),
            seen=entry,
        )
        return self.carry_out(closed)

    def give_up(self, approval_id: str, reason: str) -> None:
        """Say that nobody waits for an answer any longer: close the approval, or leave that to the bot.

        Raises
        ------
        NoSuchApproval
            Nobody was asked.
        """
        ledger = self.ledger
        try:
            entry = ledger.read(approval_id)
        except errors.NoSuchApproval:
            if ledger.trust.writes or not is_proposed(ledger.store, approval_id):
                raise
            propose_closing(ledger.store, approval_id, reason, self.clock())
            return
        if entry.approval.decision is not None:
            return
        if ledger.trust.writes:
            self.close(entry, reason)
        else:
            propose_closing(ledger.store, approval_id, reason, self.clock())

    # Settling.

    def try_to_carry_out(self, entry: Entry) -> Outcome:
        """Do as much of ``carry_out`` as can be done now.

        The decision is recorded by now, so a failure is not a refusal: it is in the outcome, and left to the sweeper.
        """
        try:
            return self.carry_out(entry)
        except errors.HitlError as error:
            return Outcome(approval=entry.approval, pending=(error,))

    def carry_out(self, entry: Entry) -> Outcome:
        """Do what a decision, or a closing, asks for: the workflow, the messages, settled. Again is fine."""
        approval = entry.approval
        if approval.settlement is not None:
            self.ledger.finish(approval)
            return Outcome(approval=approval)
        if approval.state is State.PENDING:
            shown, failed = self.posting.show_votes(entry) if approval.votes else (approval, [])
            return Outcome(approval=shown, pending=tuple(failed))
        pending: list[errors.HitlError] = []
        doubt = self._unaccepted(approval)
        if doubt and approval.gate.engine is not EngineKind.LOCAL:
            return self.carry_out(self._not_accept(entry, doubt))
        problem = ""
        try:
            problem = self._tell_engine(entry)
        except errors.EngineUnavailable as error:
            pending.append(error)
        self.ledger.note_ended(approval)
        if self._is_judged_by_bot(approval):
            return self._leave(entry, pending)
        entry, unknown = self.posting.find(entry)
        pending += unknown
        if pending:
            return self._leave(entry, pending)
        return self._settle(entry, problem, doubt)

    def _leave(self, entry: Entry, pending: list[errors.HitlError]) -> Outcome:
        """Show what is known, and leave the rest to another process, which may carry it out meanwhile."""
        try:
            newer = self.ledger.read_version(entry.approval.id, entry.number + 1)
        except errors.HitlError:
            newer = None  # what is known is better than nothing
        if newer is not None:
            return self.carry_out(newer)  # whoever showed the end may be gone: nobody may show less after it
        pending += self.posting.refresh(entry.approval, entry.approval.posts)
        return Outcome(approval=entry.approval, pending=tuple(pending))

    def _settle(self, entry: Entry, problem: str, doubt: str) -> Outcome:
        """Show how it ended, which is all that is left to do, and note that."""
        approval, now = entry.approval, self.clock()
        shown = transitions.settle(approval, now, problem, doubt)
        not_shown: dict[str, str] = {}
        if pending := self.posting.show(shown, shown.posts, not_shown):
            return Outcome(approval=approval, pending=tuple(pending))

        def settle(newest: Approval) -> Approval:
            # Not while there is a message that was posted meanwhile and does not show the decision.
            if newest.posts != approval.posts:
                return newest
            return transitions.settle(newest, now, problem, doubt, not_shown)

        if self._knows_policy and approval.decision is not None and approval.decision.where in AWAY_FROM_POLICY:
            self.posting.shown.expect_less(approval)
        return self.carry_out(self.ledger.update(approval.id, TrailEvent.SETTLED, now, settle, seen=entry))

    def _tell_engine(self, entry: Entry) -> str:
        """Have the engine do what was decided; return why the run could not go on, if it can't."""
        approval = entry.approval
        if approval.decision is None:
            return ""
        engine = self.engines.get(approval.gate.engine)
        if engine is None:
            raise errors.EngineUnavailable(f"The bot carries out what was decided about {approval.id}.")
        self.ledger.check_before_release(entry)
        return engine.carry_out(approval)

    # The gate.

    def open_gate(self, pathspec: Pathspec) -> Approval:
        """Return the approval whose task may start now.

        Raises
        ------
        StillPending, Rejected, Closed
            It may not.
        StoreError, RecordError
            It can't be known, so it may not.
        """
        entry = self.ledger.read_to_act(pathspec.approval_id)
        approval = transitions.belongs_to(entry.approval, pathspec)
        now = self.clock()
        if approval.state is State.PENDING and approval.is_due(now):
            # The engine's own clock opened the gate before the sweeper came: the record decides, as always.
            writes = self.ledger.trust.writes
            approval = self.expire(entry).approval if writes else transitions.without_the_bot(approval, now)
        return passed(approval)


def _outcome(entry: Entry, pending: list[errors.HitlError]) -> Outcome:
    return Outcome(approval=entry.approval, pending=tuple(pending))


def passed(approval: Approval) -> Approval:
    """Return the approval if its task may start; raise StillPending, Rejected or Closed otherwise."""
    if approval.closing is not None:
        raise closed(approval)
    if approval.decision is None:
        raise StillPending(approval)
    if not approval.lets_run:
        raise Rejected(approval)
    return approval
