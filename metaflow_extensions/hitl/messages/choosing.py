"""Which shards somebody ticks, over as many pages as it takes.

A view keeps nothing but 3,000 characters of its own, so it holds one bit for each shard: offered or not, ticked or
not. The bits count through the gates that were on the message when the view opened, in the order of their ids, and a
hash of these ids proves that they still mean the same.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.record import Approval
from metaflow_extensions.hitl.messages import action_ids
from metaflow_extensions.hitl.messages.batch import Batch

_COMPRESSED = "."  # before bits that are; no character of the others
_METADATA = 3_000  # characters of a view's private_metadata


class TooManyShards(HitlError):
    """There are too many shards to choose from in Slack. Approve all or reject all of them, or answer each one."""

    def __init__(self) -> None:
        super().__init__(str(self.__doc__))


class OtherShards(HitlError):
    """Other shards have joined since this was opened, so nothing was answered. Close it, and open it again."""

    def __init__(self) -> None:
        super().__init__(str(self.__doc__))


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What was offered, what is ticked, and where somebody looks.

    Attributes
    ----------
    known : Sequence[str]
        The ids of all gates that were on the message when the view opened, sorted.
    until : datetime
        When the youngest of them was asked.
    offered : Sequence[Approval]
        Those of them that waited then, in the order of the foreach.
    off : frozenset[str]
        The ids of those that are not ticked.
    size : int
        Checkboxes on a page.
    page : int
        From 0.
    look : int
        Counts how often the view was built. Its inputs are named by it: what somebody ticked in one that keeps its
        name, Slack keeps.
    """

    known: Sequence[str]
    until: datetime
    offered: Sequence[Approval]
    off: frozenset[str] = frozenset()
    size: int
    page: int = 0
    look: int = 0

    @property
    def pages(self) -> int:
        return max(1, -(-len(self.offered) // self.size))

    @property
    def shown(self) -> Sequence[Approval]:
        """The page's shards, also those that were answered meanwhile: a page never shifts."""
        return self.offered[self.page * self.size : (self.page + 1) * self.size]

    @property
    def ticked(self) -> frozenset[str]:
        return frozenset(one.id for one in self.offered) - self.off

    @property
    def held(self) -> dict[str, Any]:
        """What the view keeps."""
        return {
            "until": self.until.isoformat(),
            "of": _digest(self.known),
            "offered": _packed(self.known, {one.id for one in self.offered}),
            "off": _packed(self.known, self.off),
            "size": self.size,
            "page": self.page,
            "look": self.look,
        }

    def turned_to(self, page: int) -> Choice:
        return replace(self, page=min(max(page, 0), self.pages - 1), look=self.look + 1)

    def all_ticked(self) -> Choice:
        return replace(self, off=frozenset(), look=self.look + 1)

    def none_ticked(self) -> Choice:
        return replace(self, off=frozenset(one.id for one in self.offered), look=self.look + 1)


def metadata(kept: Mapping[str, Any]) -> str:
    """Write what a view keeps for itself, or raise TooManyShards."""
    written = json.dumps(kept, separators=(",", ":"))
    if len(written) > _METADATA:
        raise TooManyShards
    return written


def held(view: Mapping[str, Any]) -> dict[str, Any]:
    """Read what a view keeps for itself."""
    try:
        found = json.loads(view.get("private_metadata") or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def chosen(batch: Batch, view: Mapping[str, Any]) -> Choice:
    """Read a choice out of a view that Slack sent back, with what is ticked on its page.

    Raises
    ------
    OtherShards
        The gates are not those that it was made of.
    """
    kept = held(view)
    try:
        until = datetime.fromisoformat(str(kept["until"]))
        known = sorted(one.id for one in batch.members if one.requested_at <= until)
        offered, off = _unpacked(known, str(kept["offered"])), _unpacked(known, str(kept["off"]))
        size, page, look = int(kept["size"]), int(kept["page"]), int(kept["look"])
    except (KeyError, TypeError, ValueError) as error:
        raise OtherShards from error
    if kept.get("of") != _digest(known):
        raise OtherShards
    ticked, unticked = _ticked_in(view)
    return Choice(
        known=known,
        until=until,
        offered=[one for one in batch.members if one.id in offered],
        off=frozenset(((off | unticked) - ticked) & offered),
        size=size,
        page=page,
        look=look,
    )


def _ticked_in(view: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    """Return the ids of the shards on this page that are ticked, and of those that are not."""
    offered: set[str] = set()
    for block in view.get("blocks", ()):
        if str(block.get("block_id", "")).startswith(action_ids.SHARDS_BLOCK):
            offered |= {str(option["value"]) for option in block["element"]["options"]}
    ticked: set[str] = set()
    for block_id, values in view["state"]["values"].items():
        if block_id.startswith(action_ids.SHARDS_BLOCK):
            ticked |= {str(one["value"]) for one in values[action_ids.SHARDS_VALUE].get("selected_options") or ()}
    return ticked & offered, offered - ticked


def _digest(known: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(known).encode()).hexdigest()[:16]


def _packed(known: Sequence[str], ids: Collection[str]) -> str:
    bits = sum(1 << place for place, one in enumerate(known) if one in ids)
    raw = bits.to_bytes(len(known) // 8 + 1, "little").rstrip(b"\0")
    small = zlib.compress(raw, 9)
    if len(small) < len(raw):
        return _COMPRESSED + urlsafe_b64encode(small).decode()
    return urlsafe_b64encode(raw).decode()


def _unpacked(known: Sequence[str], text: str) -> frozenset[str]:
    raw = urlsafe_b64decode(text.removeprefix(_COMPRESSED))
    if text.startswith(_COMPRESSED):
        try:
            raw = zlib.decompressobj().decompress(raw, len(known) // 8 + 1)
        except zlib.error as error:
            raise ValueError(str(error)) from error
    bits = int.from_bytes(raw, "little")
    return frozenset(one for place, one in enumerate(known) if bits >> place & 1)
