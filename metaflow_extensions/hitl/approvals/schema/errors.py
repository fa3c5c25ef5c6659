"""What is wrong with a schema, and what is wrong with an answer to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from metaflow_extensions.hitl.approvals.errors import HitlError


class InputSchemaError(HitlError, ValueError):
    """``input_schema`` can't become a form. Raised when the flow is loaded.

    Attributes
    ----------
    field : str or None
        The field's name as the author wrote it; None if it is about the schema as a whole.
    """

    def __init__(self, what: str, *, field: str | None = None) -> None:
        self.what = what
        self.field = field
        super().__init__(f"input_schema: {what}" if field is None else f"input_schema, field {field!r}: {what}")


@dataclass(frozen=True)
class Problem:
    """What is wrong with one value.

    Attributes
    ----------
    field : str
        The name of the field, or the unknown name that was given.
    text : str
        What is accepted, to stand beside the field's name or under its input: "must be a whole number from 1 to 100".
        Never holds the value that was entered.
    """

    field: str
    text: str


class InvalidInput(HitlError):
    """What was entered does not fit the schema. Nothing was decided.

    Attributes
    ----------
    problems : tuple of Problem
        At least one; at most one a field, in the schema's order, unknown names last.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{problem.field} {problem.text}" for problem in self.problems) + ".")
