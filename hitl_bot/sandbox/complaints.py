"""What is wrong with a block or a view, said the way Slack says it."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


class Complaints:
    """Collects ``message [json-pointer:/blocks/0/text]``, the lines of Slack's ``response_metadata.messages``."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, pointer: str, message: str) -> None:
        self.found.append(f"{message} [json-pointer:{pointer}]")

    def length(self, pointer: str, value: Any, most: int, least: int = 0) -> bool:
        """Complain unless the value is a string of that length; return whether it is a string at all."""
        if not isinstance(value, str):
            self.add(pointer, "must be a string")
            return False
        if len(value) < least:
            self.add(pointer, f"must be more than {least - 1} characters")
        if len(value) > most:
            self.add(pointer, f"must be less than {most + 1} characters")
        return True

    def optional_length(self, pointer: str, holder: Json, name: str, most: int, least: int = 0) -> None:
        if holder.get(name) is not None:
            self.length(f"{pointer}/{name}", holder[name], most, least)

    def items(self, pointer: str, value: Any, most: int, least: int = 1) -> list[Any]:
        """Complain unless the value is a list of that many items; return what there is to look at."""
        if not isinstance(value, list):
            self.add(pointer, "must provide an array")
            return []
        if len(value) < least:
            self.add(pointer, f"no less than {least} items allowed")
        if len(value) > most:
            self.add(pointer, f"no more than {most} items allowed")
        return value

    def required(self, pointer: str, holder: Json, name: str) -> bool:
        if holder.get(name) is None:
            self.add(pointer, f"missing required field: {name}")
            return False
        return True

    def is_object(self, pointer: str, value: Any) -> bool:
        if not isinstance(value, dict):
            self.add(pointer, "must provide an object")
            return False
        return True
