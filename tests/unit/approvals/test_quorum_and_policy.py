"""The use cases where several people must agree, and where an operator demands something."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from metaflow_extensions.hitl.approvals.errors import EngineUnavailable, NotifierUnavailable
from metaflow_extensions.hitl.approvals.question import Need, OnReject, OnTimeout, PolicyRule
from metaflow_extensions.hitl.approvals.record import Answer, EngineKind, Gate, State, TrailEvent, Verdict, Where
from metaflow_extensions.hitl.approvals.refusals import AlreadyDecided, ChangesNotOffered, Closed, NotAllowed, TooLate
from metaflow_extensions.hitl.approvals.sweeping import Act, plan
from tests.fixtures.approvals import ALICE, BOB, CAROL, NOW, REQUESTER, Bench, after, approving, pathspec, question

YES = Answer(verdict=Verdict.APPROVE)
NO = Answer(verdict=Verdict.REJECT, reason="The data is stale.")
CHANGES = Answer(verdict=Verdict.CHANGES, reason="A lower learning rate.")
TWO = PolicyRule(name="two", quorum=2)


def decide(bench, asked, answer=YES, who=ALICE, where=Where.BUTTON):
    return bench.cases.decide(asked.id, answer, who=who, where=where).approval


def ask_argo(bench, **parts):
    """Ask for a workflow, which waits until an engine is told."""
    bench.cases.engines = {EngineKind.ARGO: bench.engine}
    asked = question(**{"notifiers": (bench.notifier.name,), **parts})
    return bench.cases.ask(pathspec(), asked, Gate(engine=EngineKind.ARGO), REQUESTER).approval


def events(bench, approval):
    return [entry.version.event for entry in bench.ledger.verify(approval.id)]


def test_each_vote_is_a_version_and_the_last_one_decides(bench):
    """The trail holds every vote, the message shows them, and the engine hears of the decision alone."""
    asked = bench.ask(quorum=2)
    decide(bench, asked)
    assert bench.notifier.shown[asked.id].votes[0].by == ALICE
    assert bench.engine.calls == []
    assert decide(bench, asked, who=BOB).state is State.APPROVED
    assert events(bench, asked) == [
        TrailEvent.REQUESTED,
        TrailEvent.POSTED,
        TrailEvent.VOTED,
        TrailEvent.DECIDED,
        TrailEvent.SETTLED,
    ]
    assert list(bench.engine.released) == [asked.id]


def test_a_changed_vote_leaves_both_in_the_trail(bench):
    """Who proposes another input has two votes in the versions, and one that counts."""
    asked = bench.ask(quorum=2, schema={"type": "object", "properties": {"n": {"type": "integer"}}})
    for n in (1, 2):
        decide(bench, asked, Answer(verdict=Verdict.APPROVE, input={"n": n}))
    said = [
        entry.approval.votes[0].input["n"]
        for entry in bench.ledger.trail(asked.id)
        if entry.version.event == TrailEvent.VOTED
    ]
    assert said == [1, 2]
    assert len(bench.ledger.read(asked.id).approval.votes) == 1


def test_without_a_quorum_nothing_is_new(bench):
    """The versions are those that there always were."""
    asked = bench.ask()
    decide(bench, asked)
    assert events(bench, asked) == [TrailEvent.REQUESTED, TrailEvent.POSTED, TrailEvent.DECIDED, TrailEvent.SETTLED]


def test_a_vote_that_the_message_can_not_show_counts(bench):
    """A medium that is away keeps nobody from voting; the outcome says what is missing."""
    asked = bench.ask(quorum=2)
    bench.notifier.go_away()
    outcome = bench.cases.decide(asked.id, YES, who=ALICE, where=Where.BUTTON)
    assert [type(problem) for problem in outcome.pending] == [NotifierUnavailable]
    assert len(bench.ledger.read(asked.id).approval.votes) == 1


def test_a_delegate_is_named_in_the_decision(bench):
    """What somebody decided for an absent person says so, for good."""
    bench.people.groups = {"@ml-leads": frozenset({BOB.id})}
    asked = bench.ask(approvers=("@ml-leads",))
    with pytest.raises(NotAllowed):
        decide(bench, asked, who=CAROL)
    bench.cases.delegations.delegate(BOB, CAROL, NOW + timedelta(days=1), NOW)
    decision = decide(bench, asked, who=CAROL).decision
    assert (decision.by, decision.on_behalf_of) == (CAROL, BOB)


# The operator's policy.


def test_the_policy_holds_from_the_moment_of_asking(bench):
    """A rule that is known when the question is asked is in its first version, with the deadline that follows."""
    bench.policy.rule = PolicyRule(name="short", longest_timeout=60)
    asked = bench.ask(timeout=600)
    assert (asked.policy_rule, asked.deadline) == (bench.policy.rule, after(60))


def test_the_policy_is_asked_again_when_somebody_decides(bench):
    """A rule that came meanwhile holds, and stands in the record of what was decided under it."""
    asked = bench.ask()
    bench.policy.rule = TWO
    voted = decide(bench, asked)
    assert (voted.state, voted.policy_rule) == (State.PENDING, TWO)
    bench.policy.rule = None
    assert decide(bench, asked, who=BOB).state is State.APPROVED


def test_a_shorter_timeout_makes_an_answer_late(bench):
    """An answer behind the operator's deadline is late, although the step would have waited."""
    asked = bench.ask(timeout=600)
    bench.policy.rule = PolicyRule(name="short", longest_timeout=60)
    bench.clock.forward(61)
    with pytest.raises(TooLate):
        decide(bench, asked)


def test_the_sweeper_notes_a_rule_once_the_message_shows_it(bench):
    """Until the message shows the rule the record does not claim it; then it is one version and not planned again."""
    asked = bench.ask()
    bench.policy.rule = TWO
    coming = plan(asked, notifiers=[bench.notifier.name], engines=[], policy=bench.policy)
    assert coming.act is Act.GOVERN
    bench.notifier.go_away()
    assert bench.cases.govern(bench.ledger.read(asked.id)).pending
    assert events(bench, asked) == [TrailEvent.REQUESTED, TrailEvent.POSTED]
    bench.notifier.come_back()
    ruled = bench.cases.govern(bench.ledger.read(asked.id)).approval
    assert bench.notifier.shown[asked.id].policy_rule == TWO
    assert events(bench, asked) == [TrailEvent.REQUESTED, TrailEvent.POSTED, TrailEvent.POLICY_APPLIED]
    assert plan(ruled, notifiers=[bench.notifier.name], engines=[], policy=bench.policy) is None


def test_a_machine_without_the_policy_keeps_to_the_record(bench):
    """What the bot noted holds on a command line too, where nobody has the policy file."""
    bench.policy.rule = PolicyRule(name="slack only", command_line_counts=False)
    asked = bench.ask()
    elsewhere = Bench(store=bench.store, clock=bench.clock)
    elsewhere.cases = type(elsewhere.cases)(
        bench.ledger, engines={}, notifiers={}, people=bench.people, check_input=bench.check_input, clock=bench.clock
    )
    with pytest.raises(NotAllowed, match="slack only"):
        elsewhere.cases.decide(asked.id, YES, who=REQUESTER, where=Where.COMMAND_LINE)


# Decisions that were made away from the policy.

TYPED = "a command line can't prove who you are"
UNACCEPTED = {
    "the command line does not count": (
        PolicyRule(name="r", command_line_counts=False),
        "accepts answers only in Slack",
    ),
    "two must agree": (TWO, TYPED),
    "others must agree": (PolicyRule(name="r", needs=(Need(of=("@risk",)),)), TYPED),
    "somebody else decides": (PolicyRule(name="r", deciders=("@risk",)), TYPED),
    "a reason is missing": (PolicyRule(name="r", reason_required=True), "has no reason"),
    "the person who started the run may not approve it": (PolicyRule(name="r", self_approval_allowed=False), TYPED),
}


@pytest.mark.parametrize(("demands", "why"), UNACCEPTED.values(), ids=list(UNACCEPTED))
def test_an_unaccepted_decision_of_a_command_line_is_not_carried_out(bench, demands, why):
    """The workflow's step is stopped, the decision stays in the trail, and the message says why it does not count."""
    asked = ask_argo(bench)
    bench.cases.engines = {}
    decide(bench, asked, who=REQUESTER, where=Where.COMMAND_LINE)
    bench.cases.engines = {EngineKind.ARGO: bench.engine}
    bench.policy.rule = demands
    ended = bench.cases.carry_out(bench.ledger.read(asked.id)).approval
    assert (ended.state, ended.lets_run) == (State.NOT_ACCEPTED, False)
    assert why in ended.closing.reason
    assert (list(bench.engine.released), list(bench.engine.refused)) == ([], [asked.id])
    assert bench.notifier.shown[asked.id].closing == ended.closing
    assert events(bench, asked)[2:] == [TrailEvent.DECIDED, TrailEvent.NOT_ACCEPTED, TrailEvent.SETTLED]
    with pytest.raises(Closed):
        bench.cases.open_gate(asked.pathspec)


@pytest.mark.parametrize("demands", [None, PolicyRule(name="r", longest_timeout=60, channel="#x")])
def test_an_accepted_decision_of_a_command_line_is_carried_out(bench, demands):
    """Without a rule that minds, the command line is as good as Slack."""
    asked = ask_argo(bench)
    bench.policy.rule = demands
    assert decide(bench, asked, who=REQUESTER, where=Where.COMMAND_LINE).state is State.APPROVED
    assert list(bench.engine.released) == [asked.id]


def test_a_rejection_of_a_command_line_is_carried_out_unless_the_step_would_run(bench):
    """A no that stops the step needs nobody's leave; one that lets it run is an answer like any other."""
    asked = ask_argo(bench)
    bench.policy.rule = PolicyRule(name="r", command_line_counts=False)
    bench.cases.policy = Bench().policy
    decided = decide(bench, asked, NO, who=REQUESTER, where=Where.COMMAND_LINE)
    assert decided.state is State.REJECTED
    going_on = Bench()
    asked = ask_argo(going_on, on_reject=OnReject.CONTINUE)
    going_on.cases.engines = {}
    decide(going_on, asked, NO, who=REQUESTER, where=Where.COMMAND_LINE)
    going_on.policy.rule = bench.policy.rule
    going_on.cases.engines = {EngineKind.ARGO: going_on.engine}
    assert going_on.cases.carry_out(going_on.ledger.read(asked.id)).approval.state is State.NOT_ACCEPTED


def test_an_approval_by_timeout_is_not_carried_out_where_people_must_approve(bench):
    """A pod that knows no policy may let the deadline approve; the bot does not carry that out."""
    asked = ask_argo(bench, timeout=60, on_timeout=OnTimeout.APPROVE)
    bench.clock.forward(60)
    bench.cases.engines = {}
    assert bench.cases.expire(bench.ledger.read(asked.id)).approval.state is State.APPROVED
    bench.cases.engines = {EngineKind.ARGO: bench.engine}
    bench.policy.rule = PolicyRule(name="people", timeout_approves=False)
    ended = bench.cases.carry_out(bench.ledger.read(asked.id)).approval
    assert (
        ended.closing.reason
        == "It was approved by the deadline, but the rule “people” of the operator's policy requires people to decide."
    )
    assert list(bench.engine.refused) == [asked.id]


def test_a_typed_name_that_reached_a_named_question_is_not_carried_out(bench):
    """Without any policy, too: a record that says a typed name answered for the named approvers is not believed."""
    asked = ask_argo(bench, approvers=("@ml-leads",))
    bench.ledger.update(
        asked.id,
        TrailEvent.DECIDED,
        bench.clock(),
        lambda newest: replace(newest, decision=approving(REQUESTER, where=Where.COMMAND_LINE)),
    )
    ended = bench.cases.carry_out(bench.ledger.read(asked.id)).approval
    assert TYPED in ended.closing.reason
    assert list(bench.engine.refused) == [asked.id]


def test_a_local_run_that_went_on_is_said_to(bench):
    """Nobody can stop a run that waits for the record itself; the record says that the policy minds."""
    asked = bench.ask()
    bench.cases.engines = {}
    decide(bench, asked, who=REQUESTER, where=Where.COMMAND_LINE)
    bench.cases.engines = {EngineKind.LOCAL: bench.engine}
    bench.policy.rule = TWO
    ended = bench.cases.carry_out(bench.ledger.read(asked.id)).approval
    assert ended.state is State.APPROVED
    assert TYPED in ended.settlement.unaccepted


@pytest.mark.parametrize("engine", [EngineKind.LOCAL, EngineKind.ARGO])
@pytest.mark.parametrize("way", ["command line", "deadline"])
def test_the_bot_has_the_last_word_on_what_was_decided_before_it_looked(bench, engine, way):
    """A process that does not know the policy carries an answer out and leaves settling to the bot, which judges it."""
    others = bench.on(bench.store, policy=None)
    for one in (bench, others):
        one.cases.engines, one.cases.posting.batched = {engine: one.engine}, frozenset({bench.notifier.name})
    asked = others.cases.ask(
        pathspec(),
        question(notifiers=(bench.notifier.name,), timeout=60, on_timeout=OnTimeout.APPROVE),
        Gate(engine=engine),
        REQUESTER,
    ).approval
    if way == "deadline":
        bench.clock.forward(60)
        left = others.cases.expire(bench.ledger.read(asked.id))
    else:
        left = others.cases.decide(asked.id, YES, who=REQUESTER, where=Where.COMMAND_LINE)
    assert (left.approval.lets_run, left.approval.settlement, left.pending) == (True, None, ())
    bench.policy.rule = PolicyRule(name="people", command_line_counts=False, timeout_approves=False)
    ended = bench.cases.carry_out(bench.ledger.read(asked.id)).approval
    assert "the operator's policy " in (ended.closing.reason if ended.closing else ended.settlement.unaccepted)
    assert ended.state is (State.APPROVED if engine is EngineKind.LOCAL else State.NOT_ACCEPTED)


def test_without_a_bot_whoever_decides_settles(bench):
    """A run that asks in its terminal alone has no bot to wait for."""
    alone = bench.on(bench.store, policy=None)
    asked = alone.ask(notifiers=("terminal",))
    assert decide(alone, asked, who=REQUESTER, where=Where.COMMAND_LINE).settlement is not None


# Request changes.


def test_changes_are_asked_for_where_the_step_offers_it(bench):
    """A request for changes is a rejection to the run, with a verdict of its own; elsewhere it is refused."""
    with pytest.raises(ChangesNotOffered):
        decide(bench, bench.ask(), CHANGES)
    asked = bench.ask(pathspec(run="18"), allow_changes=True)
    ended = decide(bench, asked, CHANGES)
    assert (ended.state, ended.decision.verdict, ended.lets_run) == (State.REJECTED, Verdict.CHANGES, False)
    assert list(bench.engine.refused) == [asked.id]
    with pytest.raises(AlreadyDecided):
        decide(bench, asked)


def test_a_step_that_goes_on_sees_the_request(bench):
    """With on_reject="continue" the step runs, and finds the verdict."""
    asked = bench.ask(allow_changes=True, on_reject=OnReject.CONTINUE)
    assert decide(bench, asked, CHANGES).lets_run


def test_the_next_run_links_to_the_request(bench):
    """The requester's next question of the same step names the request that it answers, until one is approved."""
    first = bench.ask(allow_changes=True)
    decide(bench, first, CHANGES)
    second = bench.ask(pathspec(run="18"), allow_changes=True)
    earlier = second.question.follows
    assert (earlier.approval_id, earlier.by, earlier.reason) == (first.id, ALICE.name, "A lower learning rate.")
    bench.clock.forward(1)
    decide(bench, second)
    bench.clock.forward(1)
    assert bench.ask(pathspec(run="19"), allow_changes=True).question.follows is None


def test_shards_and_other_peoples_runs_follow_nothing(bench):
    """A shard of the same run, and a run of somebody else, are no answer to the request."""
    decide(bench, bench.ask(allow_changes=True), CHANGES)
    assert bench.ask(pathspec(task="43"), allow_changes=True).question.follows is None
    asked = question(allow_changes=True, notifiers=())
    somebody = replace(REQUESTER, id="sam", name="sam")
    other = bench.cases.ask(pathspec(run="20"), asked, Gate(engine=EngineKind.LOCAL), somebody).approval
    assert other.question.follows is None


# Rules that depend on the namespace.


def test_the_record_does_not_choose_the_rule_by_its_namespace(bench):
    """Where rules name namespaces, nobody decides a run that is elsewhere than its record says, nor does a rule."""
    asked = bench.ask(timeout=60, on_timeout=OnTimeout.APPROVE)
    bench.policy.by_namespace = True
    bench.engine.namespaces[asked.id] = "production"
    with pytest.raises(EngineUnavailable, match=r"names the namespace \(none\), and its run is in production"):
        decide(bench, asked)
    bench.clock.forward(60)
    with pytest.raises(EngineUnavailable, match="production"):
        bench.cases.expire(bench.ledger.read(asked.id))
    with pytest.raises(EngineUnavailable, match="production"):
        bench.cases.judge(bench.ledger.read(asked.id))
    assert bench.ledger.read(asked.id).approval.state is State.PENDING


def test_without_a_cluster_to_ask_no_such_rule_lets_anybody_decide(bench):
    """An engine that can't be asked leaves the namespace open, and so does none at all; a deadline still rejects."""
    bench.policy.by_namespace = True
    asked = bench.ask(timeout=60)
    bench.engine.go_away("no cluster")
    with pytest.raises(EngineUnavailable, match="no cluster"):
        decide(bench, asked)
    bench.cases.engines = {}
    with pytest.raises(EngineUnavailable, match="Only the bot can see in which namespace"):
        decide(bench, asked)
    bench.clock.forward(60)
    assert bench.cases.expire(bench.ledger.read(asked.id)).approval.state is State.EXPIRED


def test_where_the_run_is_found_the_rule_counts(bench):
    """A run that is where its record says is decided as ever, and without such rules no engine is asked."""
    asked = bench.ask()
    bench.policy.by_namespace = True
    assert decide(bench, asked).state is State.APPROVED
