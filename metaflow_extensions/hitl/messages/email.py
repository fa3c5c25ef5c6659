"""The question as a letter: a subject, text, and the same as HTML."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

from metaflow_extensions.hitl.approvals.record import Approval
from metaflow_extensions.hitl.messages import plain
from metaflow_extensions.hitl.messages.plain import Row

_BODY = "font: 15px/1.5 sans-serif; color: #1d1c1d"
_ASKED = "font-size: 18px; font-weight: bold; white-space: pre-wrap"
_LABEL = "color: #616061; padding-right: 12px; vertical-align: top; text-align: left; font-weight: normal"
_COMMAND = "background: #f4f4f4; padding: 2px 4px"


@dataclass(frozen=True, kw_only=True)
class Letter:
    """What an email says. The subject is one line of at most 150 characters."""

    subject: str
    text: str
    html: str


def render(approval: Approval, *, script: str = "flow.py") -> Letter:
    """Write the letter that asks.

    Parameters
    ----------
    approval : Approval
        Pending.
    script : str
        The flow's file, as it is written after ``python``.

    Returns
    -------
    Letter
        Its links lead to where one can look. None of them decides: mail scanners fetch every link they see.
    """
    asked = plain.render(approval, script=script)
    return Letter(subject=asked.title, text=f"{asked.text}\n", html=_page(asked))


def _page(asked: plain.Plain) -> str:
    commands = "".join(
        f'<p>{escape(row.label)}, where the flow is:<br><code style="{_COMMAND}">{escape(row.text)}</code></p>'
        for row in asked.commands
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(asked.title)}</title></head>'
        f'<body style="{_BODY}"><p style="{_ASKED}">{escape(asked.message)}</p>'
        f"<table>{_rows(asked.rows)}</table>{commands}</body></html>\n"
    )


def _rows(rows: Iterable[Row]) -> str:
    return "".join(f'<tr><th style="{_LABEL}">{escape(row.label)}</th><td>{_cell(row)}</td></tr>' for row in rows)


def _cell(row: Row) -> str:
    return f'<a href="{escape(row.url)}">{escape(row.text)}</a>' if row.url else escape(row.text)
