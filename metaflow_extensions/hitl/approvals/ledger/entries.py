"""What is read from a ledger."""

from __future__ import annotations

from dataclasses import dataclass, field

from metaflow_extensions.hitl.approvals.codec import Version
from metaflow_extensions.hitl.approvals.record import Approval


@dataclass(frozen=True, kw_only=True)
class Entry:
    """The newest version of an approval, as read or written here."""

    version: Version
    digest: str  # SHA-256 of its bytes, in hex
    size: int = 0  # bytes
    # Whether it was held to the version before it: by one more read, by its signature, or since it was written here.
    is_linked: bool = field(default=False, compare=False)

    @property
    def approval(self) -> Approval:
        return self.version.approval

    @property
    def number(self) -> int:
        return self.version.number
