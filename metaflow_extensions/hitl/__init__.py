"""Metaflow steps that wait for a person: the decorator, the flow's commands and all that they share with the bot."""

__version__ = "0.1.0"
"""Written here only: the distribution's metadata and ``hitl-bot --version`` take it from here."""
