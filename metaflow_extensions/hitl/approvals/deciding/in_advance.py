"""Answers to a whole foreach, given while some of its shards have yet to ask. Each shard takes it when it asks.

Such an answer is bound to the run and the step, to who may answer under which rule, and to all that the shards ask
alike. What a shard asks by itself (its words, its artifacts) nobody has seen; every record that follows says so.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from metaflow_extensions.hitl.approvals import bucket
from metaflow_extensions.hitl.approvals.errors import CorruptRecord, HitlError, KeyTaken
from metaflow_extensions.hitl.approvals.evidence.binding import plain
from metaflow_extensions.hitl.approvals.evidence.collected import digest
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.question import Shard
from metaflow_extensions.hitl.approvals.record import Answer, Approval, Obligation, Origin, Person, Verdict

from .permission import electorate

LONGEST = timedelta(days=7)  # where the question itself waits for longer, or without end
_KIND = "answer in advance"  # of what is signed


class NotInAdvance(HitlError):
    """Shards that have not asked yet can't be answered. Nothing was recorded for them."""


class AnsweredInAdvance(HitlError):
    """Somebody else was faster."""

    def __init__(self, given: "AnswerInAdvance") -> None:
        said = "took the answer back" if given.verdict is None else f"{_DONE[given.verdict]} all of them in advance"
        super().__init__(f"{given.by.name} {said} a moment ago. Nothing was recorded; look at the message again.")


@dataclass(frozen=True, kw_only=True)
class AnswerInAdvance:
    """What somebody answered for all shards, also those to come. Without a verdict it takes an earlier one back.

    Attributes
    ----------
    terms : str
        SHA-256 of what the shards ask alike, in hex; see `terms`.
    asked, in_all : int
        How many shards had asked when it was given, and how many there were in all.
    until : datetime
        What asks later waits for an answer of its own.
    """

    verdict: Verdict | None
    by: Person
    at: datetime
    until: datetime
    terms: str
    asked: int
    in_all: int
    input: dict[str, Any] = field(default_factory=dict[str, Any])
    reason: str = ""
    obligation: Obligation | None = None

    @property
    def answer(self) -> Answer | None:
        if self.verdict is None:
            return None
        return Answer(verdict=self.verdict, input=dict(self.input), reason=self.reason, obligation=self.obligation)

    def is_good_for(self, approval: Approval, now: datetime) -> bool:
        """Whether this answers what an approval asks, whoever gave it."""
        bound = self.verdict is not None and now < self.until and self.terms == terms(approval)
        return bound and not problem_with(approval)


_DONE = {Verdict.APPROVE: "approved", Verdict.REJECT: "rejected", Verdict.CHANGES: "sent back"}


def given(first: Approval, answer: Answer, by: Person, now: datetime, *, asked: int, in_all: int) -> AnswerInAdvance:
    """Build an answer to all shards that ask like the first."""
    timeout = first.requirements.timeout
    return AnswerInAdvance(
        verdict=answer.verdict,
        by=by,
        at=now,
        until=now + min(LONGEST, timedelta(seconds=timeout) if timeout is not None else LONGEST),
        terms=terms(first),
        asked=asked,
        in_all=in_all,
        input=answer.input,
        reason=answer.reason.strip(),
        obligation=answer.obligation if answer.verdict is Verdict.APPROVE else None,
    )


def taken_back(standing: AnswerInAdvance, by: Person, now: datetime) -> AnswerInAdvance:
    """Build what ends an answer; what it has decided so far stays decided."""
    return replace(standing, verdict=None, by=by, at=now, input={}, reason="", obligation=None)


def terms(approval: Approval) -> str:
    """Return the SHA-256 of what all shards of a foreach ask alike, and of whom, in hex."""
    evidence = approval.question.evidence
    alike = replace(
        approval.question,
        message="",
        markdown=None,
        shard=None,
        evidence=None,
        links={},
        what_happens={},
        run_url=None,
        follows=None,
    )
    place = approval.pathspec
    return digest(
        {
            "of": [place.flow, place.run, place.step],
            "question": plain(alike),
            "code": plain(evidence.code) if evidence is not None else None,
            "parameters": dict(evidence.parameters) if evidence is not None else None,
            "rule": plain(approval.policy_rule) if approval.policy_rule is not None else None,
            "electorate": electorate(approval),
            "gate": plain(approval.gate),
        }
    )


def problem_with(approval: Approval) -> str:
    """Say why nobody can answer for shards like this one before they ask; empty if somebody can."""
    requirements = approval.requirements
    if not requirements.in_advance_allowed:
        return f"the rule “{requirements.name}” of the operator's policy does not allow it"
    if requirements.asks_several:
        return "several people must agree on each"
    if approval.question.evidence is not None and approval.question.evidence.metrics:
        return "each has metrics of its own to look at"
    return ""


# How many there are.


class InAll(NamedTuple):
    """How many shards there are, and whether more may turn up: a foreach inside one that has not started counts one."""

    number: int
    is_exact: bool


def shards_in_all(approvals: Collection[Approval]) -> InAll | None:
    """Count the shards of a foreach by those that have asked; None where Metaflow did not say."""
    shards = [one.question.shard for one in approvals if one.question.shard is not None]
    if not shards or len(shards) < len(approvals):
        return None
    depth = len(shards[0].place)
    if not all(len(one.counts) == len(one.place) == depth and all(one.counts) for one in shards):
        return None
    return _count(shards, 0)


def _count(shards: Sequence[Shard], level: int) -> InAll:
    total = max(one.counts[level] for one in shards)
    if level + 1 == len(shards[0].place):
        return InAll(total, is_exact=True)
    inside: dict[int, list[Shard]] = {}
    for one in shards:
        inside.setdefault(one.place[level], []).append(one)
    counted = [_count(some, level + 1) for some in inside.values()]
    unseen = max(0, total - len(inside))
    return InAll(sum(one.number for one in counted) + unseen, unseen == 0 and all(one.is_exact for one in counted))


# Where they are kept.


class AnswersInAdvance:
    """Reads and writes them: immutable versions, of which the newest counts. Holds no state of its own.

    Parameters
    ----------
    ledger : Ledger
        Whose store and signatures are used.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def newest(self, batch_id: str) -> AnswerInAdvance | None:
        """Return the answer that counts for a message's shards: one LIST, and one GET if there is any.

        Raises
        ------
        StoreError, CorruptRecord, NotVouchedFor
            It can't be known, so it counts for nothing.
        """
        keys = self._keys(batch_id)
        return _read(keys[-1], self._ledger.read_note(keys[-1], _KIND)) if keys else None

    def write(self, batch_id: str, answer: AnswerInAdvance) -> None:
        """Let an answer count from now on.

        Raises
        ------
        AnsweredInAdvance
            Somebody else wrote one in this very moment.
        """
        keys = self._keys(batch_id)
        number = (bucket.read_in_advance_key(keys[-1]) or 0) + 1 if keys else 1
        try:
            self._ledger.write_note(bucket.in_advance_key(batch_id, number), _KIND, _written(answer))
        except KeyTaken:
            raise AnsweredInAdvance(self.newest(batch_id) or answer) from None

    def _keys(self, batch_id: str) -> list[str]:
        listed = self._ledger.store.list(bucket.in_advance_folder(batch_id))
        return [key for key in listed if bucket.read_in_advance_key(key)]


def _written(answer: AnswerInAdvance) -> dict[str, Any]:
    owed = answer.obligation
    return {
        "verdict": None if answer.verdict is None else answer.verdict.value,
        "by": _written_person(answer.by),
        "at": answer.at.isoformat(),
        "until": answer.until.isoformat(),
        "terms": answer.terms,
        "asked": answer.asked,
        "in_all": answer.in_all,
        "input": answer.input,
        "reason": answer.reason,
        "obligation": None
        if owed is None
        else {"text": owed.text, "owner": _written_person(owed.owner), "due": owed.due},
    }


def _written_person(person: Person) -> dict[str, Any]:
    return {"origin": str(person.origin), "id": person.id, "name": person.name, "email": person.email}


def _read_person(written: Mapping[str, Any]) -> Person:
    return Person(
        origin=Origin(written["origin"]), id=str(written["id"]), name=str(written["name"]), email=written["email"]
    )


def _read(key: str, document: Mapping[str, Any]) -> AnswerInAdvance:
    try:
        owed = document["obligation"]
        return AnswerInAdvance(
            verdict=None if document["verdict"] is None else Verdict(document["verdict"]),
            by=_read_person(document["by"]),
            at=datetime.fromisoformat(document["at"]),
            until=datetime.fromisoformat(document["until"]),
            terms=str(document["terms"]),
            asked=int(document["asked"]),
            in_all=int(document["in_all"]),
            input=dict(document["input"]),
            reason=str(document["reason"]),
            obligation=None
            if owed is None
            else Obligation(text=str(owed["text"]), owner=_read_person(owed["owner"]), due=str(owed["due"])),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptRecord(key, f"it holds no answer in advance ({error})") from error
