"""Whether a signed question is, to the letter, the one that its run asked."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given

from metaflow_extensions.hitl.approvals.codec import Version, decode, encode
from metaflow_extensions.hitl.approvals.proposing import asked_digest, differing
from metaflow_extensions.hitl.approvals.question import Earlier, Question
from tests.fixtures.any_approval import questions, versions
from tests.fixtures.approvals import question


@pytest.mark.slow
@given(version=versions())
def test_a_record_keeps_what_was_asked(version: Version) -> None:
    """Written and read again, a question has the digest that its run gave to Argo."""
    read = decode("k", encode(replace(version, key=None))).approval
    assert asked_digest(read.question) == asked_digest(version.approval.question)


@pytest.mark.slow
@given(one=questions(), other=questions())
def test_every_difference_shows(one: Question, other: Question) -> None:
    """Two questions share a digest exactly if nothing is found in which they differ, whichever field it is."""
    assert (asked_digest(one) == asked_digest(other)) is (differing(one, other) == ())
    for field in fields(Question):
        mixed = replace(one, **{field.name: getattr(other, field.name)})
        assert (asked_digest(one) == asked_digest(mixed)) is (differing(one, mixed) == ()), field.name


@pytest.mark.parametrize(
    "shown",
    [
        question("Deploy <Model object at 0x7f001122aabb>?"),
        replace(
            question("Deploy <Model object at 0x7f9988776655>?"),
            follows=Earlier(approval_id="a", by="bob", reason="no"),
        ),
    ],
)
def test_what_each_process_says_differently_is_no_difference(shown: Question) -> None:
    """The address of an object, and what the bot adds from earlier records, are nothing that a run asked."""
    assert asked_digest(shown) == asked_digest(question("Deploy <Model object at 0x7fdeadbeef00>?"))
