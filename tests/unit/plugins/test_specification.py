"""``--with hitl:…`` reads every argument as a person writes it, and hands it on unchanged."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import given, strategies as st

with warnings.catch_warnings():
    # The plugin loads Metaflow, whose own copy of yaml warns where another one is installed.
    warnings.simplefilter("ignore")
    from metaflow import hitl

    from metaflow_extensions.hitl.plugins.hitl_decorator import BadHitl, HitlDecorator
    from metaflow_extensions.hitl.plugins.specification import encode, parse

NAMES = HitlDecorator.defaults
PLAIN = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text())


@given(st.dictionaries(st.sampled_from(sorted(NAMES)), PLAIN))
def test_what_is_handed_on_comes_back(arguments):
    """Any arguments survive the way through a command line, whatever commas, quotes or types they have."""
    text = encode(arguments)
    assert parse(text, NAMES) == arguments
    assert not set(text) & set(" ,'\"$`\\\n;|&")


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("", {}),
        ("timeout=None", {"timeout": None}),
        ("timeout=null,batch=False", {"timeout": None, "batch": False}),
        ("allow_changes=true,allow_self_approval=FALSE", {"allow_changes": True, "allow_self_approval": False}),
        ("timeout=3600,quorum=2", {"timeout": 3600, "quorum": 2}),
        ("message=5,channel=7", {"message": "5", "channel": "7"}),
        ("message=true", {"message": "true"}),
        ("message=Deploy, if a=b?,timeout=1h", {"message": "Deploy, if a=b?", "timeout": "1h"}),
        ('approvers=["@ml-leads","bob@example.com"]', {"approvers": ["@ml-leads", "bob@example.com"]}),
        (r"input_schema={\"target\": \"str\"}", {"input_schema": {"target": "str"}}),
        ("approvers=@ml-leads , quorum=2", {"approvers": "@ml-leads", "quorum": 2}),
    ],
)
def test_what_a_person_writes(text, arguments):
    """Booleans, None, numbers, texts and JSON mean what they look like; a message is always text."""
    assert parse(text, NAMES) == arguments


@pytest.mark.parametrize("text", ["timeout", "=1h", "encoded=%%%", "encoded=W10"])
def test_what_means_nothing_is_refused(text):
    """A part without NAME=VALUE, and damaged encoded arguments, name what is wrong."""
    with pytest.raises(BadHitl, match="--with hitl"):
        HitlDecorator.parse_decorator_spec(text)


def test_a_decorator_survives_being_handed_on():
    """None stays None and False stays False, although the defaults are others."""

    def deploy(self):
        """A step's function."""

    deploy.is_step, deploy.decorators = True, []
    hitl(timeout=None, allow_self_approval=False, message="Go, a=b?", input_schema={"target": "str"})(deploy)
    (decorator,) = deploy.decorators
    spec = decorator.make_decorator_spec()
    again = HitlDecorator.parse_decorator_spec(spec.removeprefix("hitl:"))
    again.external_init()
    assert again.arguments == decorator.arguments
