"""What somebody promised when they approved: closing an obligation, and noting that its owner was reminded."""

from collections.abc import Iterator
from contextlib import suppress

from . import transitions
from .bucket import Owed
from .deciding.proposal import DoneProposal, propose_answer
from .ledger import Entry, Ledger
from .ports import Clock, People
from .record import Approval, FollowUp, FollowUpKind, Obligation, Person, TrailEvent
from .refusals import NoSuchObligation, NotYourObligation


class Obligations:
    """Closes obligations, and notes reminders of them, in the records.

    Parameters
    ----------
    ledger : Ledger
        Where the records are.
    people : People
        Who the owner of an obligation is.
    clock : Clock
        The present.
    """

    def __init__(self, ledger: Ledger, people: People, clock: Clock) -> None:
        self._ledger = ledger
        self._people = people
        self._clock = clock

    def close(self, approval_id: str, number: int, *, who: Person, comment: str) -> Approval:
        """Note that an obligation is done, also with the other approvals that were given for the same one.

        Raises
        ------
        NotYourObligation
            It is somebody else's: neither do they owe it, nor have they approved. Nothing was recorded.
        NoSuchObligation
            It was closed before, or there is none of this number.
        """
        seen = self._ledger.linked(self._ledger.read(approval_id))
        who = self._people.now().current(who)
        obligation = self.check_may_close(seen.approval, number, who)
        # This one comes last: as long as it is open, whoever closes it can do so again.
        for other, its_number in self._owed_together(seen.approval, number, obligation):
            self._close(other, its_number, obligation, who, comment)
        return self._close(seen, number, obligation, who, comment).approval

    def close_from_command_line(
        self, approval_id: str, number: int, *, who: Person, comment: str, nonce: str
    ) -> Approval | DoneProposal:
        """Close an obligation where a claimed name does, or propose it to the bot, which asks that person.

        Parameters
        ----------
        who : Person
            As they call themselves.
        nonce : str
            32 random hex digits, for a proposal.

        Raises
        ------
        NoSuchObligation
            It was closed before, or there is none of this number.
        """
        approval = self._ledger.read(approval_id).approval
        if number not in approval.open_obligations:
            raise NoSuchObligation(approval, number)
        if self._ledger.trust.writes:
            with suppress(NotYourObligation):
                return self.close(approval_id, number, who=who, comment=comment)
        proposal = DoneProposal(
            approval_id=approval_id,
            number=number,
            comment=comment.strip(),
            claimed=who.name,
            at=self._clock(),
            nonce=nonce,
        )
        propose_answer(self._ledger.store, proposal)
        return proposal

    def check_may_close(self, approval: Approval, number: int, who: Person) -> Obligation:
        """Return an open obligation that this person may close; raises as ``close``."""
        obligation = approval.open_obligations.get(number)
        if obligation is None:
            raise NoSuchObligation(approval, number)
        decision = approval.decision
        deciders = [] if decision is None else [decision.by, *decision.voters]
        owner = self._people.identify(obligation.owner) or obligation.owner
        if not any((one.origin, one.id) == (who.origin, who.id) for one in (owner, *deciders)):
            raise NotYourObligation(approval, obligation.owner)
        return obligation

    def note_owner_reminded(self, entry: Entry, number: int) -> Entry:
        """Note that the owner of an obligation is reminded; the same entry if there is nothing to remind of."""
        reminded = FollowUp(number=number, kind=FollowUpKind.REMINDED, at=self._clock())
        return self._note_follow_up(entry, reminded, TrailEvent.OWNER_REMINDED)

    def _owed_together(self, approval: Approval, number: int, obligation: Obligation) -> Iterator[tuple[Entry, int]]:
        """Yield the other approvals of a step that were given for the same promise."""
        promise, step = approval.promise(number), approval.id.rpartition("-")[0]
        ids = dict.fromkeys(one.approval_id for one in self._ledger.owed(day=obligation.day))
        others = (one for one in ids if one.rpartition("-")[0] == step and one != approval.id)
        for found in self._ledger.read_many(others):
            if isinstance(found, Entry):
                owed = found.approval
                yield from ((found, one) for one in owed.open_obligations if owed.promise(one) == promise)

    def _close(self, entry: Entry, number: int, obligation: Obligation, who: Person, comment: str) -> Entry:
        done = FollowUp(number=number, kind=FollowUpKind.DONE, at=self._clock(), by=who, comment=comment.strip())
        closed = self._note_follow_up(entry, done, TrailEvent.OBLIGATION_DONE)
        self._ledger.no_longer_owed(Owed(day=obligation.day, approval_id=entry.approval.id, number=number))
        return closed

    def _note_follow_up(self, entry: Entry, said: FollowUp, event: TrailEvent) -> Entry:
        return self._ledger.update(
            entry.approval.id, event, said.at, lambda newest: transitions.follow_up(newest, said), seen=entry
        )
