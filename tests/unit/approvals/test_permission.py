"""Who may decide."""

from __future__ import annotations

import pytest

from metaflow_extensions.hitl.approvals.errors import PeopleUnavailable
from metaflow_extensions.hitl.approvals.permission import check_may_decide
from metaflow_extensions.hitl.approvals.record import Origin, Person
from metaflow_extensions.hitl.approvals.refusals import NotAllowed
from tests.fixtures.approvals import ALICE, BOB, Directory, approval

CAROL = Person(id="carol", name="carol", origin=Origin.LOCAL)
GUEST = Person(id="U0DAVE", name="Dave Diaz", origin=Origin.SLACK, email="dave@agency.example")
PEOPLE = Directory(
    bars={GUEST.id: "guests never decide."},
    groups={"@ml-leads": frozenset({ALICE.id}), "S0LEADS": frozenset({ALICE.id, GUEST.id})},
)
OUTAGE = Directory(outage=PeopleUnavailable("Slack does not answer."))
# Somebody can call themselves anything in Slack.
IMPOSTOR = Person(id="U0MALLORY", name="alice@example.com", origin=Origin.SLACK, email="mallory@example.com")
NAMELESS = Person(id="U0GRACE", name="U0ALICE", origin=Origin.SLACK, email=None)

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
