"""What may follow what: pure functions from a record and a wish to the next record, or a refusal."""

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any

from .deciding import votes
from .errors import OtherPathspec
from .evidence.binding import question_digest
from .evidence.comparing import find
from .question import Automatic, OnTimeout, PolicyRule, Question, RuleMode
from .record import (
    CLOCK,
    Answer,
    Approval,
    Closing,
    Decision,
    FollowUp,
    Gate,
    GivenAnswer,
    Judgement,
    Origin,
    Pathspec,
    Person,
    Post,
    Reminder,
    ReminderKind,
    Settlement,
    State,
    Verdict,
    Vote,
    Where,
)
from .refusals import (
    AlreadyDecided,
    ApprovalReasonMissing,
    NotDecidedByTheBot,
    ObligationMissing,
    ReasonMissing,
    TooLate,
    closed,
)


def request(pathspec: Pathspec, question: Question, gate: Gate, requester: Person, now: datetime) -> Approval:
    """Build the first version. The deadline is counted from now and never moves."""
    return Approval(
        id=pathspec.approval_id,
        pathspec=pathspec,
        question=question,
        gate=gate,
        requester=requester,
        requested_at=now,
        deadline=now + timedelta(seconds=question.timeout) if question.timeout else None,
    )


def decide(approval: Approval, decision: Decision) -> Approval:
    """Take a person's decision.

    Giving the same answer twice changes nothing. A different one is a conflict: the first one counts.

    Raises
    ------
    AlreadyDecided, TooLate, Closed, ReasonMissing
        Nothing changes.
    """
    if approval.closing is not None:
        raise closed(approval)
    standing = approval.decision
    if standing is not None:
        # Judge by the decision on record: a second click must be neither a conflict nor late.
        if standing.where is Where.TIMEOUT:
            raise TooLate(approval)
        if not same_answer(standing, decision):
            raise AlreadyDecided(approval, standing, decision.at)
        return approval
    _check_answer(approval, decision)
    return bound(replace(approval, decision=decision))


def bound(approval: Approval) -> Approval:
    """Note in a decision which question it answers, where there is evidence that it is about."""
    decision = approval.decision
    if decision is None or approval.question.evidence is None:
        return approval
    return replace(approval, decision=replace(decision, question_digest=question_digest(approval)))


def _check_answer(approval: Approval, answer: Decision | Vote) -> None:
    if approval.closing is not None:
        raise closed(approval)
    if approval.is_due(answer.at):
        raise TooLate(approval)
    check_complete(approval, answer)


def check_complete(approval: Approval, answer: Answer) -> None:
    """Raise ReasonMissing or ObligationMissing if an answer lacks what the rule of an approval wants of it."""
    if answer.verdict is not Verdict.APPROVE:
        if not answer.reason.strip():
            raise ReasonMissing(approval)
        return
    if approval.requirements.reason_required and not answer.reason.strip():
        raise ApprovalReasonMissing(approval)
    if approval.requirements.obligation_required and answer.obligation is None:
        raise ObligationMissing(approval)


def vote(approval: Approval, cast: Vote) -> Approval:
    """Take one person's answer: where one does it decides, otherwise it counts until the rule is met.

    The same vote twice is fine and changes nothing. One that differs from what was decided is a conflict, as in
    ``decide``.

    Raises
    ------
    AlreadyDecided, TooLate, Closed, ReasonMissing
        Nothing changes.
    """
    if approval.decision is not None or not (approval.votes or approval.requirements.asks_several):
        return decide(approval, decided_by(cast))
    _check_answer(approval, cast)
    voted = replace(approval, votes=votes.cast(approval.votes, cast))
    verdict = votes.outcome(voted.votes, voted.requirements)
    if verdict is None:
        return voted
    voters = tuple(one.by for one in voted.votes if (one.verdict is Verdict.APPROVE) is (verdict is Verdict.APPROVE))
    return bound(replace(voted, decision=replace(decided_by(cast), verdict=verdict, voters=voters)))


def decided_by(cast: Vote) -> Decision:
    """Return the decision that a vote is where it decides."""
    return Decision(**{part.name: getattr(cast, part.name) for part in fields(GivenAnswer)})


def govern(approval: Approval, policy_rule: PolicyRule | None) -> Approval:
    """Note what the operator demands of an approval that is open. Its deadline follows."""
    if approval.state is not State.PENDING or approval.policy_rule == policy_rule:
        return approval
    governed = replace(approval, policy_rule=policy_rule)
    return replace(governed, deadline=_deadline(governed))


def _deadline(approval: Approval) -> datetime | None:
    timeout = approval.requirements.timeout
    return None if timeout is None else approval.requested_at + timedelta(seconds=timeout)


def not_accept(approval: Approval, reason: str, now: datetime) -> Approval:
    """Close an approval whose decision the operator's policy does not accept. The decision stays in the record."""
    if approval.closing is not None or approval.settlement is not None:
        return approval
    return replace(approval, closing=Closing(at=now, reason=reason))


def same_answer(standing: Decision, decision: Decision) -> bool:
    """Whether two decisions say the same thing. Why somebody rejected as well makes no difference."""
    if standing.verdict is not decision.verdict:
        return False
    if decision.obligation not in (None, standing.obligation):
        return False  # nobody must think that theirs was recorded
    return standing.verdict is not Verdict.APPROVE or standing.input == decision.input


def expire(approval: Approval, now: datetime) -> Approval:
    """Let the deadline decide, if it has come and nobody did before; otherwise change nothing."""
    if approval.decision is not None or approval.closing is not None or not approval.is_due(now):
        return approval
    approves = approval.question.on_timeout is OnTimeout.APPROVE and approval.requirements.timeout_approves
    verdict = Verdict.APPROVE if approves else Verdict.REJECT
    return bound(replace(approval, decision=Decision(verdict=verdict, by=CLOCK, at=now, where=Where.TIMEOUT)))


def judge(approval: Approval, entered: dict[str, Any] | None, missing: str, now: datetime) -> Approval:
    """Let the condition of ``auto_approve`` speak, once; it approves if it holds and nothing forbids that.

    Parameters
    ----------
    entered : dict, optional
        What is entered where nobody does: the defaults. None: they don't do.
    missing : str
        Why they don't.
    """
    question = approval.question
    if question.auto_approve is None or approval.judgement is not None or approval.state is not State.PENDING:
        return approval
    finding = find(question.auto_approve, question.evidence)
    automatic, why = approval.requirements.automatic, finding.why
    mode = RuleMode.SHADOW if automatic is Automatic.SHADOW else question.auto_approve_mode
    if finding.holds and automatic is Automatic.REFUSED:
        why = f"the rule “{approval.requirements.name}” of the operator's policy requires people to decide"
    elif finding.holds and entered is None:
        why = missing
    elif finding.holds and approval.is_due(now):
        why = "the deadline had come"
    elif finding.holds is False:
        why = "it does not hold"
    judged = replace(
        approval,
        judgement=Judgement(condition=question.auto_approve, holds=finding.holds, mode=mode, at=now, why=why),
    )
    if why or mode is RuleMode.SHADOW or entered is None:
        return judged
    rule = Person(id="rule", name=f"the rule {question.auto_approve}", origin=Origin.RULE)
    decision = Decision(verdict=Verdict.APPROVE, by=rule, at=now, where=Where.RULE, input=entered)
    return bound(replace(judged, decision=decision))


def supersede(approval: Approval, newer: Approval, now: datetime) -> Approval:
    """Let a newer run's question take the place of this one: to its run, that is a rejection."""
    if approval.decision is not None or approval.closing is not None or not is_newer(newer, approval):
        return approval
    run = Person(id=newer.id, name=f"run {newer.pathspec.run}", origin=Origin.RULE)
    reason = f"run {newer.pathspec.run} asks the same, in {newer.id}"
    decision = Decision(verdict=Verdict.REJECT, by=run, at=now, where=Where.NEWER_QUESTION, reason=reason)
    return bound(replace(approval, decision=decision))


def is_newer(one: Approval, other: Approval) -> bool:
    """Whether one question takes the place of another: the same step and shard of a later run of the same flow."""
    same = (one.pathspec.flow, one.pathspec.step, one.shard_value) == (
        other.pathspec.flow,
        other.pathspec.step,
        other.shard_value,
    )
    other_run = one.pathspec.run != other.pathspec.run
    return same and other_run and (one.requested_at, one.id) > (other.requested_at, other.id)


def without_the_bot(approval: Approval, now: datetime) -> Approval:
    """Let the deadline decide where only the bot writes records, and it has not: for this one gate, unrecorded.

    Only what the bot signed before can open it: the question says that its deadline approves, and so does the rule.

    Raises
    ------
    NotDecidedByTheBot
        The deadline has come, and nothing says that it approves.
    """
    ended = expire(approval, now)
    if ended.decision is None or ended.decision.verdict is not Verdict.APPROVE:
        raise NotDecidedByTheBot(approval)
    return replace(ended, vouched_by=None)  # a bot signed the question, and nobody this answer


def close(approval: Approval, reason: str, now: datetime) -> Approval:
    """Close an approval that can no longer be answered because its run is gone."""
    if approval.decision is not None or approval.closing is not None:
        return approval
    return replace(approval, closing=Closing(at=now, reason=reason))


def remind(approval: Approval, kind: ReminderKind, now: datetime, by: Person | None = None) -> Approval:
    """Note that people are asked again. One that can no longer be answered is left as it is."""
    if approval.decision is not None or approval.closing is not None:
        return approval
    before = approval.reminded(kind)
    reminder = Reminder(kind=kind, at=now, count=before.count + 1 if before else 1, by=by)
    return replace(approval, reminders=(*[one for one in approval.reminders if one.kind is not kind], reminder))


def confirm_requester(approval: Approval, who: Person) -> Approval:
    """Note that somebody said that the run is theirs. The first to say so is the one."""
    if approval.state is not State.PENDING or approval.confirmed_requester is not None:
        return approval
    return replace(approval, confirmed_requester=who)


def attend(approval: Approval, nobody_since: datetime | None) -> Approval:
    """Note since when nobody has been waiting, or that somebody does. The first moment that was noted stays."""
    known = approval.unattended_since
    if approval.state is not State.PENDING or (known is None) is (nobody_since is None):
        return approval
    return replace(approval, unattended_since=nobody_since)


def posted(approval: Approval, post: Post) -> Approval:
    """Note where a notifier put the question. The first place stands: a second post would be a second message."""
    if any(known.notifier == post.notifier for known in approval.posts):
        return approval
    return replace(approval, posts=(*approval.posts, post))


def follow_up(approval: Approval, said: FollowUp) -> Approval:
    """Note what became of an obligation, also when all is settled. About one that is closed nothing is noted."""
    if said.number not in approval.open_obligations:
        return approval
    return replace(approval, follow_ups=(*approval.follow_ups, said))


def settle(
    approval: Approval,
    now: datetime,
    problem: str = "",
    unaccepted: str = "",
    not_shown: Mapping[str, str] | None = None,
) -> Approval:
    """Note that every effect of the decision, or of the closing, is carried out and shown, or can never be shown."""
    if approval.settlement is not None or (approval.decision is None and approval.closing is None):
        return approval
    settlement = Settlement(at=now, problem=problem, unaccepted=unaccepted, not_shown=dict(not_shown or {}))
    return replace(approval, settlement=settlement)


def belongs_to(approval: Approval, pathspec: Pathspec) -> Approval:
    """Return the approval if it is about this task; raise OtherPathspec otherwise."""
    if approval.pathspec != pathspec:
        raise OtherPathspec(approval.id, str(pathspec), str(approval.pathspec))
    return approval


# What may follow what, for whoever reads a record.

_ADDED_LATER: dict[str, Any] = {
    "posts": (),
    "votes": (),
    "reminders": (),
    "judgement": None,
    "confirmed_requester": None,
    "unattended_since": None,
    "decision": None,
    "closing": None,
    "settlement": None,
    "follow_ups": (),
}
"""What an approval has not got when it is asked, as it is then."""


def asks_only(first: Approval) -> bool:
    """Whether an approval is as it is when it is asked."""
    return first == replace(first, **_ADDED_LATER)


def follows(before: Approval, after: Approval) -> bool:
    """Whether one approval can be the version after another: what was settled has not changed."""
    return (
        _unchanging(after) == _unchanging(before)
        and after.posts[: len(before.posts)] == before.posts
        # The deadline moves with the operator's rule alone.
        and (before.deadline == after.deadline or before.policy_rule != after.policy_rule)
        # Votes and rule come before the decision, and stay as they were when it fell.
        and (before.decision is None or _grounds(before) == _grounds(after))
        and before.judgement in (None, after.judgement)
        and before.confirmed_requester in (None, after.confirmed_requester)
        and before.decision in (None, after.decision)
        and before.closing in (None, after.closing)
        and before.settlement in (None, after.settlement)
        and after.follow_ups[: len(before.follow_ups)] == before.follow_ups
        and (after.decision is not None or not after.follow_ups)
    )


def _unchanging(approval: Approval) -> Approval:
    return replace(approval, **_ADDED_LATER, policy_rule=None, deadline=None, unknown={})


def _grounds(approval: Approval) -> tuple[object, ...]:
    asked = (approval.policy_rule, approval.deadline, approval.confirmed_requester, approval.unattended_since)
    return approval.votes, approval.reminders, *asked
