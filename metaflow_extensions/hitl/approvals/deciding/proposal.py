"""An answer from a command line that waits for its person to confirm it: one immutable object for each.

Nobody vouches for the name in it, nor for anything else: whoever can write the bucket can write one. So it does nothing
but let the bot ask that person, who sees what it says, and whose click is about exactly these bytes.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, cast

from metaflow_extensions.hitl.approvals import bucket
from metaflow_extensions.hitl.approvals.errors import CorruptRecord
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.record import Approval, Decision, Verdict, Vote, Where, is_id

FORMAT = 1
KIND = "answer"
FOLDER = bucket.PROPOSALS.folder("answers")
LARGEST = 64 * 1024  # bytes
_LONGEST = {"reason": 3_000, "claimed": 200}  # characters
_NONCE = re.compile(r"[0-9a-f]{32}", re.ASCII)
_KEYS = frozenset({"format", "kind", "approval_id", "verdict", "input", "reason", "claimed", "at", "nonce"})


class BadProposal(CorruptRecord):
    """This release can't read it as an answer. Nobody is asked about it."""


@dataclass(frozen=True, kw_only=True)
class AnswerProposal:
    """What somebody typed who calls themselves ``claimed``."""

    approval_id: str
    verdict: Verdict
    claimed: str
    at: datetime
    nonce: str
    input: dict[str, Any] = field(default_factory=dict[str, Any])
    reason: str = ""

    @property
    def key(self) -> str:
        return bucket.proposed_answer_key(self.approval_id, self.nonce)

    def is_confirmed(self, approval: Approval) -> bool:
        """Whether the record has an answer that was confirmed since, and says the same."""
        given: list[Vote | Decision] = list(approval.votes)
        if approval.decision is not None:
            given.append(approval.decision)
        return any(
            one.where is Where.CONFIRMATION
            and one.at >= self.at
            and (one.verdict, one.input, one.reason) == (self.verdict, self.input, self.reason)
            for one in given
        )

    @property
    def digest(self) -> str:
        """SHA-256 of its bytes, in hex: what a click confirms."""
        return hashlib.sha256(encode_answer(self)).hexdigest()


def encode_answer(proposal: AnswerProposal) -> bytes:
    """Return the canonical bytes."""
    document = {
        **asdict(proposal),
        "format": FORMAT,
        "kind": KIND,
        "verdict": proposal.verdict.value,
        "at": proposal.at.isoformat(),
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def decode_answer(key: str, body: bytes) -> AnswerProposal:
    """Read the bytes below a key, strictly: what was read is what was written, and about the approval of its key.

    Raises
    ------
    BadProposal
        It is anything else.
    """
    if len(body) > LARGEST:
        raise BadProposal(key, f"it has more than {LARGEST:,} bytes")
    try:
        document: Any = json.loads(body)
        if not isinstance(document, dict):
            raise BadProposal(key, "it is not a JSON object")
        parts = cast("dict[str, Any]", document)
        if parts.keys() != _KEYS:
            raise BadProposal(key, "it has other parts than an answer")
        proposal = _read(parts)
    except (ValueError, TypeError, RecursionError) as error:
        raise BadProposal(key, "it is not an answer") from error
    if key != proposal.key or encode_answer(proposal) != body:
        raise BadProposal(key, "it is about another approval, or not written as an answer is")
    return proposal


def _read(document: dict[str, Any]) -> AnswerProposal:
    at = datetime.fromisoformat(document["at"])
    texts = {name: document[name] for name in ("approval_id", "nonce", "reason", "claimed")}
    fits = (
        document["format"] == FORMAT
        and document["kind"] == KIND
        and at.tzinfo is not None
        and isinstance(document["input"], dict)
        and all(isinstance(text, str) for text in texts.values())
        and all(len(texts[name]) <= most for name, most in _LONGEST.items())
        and is_id(texts["approval_id"])
        and _NONCE.fullmatch(texts["nonce"]) is not None
        and bool(texts["claimed"].strip())
    )
    if not fits:
        raise ValueError("a part of it is out of bounds")
    return AnswerProposal(verdict=Verdict(document["verdict"]), at=at, input=document["input"], **texts)  # pyright: ignore[reportUnknownArgumentType] - JSON


def propose_answer(store: Store, proposal: AnswerProposal) -> None:
    """Write it, for the bot to find."""
    store.create(proposal.key, encode_answer(proposal))


def proposed(store: Store, *, limit: int) -> Iterator[str]:
    """Yield the keys of what is proposed, so many at most: one LIST for each 1,000."""
    return iter(store.list(FOLDER, limit=limit))


def read_answer(store: Store, key: str) -> AnswerProposal:
    """Read one; raises as ``decode_answer``, KeyMissing if it is gone."""
    return decode_answer(key, store.read(key))


def answer_key(approval_id: str, nonce: str) -> str | None:
    """Return the key of an answer; None if there can't be one."""
    fits = is_id(approval_id) and _NONCE.fullmatch(nonce) is not None
    return bucket.proposed_answer_key(approval_id, nonce) if fits else None
