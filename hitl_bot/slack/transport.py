"""How Slack reaches the bot."""

from __future__ import annotations

from threading import Event
from typing import Protocol


class Transport(Protocol):
    """One of the two ways: a Socket Mode connection that the bot opens, or a request URL that Slack calls.

    To stop: ``give_up``, ``drain``, ``close``, in this order.
    """

    def open(self, stopping: Event) -> None:
        """Take what Slack sends from now on. Return when it is so, or when it is time to stop.

        Raises
        ------
        CantConnect
            Slack refuses: trying again would not help.
        """
        ...

    @property
    def is_open(self) -> bool:
        """Whether Slack can reach the bot now."""
        ...

    def give_up(self) -> None:
        """Take nothing more. What came before can still be acknowledged."""
        ...

    def drain(self) -> None:
        """Wait until everything that was taken is acknowledged."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...
