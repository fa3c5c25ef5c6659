"""The message as its author wrote it: Markdown that Slack shows, in which values stay letters."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import given, strategies as st

from metaflow_extensions.hitl.messages import markdown, plain, sentences, single, terminal
from metaflow_extensions.hitl.messages.markdown import Span
from tests.fixtures.approvals import NOW, approval

AUTHORS = """Deploy **{v}**?
Because `{v}` is *better* than ~~{v}~~, see [the card](https://models.example.com/x).
- first {v}
- second
1. one
> quoted {v}

| metric | now |
| --- | --- |
| f1 | {v} |
```
{v}
```"""


def rendered(text: str) -> tuple[markdown.Piece, ...]:
    return markdown.parse(text)


def spans(parts) -> list[Span]:
    return [span for part in parts for line in part.lines for span in line]


def asked(text: str):
    parts = markdown.parse(text)
    return approval(message=markdown.plain(parts), markdown=text)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("**a** b", [Span(text="a", bold=True), Span(text=" b")]),
        ("*a* and _b_", [Span(text="a", italic=True), Span(text=" and "), Span(text="b", italic=True)]),
        ("~~a~~", [Span(text="a", strike=True)]),
        ("`a*b*`", [Span(text="a*b*", code=True)]),
        ("**a `b`**", [Span(text="a ", bold=True), Span(text="b", bold=True, code=True)]),
        ("[a](https://x.example/y)", [Span(text="a", url="https://x.example/y")]),
        ("# Title", [Span(text="Title", bold=True)]),
        ("[a](javascript:alert)", [Span(text="[a](javascript:alert)")]),
        ("snake_case_name, 2 * 3 * 4, a:b:c", [Span(text="snake_case_name, 2 * 3 * 4, a:b:c")]),
        (r"\*a\*", [Span(text="*a*")]),
    ],
)
def test_a_line_is_shown_as_it_is_formatted(written, shown):
    """Bold, italic, struck, code and links; what only looks like it stays as it is."""
    assert spans(markdown.parse(written)) == shown


def test_slack_gets_rich_text_and_one_table():
    """Lists, quotes, code and a table are Slack's own; a second table is written in letters of one width."""
    text = AUTHORS.replace("{v}", "7") + "\n\n| a | b |\n|---|---|\n| 1 | 2 |"
    blocks = markdown.blocks(markdown.parse(text), tables=1)
    kinds = [one["type"] for block in blocks for one in block.get("elements", [block])]
    assert kinds == [
        "rich_text_section",
        "rich_text_list",
        "rich_text_list",
        "rich_text_quote",
        "table",
        "rich_text_preformatted",
        "rich_text_preformatted",
    ]


values = st.text(st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from(string.punctuation), max_size=30)


@given(values.filter(lambda value: value == value.strip() and value))
def test_no_value_is_ever_formatting_a_mention_a_link_or_an_emoji(value):
    """Whatever a value holds, the message has the author's structure, and the value letter by letter."""
    with_seven = markdown.parse(AUTHORS.replace("{v}", "7"))
    with_value = markdown.parse(AUTHORS.replace("{v}", markdown.literal(value)))
    assert [(part.kind, len(part.lines), len(part.rows)) for part in with_value] == [
        (part.kind, len(part.lines), len(part.rows)) for part in with_seven
    ]
    looks = [(span.style, span.url) for span in spans(with_value)]
    assert looks == [(span.style, span.url) for span in spans(with_seven)]
    assert [span.text for span in spans(with_value) if span.bold] == [value]
    assert [span.text for span in spans(with_value) if span.strike] == [value]
    # In Slack it is the text of an element, which no client parses; no element names a user, a channel or an emoji.
    allowed = {"rich_text", "rich_text_section", "rich_text_list", "rich_text_quote", "rich_text_preformatted"}
    found = {one["type"] for one in _nested(markdown.blocks(with_value, tables=0)) if "type" in one}
    assert found <= allowed | {"text", "link"}
    # In a terminal and in an email too.
    assert value in markdown.plain(with_value)
    assert "<b" not in markdown.page(with_value).replace("<br>", "").replace("<blockquote>", "")


def _nested(value):
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _nested(one)


@given(st.text(max_size=200))
def test_everything_can_be_parsed(text):
    """No text makes the parser fail, and Slack's limits of a message are kept."""
    blocks = single.render(asked(text), now=NOW).blocks
    assert len(blocks) <= 50
    json.dumps(blocks)


def test_everybody_sees_the_same_words():
    """The header is the first line without formatting; terminal and email say what Slack says."""
    formatted = asked(AUTHORS.replace("{v}", "v7"))
    blocks = single.render(formatted, now=NOW).blocks
    assert blocks[0]["text"]["text"] == "Deploy v7?"
    assert blocks[1]["elements"][0]["elements"][1] == {"type": "text", "text": "v7", "style": {"code": True}}
    assert "**" not in terminal.question_text(formatted)
    assert "the card (https://models.example.com/x)" in terminal.question_text(formatted)
    assert "<strong>v7</strong>" in plain.render_letter(formatted).html
    assert '<a href="https://models.example.com/x">the card</a>' in plain.render_letter(formatted).html


def test_formatting_that_says_something_else_is_not_shown():
    """A record whose Markdown and words differ shows the words, which every other medium shows."""
    forged = approval(message="Deploy to production?", markdown="Deploy to **staging**?")
    assert sentences.formatted(forged) == ()
    assert "staging" not in str(single.render(forged, now=NOW).blocks)


def test_links_are_buttons_and_leave_the_lines():
    """Each link is a button of its own that leads there; one that is no web address has none."""
    pending = approval(links={"Card": "https://models.example.com/17", "No": "ftp://x"})
    blocks = single.render(pending, now=NOW).blocks
    links = [one for block in blocks for one in block.get("elements", ()) if one.get("url")]
    assert [(one["text"]["text"], one["url"], one["action_id"]) for one in links] == [
        ("Card", "https://models.example.com/17", "hitl_link_0")
    ]


def test_links_are_lines_in_a_terminal():
    """Where nothing can be pressed, a link is its name and its address."""
    pending = approval(links={"Card": "https://models.example.com/17"})
    for shown in (terminal.question_text(pending), terminal.shown(pending, now=NOW)):
        assert [line.split() for line in shown.splitlines() if "Card" in line] == [
            ["Card", "https://models.example.com/17"]
        ]
