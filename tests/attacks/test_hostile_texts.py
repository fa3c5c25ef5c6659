"""Texts that somebody hostile puts wherever a text can stand: nobody is mentioned by them, and nothing is a link."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from hitl_bot.sandbox.blocks import complaints_about_blocks
from hitl_bot.sandbox.mentions import mentions, text_objects
from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.question import PolicyRule
from metaflow_extensions.hitl.approvals.record import Approval, Origin, Person, Verdict, Where
from metaflow_extensions.hitl.messages import single
from tests.fixtures.approvals import BOB, NOW, after, approval, approving
from tests.sizes import soak
from tests.unit.messages.examples import NASTY

KNOWN = {"<@U0BOB>"}
_NASTY = 0.7  # the rest is any character


def hostile(rng: random.Random) -> str:
    """Return a text of what Slack would read as something else, and of what lies between."""
    parts = [rng.choice(NASTY) if rng.random() < _NASTY else chr(rng.randrange(1, 0x3000)) for _ in range(6)]
    parts = parts[: rng.randint(1, 6)]
    return "".join(parts) * rng.choice([1, 1, 1, 1, 40])


def with_texts(rng: random.Random) -> tuple[Approval, int]:
    """Return an approval with hostile texts in every place, and how many there are."""
    texts = iter(lambda: hostile(rng), None)
    someone = Person(origin=Origin.CLAIM, id=next(texts)[:80], name=next(texts))
    made = replace(approval(message=next(texts), run_url=next(texts), channel=next(texts)), requester=someone)
    made = replace(made, policy_rule=PolicyRule(name=next(texts), channel=next(texts)))
    shape = rng.randrange(4)
    if shape == 0:
        return made, 7
    if shape == 1:
        return transitions.close(made, next(texts), after(9)), 8
    decision = approving(BOB, at=NOW, input={next(texts): next(texts), "notes": next(texts)})
    decision = replace(decision, reason=next(texts), where=Where.BUTTON, on_behalf_of=someone)
    if shape == 2:
        decision = replace(decision, by=someone, where=Where.COMMAND_LINE, on_behalf_of=None)
    made = replace(made, decision=replace(decision, verdict=rng.choice([Verdict.APPROVE, Verdict.REJECT])))
    return transitions.settle(made, after(9), next(texts), rng.choice(["", next(texts)])), 13


@pytest.mark.soak
@pytest.mark.timeout(1_800)
def test_hostile_texts_stay_texts(record_property):
    """Rendered into messages they mention nobody and break nothing; 25,000 of them in a soak."""
    rng, tried, messages = random.Random(10), 0, 0
    while tried < soak(1_500, 25_000):
        made, texts = with_texts(rng)
        message = single.render(made, now=after(10))
        assert set(mentions(message.text, message.blocks)) <= KNOWN, made
        assert "<https://evil.example" not in str(
            [one for one in text_objects(message.blocks) if one["type"] == "mrkdwn"]
        )
        assert complaints_about_blocks(message.blocks) == [], made
        tried, messages = tried + texts, messages + 1
    record_property("figure", f"hostile texts: {tried:,} rendered in {messages:,} messages, 0 mentions")
