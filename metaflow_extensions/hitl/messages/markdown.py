r"""A message that its author wrote in Markdown: bold, italic, struck, code, links, lists, quotes, small tables.

Values come in with a backslash before each character that could mean something (``\*``), so whatever an artifact holds
stays letters. What is parsed is a likeness of the text, with a character in their place that means nothing.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape as html
from typing import Any

from .blocks import Block, is_web_address, legible, spelled, table

ROWS, COLUMNS, CELL = 10, 6, 60  # of a table: what a person reads beside a question

_LETTER = "\ue000"  # of the likeness; private use, so that no author means anything by it
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~\n])")
_SPECIAL = re.compile(r"[!-/:-@\[-`{-~\n]")
_FENCE = re.compile(r"```\w*")
_ITEM = re.compile(r"\s{0,3}(?:[-*+]|(?P<number>[0-9]{1,3})[.)])\s+")
_HEADING = re.compile(r"#{1,6}\s+")
_QUOTE = re.compile(r">\s?")
_RULE = re.compile(r"\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?")
_INLINE = re.compile(
    r"(?P<ticks>`+)(?P<code>.+?)(?P=ticks)"
    r"|\[(?P<label>[^\[\]]+)\]\((?P<url>https?://[^\s()<>]+)\)"
    r"|\*\*(?=\S)(?P<bold>.+?)(?<=\S)\*\*"
    r"|~~(?=\S)(?P<strike>.+?)(?<=\S)~~"
    r"|(?<!\*)\*(?=[^\s*])(?P<italic>[^*]*?[^\s*]|[^\s*])\*(?!\*)"
    r"|(?<!\w)_(?=\S)(?P<under>.+?)(?<=\S)_(?!\w)"
)


def literal(value: str) -> str:
    """Write a value such that nothing in it is Markdown."""
    return _SPECIAL.sub(lambda found: f"\\{found[0]}", value)


@dataclass(frozen=True, kw_only=True)
class Span:
    """Some letters that look alike."""

    text: str
    bold: bool = False
    italic: bool = False
    strike: bool = False
    code: bool = False
    url: str | None = None

    @property
    def style(self) -> dict[str, bool]:
        return {name: True for name in ("bold", "italic", "strike", "code") if getattr(self, name)}


Line = tuple[Span, ...]


@dataclass(frozen=True, kw_only=True)
class Piece:
    """What stands below each other.

    Attributes
    ----------
    kind : str
        ``text``, ``bullets``, ``numbers``, ``quote``, ``code`` or ``table``.
    lines : tuple of Line
        Of a table none.
    rows : tuple
        Of a table: the texts of its cells, the head first.
    """

    kind: str
    lines: tuple[Line, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def parse(text: str) -> tuple[Piece, ...]:
    """Take Markdown apart. Everything can be parsed: what is not Markdown is text."""
    return tuple(_merged(_parts(_Text.of(legible(text)))))


def has_markup(parts: Sequence[Piece]) -> bool:
    """Whether anything looks different from plain text."""
    return any(
        part.kind != "text" or any(span.style or span.url for line in part.lines for span in line) for part in parts
    )


def without_first_line(parts: Sequence[Piece]) -> tuple[Piece, ...]:
    """Leave out what stands in the first line, which a header shows."""
    first, rest = parts[0], tuple(parts[1:])
    if first.kind == "table":
        return tuple(parts)
    left = replace(first, lines=first.lines[1:])
    return (left, *rest) if left.lines else rest


def plain(parts: Sequence[Piece]) -> str:
    """Say the same without formatting, for a terminal or a notification."""
    return "\n".join(_plain_line(part, number) for part in parts for number in range(_height(part))).strip()


def blocks(parts: Sequence[Piece], *, tables: int) -> list[Block]:
    """Show it in Slack: blocks of rich text, in which no text is parsed, and tables.

    Source: docs.slack.dev/reference/block-kit/blocks/rich-text-block.

    Parameters
    ----------
    tables : int
        How many tables there may be. A message takes one; others are shown in letters of one width.
    """
    made: list[Block] = []
    elements: list[Block] = []
    for part in parts:
        if part.kind == "table" and tables > 0:
            tables -= 1
            made += _rich(elements)
            elements = []
            made.append(table(part.rows))
        else:
            elements += _elements(part)
    return [*made, *_rich(elements)]


def page(parts: Sequence[Piece]) -> str:
    """Show it as HTML."""
    return "".join(map(_html, parts))


# Parsing.


@dataclass(frozen=True)
class _Text:
    """Letters, and their likeness: as long, and with nothing of a value in it that could mean something."""

    letters: str
    likeness: str

    @classmethod
    def of(cls, text: str) -> "_Text":
        letters, likeness, end = "", "", 0
        for found in _ESCAPED.finditer(text):
            between = text[end : found.start()]
            letters += between + found[1]
            likeness += between + _LETTER
            end = found.end()
        return cls(letters + text[end:], likeness + text[end:])

    def cut(self, start: int, end: int | None = None) -> "_Text":
        return _Text(self.letters[start:end], self.likeness[start:end])

    def split(self, mark: str) -> "list[_Text]":
        found, start = list[_Text](), 0
        for piece in self.likeness.split(mark):
            found.append(self.cut(start, start + len(piece)))
            start += len(piece) + len(mark)
        return found

    def stripped(self) -> "_Text":
        start = len(self.likeness) - len(self.likeness.lstrip())
        return self.cut(start, start + len(self.likeness.strip()))


def _parts(text: _Text) -> Iterator[Piece]:
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        line = lines[at]
        if _FENCE.fullmatch(line.likeness.strip()):
            end = next((n for n in range(at + 1, len(lines)) if lines[n].likeness.strip() == "```"), len(lines))
            yield Piece(kind="code", lines=tuple((Span(text=one.letters),) for one in lines[at + 1 : end]))
            at = end + 1
        elif "|" in line.likeness and at + 1 < len(lines) and _is_rule(lines[at + 1].likeness):
            end = next((n for n in range(at + 2, len(lines)) if "|" not in lines[n].likeness), len(lines))
            yield _table([line, *lines[at + 2 : end]])
            at = end
        elif item := _ITEM.match(line.likeness):
            kind = "numbers" if item["number"] else "bullets"
            yield Piece(kind=kind, lines=(_spans(line.cut(item.end())),))
            at += 1
        elif heading := _HEADING.match(line.likeness):
            yield Piece(kind="text", lines=(_spans(line.cut(heading.end()), bold=True),))
            at += 1
        elif quote := _QUOTE.match(line.likeness):
            yield Piece(kind="quote", lines=(_spans(line.cut(quote.end())),))
            at += 1
        else:
            yield Piece(kind="text", lines=(_spans(line),))
            at += 1


def _is_rule(likeness: str) -> bool:
    return "-" in likeness and "|" in likeness and _RULE.fullmatch(likeness.strip()) is not None


def _table(lines: list[_Text]) -> Piece:
    rows = [_cells(line) for line in lines]
    width = min(len(rows[0]), COLUMNS)
    kept = [tuple((*row, *[""] * width)[:width]) for row in rows[: ROWS + 1]]
    return Piece(kind="table", rows=tuple(kept))


def _cells(line: _Text) -> list[str]:
    cells = [cell.stripped() for cell in line.stripped().split("|")]
    first, last = cells[0].likeness == "", cells[-1].likeness == ""
    inner = cells[1 if first else 0 : -1 if last and len(cells) > 1 else None]
    return ["".join(span.text for span in _spans(cell))[:CELL] for cell in inner]


def _spans(text: _Text, **style: Any) -> Line:
    found: list[Span] = []
    end = 0
    for match in _INLINE.finditer(text.likeness):
        before, inner = text.letters[end : match.start()], str(match.lastgroup)
        kind = "ticks" if match["ticks"] else inner
        if kind == "url":
            url = text.letters[match.start("url") : match.end("url")]
            if not is_web_address(url):
                continue
            label = _spans(text.cut(match.start("label"), match.end("label")), **style)
            made = tuple(replace(span, url=url) for span in label)
        elif kind == "ticks":
            letters = text.letters[match.start("code") : match.end("code")]
            made = (Span(text=letters.strip() or letters, **{**style, "code": True}),)
        else:
            name = "italic" if kind == "under" else kind
            made = _spans(text.cut(match.start(kind), match.end(kind)), **{**style, name: True})
        found += [Span(text=before, **style)] if before else []
        found += made
        end = match.end()
    rest = text.letters[end:]
    return (*found, Span(text=rest, **style)) if rest or not found else tuple(found)


def _merged(parts: Iterator[Piece]) -> Iterator[Piece]:
    """Put lines of one kind together."""
    before: Piece | None = None
    for part in parts:
        if before is not None and before.kind == part.kind and part.kind not in {"code", "table"}:
            before = replace(before, lines=(*before.lines, *part.lines))
            continue
        if before is not None:
            yield before
        before = part
    if before is not None:
        yield before


# Writing.


def _letters(line: Line) -> str:
    return "".join(f"{span.text} ({span.url})" if span.url else span.text for span in line)


def _height(part: Piece) -> int:
    return len(part.rows) if part.kind == "table" else len(part.lines)


def _plain_line(part: Piece, number: int) -> str:
    if part.kind == "table":
        return aligned(part.rows)[number]
    start = {"bullets": "- ", "numbers": f"{number + 1}. ", "quote": "> "}.get(part.kind, "")
    return start + _letters(part.lines[number])


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Write rows in letters of one width."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _rich(elements: list[Block]) -> list[Block]:
    return [{"type": "rich_text", "elements": elements}] if elements else []


def _elements(part: Piece) -> list[Block]:
    if part.kind in {"bullets", "numbers"}:
        items = [{"type": "rich_text_section", "elements": _inline([line])} for line in part.lines]
        style = "ordered" if part.kind == "numbers" else "bullet"
        return [{"type": "rich_text_list", "style": style, "elements": items}]
    if part.kind in {"code", "table"}:
        texts = aligned(part.rows) if part.kind == "table" else list(map(_letters, part.lines))
        return [{"type": "rich_text_preformatted", "elements": [{"type": "text", "text": "\n".join(texts) or " "}]}]
    lines = list(part.lines)
    while lines and not _letters(lines[0]).strip():
        lines = lines[1:]
    while lines and not _letters(lines[-1]).strip():
        lines = lines[:-1]
    kind = "rich_text_quote" if part.kind == "quote" else "rich_text_section"
    return [{"type": kind, "elements": _inline(lines)}] if lines else []


def _inline(lines: Sequence[Line]) -> list[Block]:
    made: list[Block] = []
    for number, line in enumerate(lines):
        spans = [*([Span(text="\n")] if number else []), *line]
        for span in spans:
            one: Block = {"type": "link", "url": span.url} if span.url else {"type": "text"}
            made += (
                [{**one, "text": spelled(span.text), **({"style": span.style} if span.style else {})}]
                if span.text
                else []
            )
    return made or [{"type": "text", "text": " "}]


def _html(part: Piece) -> str:
    if part.kind == "table":
        head, *body = [[html(cell) for cell in row] for row in part.rows]
        top = "".join(f'<th style="text-align: left; padding-right: 12px">{cell}</th>' for cell in head)
        cells = ["".join(f'<td style="padding-right: 12px">{cell}</td>' for cell in row) for row in body]
        rest = "".join(f"<tr>{row}</tr>" for row in cells)
        return f"<table><tr>{top}</tr>{rest}</table>"
    lines = ["".join(map(_html_span, line)) for line in part.lines]
    if part.kind in {"bullets", "numbers"}:
        tag = "ol" if part.kind == "numbers" else "ul"
        return f"<{tag}>{''.join(f'<li>{line}</li>' for line in lines)}</{tag}>"
    joined = "<br>".join(lines)
    return {"code": f"<pre>{joined}</pre>", "quote": f"<blockquote>{joined}</blockquote>"}.get(
        part.kind, f"<p>{joined}</p>"
    )


def _html_span(span: Span) -> str:
    said = html(span.text)
    for name, tag in (("code", "code"), ("strike", "s"), ("italic", "em"), ("bold", "strong")):
        said = f"<{tag}>{said}</{tag}>" if getattr(span, name) else said
    return f'<a href="{html(span.url)}">{said}</a>' if span.url else said
