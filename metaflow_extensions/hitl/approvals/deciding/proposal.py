"""What a command line wants and its person has to confirm: an answer, or that an obligation is done. One object each.

Nobody vouches for the name in it, nor for anything else: whoever can write the bucket can write one. So it does nothing
but let the bot ask that person, who sees what it says, and whose click is about exactly these bytes.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, ClassVar, TypeAlias, cast

from metaflow_extensions.hitl.approvals import bucket, bucket_map
from metaflow_extensions.hitl.approvals.errors import CorruptRecord
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.record import (
    Approval,
    Decision,
    FollowUpKind,
    Obligation,
    Origin,
    Person,
    State,
    Verdict,
    Vote,
    Where,
    is_id,
)

FORMAT = 2
FOLDER = bucket_map.PROPOSALS.folder("answers")
LARGEST = 64 * 1024  # bytes
_LONGEST = 3_000  # characters of a reason, and of what is owed or was done
_LONGEST_NAME = 200
_NONCE = re.compile(r"[0-9a-f]{32}", re.ASCII)


class BadProposal(CorruptRecord):
    """This release can't read it as an answer. Nobody is asked about it."""


@dataclass(frozen=True, kw_only=True)
class ProposedObligation:
    """What somebody owes with an answer. Without an owner it is whoever confirms the answer."""

    text: str
    due: str
    owner: str = ""

    @classmethod
    def of(cls, obligation: Obligation, who: Person) -> "ProposedObligation":
        """Write down an obligation as the person meant it who typed it."""
        owner = "" if obligation.owner == who else obligation.owner.id
        return cls(text=obligation.text, due=obligation.due, owner=owner)

    def taken_on(self, who: Person) -> Obligation:
        """Return the obligation once somebody has confirmed it."""
        return Obligation(text=self.text, owner=claimed_owner(self.owner) if self.owner else who, due=self.due)


def claimed_owner(name: str) -> Person:
    """Return the owner of an obligation as somebody types them: a user name or an email address."""
    return Person(id=name, name=name, origin=Origin.CLAIM, email=name if "@" in name else None)


@dataclass(frozen=True, kw_only=True)
class _Proposal:
    """What is the same for both: about what, and by whom."""

    approval_id: str
    claimed: str
    at: datetime
    nonce: str

    @property
    def key(self) -> str:
        return bucket.proposed_answer_key(self.approval_id, self.nonce)

    @property
    def digest(self) -> str:
        """SHA-256 of its bytes, in hex: what a click confirms."""
        return hashlib.sha256(encode_answer(self)).hexdigest()


@dataclass(frozen=True, kw_only=True)
class AnswerProposal(_Proposal):
    """What somebody answered who calls themselves ``claimed``."""

    kind: ClassVar[str] = "answer"
    verdict: Verdict
    input: dict[str, Any] = field(default_factory=dict[str, Any])
    reason: str = ""
    obligation: ProposedObligation | None = None

    def is_over(self, approval: Approval) -> bool:
        """Whether nothing is left to be confirmed."""
        return approval.state is not State.PENDING

    def is_confirmed(self, approval: Approval) -> bool:
        """Whether the record has an answer that was confirmed since, and says the same."""
        given: list[Vote | Decision] = list(approval.votes)
        if approval.decision is not None:
            given.append(approval.decision)
        return any(
            one.where is Where.CONFIRMATION
            and one.at >= self.at
            and (one.verdict, one.input, one.reason) == (self.verdict, self.input, self.reason)
            and self._owes_the_same(one)
            for one in given
        )

    def _owes_the_same(self, given: Vote | Decision) -> bool:
        owed, meant = given.obligation, self.obligation
        if owed is None or meant is None:
            return owed is None and meant is None
        return (owed.text, owed.due) == (meant.text, meant.due)


@dataclass(frozen=True, kw_only=True)
class DoneProposal(_Proposal):
    """That somebody who calls themselves ``claimed`` says that an obligation is done."""

    kind: ClassVar[str] = "done"
    number: int  # of the obligation
    comment: str

    def is_over(self, approval: Approval) -> bool:
        """Whether nothing is left to be confirmed."""
        return self.number not in approval.open_obligations

    def is_confirmed(self, approval: Approval) -> bool:
        """Whether the record says that it was closed since, with the same words."""
        return any(
            one.kind is FollowUpKind.DONE
            and (one.number, one.comment) == (self.number, self.comment)
            and one.at >= self.at
            for one in approval.follow_ups
        )


Proposal: TypeAlias = AnswerProposal | DoneProposal

_EVERY = frozenset({"format", "kind", "approval_id", "claimed", "at", "nonce"})
_PARTS = {
    AnswerProposal.kind: _EVERY | {"verdict", "input", "reason", "obligation"},
    DoneProposal.kind: _EVERY | {"number", "comment"},
}


def encode_answer(proposal: _Proposal) -> bytes:
    """Return the canonical bytes of a ``Proposal``."""
    document = {**asdict(proposal), "format": FORMAT, "at": proposal.at.isoformat()}
    if isinstance(proposal, AnswerProposal):
        document["verdict"] = proposal.verdict.value
    document["kind"] = getattr(proposal, "kind", "")
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def decode_answer(key: str, body: bytes) -> Proposal:
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
        if parts.get("format") != FORMAT or parts.keys() != _PARTS.get(str(parts.get("kind"))):
            raise BadProposal(key, "it has other parts than an answer")
        proposal = _read(parts)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise BadProposal(key, "it is not an answer") from error
    if key != proposal.key or encode_answer(proposal) != body:
        raise BadProposal(key, "it is about another approval, or not written as an answer is")
    return proposal


def _read(document: dict[str, Any]) -> Proposal:
    at = datetime.fromisoformat(document["at"])
    about = {
        "approval_id": _text(document, "approval_id", _LONGEST_NAME),
        "claimed": _text(document, "claimed", _LONGEST_NAME),
        "nonce": _text(document, "nonce", _LONGEST_NAME),
    }
    fits = (
        at.tzinfo is not None
        and is_id(about["approval_id"])
        and _NONCE.fullmatch(about["nonce"]) is not None
        and bool(about["claimed"].strip())
    )
    if not fits:
        raise ValueError("a part of it is out of bounds")
    if document["kind"] == DoneProposal.kind:
        number = document["number"]
        if type(number) is not int or number < 1:
            raise ValueError("no obligation has this number")
        return DoneProposal(**about, at=at, number=number, comment=_text(document, "comment", _LONGEST))
    if not isinstance(document["input"], dict):
        raise TypeError("its input is not an object")
    return AnswerProposal(
        **about,
        at=at,
        verdict=Verdict(document["verdict"]),
        input=document["input"],  # pyright: ignore[reportUnknownArgumentType] - JSON
        reason=_text(document, "reason", _LONGEST),
        obligation=_read_obligation(document["obligation"]),
    )


def _read_obligation(written: Any) -> ProposedObligation | None:
    if written is None:
        return None
    owed = ProposedObligation(
        text=_text(written, "text", _LONGEST),
        due=_text(written, "due", 10),
        owner=_text(written, "owner", _LONGEST_NAME),
    )
    owed.taken_on(_NOBODY)  # raises ValueError for what no record takes
    return owed


_NOBODY = Person(id="", name="", origin=Origin.CLAIM)


def _text(document: dict[str, Any], name: str, longest: int) -> str:
    text = document[name]
    if not isinstance(text, str) or len(text) > longest:
        raise ValueError(f"{name} is out of bounds")
    return text


def propose_answer(store: Store, proposal: Proposal) -> None:
    """Write it, for the bot to find."""
    store.create(proposal.key, encode_answer(proposal))


def proposed(store: Store, *, limit: int) -> Iterator[str]:
    """Yield the keys of what is proposed, so many at most: one LIST for each 1,000."""
    return iter(store.list(FOLDER, limit=limit))


def read_answer(store: Store, key: str) -> Proposal:
    """Read one; raises as ``decode_answer``, KeyMissing if it is gone."""
    return decode_answer(key, store.read(key))


def answer_key(approval_id: str, nonce: str) -> str | None:
    """Return the key of an answer; None if there can't be one."""
    fits = is_id(approval_id) and _NONCE.fullmatch(nonce) is not None
    return bucket.proposed_answer_key(approval_id, nonce) if fits else None
