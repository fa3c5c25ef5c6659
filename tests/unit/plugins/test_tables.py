"""Values that are tables or long lists, as a person reads them in a message."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import pytest

from metaflow_extensions.hitl.messages import markdown

with warnings.catch_warnings():
    # The plugin loads Metaflow, whose own copy of yaml warns where another one is installed.
    warnings.simplefilter("ignore")
    from metaflow_extensions.hitl.plugins.message import write_markdown
    from metaflow_extensions.hitl.plugins.tables import rows_of, shortened


class Index(list):
    name = "region"


class RangeIndex(list):
    name = None


class Frame:
    """As pandas has them, without pandas."""

    def __init__(self, columns, rows, index=None):
        self.columns, self._rows = columns, rows
        self.index = RangeIndex(range(len(rows))) if index is None else Index(index)

    def __len__(self):
        return len(self._rows)

    def head(self, n):
        return Frame(self.columns, self._rows[:n], None if isinstance(self.index, RangeIndex) else self.index[:n])

    def itertuples(self, *, index, name):  # noqa: ARG002 - as pandas has it
        for key, row in zip(self.index, self._rows, strict=True):
            yield (key, *row) if index else tuple(row)


class Array(NamedTuple):
    shape: tuple[int, ...]


@pytest.mark.parametrize(
    ("value", "rows"),
    [
        ({"f1": 0.9312345678, "n": 3}, [["name", "value"], ["f1", "0.931235"], ["n", "3"]]),
        ({"eu": {"f1": 1}, "us": {"f1": 2}}, [["", "f1"], ["eu", "1"], ["us", "2"]]),
        ([{"a": 1, "b": 2}, {"a": 3}], [["a", "b"], ["1", "2"], ["3", ""]]),
        (Frame(["a", "b"], [[1, "x"], [2, "y"]]), [["a", "b"], ["1", "x"], ["2", "y"]]),
        (Frame(["a"], [[1]], index=["eu"]), [["region", "a"], ["eu", "1"]]),
        ("text", []),
        ([1, 2], []),
        ({}, []),
    ],
)
def test_a_table_has_rows(value, rows):
    """A dict, records and a data frame are tables; an index that only counts is left out."""
    assert rows_of(value) == rows


def test_a_large_table_is_cut_to_what_a_person_reads():
    """Ten rows, the last of them saying how many more there are, six columns, and short cells."""
    rows = rows_of(Frame([f"c{n}" for n in range(40)], [["x" * 500] * 40] * 1000))
    assert len(rows) == 11
    assert rows[-1][0] == "… 991 more"
    assert {len(row) for row in rows} == {6}
    assert max(len(cell) for row in rows for cell in row) == 60


def test_a_long_list_is_cut():
    """A list says its items, or the first and how many more; an array of several dimensions its shape."""
    assert shortened(list(range(100))) == "0, 1, 2, 3, 4, 5, 6, 7, … (92 more)"
    assert shortened(["ridge", "lasso", 0.25]) == "ridge, lasso, 0.25"
    assert shortened([]) == []
    assert shortened([[1], None]) == [[1], None]
    assert shortened(Array((3, 4))) == "Array of 3 × 4"


def test_a_message_shows_a_value_as_a_table():
    """A template that names a data frame has it as a table in Slack, and as aligned lines elsewhere."""
    frame = Frame(["model", "*f1*"], [["a|b", 0.5]])
    plain, formatted = write_markdown("deploy", "Deploy?\n{frame}\nGood?", {"frame": frame})
    assert plain == "Deploy?\n\nmodel  *f1*\na|b    0.5\n\nGood?"
    assert formatted is not None
    (table,) = [part for part in markdown.parse(formatted) if part.kind == "table"]
    assert table.rows == (("model", "*f1*"), ("a|b", "0.5"))


def test_a_message_without_formatting_has_none():
    """Words alone are kept as words; values with Markdown in them make none."""
    assert write_markdown("deploy", "Deploy {v}?", {"v": "**x** _y_ :tada:"}) == ("Deploy **x** _y_ :tada:?", None)
