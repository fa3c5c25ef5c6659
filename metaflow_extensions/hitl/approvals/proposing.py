"""What a run writes where only a bot writes records: proposals. They count for nothing until a bot takes them over.

A proposal of a question is its record's first version as the run would have written it, unsigned. The bot reads it as
strictly as a record, takes over what is asked, and adds what it knows itself.
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Any, cast

from . import bucket, transitions
from .codec import Version, decode, encode
from .errors import CorruptRecord, KeyMissing, KeyTaken, OtherQuestion
from .evidence.collected import digest
from .ports import Store, has_key
from .question import Question
from .record import Approval, TrailEvent

_KEYS = "trusted_keys"  # among the proposal's own names: the ids of the public keys that the run trusts
_ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}\b")  # of a Python object without a text of its own; another in each process
_MOST_KEYS = 20


def propose(store: Store, approval: Approval, keys: Collection[str]) -> None:
    """Write down a question for a bot to take over. The same question again is fine.

    Parameters
    ----------
    keys : Collection[str]
        The ids of the keys that the run trusts: with one of them the bot signs.

    Raises
    ------
    OtherQuestion
        Another question was proposed for this task.
    KeyMissing
        A bot took over what was proposed before, in this very moment. Look for the record again.
    """
    key = bucket.proposed_question_key(approval.id)
    proposed = replace(approval, unknown={_KEYS: sorted(keys)})
    version = Version(number=1, previous=None, event=TrailEvent.REQUESTED, at=approval.requested_at, approval=proposed)
    try:
        store.create(key, encode(version))
    except KeyTaken:
        found, _ = read_proposal(store, key)
        check_same_question(approval, found)


def read_proposal(store: Store, key: str) -> tuple[Approval, tuple[str, ...]]:
    """Read a question as it was proposed, and the ids of the keys that the run trusts.

    Raises
    ------
    KeyMissing
        It is gone: taken over.
    RecordError
        It is not a proposal, or not for this release. Nothing follows from it.
    """
    version = decode(key, store.read(key))
    approval = version.approval
    if bucket.proposed_question_key(approval.id) != key:
        raise CorruptRecord(key, f"it is about {approval.id}")
    keys = approval.unknown.get(_KEYS)
    if not isinstance(keys, list) or len(keys) > _MOST_KEYS or not all(isinstance(one, str) for one in keys):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - JSON
        raise CorruptRecord(key, "it does not say which keys its run trusts")
    return replace(approval, unknown={}), tuple(cast("list[str]", keys))


def check_same_question(asked: Approval, found: Approval) -> None:
    """Raise OtherPathspec or OtherQuestion unless what was found asks exactly what is asked here."""
    transitions.belongs_to(found, asked.pathspec)
    other = differing(asked.question, found.question)
    if asked.gate != found.gate:
        other = (*other, "gate")
    if other:
        raise OtherQuestion(found.id, ", ".join(other))


def without_what_the_bot_adds(question: Question) -> Question:
    """Return a question as a run can ask it: without what follows from earlier records, which only the bot believes."""
    evidence = question.evidence
    return replace(question, follows=None, evidence=None if evidence is None else replace(evidence, baseline=None))


def differing(one: Question, other: Question) -> tuple[str, ...]:
    """Name the fields in which two questions differ."""
    one, other = without_what_the_bot_adds(one), without_what_the_bot_adds(other)
    names = (field.name for field in fields(Question))
    return tuple(name for name in names if _comparable(one, name) != _comparable(other, name))


def _comparable(question: Question, name: str) -> Any:
    value = getattr(question, name)
    return _ADDRESS.sub("0x", value) if name in {"message", "markdown"} and value else value


def asked_digest(question: Question) -> str:
    """Return a SHA-256 in hex that questions share between which ``differing`` finds no difference.

    Defaults are left out: a release that knows more about questions than another makes the same of what both know.
    """
    stated = _stated(without_what_the_bot_adds(question))
    return digest({**stated, "message": _comparable(question, "message")})


def _stated(value: Any) -> Any:
    """Return as JSON what a part of a question says that it would not say by itself."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if is_dataclass(value):
        own = ((field, getattr(value, field.name)) for field in fields(value))
        return {field.name: _stated(part) for field, part in own if part != _default(field)}
    if isinstance(value, Mapping):
        return {str(name): _stated(part) for name, part in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - JSON
    if isinstance(value, (tuple, list)):
        return [_stated(part) for part in value]  # pyright: ignore[reportUnknownVariableType] - JSON
    return value


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def is_proposed(store: Store, approval_id: str) -> bool:
    """Whether a question waits for a bot."""
    return has_key(store, bucket.proposed_question_key(approval_id))


# Closing. Whoever may write proposals may end the question of a local run, in one of these words and no others: the
# bot shows them as its own.

RUN_ENDED = "the run ended before anybody answered"
RUN_STOPPED = "the run was stopped"
RUN_GONE = "the run is gone, so nobody waits for an answer"
_REASONS = frozenset({RUN_ENDED, RUN_STOPPED, RUN_GONE})


def propose_closing(store: Store, approval_id: str, reason: str, now: datetime) -> None:
    """Say that nobody waits for an answer any longer. A bot closes the record, which opens nothing."""
    body = json.dumps({"format": 1, "reason": reason, "at": now.isoformat()}).encode()
    try:
        store.create(bucket.proposed_closing_key(approval_id), body)
    except KeyTaken:
        return


def read_closing(store: Store, key: str) -> str | None:
    """Return why nobody waits any longer; None if it was taken over."""
    try:
        document = json.loads(store.read(key))
    except KeyMissing:
        return None
    except (ValueError, RecursionError) as error:
        raise CorruptRecord(key, "it is not JSON") from error
    reason = document.get("reason") if isinstance(document, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - JSON
    if not isinstance(reason, str):
        raise CorruptRecord(key, "it does not give a reason")
    return reason if reason in _REASONS else RUN_ENDED
