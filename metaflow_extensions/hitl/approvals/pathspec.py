"""Which task an approval is about, and the id that follows from it."""

from __future__ import annotations

import hashlib
import re
from base64 import b32encode
from dataclasses import dataclass

from metaflow_extensions.hitl.approvals.errors import HitlError

_PART = re.compile(r"[A-Za-z0-9_@-][A-Za-z0-9_.@-]{0,199}")  # it becomes part of a key: no dot first
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_STEP_LENGTH = 40  # what an id keeps of a step's name; the hash tells apart what is cut
_HASH_LENGTH = 10


class BadId(HitlError, ValueError):
    """This is neither an approval id nor a pathspec."""

    def __init__(self, text: str) -> None:
        shown = text if len(text) <= 80 else text[:79] + "…"  # noqa: PLR2004 - one line of a terminal
        super().__init__(
            f"{shown!r} is not an approval ID. Use the ID under the question (such as gate-7f3k2m9qx4), "
            "a unique beginning of it, or the pathspec FLOW/RUN/STEP/TASK."
        )


@dataclass(frozen=True, kw_only=True)
class Pathspec:
    """A Metaflow task by its four names. Metaflow's own names never hold a slash."""

    flow: str
    run: str
    step: str
    task: str

    def __post_init__(self) -> None:
        for part in (self.flow, self.run, self.step, self.task):
            if not _PART.fullmatch(part):
                raise BadId(str(self))

    def __str__(self) -> str:
        return f"{self.flow}/{self.run}/{self.step}/{self.task}"

    @classmethod
    def parse(cls, text: str) -> Pathspec:
        """Read ``flow/run/step/task``; raise BadId for anything else."""
        parts = text.split("/")
        if len(parts) != 4:  # noqa: PLR2004 - a pathspec has four names
            raise BadId(text)
        flow, run, step, task = parts
        return cls(flow=flow, run=run, step=step, task=task)

    @property
    def approval_id(self) -> str:
        """``<step>-<10 characters>``: the same for every attempt at this task, and for no other task."""
        digest = hashlib.sha256(str(self).encode()).digest()
        step = re.sub(r"[^a-z0-9]+", "-", self.step.lower()).strip("-")[:_STEP_LENGTH].rstrip("-") or "step"
        return f"{step}-{b32encode(digest).decode().lower()[:_HASH_LENGTH]}"


def checked_id(text: str) -> str:
    """Return an id, or a beginning of one, that is safe as part of a key; raise BadId otherwise."""
    if not _ID.fullmatch(text):
        raise BadId(text)
    return text


def is_part(text: str) -> bool:
    """Whether this could be a name in a pathspec, and so a part of a key."""
    return _PART.fullmatch(text) is not None


def is_id(text: str) -> bool:
    """Whether this could be a whole id."""
    return _ID.fullmatch(text) is not None
