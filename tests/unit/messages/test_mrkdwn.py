"""Text from outside becomes harmless and stays readable."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from html import unescape

import pytest
from hypothesis import given, settings, strategies as st

from metaflow_extensions.hitl.approvals.record import Origin, Person
from metaflow_extensions.hitl.messages.blocks import (
    approver,
    bold,
    code,
    code_block,
    cut,
    date,
    escape,
    legible,
    link,
    literal,
    mention,
    quoted,
)
from metaflow_extensions.hitl.slack import SLACK
from tests.unit.messages.examples import TEXTS
from tests.unit.messages.limits import check_mrkdwn, units

steady = settings(derandomize=True, database=None, deadline=None)
LIMITS = st.integers(10, 400)


@steady
@given(TEXTS, LIMITS)
def test_cut_keeps_the_beginning(text, limit):
    """A cut text is no longer than its limit, begins like the original, and has an ellipsis only if it was cut."""
    shown = cut(text, limit)
    assert units(shown) <= limit
    clean = legible(text)
    assert shown == clean or (shown.endswith("…") and clean.startswith(shown[:-1]))


@steady
@given(TEXTS, LIMITS)
def test_escaped_text_fits_with_its_entities(text, limit):
    """The limit holds for what is sent, and what is sent reads as the beginning of the text."""
    shown = escape(text, limit)
    assert units(shown) <= limit
    check_mrkdwn(shown)
    read = unescape(shown).replace("\u2060", "").replace("\ua789", ":").removesuffix("…")
    assert legible(text).replace("\u2060", "").replace("\ua789", ":").startswith(read)


@pytest.mark.parametrize("text", [":x:", "a :white_check_mark: b", ":+1:", ":a:b:c:", "::tada::", "(:x:)"])
@pytest.mark.parametrize("limit", [3, 20, 300])
def test_letters_between_colons_do_not_become_an_emoji(text, limit):
    """A value that spells an emoji is shown letter by letter: a check mark must come from us alone."""
    assert not re.search(r":[\w+'-]*[^\W\d_][\w+'-]*:|:[+-]1:", escape(text, limit))


@pytest.mark.parametrize("text", ["10:30:45", "s3://bucket/key", "a: b: c", "http://localhost:8080/x"])
def test_other_colons_stay_as_they_are(text):
    """Times, addresses and lists are not touched."""
    assert escape(text, 100) == text


@steady
@given(TEXTS, LIMITS)
def test_every_dress_fits(text, limit):
    """Code, code blocks, quotes, bold and literal text hold no token and keep to the limit."""
    for dress in (code, code_block, quoted, bold, literal):
        shown = dress(text, limit)
        assert units(shown) <= limit
        check_mrkdwn(shown)


@steady
@given(TEXTS)
def test_code_can_not_be_left(text):
    """Nothing in a value ends its code formatting: no backtick, no line break."""
    assert "`" not in code(text, 300)[1:-1]
    assert "\n" not in code(text, 300)
    assert "```" not in code_block(text, 300)[3:-3]


@pytest.mark.parametrize("cluster", ["👩‍👩‍👧‍👦", "👍🏽", "e\u0301", "❤️"])
def test_cut_spares_what_is_one_character_to_the_eye(cluster):
    """A family of emoji, a skin tone and an accent are dropped whole when a cut would fall into them."""
    text = "ab" + cluster + "cdefghijklmnopqrstuvwxyz"
    for limit in range(4, 10):
        kept = cut(text, limit).removesuffix("…")
        assert kept in {"ab"[:limit], text[: len(kept)]}
        assert kept == "ab" or kept.startswith("ab" + cluster), (limit, kept)


@pytest.mark.parametrize("value", ["*.csv and *.txt", "_private_", "~gone~", "a `b` c"])
def test_formatting_characters_of_a_value_survive(value):
    """A value with characters that Slack takes for formatting is shown as code, so none of them disappears."""
    assert literal(value, 100) == code(value, 100)


@pytest.mark.parametrize("value", ["staging", "deploy_target", "s3://bucket/a_b", "2*3"])
def test_plain_values_stay_plain(value):
    """A value without formatting is shown as it is, underscores inside of words included."""
    assert literal(value, 100) == value


def test_control_characters_and_overrides_become_visible():
    """Escape codes, overrides of direction and half pairs are replaced; tabs and line breaks stay."""
    assert legible("a\x1b[31mb\u202ec\ud800d\te\r\nf") == "a\ufffd[31mb\ufffdc\ufffdd\te\nf"


def test_only_slack_vouches_for_mentions():
    """A Slack user is mentioned by id; a local user who took such an id for a name is shown in words."""
    assert mention(Person(id="U0BOB", name="bob", origin=SLACK)) == "<@U0BOB>"
    assert mention(Person(id="U0BOB", name="<@U0BOB>", origin=Origin.CLAIM)) == "&lt;@U0BOB&gt;"
    assert mention(Person(id="!channel", name="x", origin=SLACK)) == "x"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("U0BOB", "<@U0BOB>"),
        ("S0RISK", "<!subteam^S0RISK>"),
        ("@ml-leads", "<!subteam^S0MLLEADS>"),
        ("@risk", "@risk"),
        ("bob@example.com", "bob@example.com"),
        ("<!channel>", "&lt;!channel&gt;"),
    ],
)
def test_approvers_are_mentioned_by_id(written, shown):
    """Ids, and handles whose id is known, are mentioned; everything else is shown as it is written."""
    assert approver(written, {"@ml-leads": "S0MLLEADS"}) == shown


def test_date_token_names_utc_for_clients_that_can_not():
    """A date carries the instant in seconds, and a reading in UTC."""
    moment = datetime(2026, 11, 24, 16, 0, tzinfo=timezone.utc)
    assert date(moment) == "<!date^1795536000^{date_short_pretty} {time}|2026-11-24 16:00 UTC>"


@pytest.mark.parametrize("url", [None, "javascript:alert(1)", "https://a|b", "https://a b", "https://a>b", "x"])
def test_what_is_no_web_address_is_no_link(url):
    """Only http and https addresses that can't end the token become links; the text stays."""
    assert link(url, "run 1") == "run 1"


def test_link_escapes_its_address():
    """The ampersand of an address is escaped as Slack asks."""
    assert link("https://ui.example/?a=1&b=2", "run <1>") == "<https://ui.example/?a=1&amp;b=2|run &lt;1&gt;>"
