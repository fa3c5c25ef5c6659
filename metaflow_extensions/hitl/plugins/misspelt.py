"""Settings that nobody reads: a misspelt name would leave its default in force, unseen."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from difflib import get_close_matches
from functools import lru_cache

_PREFIX = "METAFLOW_HITL_"
OF_THE_BOT = frozenset(
    f"{_PREFIX}{name}"
    for name in (
        "ARGO_EVENTS_TOKEN",
        "ARGO_EVENTS_URL",
        "EVENTS_SECRET",
        "EVENTS_TYPES",
        "EVENTS_URL",
        "HOST",
        "LOG_FORMAT",
        "LOG_LEVEL",
        "MODE",
        "POLICY",
        "PORT",
        "SIGNING_KEY",
        "SLACK_APP_TOKEN",
        "SLACK_SIGNING_SECRET",
    )
)
"""What only the bot reads; a shell may well have both set up. A test holds this to the bot's own settings."""


def misspelt(given: Iterable[str], known: Collection[str], *, others: bool) -> list[str]:
    """Name the settings that nobody reads, a sentence each.

    Parameters
    ----------
    given : Iterable[str]
        Names that are set, such as those of the environment.
    known : Collection[str]
        Names that are read.
    others : bool
        Whether other packages' notifiers are installed: they may read names that are not known here, so that only a
        name close to a known one is taken for misspelt.
    """
    found: list[str] = []
    for name in sorted(name for name in given if name.startswith(_PREFIX) and name not in known):
        # The prefix would make any two names alike.
        near = get_close_matches(
            name.removeprefix(_PREFIX), [one.removeprefix(_PREFIX) for one in known], n=1, cutoff=0.8
        )
        if near:
            found.append(f"{name} is set, but there is no such setting. Did you mean {_PREFIX}{near[0]}?")
        elif not others:
            found.append(f"{name} is set, but there is no such setting. The README lists all settings.")
    return found


def known_settings() -> frozenset[str]:
    """Return the names of all settings that this project reads."""
    from metaflow import metaflow_config as conf  # noqa: PLC0415 - heavy

    from metaflow_extensions.hitl.notifiers.registry import SETTINGS  # noqa: PLC0415 - not on import of metaflow

    ours = {f"METAFLOW_{name}" for name in vars(conf) if name.startswith("HITL_")}
    return frozenset({*ours, *SETTINGS, *OF_THE_BOT})


def misspelt_here() -> list[str]:
    """Look at the environment and at Metaflow's configuration."""
    from metaflow_extensions.hitl.notifiers.configured import has_others  # noqa: PLC0415 - not on import of metaflow
    from metaflow_extensions.hitl.plugins.settings import all_settings  # noqa: PLC0415

    return misspelt(all_settings(), known_settings(), others=has_others())


@lru_cache(maxsize=1)
def say_once(say: Callable[[str], object]) -> None:
    """Say it once in this process, however many gates a flow has."""
    for line in misspelt_here():
        say(line)
