"""A local Slack on loopback: for the demo, and for tests that run the real Bolt app over real sockets.

It speaks the part of Slack that the bot uses and enforces Slack's documented limits with Slack's own error codes.
A method that it does not implement answers ``unknown_method``.
"""

from .changes import Clock
from .server import APP_TOKEN, BOT_TOKEN, SIGNING_SECRET, Sandbox

__all__ = ["APP_TOKEN", "BOT_TOKEN", "SIGNING_SECRET", "Clock", "Sandbox"]
