"""Forms that the run fills in."""

from __future__ import annotations

import importlib
import warnings
from types import SimpleNamespace

import pytest

from metaflow_extensions.hitl.approvals.errors import HitlError


@pytest.fixture(scope="module")
def forms():
    """The plugin loads Metaflow, whose own copy of yaml warns where another one is installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("metaflow_extensions.hitl.plugins.forms")


RUN = {"self": SimpleNamespace(candidates=["a", "b"], best="b", report={"most": 7})}


def test_choices_default_and_limits_come_from_artifacts(forms):
    """A template that is one artifact gives the artifact itself, not its text."""
    written = {
        "model": {"type": "choice", "choices": "{self.candidates}", "default": "{self.best}"},
        "shards": {"type": "int", "min": 1, "max": "{self.report[most]}"},
        "notes": "str?",
    }
    assert forms.depends_on_run(written)
    forms.check_form(written)
    properties = forms.settle_form("pick", written, RUN)["properties"]
    assert properties["model"]["enum"] == ["a", "b"]
    assert properties["model"]["default"] == "b"
    assert properties["shards"]["maximum"] == 7


def test_a_function_of_self_gives_a_setting_or_the_whole_form(forms):
    """Sorted as the author likes it, or made field by field."""
    by_setting = {"model": {"type": "choice", "choices": lambda self: sorted(self.candidates, reverse=True)}}
    assert forms.settle_form("pick", by_setting, RUN)["properties"]["model"]["enum"] == ["b", "a"]
    whole = forms.settle_form("pick", lambda self: dict.fromkeys(self.candidates, "bool"), RUN)
    assert list(whole["properties"]) == ["a", "b"]


def test_a_form_without_the_run_is_left_alone(forms):
    """Braces in a help text or in a plain default are texts, and a class is a model."""
    assert not forms.depends_on_run({"a": {"type": "str", "help": "{self.x}", "default": "{}"}, "b": "int"})
    assert not forms.depends_on_run(SimpleNamespace)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"model": {"type": "choice", "choices": "{self.models}"}}, "has no attribute 'models'"),
        ({"model": {"type": "choice", "choices": lambda _: []}}, "there are no choices"),
        ({"model": {"type": "choice", "choices": lambda _: list(map(str, range(101)))}}, "shows at most 100"),
        (lambda _: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_what_the_run_makes_of_it_is_held_to_what_a_form_shows(forms, written, words):
    """Nothing is asked, and the sentence has the step, the field and what is wrong."""
    with pytest.raises(HitlError) as caught:
        forms.settle_form("pick", written, RUN)
    assert "Step pick" in str(caught.value)
    assert words in str(caught.value)


def test_what_is_wrong_in_any_run_is_refused_when_the_flow_is_loaded(forms):
    """An unknown setting beside choices that are not known yet."""
    with pytest.raises(HitlError, match="unknown setting 'chocies'"):
        forms.check_form({"model": {"type": "choice", "choices": "{self.candidates}", "chocies": 1}})
