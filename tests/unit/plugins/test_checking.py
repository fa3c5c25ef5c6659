"""What an author learns of a flow's gates before a run."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import pytest

with warnings.catch_warnings():
    # The plugin loads Metaflow, whose own copy of yaml warns where another one is installed.
    warnings.simplefilter("ignore")
    from metaflow import FlowSpec, hitl, step
    from metaflow.decorators import _init_step_decorators

    from metaflow_extensions.hitl.plugins.arguments import read_arguments
    from metaflow_extensions.hitl.plugins.checking import _ways, check_flow
    from metaflow_extensions.hitl.plugins.hitl_decorator import BadHitl, HitlDecorator, _went_wrong
    from metaflow_extensions.hitl.plugins.incoming import NotGated, arguments_of
    from metaflow_extensions.hitl.plugins.message import BadMessage
    from metaflow_extensions.hitl.plugins.settings import read_settings


class TwoMistakes(FlowSpec):
    @hitl(timeout="soon")
    @step
    def start(self):
        self.next(self.end)

    @hitl(quorum=0)
    @step
    def end(self):
        pass


class WrongNames(FlowSpec):
    @hitl(message="Deploy {flow.name}?", notifier="slack", channel="#ml")
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


def loaded(kind):
    """Return a flow of this class, with its decorators initialised as Metaflow does it before any command."""
    flow = kind(use_cli=False)
    store = type("Store", (), {"TYPE": "local", "datastore_root": "records"})
    _init_step_decorators(flow, flow._graph, None, store, None)
    return flow


def test_each_step_whose_arguments_cannot_be_used_is_named_with_its_line():
    """All steps at once, so that a flow with two mistakes is not loaded three times."""
    with pytest.raises(BadHitl) as refused:
        loaded(TwoMistakes)
    lines = str(refused.value).splitlines()
    source = Path(__file__).read_text(encoding="utf-8").splitlines()
    for line, name, words in zip(lines, ("start", "end"), ("'soon' is not", "`quorum` must be"), strict=True):
        place, step_name, said = line.split(maxsplit=2)
        assert step_name == f"{name}:"
        assert said.startswith(words)
        file, number = place.split(":")
        assert file == Path(__file__).name
        assert source[int(number) - 1].strip() == f"def {name}(self):"


def test_a_template_that_asks_a_text_for_an_attribute_is_a_mistake(monkeypatch):
    """The flow, the step and the run id are texts, so {flow.name} would fail in the run."""
    monkeypatch.delenv("METAFLOW_HITL_SLACK_BOT_TOKEN", raising=False)
    _, flaws, _ = check_flow(loaded(WrongNames))
    assert "the message names flow.name, but flow is a text. Use {flow}." in [flaw.what for flaw in flaws]


def test_a_step_without_a_gate_is_refused_with_those_that_have_one():
    """`hitl preview` of a misspelt step says what there is."""
    with pytest.raises(NotGated, match=r"WrongNames has no step strat with @hitl. Its gated steps: start\."):
        arguments_of(loaded(WrongNames), "strat")


def test_what_could_not_be_looked_up_is_said(monkeypatch):
    """Without a token nobody knows whether a channel exists, and "no problems" would claim it."""
    monkeypatch.delenv("METAFLOW_HITL_SLACK_BOT_TOKEN", raising=False)
    _, _, notes = check_flow(loaded(WrongNames))
    (note,) = notes
    assert note.startswith("Slack was not asked whether the channel and the approvers of start exist")


def test_a_webhook_alone_is_enough_for_slack():
    """With nothing but the webhook set up, a question in Slack needs neither a bot token nor a channel."""
    settings = replace(read_settings(), slack_bot_token=None, slack_channel=None, has_webhook=True, public_keys=())
    assert _ways(read_arguments({**HitlDecorator.defaults, "notifier": "slack"}), settings) == ("slack_webhook",)


def test_a_message_that_cannot_be_written_is_said_without_the_name_of_a_class():
    """What Metaflow's errors say is written for people; the step is named once."""
    closed = _went_wrong("gate", BadMessage("Step gate: the template 'x' uses 'y'."))
    assert str(closed) == ("Step gate does not run. The message of @hitl can't be written: the template 'x' uses 'y'.")
