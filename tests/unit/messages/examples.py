"""Approvals to show: one plain example in every state, and strategies that stop at nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.question import Earlier, Need, OnReject, OnTimeout, OnVeto, PolicyRule, Question
from metaflow_extensions.hitl.approvals.record import (
    Approval,
    Decision,
    EngineKind,
    Gate,
    Origin,
    Pathspec,
    Person,
    Post,
    Verdict,
    Vote,
    Where,
)
from metaflow_extensions.hitl.approvals.schema import normalise
from metaflow_extensions.hitl.slack import SLACK

NOW = datetime(2026, 11, 23, 16, 0, tzinfo=timezone.utc)
LATER = NOW + timedelta(minutes=3)
ALICE = Person(id="alice", name="alice", origin=Origin.CLAIM)
BOB = Person(id="U0BOB", name="bob", origin=SLACK, email="bob@example.com")
CAROL = Person(id="U0CAROL", name="carol", origin=SLACK)
RUN_AGAIN = "python flow.py run --alpha 0.5"
SCHEMA = normalise({"deploy_target": "str", "notes": {"type": "text", "optional": True}})


def pending(**question: Any) -> Approval:
    """Ask "Deploy fraud v7?" for a day; ``question`` holds what shall be otherwise."""
    asked = Question(**{"message": "Deploy fraud v7?  Accuracy 94.0%", "timeout": 86_400, **question})
    pathspec = Pathspec(flow="TrainAndDeploy", run="1732", step="gate", task="4")
    return transitions.request(pathspec, asked, Gate(engine=EngineKind.LOCAL), ALICE, NOW)


def decided(approval: Approval, verdict: Verdict = Verdict.APPROVE, **decision: Any) -> Approval:
    """Let bob decide after three minutes."""
    known: dict[str, Any] = {"verdict": verdict, "by": BOB, "at": LATER, "where": Where.BUTTON}
    if verdict is not Verdict.APPROVE:
        known["reason"] = "drift too high"
    return transitions.decide(approval, Decision(**{**known, **decision}))


def voted(approval: Approval, by: Person = BOB, verdict: Verdict = Verdict.APPROVE, **vote: Any) -> Approval:
    """Let somebody vote after three minutes."""
    known: dict[str, Any] = {"verdict": verdict, "by": by, "at": LATER, "where": Where.BUTTON}
    return transitions.vote(approval, Vote(**{**known, **vote}))


def settled(approval: Approval, problem: str = "") -> Approval:
    return transitions.settle(approval, LATER, problem)


def expired(approval: Approval) -> Approval:
    return transitions.expire(approval, NOW + timedelta(days=2))


def every_state() -> dict[str, Approval]:
    """One approval in each state that a person can see."""
    asked = pending()
    return {
        "pending": asked,
        "with a schema": pending(schema=SCHEMA),
        "approved": decided(asked),
        "settled": settled(decided(asked)),
        "troubled": settled(decided(asked), "the workflow is gone. Start a new run."),
        "rejected": settled(decided(asked, Verdict.REJECT)),
        "rejected, continues": settled(decided(pending(on_reject=OnReject.CONTINUE), Verdict.REJECT)),
        "expired": settled(expired(asked)),
        "approved by timeout": settled(expired(pending(on_timeout=OnTimeout.APPROVE))),
        "closed": settled(transitions.close(asked, "the run was stopped", LATER)),
        "voted": voted(pending(quorum=2)),
        "another proposal": voted(
            voted(pending(quorum=2, schema=SCHEMA), CAROL, input={"notes": "a"}), input={"notes": "b"}
        ),
        "agreed": settled(voted(voted(pending(quorum=2), CAROL), BOB)),
        "for somebody absent": settled(decided(asked, by=CAROL, on_behalf_of=BOB)),
        "changes requested": settled(decided(pending(allow_changes=True, run_again=RUN_AGAIN), Verdict.CHANGES)),
        "not accepted": settled(transitions.not_accept(decided(asked), "More people have to agree.", LATER)),
        "not held back": transitions.settle(decided(asked), LATER, unaccepted="More people have to agree."),
    }


# Whatever a flow can compute and a person can type.

NASTY = (
    "<!channel>", "<!here|x>", "<@U0BOB>", "<!subteam^S0RISK>", "<https://evil.example|click>", "&amp;", "`", "```",
    "*b*", "_i_", "~s~", "> quote", "“", "”", '"', "'", "\\", "\r\n", "\n", "\x1b[31m", "\x00", "\u202e", "\u2066",
    "\ud800", "👩‍👩‍👧‍👦", "🇩🇪", "👍🏽", "e\u0301", "שלום", "\u200d", "@channel", "|", "{", "}", "%", "#general",
    ":tada:",
)  # fmt: skip
SNIPPETS = st.one_of(
    st.sampled_from(NASTY),
    st.text(st.characters(), max_size=20),  # half pairs included
)
# Long texts are a snippet many times over: hypothesis itself makes none of that size.
TEXTS = st.one_of(
    st.lists(SNIPPETS, max_size=8).map("".join),
    st.builds(lambda snippet, count: snippet * count, SNIPPETS, st.sampled_from([100, 1_000, 5_000])),
)
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,30}", fullmatch=True) | st.just("x" * 200)
VALUES = st.one_of(
    TEXTS,
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
    st.lists(TEXTS, max_size=3),
    st.dictionaries(TEXTS, TEXTS, max_size=2),
)
PEOPLE = st.builds(
    Person,
    id=st.sampled_from(["U0BOB", "bob", "<!channel>"]),
    name=TEXTS,
    origin=st.sampled_from([SLACK, Origin.CLAIM]),
)
URLS = st.one_of(st.none(), st.just("https://ui.example/run/1?a=1&b=2"), st.just("https://x/" + "&" * 2_500), TEXTS)
SCHEMAS = st.one_of(
    st.none(),
    st.just(SCHEMA),
    st.integers(1, 92).map(lambda count: normalise({f"field_{number}": "str" for number in range(count)})),
    st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=2_000)
    .filter(str.strip)
    .map(lambda label: normalise({"a": {"type": "text", "label": label, "help": label}})),
)
APPROVERS = st.lists(st.one_of(st.sampled_from(["@ml-leads", "U0BOB", "S0RISK", "a@b.c"]), TEXTS), max_size=40).map(
    tuple
)
NEEDS = st.lists(st.builds(Need, of=APPROVERS, quorum=st.integers(1, 20)), max_size=6).map(tuple)
QUESTIONS = st.builds(
    Question,
    message=TEXTS,
    schema=SCHEMAS,
    approvers=APPROVERS,
    channel=st.none() | TEXTS,
    timeout=st.none() | st.integers(1, 366 * 86_400),
    on_timeout=st.sampled_from(OnTimeout),
    on_reject=st.sampled_from(OnReject),
    run_url=URLS,
    quorum=st.integers(1, 20),
    needs=NEEDS,
    allow_changes=st.booleans(),
    run_again=st.none() | TEXTS,
    obligations=st.booleans(),
    follows=st.none() | st.builds(Earlier, approval_id=TEXTS, by=TEXTS, reason=TEXTS, url=URLS),
)
POLICY_RULES = st.builds(
    PolicyRule,
    name=TEXTS,
    needs=NEEDS,
    quorum=st.integers(1, 20),
    deciders=APPROVERS,
    reason_required=st.booleans(),
    obligation_required=st.booleans(),
    longest_timeout=st.none() | st.integers(1, 366 * 86_400),
    command_line_counts=st.booleans(),
    self_approval_allowed=st.booleans(),
    delegation_allowed=st.booleans(),
    on_veto=st.sampled_from(OnVeto),
)
VOTES = st.builds(
    Vote,
    verdict=st.sampled_from(Verdict),
    by=PEOPLE,
    at=st.just(NOW),
    where=st.sampled_from([Where.BUTTON, Where.FORM]),
    input=st.dictionaries(TEXTS, VALUES, max_size=30),
    reason=TEXTS,
    on_behalf_of=st.none() | PEOPLE,
    counts_for=APPROVERS,
    instead_of=st.lists(PEOPLE, max_size=20).map(tuple),
)


@st.composite
def approvals(draw: st.DrawFn) -> Approval:
    """Any approval, in any state."""
    pathspec = Pathspec(flow=draw(NAMES), run=draw(NAMES), step=draw(NAMES), task=draw(NAMES))
    approval = transitions.request(pathspec, draw(QUESTIONS), Gate(engine=EngineKind.ARGO), draw(PEOPLE), NOW)
    if draw(st.booleans()):
        nobody = draw(APPROVERS)
        post = Post(notifier="slack", at=NOW, channel="C0A", ts="1.2", url=draw(URLS), nobody=nobody)
        approval = transitions.posted(approval, post)
    if draw(st.booleans()):
        approval = transitions.govern(approval, draw(POLICY_RULES))
    if draw(st.booleans()):
        approval = replace(approval, votes=draw(st.lists(VOTES, max_size=12).map(tuple)))
    way = draw(st.sampled_from(["pending", "decided", "expired", "closed"]))
    if way == "decided":
        verdict = draw(st.sampled_from(Verdict))
        decision = Decision(
            verdict=verdict,
            by=draw(PEOPLE),
            at=NOW,
            where=draw(st.sampled_from([Where.BUTTON, Where.FORM, Where.COMMAND_LINE])),
            input=draw(st.dictionaries(TEXTS, VALUES, max_size=30)) if verdict is Verdict.APPROVE else {},
            reason=draw(TEXTS),
            on_behalf_of=draw(st.none() | PEOPLE),
            voters=tuple(vote.by for vote in approval.votes if vote.verdict is verdict),
        )
        approval = replace(approval, decision=decision)
    elif way == "expired":
        approval = transitions.expire(approval, NOW + timedelta(days=400))
    elif way == "closed":
        approval = transitions.close(approval, draw(TEXTS), LATER)
    if way == "decided" and draw(st.booleans()):
        approval = transitions.not_accept(approval, draw(TEXTS), LATER)
    return (
        transitions.settle(approval, LATER, draw(TEXTS), draw(st.just("") | TEXTS)) if draw(st.booleans()) else approval
    )
