"""Who decides, who has voted, and what an operator demands, as people read it."""

from __future__ import annotations

import pytest

from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.queries import brief
from metaflow_extensions.hitl.approvals.question import Earlier, Need, OnTimeout, OnVeto, PolicyRule
from metaflow_extensions.hitl.approvals.record import Post, Verdict
from metaflow_extensions.hitl.approvals.use_cases import Outcome
from metaflow_extensions.hitl.messages import controls, lists, replies, sentences, terminal, views, voting
from metaflow_extensions.hitl.messages.single import render
from tests.unit.messages.examples import BOB, CAROL, LATER, NOW, RUN_AGAIN, SCHEMA, decided, every_state, pending, voted

RISK = Need(of=("@risk",))


def shown(approval):
    return str(render(approval, now=LATER).blocks)


def who(approval):
    return voting.who_decides(approval, str)


def governed(demands, **question):
    return transitions.govern(pending(**question), demands)


@pytest.mark.parametrize(
    ("approval", "said"),
    [
        (pending(), "everyone who can see this"),
        (pending(approvers=("@ml-leads",)), "@ml-leads"),
        (pending(quorum=2), "everyone who can see this (2 must agree)"),
        (pending(approvers=("@ml-leads",), quorum=2), "@ml-leads (2 must agree)"),
        (
            pending(approvers=("@ml-leads", "@risk"), needs=(Need(of=("@ml-leads",)), RISK)),
            "1 of @ml-leads and 1 of @risk",
        ),
        (
            pending(approvers=("@ml-leads", "@risk"), needs=(Need(of=("@ml-leads",)), RISK), quorum=3),
            "1 of @ml-leads and 1 of @risk (3 must agree)",
        ),
        (governed(PolicyRule(name="p", quorum=2), approvers=("@ml-leads",)), "@ml-leads (2 must agree)"),
        (governed(PolicyRule(name="p", needs=(RISK,)), approvers=("@ml-leads",)), "@ml-leads, and 1 of @risk"),
        (governed(PolicyRule(name="p", deciders=("@risk",))), "everyone who can see this; only @risk can decide"),
    ],
)
def test_who_decides_is_one_sentence(approval, said):
    """Names, how many of them, whom the operator needs besides, and to whom the operator limits it."""
    assert who(approval) == said


def test_a_crowd_is_counted_not_listed():
    """Beyond what a field holds the others are a number."""
    many = tuple(f"person{number}@example.com" for number in range(40))
    assert who(pending(approvers=many)).endswith("person9@example.com and 30 more")


def test_the_message_names_the_rule_and_what_it_wants():
    """People read which rule applies, and each thing that it demands of them."""
    rule = PolicyRule(
        name="production",
        reason_required=True,
        command_line_counts=False,
        self_approval_allowed=False,
        delegation_allowed=False,
        quorum=2,
        on_veto=OnVeto.COUNT,
        longest_timeout=3_600,
    )
    said = shown(governed(rule))
    assert (
        "By rule “production” of the operator's policy, which requires a reason for an approval, too, "
        "no answers from a command line, that nobody approves their own run, that nobody decides for others "
        "and as many rejections as approvals to reject; it waits 1 h at most"
    ) in said
    assert "operator's policy" not in shown(pending())


def test_a_rule_that_wants_nothing_more_is_named_all_the_same():
    """Which rule applied is said even where the step itself is as strict."""
    assert "'By rule “lax” of the operator's policy'" in shown(governed(PolicyRule(name="lax"))).replace('"', "'")


def test_the_message_shows_votes_and_who_is_missing():
    """Before the first vote there is nothing to see; then who voted, for whom, and who has yet to."""
    asked = pending(approvers=("@ml-leads", "@risk"), needs=(Need(of=("@ml-leads",)), RISK))
    assert "*Votes*" not in shown(asked)
    said = shown(voted(asked, CAROL, on_behalf_of=BOB, counts_for=("@ml-leads",)))
    assert "<@U0CAROL> for <@U0BOB> approves. Still missing: 1 of @risk." in said
    assert controls.APPROVE in said


def test_who_has_voted_is_not_missing():
    """Of people who are named one by one, those are missing who have not voted; of a group nobody can tell."""
    named = voted(pending(approvers=("U0BOB", "U0CAROL", "U0DAVE"), quorum=3), BOB, counts_for=("U0BOB",))
    assert voting.missing(named, str) == "U0CAROL and U0DAVE"
    some = voted(pending(approvers=("U0BOB", "U0CAROL", "U0DAVE"), quorum=2), BOB, counts_for=("U0BOB",))
    assert voting.missing(some, str) == "1 of U0CAROL, U0DAVE"
    group = voted(pending(approvers=("@risk",), quorum=2), BOB, counts_for=("@risk",))
    assert voting.missing(group, str) == "1 of @risk"


def test_another_proposal_is_said_to_be_one():
    """The message shows the input that counts now, and who has to vote again."""
    said = shown(every_state()["another proposal"])
    assert "<@U0BOB> proposes a different input, so <@U0CAROL> votes again." in said
    assert "*Notes*\\nb" in said


def test_a_counted_rejection_is_a_vote_like_others():
    """Where rejections are counted the message tells them from approvals."""
    asked = governed(PolicyRule(name="count", quorum=2, on_veto=OnVeto.COUNT))
    assert "<@U0BOB> rejects. Still missing: 2 more." in shown(voted(asked, BOB, Verdict.REJECT, reason="No."))


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("agreed", "*Approved* by <@U0CAROL> and <@U0BOB> after 3 min"),
        ("for somebody absent", "*Approved* by <@U0CAROL> for <@U0BOB> after 3 min"),
        ("changes requested", "*Changes requested* by <@U0BOB> after 3 min"),
        ("not accepted", "*Not accepted*: More people have to agree."),
        (
            "not held back",
            "The run had already continued. The operator's policy does not accept this decision: More people",
        ),
    ],
)
def test_the_ending_names_everybody(state, said):
    """Voters, delegates and the absent, and a decision that does not count."""
    assert said in shown(every_state()[state])


def test_history_names_everybody_although_it_keeps_no_votes():
    """A row of Home and of `/hitl history` about an earlier decision by two people names both."""
    kept = brief(every_state()["agreed"])
    assert "by carol and bob" in str(lists.decided_row(kept, LATER))


def test_a_decision_that_does_not_count_never_says_that_the_run_goes_on():
    """The step does not run, whatever was decided."""
    said = shown(every_state()["not accepted"])
    assert "the step does not run" in said
    assert "goes on" not in said


def test_changes_come_with_the_command_that_runs_it_again():
    """Who has to change something finds the command, and what to change above it."""
    said = shown(every_state()["changes requested"])
    assert RUN_AGAIN in said
    assert "“drift too high”" in said
    assert RUN_AGAIN not in shown(decided(pending(run_again=RUN_AGAIN)))


def test_the_button_for_changes_is_there_where_it_is_offered():
    """Without allow_changes there are two buttons, with it three."""
    assert controls.REQUEST_CHANGES in shown(pending(allow_changes=True))
    assert controls.REQUEST_CHANGES not in shown(pending())


def test_the_next_question_links_to_the_request():
    """Who decides sees what was asked for before, and by whom."""
    earlier = Earlier(approval_id="gate-abc", by="bob", reason="A lower rate.", url="https://slack.example/p1")
    assert ("After <https://slack.example/p1|gate-abc>, where bob asked for changes: “A lower rate.”") in shown(
        pending(follows=earlier)
    )


@pytest.mark.parametrize(
    ("approvers", "consequence"),
    [(("@gone",), "nobody can answer. Stop the run"), (("@gone", "@risk"), "only the others can answer")],
)
def test_approvers_that_are_nobody_are_reported_while_there_is_time(approvers, consequence):
    """On the message from the moment of asking, and on it still when it is updated."""
    asked = pending(approvers=approvers)
    first = str(render(asked, now=NOW, nobody=("@gone",)).blocks)
    later = shown(transitions.posted(asked, Post(notifier="slack", at=NOW, nobody=("@gone",))))
    for said in (first, later):
        assert "*No one in Slack matches @gone*" in said
        assert consequence in said


def test_approvers_that_are_nobody_are_reported_in_the_runs_log():
    """One line for each, with the approval and what to fix."""
    asked = transitions.posted(pending(approvers=("@gone",)), Post(notifier="slack", at=NOW, nobody=("@gone",)))
    assert terminal.nobody(asked) == [
        f"No one in Slack matches @gone. Fix `approvers`, or nobody can answer {asked.id}."
    ]
    assert terminal.nobody(pending()) == []


def test_groups_and_addresses_are_mentioned_once_somebody_looked_them_up():
    """What was found when the question was posted makes mentions in every later update."""
    asked = pending(approvers=("@risk",))
    assert "<!subteam^S0RISK>" in shown(
        transitions.posted(asked, Post(notifier="slack", at=NOW, ids={"@risk": "S0RISK"}))
    )


def test_a_deadline_that_may_not_approve_says_that_it_rejects():
    """What the message promises is what the deadline does."""
    asked = pending(on_timeout=OnTimeout.APPROVE)
    assert sentences.at_deadline(asked) == "else approved"
    assert (
        sentences.at_deadline(transitions.govern(asked, PolicyRule(name="p", timeout_approves=False)))
        == "else rejected"
    )


# Forms.


def test_the_form_holds_what_others_approve():
    """A voter finds the first one's input filled in, and is told what another one means."""
    form = str(
        views.approve_view(
            voted(pending(quorum=2, schema=SCHEMA), input={"deploy_target": "eu", "notes": "a"}), now=LATER
        )
    )
    assert "'initial_value': 'eu'" in form
    assert "If you enter a different input, it becomes a new proposal" in form
    assert "different input" not in str(views.approve_view(pending(quorum=2, schema=SCHEMA), now=LATER))


def test_an_approval_asks_for_its_reason_where_a_rule_wants_one():
    """The button then opens a form, with a schema or without."""
    asked = governed(PolicyRule(name="audited", reason_required=True))
    assert sentences.opens_form(asked)
    assert sentences.approve_words(asked).endswith("--reason ...")
    blocks = views.approve_view(asked, now=LATER)["blocks"]
    assert [block["block_id"] for block in blocks if block["type"] == "input"] == [controls.REASON_BLOCK]
    assert "“audited”" in blocks[-1]["hint"]["text"]


def test_an_approval_asks_for_an_obligation_where_a_rule_wants_one():
    """What is owed and the due date are then required in the form; without the rule the form can leave them empty."""
    for rule, optional in ((PolicyRule(name="audited", obligation_required=True), False), (None, True)):
        blocks = views.approve_view(governed(rule, obligations=True), now=LATER)["blocks"]
        asked = {block["block_id"]: block["optional"] for block in blocks if block["type"] == "input"}
        assert asked == {
            controls.OBLIGATION_TEXT: optional,
            controls.OBLIGATION_OWNER: True,
            controls.OBLIGATION_DUE: optional,
        }
        assert ("The rule “audited”" in str(blocks)) is not optional
        command = sentences.approve_words(governed(rule, obligations=True))
        assert ("--owes ... --due ..." in command) is not optional


def test_the_view_for_changes_asks_what_must_change():
    """One input, and who will read it."""
    view = views.changes_view(pending(allow_changes=True), now=LATER)
    assert view["callback_id"] == controls.CHANGES_VIEW
    assert view["blocks"][-1]["label"]["text"] == "What must change"
    assert "alice" in view["blocks"][-1]["hint"]["text"]


def test_a_vote_is_answered_as_one():
    """Who voted is told that it counts, and who is missing: in a view, to a command, in a terminal."""
    asked = voted(pending(quorum=3))
    assert "Still missing: 2 more." in str(views.closed_view(asked, now=LATER))
    assert "Still missing: 2 more." in str(replies.done(Outcome(approval=asked))["blocks"])
    assert terminal.decided(asked) == "Voted. Still missing: 2 more."
    assert "bob approves. Still missing: 2 more." in terminal.shown(asked, now=LATER)
