"""An author's pattern can't freeze whoever checks a value against it."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, strategies as st

from metaflow_extensions.hitl.approvals.schema import InputSchemaError, InvalidInput, fields, normalise
from metaflow_extensions.hitl.inputs import validate
from metaflow_extensions.hitl.inputs.patterns import PatternTooSlow, check_patterns, matches, trap
from metaflow_extensions.hitl.messages.form import form_blocks

# Each takes Python's own `re` from a minute to longer than anybody waits.
TRAPS = {
    r"^([A-Za-z0-9]+[-_ ]?)*$": "a" * 29 + "!",
    r"^(a+)+$": "a" * 40 + "!",
    r"^(a|aa)+$": "a" * 60 + "!",
    r"^(a|a)*$": "a" * 60 + "!",
    r"(x+x+)+y": "x" * 60,
}
HARMLESS = [
    r"^\d{4}-\d{2}-\d{2}$",
    r"^[a-z]+(-[a-z]+)*$",
    r"^s3://[a-z0-9.-]+(/[\w.-]+)*/?$",
    r"^v?\d+(\.\d+)*(-[a-z0-9]+)?$",
    r"^[^@\s]+@[^@\s]+\.[a-z]+$",
    r"^(?i:yes|no)$",
]


@pytest.mark.parametrize("pattern", TRAPS)
def test_no_pattern_keeps_anybody_waiting(pattern):
    """A value is judged, or refused with a reason, while other threads go on: the processor is not held for seconds."""
    schema = {"type": "object", "properties": {"name": {"type": "string", "pattern": pattern}}, "required": ["name"]}
    before = time.thread_time()
    with pytest.raises(InvalidInput, match=r"name (must be|could not be checked)"):
        validate(schema, {"name": TRAPS[pattern]})
    assert time.thread_time() - before < 30  # `re` would go on for minutes, or years


@pytest.mark.parametrize("pattern", [r"^(a|aa)+$", r"^(a|a)*$", r"^release-(0|00)+$"])
def test_a_trap_is_refused_when_the_flow_is_loaded(pattern):
    """With the field's name, a value that shows it, and what to do."""
    with pytest.raises(
        InputSchemaError, match=r"field 'name': the pattern takes too long on a value such as .*Write it"
    ):
        check_patterns(normalise({"name": {"type": "str", "pattern": pattern}}))


@pytest.mark.parametrize("pattern", HARMLESS)
def test_everyday_patterns_are_fine(pattern):
    """Versions, dates, names, addresses."""
    assert trap(pattern) is None


def test_a_pattern_or_a_value_out_of_bounds_is_refused():
    """A pattern has at most 1,000 characters, a value 3,000."""
    assert "1,001 characters" in trap("a" * 1001)
    assert "can't be used" in trap("(?P<")
    with pytest.raises(PatternTooSlow):
        matches("a", "a" * 3001)


@given(st.sampled_from(HARMLESS), st.text(max_size=30))
def test_what_matches_is_what_python_says(pattern, text):
    """For everyday patterns the judgement is that of Python's own `re`."""
    assert matches(pattern, text) is (re.search(pattern, text) is not None)


def test_a_form_never_tries_a_pattern():
    """A record whose default is a trap for its pattern opens like any other; the value is judged when it comes back."""
    schema = {
        "type": "object",
        "properties": {"n": {"type": "string", "pattern": r"^(a|aa)+$", "default": "a" * 99 + "!"}},
    }
    assert form_blocks(fields(schema))
