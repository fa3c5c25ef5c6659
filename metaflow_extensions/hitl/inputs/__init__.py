"""Hold what people enter to the schema in the record, with the ``jsonschema`` library."""

from .validation import parse, validate

__all__ = ["parse", "validate"]
