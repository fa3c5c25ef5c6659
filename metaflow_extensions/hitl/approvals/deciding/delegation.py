"""Who decides for somebody absent: immutable, hash-chained versions, one sequence for each person who delegates.

The newest version is in force until its end. A marker for each delegate says whom to look up when somebody decides.

Nothing is passed on: who decides for somebody can't let a third person do it.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from metaflow_extensions.hitl.approvals import bucket
from metaflow_extensions.hitl.approvals.codec import check_document, sign_document
from metaflow_extensions.hitl.approvals.errors import CorruptRecord, HitlError, KeyTaken, NotVouchedFor
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.record import Origin, Person
from metaflow_extensions.hitl.approvals.sealed import OPEN, Trust

FORMAT = 2
_KIND = "delegation"  # of what is signed
LONGEST = timedelta(days=366)
_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{1,63}")  # it becomes part of a key
_ATTEMPTS = 5
_LINKS = 100  # of a chain that is looked through for a loop


class BadDelegation(HitlError):
    """This can't be delegated. Nothing was recorded."""


class DelegateLoop(BadDelegation):
    """Everybody in it would be absent, and nobody there."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(
            f"This would be a delegate loop: {' → '.join(names)}. Nothing was recorded; choose someone else."
        )


@dataclass(frozen=True, kw_only=True)
class Delegation:
    """One person's say for another, from a moment until another. Without a delegate it takes an earlier one back."""

    by: Person
    to: Person | None
    at: datetime
    until: datetime

    def holds(self, now: datetime) -> bool:
        return self.to is not None and now < self.until


class Delegations:
    """Reads and writes delegations. Holds no state of its own.

    Parameters
    ----------
    store : Store
        Where they are.
    trust : Trust
        Whose signatures count here, and what signs. Default: the open mode.
    """

    def __init__(self, store: Store, trust: Trust = OPEN) -> None:
        self._store = store
        self._trust = trust

    def delegate(self, by: Person, to: Person, until: datetime, now: datetime) -> Delegation:
        """Let somebody decide in one's place until a moment; a newer delegation takes the place of the older.

        Raises
        ------
        DelegateLoop
            The delegate has delegated to this person, directly or by way of others.
        BadDelegation
            The end has passed or is over a year away, or no chat system vouches for one of the two.
        """
        if not by.is_vouched_for or by.origin != to.origin:
            raise BadDelegation("Only people of the same chat system can delegate to each other. Nothing was recorded.")
        if not now < until <= now + LONGEST:
            raise BadDelegation("A delegation must end in the future, at most a year from now. Nothing was recorded.")
        self._check_is_no_loop(by, to, now)
        marker = bucket.delegate_key(_checked(to), _checked(by))
        self._store.mark(marker)
        delegation = self._write(Delegation(by=by, to=to, at=now, until=until))
        self._store.mark(marker)  # again: an earlier one may have been taken back in between, with its marker
        return delegation

    def withdraw(self, by: Person, now: datetime) -> Delegation | None:
        """Take one's delegation back; return the one that held, or None."""
        standing = self.of(by, now)
        if standing is None or standing.to is None:
            return None
        self._write(Delegation(by=by, to=None, at=now, until=now))
        self._store.unmark(bucket.delegate_key(_checked(standing.to), _checked(by)))
        newer = self.of(by, now)
        if newer is not None and newer.to is not None:  # given meanwhile, perhaps to the same person
            self._store.mark(bucket.delegate_key(_checked(newer.to), _checked(by)))
        return standing

    def of(self, person: Person, now: datetime) -> Delegation | None:
        """Return the delegation of somebody that holds now."""
        found = self._newest(person.id)
        return found[1] if found is not None and found[1].holds(now) else None

    def absent_for(self, person: Person, now: datetime) -> Iterator[Person]:
        """Yield those whose delegate somebody is now: one LIST, and two requests for each of them."""
        if not person.is_vouched_for or _USER.fullmatch(person.id) is None:
            return
        for key in self._store.list(bucket.delegates_folder(person.id)):
            absent = bucket.read_delegate_key(key)
            found = self._newest(absent) if absent is not None else None
            if found is None or found[1].to is None:
                continue
            delegation = found[1]
            if delegation.holds(now) and delegation.to is not None and delegation.to.id == person.id:
                yield delegation.by

    def trail(self, person: Person) -> list[Delegation]:
        """Read everything that somebody ever delegated, oldest first, and prove that nothing was changed.

        Raises
        ------
        CorruptRecord
            The first thing that is wrong.
        """
        previous: str | None = None
        trail: list[Delegation] = []
        for position, key in enumerate(self._keys(_checked(person)), start=1):
            body = self._store.read(key)
            document = self._document(key, body)
            if document.get("version") != position or document.get("previous") != previous:
                raise CorruptRecord(key, "it does not follow the version before it")
            trail.append(_read(key, document))
            previous = hashlib.sha256(body).hexdigest()
        return trail

    def _check_is_no_loop(self, by: Person, to: Person, now: datetime) -> None:
        chain, person = [by.name, to.name], to
        for _ in range(_LINKS):
            if person.id == by.id:
                raise DelegateLoop(chain)
            standing = self.of(person, now)
            if standing is None or standing.to is None:
                return
            person = standing.to
            chain.append(person.name)
        raise DelegateLoop(chain[:3])

    def _write(self, delegation: Delegation) -> Delegation:
        by = _checked(delegation.by)
        for _ in range(_ATTEMPTS):
            keys = self._keys(by)
            previous = hashlib.sha256(self._store.read(keys[-1])).hexdigest() if keys else None
            number = len(keys) + 1
            try:
                self._store.create(bucket.delegation_key(by, number), self._body(delegation, number, previous))
            except KeyTaken:
                continue
            return delegation
        raise BadDelegation(
            "This delegation was being changed by others at the same time. Nothing was recorded; try again."
        )

    def _newest(self, user_id: str) -> tuple[str, Delegation] | None:
        if _USER.fullmatch(user_id) is None:
            return None
        for key in sorted(self._keys(user_id), reverse=True):
            # What is planted gives nobody a say, and takes nobody's away.
            with suppress(NotVouchedFor):
                return key, _read(key, self._document(key, self._store.read(key)))
        return None

    def _body(self, delegation: Delegation, number: int, previous: str | None) -> bytes:
        document = {
            "format": FORMAT,
            "version": number,
            "previous": previous,
            "by": _person(delegation.by),
            "to": None if delegation.to is None else _person(delegation.to),
            "at": delegation.at.isoformat(),
            "until": delegation.until.isoformat(),
        }
        return sign_document(document, trust=self._trust, kind=_KIND, store=self._store.url)

    def _document(self, key: str, body: bytes) -> dict[str, Any]:
        document, vouched_by = check_document(key, body, trust=self._trust, kind=_KIND, store=self._store.url)
        if document.get("format") != FORMAT:
            raise CorruptRecord(key, "it has another format")
        if vouched_by is not None and bucket.read_delegation_key(key) != (key.split("/")[1], document.get("version")):
            raise NotVouchedFor(key, "it was signed as another version")
        return document

    def _keys(self, user_id: str) -> list[str]:
        """Return the keys of all versions, in order; a name that no version has is passed over."""
        return [key for key in self._store.list(bucket.delegations_folder(user_id)) if bucket.read_delegation_key(key)]


def _checked(person: Person) -> str:
    if _USER.fullmatch(person.id) is None:
        raise BadDelegation(f"{person.id!r} is not the id of a person in a chat system. Nothing was recorded.")
    return person.id


def _person(person: Person) -> dict[str, Any]:
    return {"origin": person.origin, "id": person.id, "name": person.name, "email": person.email}


def _person_of(document: dict[str, Any]) -> Person:
    return Person(**{**document, "origin": Origin(document["origin"])})


def _read(key: str, document: dict[str, Any]) -> Delegation:
    try:
        by, to = document["by"], document["to"]
        delegation = Delegation(
            by=_person_of(by),
            to=None if to is None else _person_of(to),
            at=datetime.fromisoformat(document["at"]),
            until=datetime.fromisoformat(document["until"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptRecord(key, f"it holds no delegation ({error})") from error
    named = bucket.read_delegation_key(key)
    if named is None or delegation.by.id != named[0]:
        raise CorruptRecord(key, "it is about someone else")
    return delegation
