"""Timeouts as authors write them, and spans as people read them."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import given, strategies as st

from metaflow_extensions.hitl.approvals.duration import BadDuration, in_words, parse_duration
from metaflow_extensions.hitl.approvals.errors import HitlError

YEAR = 366 * 86_400


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("30m", 1_800),
        ("24h", 86_400),
        ("7d", 604_800),
        ("1h30m", 5_400),
        ("1d2h3m4s", 93_784),
        ("45s", 45),
        ("45", 45),
        (45, 45),
        ("90m", 5_400),
        (" 24H ", 86_400),
        ("1h 30m", 5_400),
        ("30 m", 1_800),
        ("366d", YEAR),
        (YEAR, YEAR),
        (1, 1),
    ],
)
def test_a_span_that_is_written_in_an_accepted_form_is_read_in_seconds(written, seconds):
    """Days, hours, minutes and seconds in this order, or a number of seconds, up to 366 days."""
    assert parse_duration("timeout", written) == seconds


@pytest.mark.parametrize(
    "written",
    [
        "",
        " ",
        "0",
        "0m",
        0,
        -1,
        "-1h",
        "+1h",
        "1.5h",
        1.5,
        1800.0,
        "30m1h",
        "1h1h",
        "1h30",
        "1 0m",
        "soon",
        "1w",
        "1h;",
        "1h\n2",
        "٣m",
        "３０m",
        "²h",
        "1_000",
        "0x10",
        "1e3",
        "367d",
        "366d1s",
        YEAR + 1,
        "9" * 5_000,
        "9" * 5_000 + "h",
        True,
        None,
        [],
        b"30m",
    ],
)
def test_anything_else_is_refused_with_the_accepted_forms(written):
    """A value in no accepted form names the setting, the value and what is accepted."""
    accepted = r'is not a valid `timeout`\. Use "30m", "24h", "7d", "1h30m" or a number of seconds'
    with pytest.raises(BadDuration, match=accepted) as refusal:
        parse_duration("timeout", written)
    assert isinstance(refusal.value, HitlError)
    assert isinstance(refusal.value, ValueError)


@given(st.integers(0, 365), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_a_span_is_the_sum_of_its_parts(days, hours, minutes, seconds):
    """``1d2h3m4s`` is one day and two hours and three minutes and four seconds."""
    total = days * 86_400 + hours * 3_600 + minutes * 60 + seconds
    written = f"{days}d{hours}h{minutes}m{seconds}s"
    if total == 0:
        with pytest.raises(BadDuration):
            parse_duration("timeout", written)
    else:
        assert parse_duration("timeout", written) == total


@given(st.text() | st.integers() | st.floats() | st.none() | st.binary())
def test_whatever_is_written_gives_seconds_in_range_or_a_refusal(written):
    """No value gives another error, and none a span outside of one second to 366 days."""
    with suppress(BadDuration):
        assert 1 <= parse_duration("timeout", written) <= YEAR


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-3, "0 s"),
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3_599, "59 min"),
        (3_600, "1 h"),
        (7_500, "2 h 5 min"),
        (86_399, "23 h 59 min"),
        (86_400, "1 d"),
        (90_000, "1 d 1 h"),
        (259_200, "3 d"),
    ],
)
def test_a_span_is_said_in_its_two_largest_units(seconds, words):
    """A person reads at most two units, and never a negative span."""
    assert in_words(seconds) == words


@given(st.integers(1, YEAR))
def test_a_span_in_words_never_says_more_than_there_is(seconds):
    """What is said is at most the span, and less than its smaller unit away from it."""
    units = {"d": 86_400, "h": 3_600, "min": 60, "s": 1}
    parts = [(int(count), units[unit]) for count, unit in re.findall(r"(\d+) (d|h|min|s)", in_words(seconds))]
    said = sum(count * unit for count, unit in parts)
    smaller = {86_400: 3_600, 3_600: 60, 60: 60, 1: 1}[parts[0][1]]
    assert said <= seconds < said + smaller
