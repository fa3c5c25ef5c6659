"""Who may decide."""

from __future__ import annotations

import pytest

from metaflow_extensions.hitl.approvals import rules
from metaflow_extensions.hitl.approvals.deciding.permission import check_may_decide
from metaflow_extensions.hitl.approvals.errors import PeopleUnavailable
from metaflow_extensions.hitl.approvals.ports import Bar
from metaflow_extensions.hitl.approvals.question import Need
from metaflow_extensions.hitl.approvals.record import Origin, Person, Verdict, Where
from metaflow_extensions.hitl.approvals.refusals import NotAllowed
from metaflow_extensions.hitl.approvals.rule import PolicyRule
from metaflow_extensions.hitl.slack import SLACK
from tests.fixtures.approvals import ALICE, BOB, CAROL as CAROL_OF_SLACK, REQUESTER, Directory, approval, voting

CAROL = Person(id="carol", name="carol", origin=Origin.CLAIM)
GUEST = Person(id="U0DAVE", name="Dave Diaz", origin=SLACK, email="dave@agency.example")
PEOPLE = Directory(
    bars={GUEST.id: "guests never decide."},
    groups={"@ml-leads": frozenset({ALICE.id}), "S0LEADS": frozenset({ALICE.id, GUEST.id})},
)
OUTAGE = Directory(outage=PeopleUnavailable("Slack does not answer."))
# Somebody can call themselves anything in Slack.
IMPOSTOR = Person(id="U0MALLORY", name="alice@example.com", origin=SLACK, email="mallory@example.com")
NAMELESS = Person(id="U0GRACE", name="U0ALICE", origin=SLACK, email=None)

MAY = {
    "whoever sees it, where nobody is named": ((), BOB),
    "a local user, where nobody is named": ((), CAROL),
    "by Slack id": (("U0BOB",), BOB),
    "by address": (("bob@example.com",), BOB),
    "by address in capitals": (("Bob@Example.COM",), BOB),
    "one of several": (("U0ALICE", "bob@example.com"), BOB),
    "by handle of a group": (("@ml-leads",), ALICE),
    "by id of a group": (("S0LEADS",), ALICE),
    "by name, where a group does not have them": (("@ml-leads", "U0BOB"), BOB),
    "a local user by name": (("carol",), CAROL),
    "a local user by name in capitals": (("Carol",), CAROL),
}

MAY_NOT = {
    "not named": (("U0ALICE",), BOB, "U0ALICE may. Ask one of them"),
    "not in the group": (("@ml-leads",), BOB, "@ml-leads may. Ask one of them"),
    "not in a group that nobody knows": (("@nobody",), ALICE, "@nobody may"),
    "a guest, where nobody is named": ((), GUEST, "guests never decide"),
    "a guest who is named": (("U0DAVE",), GUEST, "guests never decide"),
    "a guest in the group": (("S0LEADS",), GUEST, "guests never decide"),
    "somebody who calls themselves like an address": (("alice@example.com",), IMPOSTOR, "may. Ask one of them"),
    "somebody who calls themselves like an id": (("U0ALICE",), NAMELESS, "may. Ask one of them"),
    "a local user who is not named": (("U0ALICE", "bob@example.com"), CAROL, "U0ALICE or bob@example.com may. Ask"),
    "a local user, where a group is named": (("@ml-leads",), CAROL, "only Slack knows who that is"),
    "a local user, where a group's id is named": (("S0LEADS",), CAROL, "only Slack knows who that is"),
    "a local user, where somebody with a capital S is named": (("Sam", "Steve"), CAROL, "Sam or Steve may. Ask one"),
}


@pytest.mark.parametrize(("approvers", "person"), MAY.values(), ids=list(MAY))
def test_these_may_decide(approvers, person):
    """Who is named by id, address, group or local name may; where nobody is named, everybody who sees it may."""
    check_may_decide(approval(approvers=approvers), person, PEOPLE)


@pytest.mark.parametrize(("approvers", "person", "why"), MAY_NOT.values(), ids=list(MAY_NOT))
def test_these_may_not_decide(approvers, person, why):
    """Everybody else is told who may. A guest never may, and a name that one gives oneself counts for nothing."""
    with pytest.raises(NotAllowed, match=f"^{person.name} can't decide deploy-p3ibpguhvg: .*{why}") as refusal:
        check_may_decide(approval(approvers=approvers), person, PEOPLE)
    assert refusal.value.person == person


@pytest.mark.parametrize("approvers", [(), ("U0ALICE",), ("@ml-leads",)], ids=["nobody named", "named", "group"])
def test_nobody_of_slack_decides_while_slack_says_nothing(approvers):
    """Whether somebody is a guest, only Slack knows; while it does not answer, no answer counts."""
    with pytest.raises(PeopleUnavailable):
        check_may_decide(approval(approvers=approvers), ALICE, OUTAGE)


def test_a_group_that_nobody_can_look_up_lets_nobody_in():
    """If Slack knows the person and can't tell the group, the decision is refused."""
    people = Directory(groups_outage=PeopleUnavailable("usergroups.list does not answer."))
    with pytest.raises(PeopleUnavailable):
        check_may_decide(approval(approvers=("@ml-leads",)), ALICE, people)


def test_a_local_user_is_not_looked_up():
    """Without Slack, a local user who is named may decide; and one who is not may not, which takes no Slack to know."""
    check_may_decide(approval(approvers=("carol",)), CAROL, OUTAGE)
    with pytest.raises(NotAllowed):
        check_may_decide(approval(approvers=("@ml-leads",)), CAROL, OUTAGE)


def test_a_person_who_is_named_is_not_looked_up_in_groups():
    """Groups cost requests to Slack: who is named needs none."""
    people = Directory(groups_outage=AssertionError("nobody asks for groups"))
    check_may_decide(approval(approvers=("U0ALICE", "@ml-leads")), ALICE, people)


def ruled(demands, **parts):
    """Return an approval under the operator's rule; ``parts`` are those of its question."""
    return rules.govern(approval(**parts), demands)


def test_deciders_limit_who_may():
    """The operator's deciders are the only ones, whomever the step names, and the refusal names the rule."""
    demands = PolicyRule(name="leads only", deciders=("@ml-leads",))
    check_may_decide(ruled(demands), ALICE, PEOPLE)
    check_may_decide(ruled(demands, approvers=("U0ALICE", "U0BOB")), ALICE, PEOPLE)
    with pytest.raises(NotAllowed, match="“leads only” of the operator's policy takes the answers of @ml-leads only"):
        check_may_decide(ruled(demands, approvers=("U0BOB",)), BOB, PEOPLE)
    with pytest.raises(NotAllowed, match="@ml-leads may"):
        check_may_decide(ruled(demands), BOB, PEOPLE)


def test_whom_the_operator_needs_may_vote_as_well():
    """People that only the policy names are asked besides those of the step, and what they stand for is kept."""
    demands = PolicyRule(name="risk", needs=(Need(of=("@ml-leads",)),))
    both = ruled(demands, approvers=("U0BOB",))
    assert check_may_decide(both, ALICE, PEOPLE).counts_for == ("@ml-leads",)
    assert check_may_decide(both, BOB, PEOPLE).counts_for == ("U0BOB",)
    with pytest.raises(NotAllowed):
        check_may_decide(both, CAROL_OF_SLACK, PEOPLE)


def test_the_command_line_counts_unless_the_operator_says_no():
    """Where it does not count, whoever answers there is told the rule and the place that counts."""
    demands = PolicyRule(name="slack only", command_line_counts=False)
    check_may_decide(ruled(demands), BOB, PEOPLE, where=Where.BUTTON)
    check_may_decide(ruled(None), CAROL, PEOPLE, where=Where.FLOW_CLI)
    with pytest.raises(NotAllowed, match="“slack only” of the operator's policy wants the answer in Slack"):
        check_may_decide(ruled(demands), CAROL, PEOPLE, where=Where.FLOW_CLI)


@pytest.mark.parametrize(
    ("bar", "lifted"), [(Bar.GUEST, True), (Bar.STRANGER, True), (Bar.APP, False), (Bar.DEACTIVATED, False)]
)
def test_the_operator_may_name_outsiders(bar, lifted):
    """A guest or a stranger decides if the policy names them; an app and a deactivated account never do."""
    people = Directory(bars={GUEST.id: bar})
    demands = PolicyRule(name="agency", outsiders=("dave@agency.example",))
    with pytest.raises(NotAllowed):
        check_may_decide(ruled(PolicyRule(name="agency", outsiders=("U0ERIN",))), GUEST, people)
    if lifted:
        check_may_decide(ruled(demands), GUEST, people)
    else:
        with pytest.raises(NotAllowed):
            check_may_decide(ruled(demands), GUEST, people)


# Separation of duties. The requester is rita, on a machine.

KNOWN = Directory(in_slack_as={REQUESTER.id: ALICE}, groups={"@ml-leads": frozenset({ALICE.id, BOB.id})})


def test_who_asked_may_approve_unless_that_is_forbidden():
    """By default the requester is one of those who may."""
    check_may_decide(approval(), ALICE, KNOWN)
    check_may_decide(approval(), REQUESTER, KNOWN, where=Where.FLOW_CLI)


@pytest.mark.parametrize(
    "asked",
    [approval(allow_self_approval=False), ruled(PolicyRule(name="four eyes", self_approval_allowed=False))],
    ids=["by the step", "by the operator"],
)
def test_who_asked_does_not_approve_where_that_is_forbidden(asked):
    """In Slack they are told to ask somebody else, others may, and on a command line nobody may."""
    with pytest.raises(NotAllowed, match="you asked for this run"):
        check_may_decide(asked, ALICE, KNOWN)
    with pytest.raises(NotAllowed, match="you asked for this run"):
        check_may_decide(asked, REQUESTER, KNOWN, where=Where.FLOW_CLI)
    with pytest.raises(NotAllowed, match="only Slack tells people apart"):
        check_may_decide(asked, CAROL, KNOWN, where=Where.FLOW_CLI)
    check_may_decide(asked, BOB, KNOWN)


@pytest.mark.parametrize("verdict", [Verdict.REJECT, Verdict.CHANGES])
def test_who_asked_may_always_reject(verdict):
    """To stop one's own run takes nobody else."""
    check_may_decide(approval(allow_self_approval=False), ALICE, KNOWN, verdict=verdict)


def test_while_nobody_knows_who_asked_nobody_approves():
    """A requester that nobody can name in Slack might be anybody: the refusal says how an operator mends it."""
    with pytest.raises(NotAllowed, match=r"nobody knows who rita is in Slack. .*`rita: their e-mail address`"):
        check_may_decide(approval(allow_self_approval=False), BOB, Directory())


def test_who_asked_does_not_approve_by_a_delegate_nor_as_one():
    """Neither the delegate of who asked, nor who asked for somebody absent, approves."""
    asked = approval(allow_self_approval=False, approvers=("@ml-leads",))
    with pytest.raises(NotAllowed, match="you asked for this run"):
        check_may_decide(asked, CAROL_OF_SLACK, KNOWN, absent=[ALICE])
    known = Directory(in_slack_as={REQUESTER.id: CAROL_OF_SLACK}, groups=KNOWN.groups)
    with pytest.raises(NotAllowed, match="you asked for this run"):
        check_may_decide(asked, CAROL_OF_SLACK, known, absent=[BOB])


# Delegation.


def test_a_delegate_decides_for_who_is_absent():
    """What counts is whom the absent person stands for, and the absent person is named."""
    seat = check_may_decide(approval(approvers=("@ml-leads",)), CAROL_OF_SLACK, KNOWN, absent=[GUEST, BOB])
    assert (seat.on_behalf_of, seat.counts_for) == (BOB, ("@ml-leads",))


def test_a_delegation_is_not_used_where_it_is_not_needed():
    """Who may decide in their own right does, and nobody looks for delegations."""

    def nobody_looks():
        raise AssertionError("looked")
        yield

    assert check_may_decide(approval(approvers=("@ml-leads",)), BOB, KNOWN, absent=nobody_looks()).on_behalf_of is None


def test_a_delegation_gives_no_more_than_the_absent_person_has():
    """A guest stays barred as a delegate, and a deactivated account has nothing to delegate."""
    asked = approval(approvers=("@ml-leads",))
    with pytest.raises(NotAllowed):
        check_may_decide(asked, GUEST, Directory(bars={GUEST.id: Bar.GUEST}, groups=KNOWN.groups), absent=[BOB])
    with pytest.raises(NotAllowed):
        check_may_decide(
            asked, CAROL_OF_SLACK, Directory(bars={BOB.id: Bar.DEACTIVATED}, groups=KNOWN.groups), absent=[BOB]
        )


def test_the_operator_may_forbid_delegation():
    """Then the delegate is told who delegated, and which rule minds."""
    demands = PolicyRule(name="in person", delegation_allowed=False)
    with pytest.raises(NotAllowed, match="Bob Brown delegated to you, and the rule “in person”"):
        check_may_decide(ruled(demands, approvers=("@ml-leads",)), CAROL_OF_SLACK, KNOWN, absent=[BOB])


def test_votes_of_slack_and_of_command_lines_are_not_mixed():
    """Once somebody voted in Slack, a vote on a command line might be the same person's; a rejection may come."""
    asked = rules.vote(approval(quorum=2), voting(ALICE))
    with pytest.raises(NotAllowed, match="others have voted in Slack"):
        check_may_decide(asked, CAROL, KNOWN, where=Where.FLOW_CLI)
    check_may_decide(asked, CAROL, KNOWN, where=Where.FLOW_CLI, verdict=Verdict.REJECT)
