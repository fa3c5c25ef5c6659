"""What can happen to an approval: one event for each version of its record."""

from __future__ import annotations

from enum import Enum


class TrailEvent(str, Enum):
    """What a version adds to the one before it. ``messages/trail.py`` has the words for each."""

    REQUESTED = "requested"
    POSTED = "posted"
    POLICY_APPLIED = "policy applied"  # the operator's rule, as it is now
    JUDGED = "judged"  # what a condition over metrics says, without deciding
    REQUESTER_CONFIRMED = "requester confirmed"  # the person said that the run is theirs
    VOTED = "voted"
    REMINDED = "reminded"
    ESCALATED = "escalated"
    LAST_CALL = "last call"
    DECIDED = "decided"
    TIMED_OUT = "timed out"  # the deadline decided
    SUPERSEDED = "superseded"  # a newer run asks the same
    CLOSED = "closed"  # without an answer
    NOT_ACCEPTED = "not accepted"  # the operator's policy refuses the decision
    SETTLED = "settled"  # every effect was carried out

    def __str__(self) -> str:
        return self.value


def read_event(text: str) -> TrailEvent | str:
    """Read an event; one that a later release added stays the word that it wrote, because it only describes."""
    try:
        return TrailEvent(text)
    except ValueError:
        return text
