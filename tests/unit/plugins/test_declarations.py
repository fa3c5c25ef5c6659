"""What is declared once: the arguments of ``@hitl``, the parts of an answer, and the terms of a policy."""

from __future__ import annotations

import warnings
from dataclasses import MISSING, fields

from metaflow_extensions.hitl.approvals.question import PolicyRule, PolicyTerms, Question, Requirements
from metaflow_extensions.hitl.approvals.record import Decision, GivenAnswer, Vote

with warnings.catch_warnings():
    # The plugin loads Metaflow, whose own copy of yaml warns where another one is installed.
    warnings.simplefilter("ignore")
    from metaflow_extensions.hitl.plugins.arguments import ARGUMENTS
    from metaflow_extensions.hitl.plugins.hitl_decorator import HitlDecorator

# What the run knows about itself, and no argument says.
OF_THE_RUN = {"markdown", "run_url", "shard", "tags", "run_again", "resume", "leaves", "follows", "evidence"}
# What no question says: the step itself needs it.
OF_THE_STEP = {"form", "model", "poll_interval", "metrics", "plots"}
GROUPS = [{"group": "@ml-leads", "quorum": 1}]


def _default(part):
    return part.default if part.default_factory is MISSING else part.default_factory()


def _names(kind):
    return {part.name for part in fields(kind)}


def _read(**given):
    parts = {}
    for name, read in ARGUMENTS.items():
        parts |= read(name, {**HitlDecorator.defaults, **given}[name], parts)
    return parts


def test_every_argument_has_a_default_and_a_reader():
    """The decorator's defaults and the readers name the same arguments, in the same order."""
    assert list(ARGUMENTS) == list(HitlDecorator.defaults)


def test_every_part_of_a_question_comes_from_an_argument_or_from_the_run():
    """A field that is added to the question, and that no argument and no run fills in, shows here."""
    assert {*_read(), *_read(approvers=GROUPS)} - OF_THE_STEP == _names(Question) - OF_THE_RUN


def test_a_step_that_says_nothing_asks_what_a_question_says_by_default():
    """An argument's default means what the question's own default means, but for the message and the timeout."""
    parts = _read()
    different = {part.name for part in fields(Question) if part.name in parts and parts[part.name] != _default(part)}
    assert different == {"message", "timeout"}


def test_votes_and_decisions_share_one_answer():
    """What a vote and a decision both say is declared once."""
    assert _names(Vote) & _names(Decision) == _names(GivenAnswer)


def test_a_policy_s_rule_and_what_holds_share_one_set_of_terms():
    """What an operator's rule says and what holds for an approval is declared once."""
    assert _names(PolicyRule) & _names(Requirements) == _names(PolicyTerms)
