"""What Slack can show of a form, in one place. Every number is from Slack's reference documentation.

- ``VIEW_*``: https://docs.slack.dev/reference/views/modal-views and
  https://docs.slack.dev/reference/methods/views.open (error ``view_too_large``: "greater than 250kb")
- ``LABEL``, ``HINT``, ``BLOCK_ID``: https://docs.slack.dev/reference/block-kit/blocks/input-block
- ``OPTION_*``: https://docs.slack.dev/reference/block-kit/composition-objects/option-object
- ``MENU_OPTIONS``: https://docs.slack.dev/reference/block-kit/block-elements/select-menu-element
- ``CHECKBOXES``: https://docs.slack.dev/reference/block-kit/block-elements/checkboxes-element
- ``TEXT``: https://docs.slack.dev/reference/block-kit/block-elements/plain-text-input-element
- ``PLACEHOLDER``: the same pages, field ``placeholder``
- ``EARLIEST``, ``LATEST``: https://docs.slack.dev/reference/block-kit/block-elements/datetime-picker-element
  (``initial_date_time`` has ten digits)
"""

from __future__ import annotations

VIEW_BLOCKS = 100
VIEW_BYTES = 250_000

QUESTION_BLOCKS = 5
"""Blocks of a form that are kept for the question and for notes above the fields. Our choice, not Slack's."""
QUESTION_BYTES = 30_000
"""The same in bytes: five sections at worst, the private metadata and the frame. Our choice, not Slack's."""

FIELDS = VIEW_BLOCKS - QUESTION_BLOCKS
FORM_BYTES = VIEW_BYTES - QUESTION_BYTES

LABEL = 2_000
HINT = 2_000
PLACEHOLDER = 150
BLOCK_ID = 255

MENU_OPTIONS = 100
CHECKBOXES = 10
OPTION_TEXT = 75
OPTION_VALUE = 150

TEXT = 3_000

EARLIEST = 1_000_000_000  # seconds since 1970: 2001-09-09T01:46:40Z
LATEST = 9_999_999_999  # 2286-11-20T17:46:39Z
