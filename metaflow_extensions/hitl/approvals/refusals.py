"""Why a decision is not taken. Each message is what the person reads, in a chat or in a terminal."""

from datetime import datetime

from .duration import in_words
from .errors import HitlError
from .record import Approval, Decision, Person, State, Verdict, Where


class ApprovalError(HitlError):
    """A decision was refused. The record is as it was."""

    def __init__(self, approval: Approval, words: str) -> None:
        super().__init__(words)
        self.approval = approval


class AlreadyDecided(ApprovalError):
    """Somebody else gave another answer first."""

    def __init__(self, approval: Approval, standing: Decision, now: datetime) -> None:
        ago = in_words((now - standing.at).total_seconds())
        why = f' with the reason "{standing.reason}"' if standing.reason else ""
        words = (
            f"{approval.id} was {_said(standing.verdict)} by {standing.by.name} {ago} ago{why}. That "
            "decision is final. Start a new run to ask again."
        )
        if standing.where is Where.NEWER_QUESTION:
            words = f"{approval.id} was superseded {ago} ago: {standing.reason}. Answer that one instead."
        super().__init__(approval, words)
        self.standing = standing


class TooLate(ApprovalError):
    """The deadline came first."""

    def __init__(self, approval: Approval) -> None:
        then = f"{approval.deadline:%Y-%m-%d %H:%M} UTC" if approval.deadline else "its deadline"
        outcome = {State.EXPIRED: ", rejected", State.APPROVED: ", approved"}.get(approval.state, "")
        super().__init__(approval, f"{approval.id} closed at {then}{outcome}. Start a new run to ask again.")


class Closed(ApprovalError):
    """Nobody waits for an answer any longer."""

    def __init__(self, approval: Approval) -> None:
        super().__init__(
            approval, f"{approval.id} can no longer be answered: {_why_closed(approval)}. Start a new run to ask again."
        )


class NotAccepted(Closed):
    """There was a decision, and the operator's policy does not accept it."""

    def __init__(self, approval: Approval) -> None:
        ApprovalError.__init__(
            self,
            approval,
            f"The operator's policy did not accept the decision about {approval.id}: {_why_closed(approval)}. "
            "Start a new run to ask again.",
        )


def closed(approval: Approval) -> Closed:
    """Say why a closed approval can't be answered and opens no gate."""
    return NotAccepted(approval) if approval.state is State.NOT_ACCEPTED else Closed(approval)


def _why_closed(approval: Approval) -> str:
    return (approval.closing.reason if approval.closing else "the run is gone").rstrip(".")


class NotAllowed(ApprovalError):
    """This person may not decide this approval."""

    def __init__(self, approval: Approval, person: Person, why: str) -> None:
        super().__init__(approval, f"{person.name} can't decide {approval.id}: {why}")
        self.person = person


class NeedsConfirmation(NotAllowed):
    """It matters who answers, and nobody vouches for a name that comes from a command line."""

    def __init__(self, approval: Approval, person: Person, system: str) -> None:
        super().__init__(
            approval,
            person,
            "a command line can't prove who you are, and this approval needs to "
            f"know. Confirm the answer in {system}, or answer there.",
        )


class ReasonMissing(ApprovalError):
    """A rejection needs a reason, which the requester will see."""

    def __init__(self, approval: Approval) -> None:
        super().__init__(approval, f"Rejecting {approval.id} needs a reason, which the requester will see.")


class ApprovalReasonMissing(ReasonMissing):
    """The operator's policy wants a reason for an approval, too."""

    def __init__(self, approval: Approval) -> None:
        ApprovalError.__init__(
            self,
            approval,
            f"Approving {approval.id} needs a reason: the rule “{approval.requirements.name}” of the operator's policy "
            "requires one. Enter it in the form that Approve opens, or with --reason on a command line.",
        )


class ObligationMissing(ApprovalError):
    """The operator's policy wants something to be owed with an approval."""

    def __init__(self, approval: Approval) -> None:
        super().__init__(
            approval,
            f"Approving {approval.id} needs an obligation: the rule “{approval.requirements.name}” of the operator's "
            "policy requires one. Enter what is owed, by whom and by when in the form that Approve opens, or with "
            "--owes, --owner and --due on a command line.",
        )


class ChangesNotOffered(ApprovalError):
    """The step takes a yes or a no."""

    def __init__(self, approval: Approval) -> None:
        super().__init__(
            approval,
            f"{approval.id} doesn't accept requests for changes: the step's @hitl has no "
            "allow_changes=True. Reject it, and give the changes as the reason.",
        )


class StillPending(ApprovalError):
    """The gate was opened from outside, and nobody has answered."""

    def __init__(self, approval: Approval) -> None:
        super().__init__(
            approval,
            f"Nobody has approved {approval.id} ({approval.pathspec}), so this step does not run. Resuming the "
            "workflow is not an answer. Start a new run, and answer its question there or with "
            "`python FLOW.py hitl approve ID`.",
        )


class NotDecidedByTheBot(ApprovalError):
    """The deadline has come, and no bot has said what follows."""

    def __init__(self, approval: Approval) -> None:
        then = f"{approval.deadline:%Y-%m-%d %H:%M} UTC" if approval.deadline else "its deadline"
        super().__init__(
            approval,
            f"{approval.id} closed at {then} and no bot has signed an answer, so the step does not run. Check that "
            "the bot is running, then start a new run to ask again.",
        )


class NotTakenOver(ApprovalError):
    """No bot took over the question in time."""

    def __init__(self, approval: Approval) -> None:
        super().__init__(
            approval,
            f"No bot has taken over {approval.id}, so nobody was asked and the step does not run. Check that a bot "
            "with METAFLOW_HITL_SIGNING_KEY is running on the same METAFLOW_HITL_ROOT, then start a new run.",
        )


class Rejected(ApprovalError):
    """The gate is closed for good."""

    def __init__(self, approval: Approval) -> None:
        decision = approval.decision
        if decision is None or approval.state is State.EXPIRED:
            waited = in_words(approval.question.timeout or 0)
            words = f"{approval.id} expired: no one answered in {waited}, so the step does not run."
        elif approval.state is State.SUPERSEDED:
            words = f"{approval.id} was superseded: {decision.reason}. The step does not run."
        else:
            reason = f': "{decision.reason}"' if decision.reason else ""
            words = f"{approval.id} was {_said(decision.verdict)} by {decision.by.name}{reason}. The step does not run."
        super().__init__(approval, words)


class NotAsApproved(ApprovalError):
    """What the gate finds is not what was approved."""

    def __init__(self, approval: Approval, different: tuple[str, ...]) -> None:
        super().__init__(
            approval,
            f"{approval.id} was approved for something else: {', '.join(different)} changed since. "
            "The step does not run. Start a new run to ask again.",
        )
        self.different = different


class Stale(ApprovalError):
    """The approval was valid for a time, and that is over."""

    def __init__(self, approval: Approval, now: datetime) -> None:
        at = approval.decision.at if approval.decision else now
        given = f"{approval.id} was approved at {at:%Y-%m-%d %H:%M} UTC"
        valid = in_words(approval.question.valid_for or 0)
        why = f"and an approval of this step is valid for {valid}" if now >= at else "which is in the future here"
        super().__init__(approval, f"{given}, {why}. The step does not run. Start a new run to ask again.")


class NoSuchObligation(ApprovalError):
    """There is nothing left to close, or nobody said which one."""

    def __init__(self, approval: Approval, number: int | None = None) -> None:
        open_ = approval.open_obligations
        which = "" if number is None else f" {number}"
        words = f"{approval.id} has no open obligation{which}: it was closed before, or there never was one."
        if open_ and number is None:
            listed = "; ".join(f"{its_number}: {one.text}" for its_number, one in open_.items())
            words = f"{approval.id} has several open obligations. Say which one by its number. {listed}"
        super().__init__(approval, words)


class NotYourObligation(ApprovalError):
    """Somebody else owes it."""

    def __init__(self, approval: Approval, owner: Person) -> None:
        super().__init__(
            approval,
            f"Only {owner.name}, or whoever approved {approval.id}, can close this obligation. Nothing was recorded.",
        )


def _said(verdict: Verdict) -> str:
    return "sent back for changes" if verdict is Verdict.CHANGES else verdict.value
