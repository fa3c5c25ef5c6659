"""Everything that this project refuses or fails with, in one tree.

A message says what happened, to which approval, and the next button or command: it is read by a person, in
Slack as well as in a terminal.
"""

from __future__ import annotations


class HitlError(Exception):
    """The root of the tree. Catch this; everything else is a defect."""


# The store.


class StoreError(HitlError):
    """Something is wrong with a key or with the store that should hold it."""


class KeyTaken(StoreError):
    """Somebody wrote this key first. Nothing was changed."""


class KeyMissing(StoreError):
    """Nothing was ever written at this key."""


class BadKey(StoreError):
    """The key could leave its place in the store: `..`, a control character, a leading or doubled slash."""


class StoreUnavailable(StoreError):
    """The store did not answer, or refused. What was asked of it may be tried again."""


class StoreUnfit(StoreError):
    """The store overwrites where it must refuse, so two answers could both win. It can't be used."""
