"""What the domain is told about Slack: whose ids it vouches for, and what a form of its can show.

Every number is from Slack's reference documentation:

- a view has 100 blocks and 250 kB: https://docs.slack.dev/reference/views/modal-views and
  https://docs.slack.dev/reference/methods/views.open (error ``view_too_large``: "greater than 250kb")
- label, hint and block_id: https://docs.slack.dev/reference/block-kit/blocks/input-block
- options: https://docs.slack.dev/reference/block-kit/composition-objects/option-object
- menus: https://docs.slack.dev/reference/block-kit/block-elements/select-menu-element
- checkboxes: https://docs.slack.dev/reference/block-kit/block-elements/checkboxes-element
- text: https://docs.slack.dev/reference/block-kit/block-elements/plain-text-input-element
- placeholder: the same pages, field ``placeholder``
- moments: https://docs.slack.dev/reference/block-kit/block-elements/datetime-picker-element (``initial_date_time`` has
  ten digits)
"""

from collections.abc import Collection

from .approvals.errors import PeopleUnavailable
from .approvals.ports import Bar
from .approvals.record import Origin, Person
from .approvals.schema.showable import FormLimits

SLACK = Origin("slack")
"""Who vouches for the id of a person in Slack."""

VIEW_BLOCKS = 100
VIEW_BYTES = 250_000

QUESTION_BLOCKS = 8
"""Blocks of a form that are kept for the question, for an obligation and for notes. Our choice, not Slack's."""
QUESTION_BYTES = 30_000
"""The same in bytes: five sections at worst, the private metadata and the frame. Our choice, not Slack's."""

CHECKBOXES = 10
OPTION_VALUE = 150

FORM = FormLimits(
    system="Slack",
    fields=VIEW_BLOCKS - QUESTION_BLOCKS,
    total_bytes=VIEW_BYTES - QUESTION_BYTES,
    # The most that one input block and one option take in JSON beside their words; a test holds the form to it.
    field_bytes=500,
    option_bytes=100,
    label=2_000,
    help=2_000,
    placeholder=150,
    choices=100,
    choice=75,  # the text is also the option's value, which may be twice as long
    text=3_000,
    earliest=1_000_000_000,  # 2001-09-09T01:46:40Z
    latest=9_999_999_999,  # 2286-11-20T17:46:39Z
)

# The people of a machine that can't ask the chat system: a command line's, or a script's.


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

    def now(self) -> "ClaimedPeople":
        return self

    def current(self, person: Person) -> Person:
        return person

    def in_channel(self, person: Person, channel: str | None) -> bool:
        raise PeopleUnavailable(
            f"Only Slack can confirm that {person.name} is in {channel or 'the channel'}. Please answer there."
        )

    def known_as(self, person: Person) -> str | None:  # noqa: ARG002 - likewise
        return None
