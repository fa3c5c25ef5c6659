"""What a person is asked to fill in: from ``@hitl(input_schema=...)`` to JSON Schema, to fields, to typed values.

The schema in a record is JSON Schema (draft 2020-12) in a normal form that :func:`normalise` describes. This package
imports the standard library only, because it also runs in pods; ``inputs`` holds answers to a schema with the
``jsonschema`` library.
"""

from .fields import (
    Field,
    InputSchemaError,
    InvalidInput,
    Kind,
    Problem,
    accepted,
    bounds,
    choice_text,
    close_match,
    fields,
    plain_digits,
)
from .normalise import normalise
from .showable import FormLimits
from .values import canonical, fits, flattened, line, nested, read_lines, read_text, read_texts, storable, typed

__all__ = [
    "Field",
    "FormLimits",
    "InputSchemaError",
    "InvalidInput",
    "Kind",
    "Problem",
    "accepted",
    "bounds",
    "canonical",
    "choice_text",
    "close_match",
    "fields",
    "fits",
    "flattened",
    "line",
    "nested",
    "normalise",
    "plain_digits",
    "read_lines",
    "read_text",
    "read_texts",
    "storable",
    "typed",
]
