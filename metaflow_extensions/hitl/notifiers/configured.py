"""Building those notifiers that need nothing but settings, the ones of other packages included."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from threading import Lock

from metaflow_extensions.hitl.approvals.errors import HitlError, NotifierError, NotifierRefused, NotifierUnavailable
from metaflow_extensions.hitl.approvals.ports import Clock, Notifier
from metaflow_extensions.hitl.approvals.record import Approval, Post
from metaflow_extensions.hitl.notifiers.registry import BUILT_IN, KINDS

GROUP = "metaflow_hitl.notifiers"
"""The entry point group of other packages' notifiers.

Each is a function ``factory(settings) -> Notifier``. The settings are all ``METAFLOW_HITL_*`` that are set, by their
whole names. What its ``post`` returns is kept in the record; with a ``ts`` in it, ``update`` must be possible from
every machine that has the notifier.
"""


class UnknownNotifier(HitlError, ValueError):
    """A name that no notifier has."""


def check_names(wanted: Collection[str]) -> None:
    """Raise UnknownNotifier, with the names that there are, if one of these is none of them."""
    unknown = [name for name in wanted if name not in BUILT_IN]
    if not unknown:
        return
    others = _others()
    for name in unknown:
        if name not in others:
            there_are = ", ".join([*BUILT_IN, *sorted(others)])
            raise UnknownNotifier(f"There is no notifier {name!r}. Use one of {there_are}.")


def configured(settings: Mapping[str, str], *, clock: Clock, script: str = "flow.py") -> dict[str, Notifier]:
    """Return the webhook, email, Apprise and other packages' notifiers, as far as they are set up.

    Nothing is built before it is used, so a setting that can't be used stops that notifier and nothing else.

    Parameters
    ----------
    settings : Mapping[str, str]
        All ``METAFLOW_HITL_*`` that are set, by their whole names.
    clock : Clock
        The present.
    script : str
        The flow's file, as it is written after ``python``.
    """
    found: dict[str, Notifier] = {
        kind.name: OnDemand(partial(kind.build, settings, clock, script))
        for kind in KINDS
        if kind.build is not None and kind.needed is not None and settings.get(kind.needed)
    }
    found |= {name: Foreign(name, point, settings, clock) for name, point in _others().items()}
    return found


def has_others() -> bool:
    """Whether other packages' notifiers are installed."""
    return bool(_others())


def _others() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP) if point.name not in BUILT_IN}


class OnDemand:
    """A notifier that is built when it is needed first.

    Parameters
    ----------
    build : Callable[[], Notifier]
        Raises NotifierRefused if the settings can't be used; it is called again the next time.
    """

    def __init__(self, build: Callable[[], Notifier]) -> None:
        self._build = build
        self._lock = Lock()
        self._notifier: Notifier | None = None

    def post(self, approval: Approval) -> Post | None:
        """Ask the question."""
        return self._built().post(approval)

    def update(self, approval: Approval, post: Post) -> None:
        """Show the approval as it is now."""
        self._built().update(approval, post)

    def _built(self) -> Notifier:
        with self._lock:
            if self._notifier is None:
                self._notifier = self._build()
            return self._notifier


class Foreign:
    """Another package's notifier, kept to the port's promises.

    Parameters
    ----------
    name : str
        That questions ask for it by.
    point : EntryPoint
        Of its factory.
    settings : Mapping[str, str]
        For the factory.
    clock : Clock
        The present.
    """

    def __init__(self, name: str, point: EntryPoint, settings: Mapping[str, str], clock: Clock) -> None:
        self._name = name
        self._clock = clock
        self._point = point
        self._settings = settings
        self._inner = OnDemand(self._build)

    def post(self, approval: Approval) -> Post:
        """Ask the question; whatever it returns, the record shall know that it was asked."""
        try:
            post = self._inner.post(approval)
        except NotifierError:
            raise
        except Exception as error:  # not our code, and the other notifiers shall not suffer
            raise self._broken(error) from error
        return Post(notifier=self._name, at=self._clock()) if post is None else replace(post, notifier=self._name)

    def update(self, approval: Approval, post: Post) -> None:
        """Show the approval as it is now."""
        try:
            self._inner.update(approval, post)
        except NotifierError:
            raise
        except Exception as error:  # likewise
            raise self._broken(error) from error

    def _build(self) -> Notifier:
        try:
            notifier: Notifier = self._point.load()(self._settings)
        except NotifierError:
            raise
        except Exception as error:  # likewise; whatever it is, it can't be used before somebody fixes it
            raise NotifierRefused(
                f"The notifier {self._name} ({self._point.value}) can't be set up: {type(error).__name__}: {error}. "
                "Fix its settings or its package, or leave it out."
            ) from error
        return notifier

    def _broken(self, error: Exception) -> NotifierUnavailable:
        return NotifierUnavailable(
            f"The notifier {self._name} ({self._point.value}) failed: {type(error).__name__}: {error}. The bot will "
            "retry. If this keeps happening, tell its author, or leave it out.",
            cause=f"{self._name} {type(error).__name__}",
        )
