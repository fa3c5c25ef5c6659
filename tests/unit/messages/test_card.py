"""The card of a gated task: one page that loads nothing, shows everything, and obeys nobody."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

from metaflow_extensions.hitl.approvals.evidence.collected import Evidence, Metric
from metaflow_extensions.hitl.approvals.evidence.pictures import Picture
from metaflow_extensions.hitl.messages import card
from tests.fixtures.approvals import ALICE, BOB, approval, approving, rejecting, voting


class Tags(HTMLParser):
    """Every tag with its attributes' names."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen |= {tag, *(name for name, _ in attrs)}


def test_everything_that_counts_is_on_it() -> None:
    """Question, evidence, picture, votes, verdict, how the answer came, who vouches, and the reason."""
    evidence = Evidence(metrics=(Metric(name="accuracy", value=0.94, format=".1%"),), parameters={"rate": "0.1"})
    decided = replace(
        approval(message="Deploy v7?", evidence=evidence),
        votes=(voting(ALICE), voting(BOB)),
        decision=approving(BOB, voters=(ALICE, BOB), reason="looks good"),
        vouched_by="66a8b2c7fd1aeb42",
    )
    page = card.page(decided, pictures=[Picture(name="a.png", title="Course", png=b"\x89PNG", alt="It rises")])
    for shown in (
        "<h1>Deploy v7?</h1>",
        "<td>accuracy</td><td>94.0%</td>",
        'src="data:image/png;base64,iVBORw==" alt="It rises"',
        "vote of Alice Adams",
        "Approved by Alice Adams and Bob Brown",
        "<blockquote>looks good</blockquote>",
        "<th>how</th><td>answered with a button in Slack; verified by the bot&#x27;s key</td>",
        "<th>parameter rate</th><td>0.1</td>",
        "No earlier approval of this step was found",
        "SHA-256",
    ):
        assert shown in page


def test_what_was_not_recorded_is_said() -> None:
    """A record without evidence is not shown as fine."""
    assert "<h2>Evidence</h2><p>Nothing was recorded.</p>" in card.page(replace(approval(), decision=rejecting()))


def test_no_text_becomes_markup() -> None:
    """Whatever message, reason, metric and parameter hold, the page has only its own tags, and loads nothing."""
    evil = "<script src=//evil>alert(1)</script><img src=x onerror=alert(1)>\"'"
    evidence = Evidence(metrics=(Metric(name=evil, value=evil),), parameters={evil: evil})
    decided = replace(
        approval(message=evil, evidence=evidence), decision=rejecting(replace(BOB, name=evil), reason=evil)
    )
    page = card.page(decided)
    tags = Tags()
    tags.feed(page)
    assert not tags.seen & {"script", "img", "onerror", "src", "link", "iframe"}
    assert re.findall(r'(?:src|href)="(?!data:image/png)[^"]*"', page) == []
