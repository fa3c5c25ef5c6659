"""Long lists, a page at a time: as many rows as one message carries, with buttons that turn the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from metaflow_extensions.hitl.messages import action_ids
from metaflow_extensions.hitl.messages.blocks import Block, actions, button, context, fits

_LONGEST_WORDS = 1_000  # a button's value takes 2,000 characters


def paged(
    head: Sequence[Block], rows: Iterable[Sequence[Block]], foot: Sequence[Block], *, page: int, words: str
) -> list[Block]:
    """Return the blocks of one page.

    Parameters
    ----------
    head, foot : Sequence[Block]
        What stands on every page.
    rows : Iterable[Sequence[Block]]
        The blocks of each row. A row is never parted.
    page : int
        From 1. One that is not there is the last one that is.
    words : str
        What was typed behind ``/hitl``; the buttons bring it back, see `turned_page`.
    """
    pages: list[list[Block]] = [[]]
    ends: list[int] = [0]
    count = 0
    around = [*head, _position(1, 1, 1), _turning(1_000, 10_000, words), *foot]  # whatever page it will be
    for row in rows:
        if pages[-1] and not fits([*around, *pages[-1], *row]):
            pages.append([])
            ends.append(count)
        pages[-1] += row
        count += 1
        ends[-1] = count
    if len(pages) == 1:
        return [*head, *pages[0], *foot]
    shown = min(max(page, 1), len(pages))
    first = ends[shown - 2] + 1 if shown > 1 else 1
    where = _position(first, ends[shown - 1], count)
    return [*head, *pages[shown - 1], where, _turning(shown, len(pages), words), *foot]


def _position(first: int, last: int, count: int) -> Block:
    return context(f"{first} to {last} of {count}")


def _turning(page: int, pages: int, words: str) -> Block:
    previous = [_button("Previous", action_ids.PREVIOUS_PAGE, page - 1, words)] if page > 1 else []
    following = [_button("Next", action_ids.NEXT_PAGE, page + 1, words)] if page < pages else []
    return actions([*previous, *following])


def _button(label: str, action_id: str, page: int, words: str) -> Block:
    return button(label, action_id, f"{page}:{words[:_LONGEST_WORDS]}")


def turned_page(value: str) -> tuple[int, str]:
    """Read the value of a button that turns the page: which page, and the words behind ``/hitl``."""
    number, _, words = value.partition(":")
    return (int(number) if number.isdecimal() else 1), words
