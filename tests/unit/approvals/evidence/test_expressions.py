"""Conditions over metrics: what they say, what they refuse, and that nothing else can come of them."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import example, given, strategies as st

from metaflow_extensions.hitl.approvals.evidence.expressions import (
    LONGEST,
    BadExpression,
    Missing,
    NoAnswer,
    check_names,
    parse_expression,
)

SCOPE = {
    "accuracy": 0.96,
    "delta.accuracy": -0.004,
    "previous.accuracy": 0.964,
    "report.f1": 0.5,
    "rows": 12_400,
    "passed": True,
    "stage": "canary",
    "loss": Missing("is NaN"),
    "zero": 0,
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("accuracy >= 0.95 and abs(delta.accuracy) < 0.01", True),
        ("accuracy >= 0.97 or rows > 1e4", True),
        ("not (accuracy >= 0.97 or rows > 1e5)", True),
        ("0.9 <= accuracy < 0.96", False),
        ("report.f1 * 2 == 1", True),
        ("rows / 2 - 200 == 6000", True),
        ("1 - 0.5 - 0.25 == 0.25", True),
        ("2 + 3 * 4 == 14", True),
        ("-accuracy < 0", True),
        ("min(accuracy, report.f1, 1) == 0.5 and max(1, 2) == 2", True),
        ("passed", True),
        ("passed == False", False),
        ("stage == 'canary' and stage != \"production\"", True),
        ("zero != 0 and rows / zero > 1", False),
        ("accuracy < 0.9 and loss > 1", False),
    ],
)
def test_a_condition_means_what_python_would_mean(text: str, holds: bool) -> None:  # noqa: FBT001 - a table
    """Precedence, chains and short cuts are Python's."""
    assert parse_expression(text).holds(SCOPE) is holds


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("loss < 1", "loss has no value: is NaN"),
        ("rows / zero > 1", "it divides by zero"),
        ("stage > 1", "it compares the text 'canary' with the number 1"),
        ("stage == 1", "it compares the text 'canary' with the number 1"),
        ("passed == 1", "it compares True with the number 1"),
        ("stage < 'x'", "< needs numbers, not the text 'canary'"),
        ("passed + 1 > 1", "+ needs numbers, not True"),
        ("accuracy", "accuracy is the number 0.96, and not true or false"),
        ("accuracy and passed", "and needs conditions, not the number 0.96"),
        ("1e300 * 1e300 > 0", "1e+300 * 1e+300 is too large"),
        ("gone > 1", "gone has no value: it was not recorded"),
    ],
)
def test_without_an_answer_there_is_no_yes(text: str, why: str) -> None:
    """What is missing, divided by zero or of another type is neither true nor false, and says why."""
    with pytest.raises(NoAnswer) as refusal:
        parse_expression(text).holds(SCOPE)
    assert str(refusal.value) == why


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "at character 1: it ends too early"),
        ("accuracy >=", "at character 12: it ends too early"),
        ("accuracy > 0.9)", "at character 15: ')' is not expected here"),
        ("(accuracy > 0.9", "at character 16: ')' is missing"),
        ("accuracy = 0.9", "at character 10: '=' is not part of a condition"),
        ("accuracy ** 9", "at character 11: '*' is not expected here"),
        ("a[0] > 1", "at character 2: '[' is not part of a condition"),
        ("open('x') > 1", "there is no function open; use one of abs, min, max"),
        ("abs(1, 2) > 1", "abs() takes 1 values"),
        ("min(1) > 1", "min() takes 2 to 20 values"),
        ("1if accuracy > 1", "at character 1: '1' is not part of a condition"),
        ("1e999 > accuracy", "1e999 is too large"),
        ("accuracy.1 > 1", "at character 1: 'a' is not part of a condition"),
        ("lambda: 1", "at character 7: ':' is not part of a condition"),
        ("and > 1", "at character 1: 'and' is not expected here"),
        ("(" * 30 + "1" + ")" * 30, "nested more than 20 deep"),
        ("not " * 30 + "passed", "nested more than 20 deep"),
        ("9" * (LONGEST + 1), "may have up to 500 characters, but this one has 501"),
    ],
)
def test_what_is_not_a_condition_is_refused_with_the_place(text: str, why: str) -> None:
    """A mistake is found when the flow is loaded, and the message says where it is."""
    with pytest.raises(BadExpression) as refusal:
        parse_expression(text)
    assert why in str(refusal.value)


def test_an_unknown_name_is_refused_and_the_known_ones_are_listed() -> None:
    """A typo in a rule must not wait until a run asks."""
    with pytest.raises(BadExpression, match=r"uses 'acuracy'. It can use: accuracy, delta.accuracy"):
        check_names(parse_expression("acuracy > 1"), frozenset({"accuracy", "delta.accuracy"}))


ATOMS = st.sampled_from(
    [*SCOPE, "0", "1", "2.5", "1e9", "'canary'", "True", "ghost", "__class__", "accuracy.__class__"]
)
SIGNS = st.sampled_from(["+", "-", "*", "/", "<", "<=", "==", "!=", "and", "or", ">", ",", "(", ")", "not", "**", "."])
TEXTS = st.one_of(
    st.text(max_size=60),
    st.lists(st.one_of(ATOMS, SIGNS, st.sampled_from(["abs(", "min("])), max_size=40).map(" ".join),
    st.recursive(
        ATOMS,
        lambda inner: st.one_of(
            st.tuples(inner, SIGNS, inner).map(" ".join), inner.map("({})".format), inner.map("not {}".format)
        ),
        max_leaves=20,
    ),
)


class _Watched(dict[str, object]):
    """A scope that knows what was read."""

    def __init__(self) -> None:
        super().__init__(SCOPE)
        self.read: set[str] = set()

    def get(self, name: str, default: object = None) -> object:  # type: ignore[override] - one default is enough here
        self.read.add(name)
        return super().get(name, default)


@given(TEXTS)
@example("(" * 499)
@example("-" * 500)
@example("not " * 124)
@example("1/0>0")
@example("١ > 0")
def test_any_text_ends_in_an_answer_or_in_a_refusal(text: str) -> None:
    """Whatever is written: true, false, or one of two errors, without reading any name that is not in the text."""
    scope = _Watched()
    try:
        expression = parse_expression(text)
        assert expression.holds(scope) in {True, False}  # type: ignore[arg-type] - it counts what is read
    except BadExpression:
        assert not scope.read
    except NoAnswer:
        pass
    assert all(name in text for name in scope.read)


@given(st.text(alphabet="()-+*/<>=.,0123456789abs not", min_size=400, max_size=LONGEST))
def test_the_longest_texts_take_no_longer_than_a_blink(text: str) -> None:
    """The work is bounded by the length, also where parentheses nest."""

    def seconds() -> float:
        start = time.thread_time()
        with suppress(BadExpression, NoAnswer):
            parse_expression(text).holds({})
        return time.thread_time() - start

    assert any(seconds() < 0.5 for _ in range(5))  # the collection of garbage may take as long
