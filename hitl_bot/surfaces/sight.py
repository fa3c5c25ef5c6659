"""What one person may see: every list, tab, view and command of theirs asks here."""

from collections.abc import Iterable
from functools import cached_property

from hitl_bot.slack.people import SlackPeople
from metaflow_extensions.hitl.approvals.deciding.permission import check_may_decide, may_see
from metaflow_extensions.hitl.approvals.deciding.votes import represented
from metaflow_extensions.hitl.approvals.errors import (
    AmbiguousId,
    HitlError,
    NoSuchApproval,
    NoUserGroups,
    PeopleUnavailable,
)
from metaflow_extensions.hitl.approvals.ledger import Entry
from metaflow_extensions.hitl.approvals.record import Approval, Person
from metaflow_extensions.hitl.approvals.refusals import NotAllowed
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

    Attributes
    ----------
    doubts : list[HitlError]
        What nobody could say about approvals that are not shown: some of them may be this person's to see.
    """

    def __init__(self, cases: UseCases, people: SlackPeople, user_id: str) -> None:
        self._cases = cases
        self._people = people
        self._user_id = user_id
        self.doubts: list[HitlError] = []

    def of(self, approvals: Iterable[Approval]) -> list[Approval]:
        """Return those that this person may see; raises PeopleUnavailable while nobody can say who they are."""
        person = self._people.person(self._user_id)
        return [one for one in approvals if self._sees(one, person)]

    def sees(self, approval: Approval) -> bool:
        """Whether this person may see it; raises as ``of`` does."""
        return self._sees(approval, self._people.person(self._user_id))

    def _sees(self, approval: Approval, person: Person) -> bool:
        doubts: list[PeopleUnavailable] = []
        seen = may_see(approval, person, self._people, absent=self._absent, doubts=doubts)
        if not seen:
            self.doubts += doubts
        return seen

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
        if not self.sees(approval):
            raise NoSuchApproval(typed or approval.id, self._cases.ledger.store.url)

    @cached_property
    def _absent(self) -> tuple[Person, ...]:
        person = self._people.person(self._user_id)
        try:
            return tuple(self._cases.delegations.absent_for(person, self._cases.clock()))
        except HitlError as error:
            self.doubts.append(error)
            return ()


# What waits for somebody: the open approvals in which their answer would count now.


def asked_of(
    cases: UseCases, people: SlackPeople, user_id: str, approvals: Iterable[Approval], doubts: list[HitlError]
) -> dict[str, Person | None]:
    """Return the ids of those approvals that wait for this person, each with who is absent and whom they decide for.

    Held to the rules that an answer is held to; who has voted has done their part. A list is worth having without its
    order, so where Slack can't say who somebody is, only names tell: those that name their id. ``doubts`` takes what
    nobody could say: others may wait for this person, too.
    """
    try:
        person = people.person(user_id)
        absent = list(cases.delegations.absent_for(person, cases.clock()))
    except HitlError as error:
        doubts.append(error)
        return {one.id: None for one in approvals if user_id in one.requirements.names}
    mine: dict[str, Person | None] = {}
    for approval in approvals:
        try:
            # Who started it is asked of the cluster when somebody decides; a list takes the record's word.
            own = check_may_decide(approval, person, people, absent=absent, started_by=(approval.requester,))
        except NotAllowed:
            continue
        except PeopleUnavailable as error:
            if not isinstance(error, NoUserGroups):
                doubts.append(error)
            continue
        if (own.on_behalf_of or person).id not in _have_voted(approval):
            mine[approval.id] = own.on_behalf_of
    return mine


def _have_voted(approval: Approval) -> set[str]:
    voters: list[Person] = [represented(vote) for vote in approval.votes]
    return {person.id for person in voters}
