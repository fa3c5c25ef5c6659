"""Who may decide."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.deciding.permission import check_may_decide
from metaflow_extensions.hitl.approvals.errors import NoUserGroups, PeopleUnavailable
from metaflow_extensions.hitl.approvals.ports import Bar
from metaflow_extensions.hitl.approvals.question import Need, PolicyRule
from metaflow_extensions.hitl.approvals.record import EngineKind, Gate, Origin, Person, Post, Verdict, Where
from metaflow_extensions.hitl.approvals.refusals import NeedsConfirmation, NotAllowed
from metaflow_extensions.hitl.slack import SLACK
from tests.fixtures.approvals import ALICE, BOB, CAROL as CAROL_OF_SLACK, NOW, REQUESTER, Directory, approval

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

BOK = Person(id="U0BOK", name="bok", origin=SLACK, email="bok@example.com")
TYPED = "a command line can't prove who you are"


def named(name):
    """Return who types this as their own name."""
    return Person(id=name, name=name, origin=Origin.CLAIM, email=name if "@" in name else None)


def ruled(demands, **parts):
    """Return an approval under the operator's rule; ``parts`` are those of its question."""
    return transitions.govern(approval(**parts), demands)


MAY = {
    "somebody in the channel, where nobody is named": ((), BOB),
    "a local user, where nobody is named": ((), CAROL),
    "by Slack id": (("U0BOB",), BOB),
    "by address": (("bob@example.com",), BOB),
    "by address in capitals": (("Bob@Example.COM",), BOB),
    "one of several": (("U0ALICE", "bob@example.com"), BOB),
    "by handle of a group": (("@ml-leads",), ALICE),
    "by id of a group": (("S0LEADS",), ALICE),
    "by name, where a group does not have them": (("@ml-leads", "U0BOB"), BOB),
}

MAY_NOT = {
    "not named": (("U0ALICE",), BOB, "U0ALICE can. Ask one of them"),
    "not in the group": (("@ml-leads",), BOB, "@ml-leads can. Ask one of them"),
    "not in a group that nobody knows": (("@nobody",), ALICE, "@nobody can"),
    "a guest, where nobody is named": ((), GUEST, "guests never decide"),
    "a guest who is named": (("U0DAVE",), GUEST, "guests never decide"),
    "a guest in the group": (("S0LEADS",), GUEST, "guests never decide"),
    "somebody who calls themselves like an address": (("alice@example.com",), IMPOSTOR, "can. Ask one of them"),
    "somebody who calls themselves like an id": (("U0ALICE",), NAMELESS, "can. Ask one of them"),
    "a typed name that is named": (("carol",), CAROL, TYPED),
    "a typed name that is an id": (("U0BOB",), named("U0BOB"), TYPED),
    "a typed name that is an address": (("bob@example.com",), named("bob@example.com"), TYPED),
    "a typed name that is a group": (("@ml-leads",), named("@ml-leads"), TYPED),
    "a typed name that is the id of a group": (("S0LEADS",), named("S0LEADS"), TYPED),
    "an address with a Kelvin sign": (("bo\u212a@example.com",), BOK, "can. Ask one of them"),
    "an address of others with the same look": (("b\u043ek@example.com",), BOK, "can. Ask one of them"),
}


@pytest.mark.parametrize(("approvers", "person"), MAY.values(), ids=list(MAY))
def test_these_may_decide(approvers, person):
    """Who is named by id, address or group may; where nobody is named, the people of the channel may."""
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


def test_a_typed_name_is_not_looked_up():
    """Slack is not asked about a name from a command line: where it matters who answers, it is nobody's."""
    check_may_decide(approval(), CAROL, OUTAGE)
    for approvers in (("carol",), ("@ml-leads",)):
        with pytest.raises(NeedsConfirmation):
            check_may_decide(approval(approvers=approvers), CAROL, OUTAGE)


@pytest.mark.parametrize(
    "demands",
    [
        PolicyRule(name="r", deciders=("carol",)),
        PolicyRule(name="r", needs=(Need(of=("carol",)),)),
        PolicyRule(name="r", quorum=2),
        PolicyRule(name="r", named_approvers=True),
    ],
    ids=["deciders", "needed", "two", "named approvers"],
)
@pytest.mark.parametrize("verdict", Verdict)
def test_where_the_operator_minds_who_answers_a_typed_name_does_not(demands, verdict):
    """Any rule about people takes an answer from a command line only once it is confirmed, a rejection as well."""
    with pytest.raises(NeedsConfirmation):
        check_may_decide(ruled(demands), CAROL, PEOPLE, where=Where.COMMAND_LINE, verdict=verdict)


# The channel. Who is in none of these can't answer where nobody is named.

CHANNELS = Directory(
    members={None: frozenset({ALICE.id}), "C0OWN": frozenset({BOB.id}), "C0OPS": frozenset({CAROL_OF_SLACK.id})},
    groups={"@ml-leads": frozenset({ALICE.id})},
)


def posted_in(asked, channel):
    return replace(asked, posts=(Post(notifier="slack", at=NOW, channel=channel, ts="1.2"),))


@pytest.mark.parametrize(
    ("asked", "may"),
    [
        (approval(), ALICE),
        (approval(channel="C0OWN"), BOB),
        (posted_in(approval(channel="#own"), "C0OWN"), BOB),
        (posted_in(ruled(PolicyRule(name="r", channel="C0OPS"), channel="C0OWN"), "C0OWN"), CAROL_OF_SLACK),
        (posted_in(approval(quorum=2), "C0OWN"), BOB),
    ],
    ids=["the default one", "as asked", "as posted", "as the operator says", "of two"],
)
def test_where_nobody_is_named_the_channel_answers(asked, may):
    """It is the operator's channel, else the one where the question is, else the one it names, else the default."""
    for person in (ALICE, BOB, CAROL_OF_SLACK):
        for verdict in Verdict:
            if person is may:
                check_may_decide(asked, person, CHANNELS, verdict=verdict)
            else:
                with pytest.raises(NotAllowed, match="only people in the channel of the question can answer"):
                    check_may_decide(asked, person, CHANNELS, verdict=verdict)


def test_who_is_named_needs_no_channel():
    """People that the step or the operator names answer from wherever they are."""
    check_may_decide(approval(approvers=("U0CAROL",)), CAROL_OF_SLACK, CHANNELS)
    check_may_decide(ruled(PolicyRule(name="r", needs=(Need(of=("@ml-leads",)),)), channel="C0OWN"), ALICE, CHANNELS)


def test_the_operators_deciders_still_have_to_be_in_the_channel():
    """To limit who decides lets nobody in: where the step names nobody, they are those of its channel."""
    demands = PolicyRule(name="r", deciders=("@ml-leads", "U0BOB"))
    check_may_decide(ruled(demands, channel="C0OWN"), BOB, CHANNELS)
    with pytest.raises(NotAllowed):
        check_may_decide(ruled(demands, channel="C0OWN"), ALICE, CHANNELS)


def test_being_in_a_channel_is_not_delegated():
    """A delegate decides what the absent person is named for, and not what belongs to a channel they are not in."""
    with pytest.raises(NotAllowed):
        check_may_decide(approval(channel="C0OWN"), ALICE, CHANNELS, absent=[BOB])
    eligibility = check_may_decide(approval(channel="C0OWN", approvers=("U0BOB",)), ALICE, CHANNELS, absent=[BOB])
    assert eligibility.on_behalf_of == BOB


def test_a_step_without_approvers_where_the_operator_wants_them_named():
    """It can only be rejected, and whoever wants to approve hears what to change."""
    demands = PolicyRule(name="named", named_approvers=True)
    with pytest.raises(NotAllowed, match="Name them with `approvers`"):
        check_may_decide(ruled(demands), ALICE, PEOPLE)
    check_may_decide(ruled(demands), ALICE, PEOPLE, verdict=Verdict.REJECT)
    check_may_decide(ruled(demands, approvers=("U0ALICE",)), ALICE, PEOPLE)


def test_without_groups_names_still_decide():
    """On a plan without user groups who is named by id decides; everybody else hears why nobody is in the group."""
    people = Directory(groups_outage=NoUserGroups("This plan has no user groups."))
    check_may_decide(approval(approvers=("@ml-leads", "U0BOB"), quorum=2), BOB, people)
    with pytest.raises(NoUserGroups):
        check_may_decide(approval(approvers=("@ml-leads", "U0BOB"), quorum=2), ALICE, people)


def test_a_person_who_is_named_is_not_looked_up_in_groups():
    """Groups cost requests to Slack: who is named needs none."""
    people = Directory(groups_outage=AssertionError("nobody asks for groups"))
    check_may_decide(approval(approvers=("U0ALICE", "@ml-leads")), ALICE, people)


def test_deciders_limit_who_may():
    """The operator's deciders are the only ones, whomever the step names, and the refusal names the rule."""
    demands = PolicyRule(name="leads only", deciders=("@ml-leads",))
    check_may_decide(ruled(demands), ALICE, PEOPLE)
    check_may_decide(ruled(demands, approvers=("U0ALICE", "U0BOB")), ALICE, PEOPLE)
    with pytest.raises(NotAllowed, match="“leads only” of the operator's policy accepts answers only from @ml-leads"):
        check_may_decide(ruled(demands, approvers=("U0BOB",)), BOB, PEOPLE)
    with pytest.raises(NotAllowed, match="accepts answers only from @ml-leads"):
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
    check_may_decide(ruled(None), CAROL, PEOPLE, where=Where.COMMAND_LINE)
    with pytest.raises(NotAllowed, match="“slack only” of the operator's policy accepts answers only in Slack"):
        check_may_decide(ruled(demands), CAROL, PEOPLE, where=Where.COMMAND_LINE)


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
    check_may_decide(approval(), REQUESTER, KNOWN, where=Where.COMMAND_LINE)


@pytest.mark.parametrize(
    "asked",
    [approval(allow_self_approval=False), ruled(PolicyRule(name="four eyes", self_approval_allowed=False))],
    ids=["by the step", "by the operator"],
)
def test_who_asked_does_not_approve_where_that_is_forbidden(asked):
    """In Slack they are told to ask somebody else; others may once it is certain who asked; a command line nobody."""
    with pytest.raises(NotAllowed, match="the person who started the run may not approve it"):
        check_may_decide(asked, ALICE, KNOWN)
    for typed in (REQUESTER, CAROL):
        with pytest.raises(NeedsConfirmation):
            check_may_decide(asked, typed, KNOWN, where=Where.COMMAND_LINE)
    with pytest.raises(NotAllowed, match="Alice Adams has to confirm it first"):
        check_may_decide(asked, BOB, KNOWN)
    confirmed = replace(asked, confirmed_requester=ALICE)
    check_may_decide(confirmed, BOB, KNOWN)
    with pytest.raises(NotAllowed, match="the person who started the run may not approve it"):
        check_may_decide(confirmed, ALICE, KNOWN)


def test_who_confirmed_is_the_requester_whatever_the_run_says():
    """A run may go by somebody else's name: who said in Slack that it is theirs must not approve it."""
    asked = replace(approval(allow_self_approval=False), confirmed_requester=BOB)
    with pytest.raises(NotAllowed, match="the person who started the run may not approve it"):
        check_may_decide(asked, BOB, KNOWN)
    check_may_decide(asked, ALICE, KNOWN)


def test_the_operator_may_take_the_runs_word_for_who_asked():
    """Then a typed name is the requester without a click; it still has to be somebody."""
    demands = PolicyRule(name="r", self_approval_allowed=False, claimed_requester_counts=True)
    check_may_decide(ruled(demands), BOB, KNOWN)
    with pytest.raises(NotAllowed, match="the person who started the run may not approve it"):
        check_may_decide(ruled(demands), ALICE, KNOWN)
    with pytest.raises(NotAllowed, match="isn't linked"):
        check_may_decide(ruled(demands), BOB, Directory())


def on_argo(**parts):
    return replace(approval(allow_self_approval=False, **parts), gate=Gate(engine=EngineKind.ARGO, workflow="w"))


def test_on_argo_neither_who_deployed_nor_who_started_approves():
    """The workflow says who both are; the record's own word counts for nothing."""
    known = Directory(in_slack_as={"alice": ALICE, "bob": BOB, REQUESTER.id: CAROL_OF_SLACK})
    both = [named("alice"), named("bob")]
    for person in (ALICE, BOB):
        with pytest.raises(NotAllowed, match="the person who started the run may not approve it"):
            check_may_decide(on_argo(), person, known, started_by=both)
    check_may_decide(on_argo(), CAROL_OF_SLACK, known, started_by=both)
    with pytest.raises(NotAllowed, match="isn't linked to a Slack user"):
        check_may_decide(on_argo(), CAROL_OF_SLACK, known, started_by=[named("alice"), named("ci")])
    with pytest.raises(NotAllowed, match="only the run itself says"):
        check_may_decide(on_argo(), BOB, known, started_by=[])


@pytest.mark.parametrize("verdict", [Verdict.REJECT, Verdict.CHANGES])
def test_who_asked_may_always_reject(verdict):
    """To stop one's own run takes nobody else."""
    check_may_decide(approval(allow_self_approval=False), ALICE, KNOWN, verdict=verdict)


def test_while_nobody_knows_who_asked_nobody_approves():
    """A requester that nobody can name in Slack might be anybody: the refusal says how an operator mends it."""
    with pytest.raises(NotAllowed, match=r"rita isn't linked to a Slack user. .*`rita: their email address`"):
        check_may_decide(approval(allow_self_approval=False), BOB, Directory())


def test_who_asked_does_not_approve_by_a_delegate_nor_as_one():
    """Neither the delegate of who asked, nor who asked for somebody absent, approves."""
    asked = approval(allow_self_approval=False, approvers=("@ml-leads",))
    with pytest.raises(NotAllowed, match="the person who started the run may not approve it"):
        check_may_decide(asked, CAROL_OF_SLACK, KNOWN, absent=[ALICE])
    known = Directory(in_slack_as={REQUESTER.id: CAROL_OF_SLACK}, groups=KNOWN.groups)
    with pytest.raises(NotAllowed, match="the person who started the run may not approve it"):
        check_may_decide(asked, CAROL_OF_SLACK, known, absent=[BOB])


# Delegation.


def test_a_delegate_decides_for_who_is_absent():
    """What counts is whom the absent person stands for, and the absent person is named."""
    eligibility = check_may_decide(approval(approvers=("@ml-leads",)), CAROL_OF_SLACK, KNOWN, absent=[GUEST, BOB])
    assert (eligibility.on_behalf_of, eligibility.counts_for) == (BOB, ("@ml-leads",))


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
