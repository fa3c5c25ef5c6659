"""The people of a machine that can't ask the chat system: a command line's, or a script's."""

from __future__ import annotations

from collections.abc import Collection

from metaflow_extensions.hitl.approvals.errors import PeopleUnavailable
from metaflow_extensions.hitl.approvals.ports import Bar
from metaflow_extensions.hitl.approvals.record import Person


class ClaimedPeople:
    """A name is only claimed here, and only the chat system can say who is in a group or a channel."""

    def groups_of(self, person: Person, among: Collection[str]) -> frozenset[str]:  # noqa: ARG002 - the port's signature
        raise PeopleUnavailable(
            f"Only {', '.join(sorted(among))} can decide this, and group members can only be checked in Slack. "
            "Please answer there."
        )

    def barred(self, person: Person) -> Bar | None:  # noqa: ARG002 - likewise
        return None

    @property
    def system(self) -> str:
        return "Slack"

    def identify(self, person: Person) -> Person | None:
        return person if person.is_vouched_for else None

    def now(self) -> ClaimedPeople:
        return self

    def current(self, person: Person) -> Person:
        return person

    def in_channel(self, person: Person, channel: str | None) -> bool:
        raise PeopleUnavailable(
            f"Only Slack can confirm that {person.name} is in {channel or 'the channel'}. Please answer there."
        )

    def known_as(self, person: Person) -> str | None:  # noqa: ARG002 - likewise
        return None
