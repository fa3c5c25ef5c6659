"""What holds: the stricter of what a step asks for and what the operator demands."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, strategies as st

from metaflow_extensions.hitl.approvals.question import Need, OnVeto, Panel, PolicyRule, stricter
from tests.fixtures.any_approval import needs, policy_rules
from tests.fixtures.approvals import question

NAMES = st.sampled_from(["@a", "@b", "@c"])
VOTERS = st.lists(st.lists(NAMES, max_size=3, unique=True).map(tuple), max_size=6)
EVERYBODY = question()


@st.composite
def asked_questions(draw):
    """Draw a question as steps can ask it: with groups that each have a quorum, or with approvers and one quorum."""
    own = tuple(need for need in draw(needs(NAMES)) if need.of)
    names = tuple(dict.fromkeys(name for need in own for name in need.of))
    approvers = names or draw(st.lists(NAMES, max_size=2).map(tuple))
    return question(
        approvers=approvers,
        needs=own,
        quorum=draw(st.integers(1, 4)),
        timeout=draw(st.none() | st.integers(1, 9)),
        allow_self_approval=draw(st.booleans()),
    )


@given(asked=asked_questions(), demands=policy_rules(NAMES), voters=VOTERS)
def test_what_holds_is_never_weaker_than_either(asked, demands, voters):
    """Whoever's agreement is enough is enough for the step alone, and for the operator alone."""
    if stricter(asked, demands).agree(voters):
        assert stricter(asked, None).agree(voters)
        assert stricter(EVERYBODY, demands).agree(voters)


@given(asked=asked_questions(), demands=policy_rules(NAMES))
def test_each_limit_is_the_stricter_one(asked, demands):
    """Quorum, timeout, and every permission: the one that forbids more holds."""
    rule, own = stricter(asked, demands), stricter(asked, None)
    assert rule.quorum >= max(own.quorum, demands.quorum)
    timeouts = [seconds for seconds in (asked.timeout, demands.longest_timeout) if seconds is not None]
    assert rule.timeout == (min(timeouts) if timeouts else None)
    assert rule.self_approval_allowed == (asked.allow_self_approval and demands.self_approval_allowed)
    assert (rule.reason_required, rule.command_line_counts) == (demands.reason_required, demands.command_line_counts)
    assert (rule.delegation_allowed, rule.timeout_approves) == (demands.delegation_allowed, demands.timeout_approves)
    assert (rule.deciders, rule.outsiders) == (demands.deciders, demands.outsiders)
    assert rule.channel == (demands.channel or asked.channel)


@given(asked=asked_questions())
def test_without_a_policy_the_step_alone_holds(asked):
    """No rule, and one that demands nothing, change nothing."""
    rule = stricter(asked, None)
    assert rule.name == ""
    assert rule == stricter(asked, PolicyRule(name=""))
    assert (rule.demanded, rule.on_veto, rule.deciders, rule.reason_required) == (None, OnVeto.REJECT, (), False)


@given(asked=asked_questions(), demands=st.none() | policy_rules(NAMES), voters=VOTERS, more=VOTERS)
def test_further_agreement_never_hurts(asked, demands, voters, more):
    """Who agrees besides can't undo that enough people do."""
    rule = stricter(asked, demands)
    if rule.agree(voters):
        assert rule.agree([*more, *voters])


@given(asked=asked_questions(), demands=st.none() | policy_rules(NAMES), voters=VOTERS)
def test_something_is_missing_exactly_while_they_do_not_agree(asked, demands, voters):
    """What a person reads as missing is empty if and only if nothing is."""
    rule = stricter(asked, demands)
    assert (rule.missing(voters) == ()) == rule.agree(voters)


@given(panel_needs=needs(NAMES), quorum=st.integers(1, 3), voters=VOTERS.filter(lambda voters: len(voters) <= 5))
def test_nobody_fills_two_places(panel_needs, quorum, voters):
    """A panel agrees if there is a way to give each place to a different person, tried one by one."""
    panel = Panel.of(panel_needs or (Need(),), quorum)
    members = [names for names in voters if any(fits(names, need) for need in panel.needs)]
    places = [need for need in panel.needs for _ in range(need.quorum)]
    if len(places) > 6:
        return
    seatable = any(
        all(fits(voter, place) for voter, place in zip(voters_in_order, places, strict=True))
        for voters_in_order in itertools.permutations(members, len(places))
    )
    assert (panel.missing(voters) == ()) == (seatable and len(members) >= panel.quorum)


def fits(names, need):
    return not need.of or bool(set(names) & set(need.of))


@pytest.mark.parametrize(
    ("voters", "missing"),
    [
        ([], (Need(of=("@a",)), Need(of=("@b",)))),
        ([("@a", "@b")], (Need(of=("@b",)),)),
        ([("@a", "@b"), ("@a",)], ()),
        ([("@a",), ("@a",)], (Need(of=("@b",)),)),
        ([("@c",)], (Need(of=("@a",)), Need(of=("@b",)))),
    ],
)
def test_one_from_each_takes_two_people(voters, missing):
    """Who is in both groups counts for one, and for whichever leaves less to do."""
    rule = stricter(question(approvers=("@a", "@b"), needs=(Need(of=("@a",)), Need(of=("@b",)))), None)
    assert rule.missing(voters) == missing


def test_one_person_may_meet_the_step_and_the_operator():
    """The step wants one of @a, the operator one of @b: somebody in both meets both."""
    rule = stricter(question(approvers=("@a",)), PolicyRule(name="risk", needs=(Need(of=("@b",)),)))
    assert rule.agree([("@a", "@b")])
    assert not rule.agree([("@a",)])
    assert rule.agree([("@a",), ("@b",)])


def test_what_is_missing_is_said_once():
    """Two of anybody and one of @a: as long as @a is missing, one more is too."""
    rule = stricter(question(approvers=("@a",)), PolicyRule(name="two", quorum=2))
    assert rule.missing([]) == (Need(of=("@a",), quorum=1), Need(quorum=1))
    assert rule.missing([("@a",)]) == (Need(quorum=1),)
