"""What one person may see: every list, tab, view and command of theirs asks here."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from hitl_bot.slack.people import SlackPeople
from metaflow_extensions.hitl.approvals.deciding.visibility import may_see
from metaflow_extensions.hitl.approvals.errors import AmbiguousId, HitlError, NoSuchApproval, PeopleUnavailable
from metaflow_extensions.hitl.approvals.ledger import Entry
from metaflow_extensions.hitl.approvals.record import Approval, Person
from metaflow_extensions.hitl.approvals.use_cases import UseCases


class SeveralBegin(HitlError):
    """Several approvals begin like this. Give the whole ID: it is under the question."""


class Sight:
    """The sight of one person, for one answer to them.

    Parameters
    ----------
    cases : UseCases
        Its ledger is read, also for who delegated to this person.
    people : SlackPeople
        As they were up to two minutes ago.
    user_id : str
        Whose sight.
    """

    def __init__(self, cases: UseCases, people: SlackPeople, user_id: str) -> None:
        self._cases = cases
        self._people = people
        self._user_id = user_id

    def of(self, approvals: Iterable[Approval]) -> list[Approval]:
        """Return those that this person may see."""
        return [one for one in approvals if self.sees(one)]

    def sees(self, approval: Approval) -> bool:
        """Whether this person may see it; not while nobody can say who they are."""
        return self._person is not None and may_see(approval, self._person, self._people, absent=self._absent)

    def find(self, typed: str) -> Entry:
        """Read an approval by its id, or by the beginning of it.

        Raises
        ------
        NoSuchApproval
            There is none, or it is not this person's to see: the two look alike.
        SeveralBegin, BadId, StoreError, RecordError
            It can't be read.
        """
        ledger = self._cases.ledger
        try:
            entry = ledger.read(ledger.resolve(typed))
        except AmbiguousId as error:
            raise SeveralBegin(str(SeveralBegin.__doc__)) from error  # its own words name others' approvals
        self.check(entry.approval, typed)
        return entry

    def check(self, approval: Approval, typed: str = "") -> None:
        """Raise NoSuchApproval if this person may not see it, and PeopleUnavailable if Slack can't say who that is."""
        self._people.person(self._user_id)
        if not self.sees(approval):
            raise NoSuchApproval(typed or approval.id, self._cases.ledger.store.url)

    @cached_property
    def _person(self) -> Person | None:
        try:
            return self._people.person(self._user_id)
        except PeopleUnavailable:
            return None

    @cached_property
    def _absent(self) -> tuple[Person, ...]:
        if self._person is None:
            return ()
        try:
            return tuple(self._cases.delegations.absent_for(self._person, self._cases.clock()))
        except HitlError:
            return ()
