"""What the domain asks of the world.

The docstrings are promises; one contract suite for each port holds every adapter to them.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime
from enum import Enum
from typing import Any, Protocol, TypeVar, runtime_checkable

from .question import PolicyRule
from .record import Approval, Person, Post

_In = TypeVar("_In")
_Out = TypeVar("_Out")


class Store(Protocol):
    """Bodies by key. A key is written once and never overwritten; only markers are ever removed."""

    @property
    def url(self) -> str:
        """Where it is, in words for people: ``s3://bucket/prefix`` or a path."""
        ...

    @property
    def poll_interval(self) -> float:
        """Seconds between two looks for a key that is not there yet."""
        ...

    def create(self, key: str, body: bytes) -> None:
        """Write a new key. Of many writers one succeeds; the others get KeyTaken."""
        ...

    def read(self, key: str) -> bytes:
        """Return the body, or raise KeyMissing."""
        ...

    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> Iterator[str]:
        """Yield the keys that begin with a prefix, in the order of their code points, lazily.

        Parameters
        ----------
        prefix : str
            What the keys begin with; not a folder: ``open/a`` finds ``open/abc``.
        after : str
            Only keys that come after this whole key.
        limit : int, optional
            At most so many keys. A request brings up to 1,000.
        """
        ...

    def ages(self, prefix: str) -> Iterator[tuple[str, float]]:
        """Yield each key that begins with a prefix, as ``list`` does, and how many seconds ago it was written.

        By the store's own clock, where it has one: who wrote the key, and who asks, may have other ideas of the time.
        """
        ...

    def mark(self, key: str) -> None:
        """Write an empty marker. Writing it again is fine."""
        ...

    def unmark(self, key: str) -> None:
        """Remove a marker. One that is missing is fine."""
        ...

    def check(self) -> None:
        """Prove that a key can be created once and no more; raise StoreUnfit or StoreUnavailable."""
        ...


def has_key(store: Store, key: str) -> bool:
    """Whether a key is there, without its body: a LIST."""
    return next(iter(store.list(key, limit=1)), None) == key


class Each(Protocol):
    """The built-in ``map``, or a thread pool's: applies a function to everything, in order."""

    def __call__(self, function: Callable[[_In], _Out], things: Iterable[_In], /) -> Iterable[_Out]: ...


class Clock(Protocol):
    """The present, as an aware datetime in UTC."""

    def __call__(self) -> datetime: ...


class Engine(Protocol):
    """What a gate waits in: carries out decisions there. Every call may come twice."""

    def carry_out(self, approval: Approval) -> str:
        """Let exactly this gate's task start, or fail it, as the decision says.

        Returns
        -------
        str
            Empty when it is done, or was done before. Otherwise why it can never be done (the workflow is gone, or has
            ended), and what to do: the people who decided read it.

        Raises
        ------
        EngineUnavailable
            It could not be done now and may be tried again.
        """
        ...

    def started_by(self, approval: Approval) -> tuple[Person, ...]:
        """Return who deployed and who started the run, once each, as the engine itself knows it; none: it doesn't.

        Raises
        ------
        EngineUnavailable
            It can't be known now, or the run isn't there.
        """
        ...

    def namespace_of(self, approval: Approval) -> str | None:
        """Return the Kubernetes namespace in which the engine finds the run; None: its runs are in none.

        Raises
        ------
        EngineUnavailable
            It can't be known now, or the run isn't where its record says.
        """
        ...

    def gone(self, approval: Approval) -> str | None:
        """Say why nothing waits for an answer, or None while something may.

        Raises
        ------
        EngineUnavailable
            It can't be known now.
        """
        ...


@runtime_checkable
class Starter(Protocol):
    """What can start the run of an approval again: an engine, where it is not a process on somebody's own machine."""

    def parameters(self, approval: Approval) -> dict[str, str]:
        """Return what the run of an approval was started with, by name, as people write it.

        Raises
        ------
        CantRunAgain
            It can't be started again from here. The message says why.
        EngineUnavailable
            It can't be known now.
        """
        ...

    def run_again(self, approval: Approval, parameters: Mapping[str, str], by: Person) -> str:
        """Start such a run once more with these parameters, and return its name; those left out stay as they were.

        An approval leads to one such run: the same call again returns its name, another one is refused.

        Raises
        ------
        CantRunAgain, EngineUnavailable
            As for ``parameters``; AlreadyRunAgain if there is one with other parameters, or somebody else's.
        BadParameter
            A value is of another kind than the one before. Nothing was started.
        """
        ...


class Notifier(Protocol):
    """A way to reach people.

    One whose messages change with the approval says so with an attribute ``updates = True``: it is also told of what
    was approved without a person.
    """

    def post(self, approval: Approval) -> Post | None:
        """Ask the question. Of a question that was posted before, find the message instead of posting it again.

        Returns
        -------
        Post, optional
            Where it stands now, to be updated later; without a ``ts`` if it can't be updated, as an email. None where
            nothing stands for longer than the process lives, as in a terminal: whoever asks again has to post again.

        Raises
        ------
        NotifierUnavailable
            It may be tried again. NotifierBusy says when.
        NotifierRefused
            It can't succeed before an operator fixes what the message names.
        """
        ...

    def update(self, approval: Approval, post: Post) -> None:
        """Show the approval as it is now where it was posted. A medium that can't change what it sent does nothing.

        Raises
        ------
        NotifierUnavailable, NotifierRefused
            As for ``post``: what the message shows is out of date until it succeeds, so it is tried again.
        MessageUnreachable
            The message is gone, or can no longer be changed. This alone is final.
        """
        ...


@runtime_checkable
class Finder(Protocol):
    """A notifier whose messages can be found again and taken back: no message goes on asking that no record knows."""

    def find(self, approval: Approval) -> Post | None:
        """Return where a question stands that has ended, although its record does not say so; None: nowhere.

        Raises
        ------
        NotifierUnavailable
            It can't be known now.
        """
        ...

    def withdraw(self, post: Post) -> None:
        """Remove a message beside the one that the record names; raises as a notifier's ``update``."""
        ...


class Bar(str, Enum):
    """Why somebody never decides anything, in words for them."""

    DEACTIVATED = "the account is deactivated."
    APP = "apps can't decide."
    GUEST = "guests of the workspace can't decide. Ask one of its members."
    STRANGER = "people from other workspaces can't decide. Ask a member of this one."

    def __str__(self) -> str:
        return self.value


class People(Protocol):
    """Who somebody is, and which groups and channels they are in. Answers may be some minutes old: see ``now``."""

    def now(self) -> "People":
        """Return the same people as they are from this moment on: no answer that is older counts.

        One decision, or many that one click makes, takes one such view, so that nobody is asked twice for it.
        """
        ...

    def current(self, person: Person) -> Person:
        """Return a person with the name and address that they have; a name that nobody vouches for as it is.

        Raises
        ------
        PeopleUnavailable
            Nobody can say.
        """
        ...

    def in_channel(self, person: Person, channel: str | None) -> bool:
        """Whether somebody is in a channel, guests included; None is the default channel. A typed name is in none.

        Raises
        ------
        PeopleUnavailable
            Nobody can say.
        """
        ...

    def known_as(self, person: Person) -> str | None:
        """Return the address or id that the operator gives for a user name of a machine; asks nobody else."""
        ...

    @property
    def system(self) -> str:
        """How people call the chat system that is asked."""
        ...

    def barred(self, person: Person) -> Bar | None:
        """Say why this person never decides anything (a guest, a bot, somebody of another workspace), or None.

        Raises
        ------
        PeopleUnavailable
            Nobody can say.
        """
        ...

    def groups_of(self, person: Person, among: Collection[str]) -> frozenset[str]:
        """Return which of these groups (``@handle`` or ``S…`` id) this person is in.

        Raises
        ------
        PeopleUnavailable
            Nobody can say. NoUserGroups: there are none, and can't be.
        """
        ...

    def identify(self, person: Person) -> Person | None:
        """Return who somebody is in the chat system, which a name that is only claimed does not say; or None.

        Raises
        ------
        PeopleUnavailable
            Nobody can say now.
        """
        ...


class Policy(Protocol):
    """What the operator demands, outside the code of the flows."""

    def rule_for(self, approval: Approval) -> PolicyRule | None:
        """Return the rule that matches an approval, as it is now, or None."""
        ...

    def depends_on_namespace(self, approval: Approval) -> bool:
        """Whether ``rule_for`` may give another rule if the record named another namespace."""
        ...


class CheckInput(Protocol):
    """Holds what a person entered to the schema in the record."""

    def __call__(self, schema: dict[str, Any], values: dict[str, Any], /) -> dict[str, Any]:
        """Return the values typed and in the schema's order; raise InvalidInput with every problem."""
        ...
