"""The picture of how metrics developed, drawn without a screen: legible on a phone and where Slack is dark."""

import io
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from metaflow_extensions.hitl.approvals.evidence.course import Became, Course, Point

_WIDTH, _DPI = 6.0, 200  # inches, and pixels to each: 1,200 pixels, three of them to one of a phone
_HEAD, _PANEL, _FOOT = 0.45, 1.5, 0.45  # inches high
_TEXT, _QUIET, _LINE, _PAGE = "#1d1c1d", "#5c5a5d", "#d5d3d8", "#ffffff"
_LETTERS = 24  # of a name
_ALT = 900  # characters; Slack takes 1,000
# Colour and form say the same, for who can't tell the colours apart.
_MARKS = {
    Became.APPROVED: {"marker": "o", "color": "#0b7a4b", "s": 60},
    Became.REJECTED: {"marker": "X", "color": "#c0143c", "s": 75},
    Became.OPEN: {"marker": "D", "color": "#1264a3", "s": 85},
}


def alt_text(courses: Sequence[Course]) -> str:
    """Say what the picture shows."""
    said = " ".join(course.in_words for course in courses)
    return said if len(said) <= _ALT else f"{said[: _ALT - 1]}…"


def draw(courses: Sequence[Course]) -> bytes:
    """Draw a panel for each metric, one below the other; return a PNG.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    """
    # Half a second, and only for a question with metrics. Its objects alone, without pyplot, keep no state behind.
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    height = _HEAD + _PANEL * len(courses) + _FOOT
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, facecolor=_PAGE)
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(len(courses), 1, squeeze=False)[:, 0]
    for panel, course in zip(axes, courses, strict=True):
        _panel(panel, course)
    _runs(axes[-1], courses[-1].points)
    _legend(figure, {point.became for course in courses for point in course.points if point.value is not None})
    figure.subplots_adjust(left=0.04, right=0.96, top=1 - _HEAD / height, bottom=(_FOOT + 0.12) / height, hspace=0.62)
    written = io.BytesIO()
    canvas.print_png(written)
    return written.getvalue()


def _panel(panel: Any, course: Course) -> None:
    shown = [(place, point) for place, point in enumerate(course.points) if point.value is not None]
    values = [point.value for _, point in shown if point.value is not None]
    panel.set_facecolor(_PAGE)
    panel.plot([place for place, _ in shown], values, color=_LINE, linewidth=2, zorder=1)
    for became, mark in _MARKS.items():
        where = [(place, point.value) for place, point in shown if point.became is became]
        if where:
            panel.scatter(*zip(*where, strict=True), zorder=3, edgecolors=_PAGE, linewidths=1, **mark)
    _limits(panel, course, values)
    _labels(panel, course, shown)
    panel.set_xlim(-0.6, len(course.points) - 0.4)
    low, high = min(values), max(values)
    room = (high - low) * 0.45 or abs(high) * 0.1 or 1.0
    panel.set_ylim(low - room, high + room)
    panel.set_xticks([])
    panel.set_yticks([])
    for side in ("top", "left", "right"):
        panel.spines[side].set_visible(False)
    panel.spines["bottom"].set_color(_LINE)
    better = {"higher": ", higher is better", "lower": ", lower is better"}
    said = better.get(course.metric.better.value, "") if course.metric.better is not None else ""
    title = _plain(course.metric.name)
    panel.set_title(title + said, loc="left", fontsize=12, color=_TEXT, fontweight="bold", parse_math=False)


def _limits(panel: Any, course: Course, values: Sequence[float]) -> None:
    """Draw the limits that are near enough not to squeeze the values."""
    low, high = min(values), max(values)
    near = (high - low) or abs(high) or 1.0
    for limit in (course.metric.warn_below, course.metric.warn_above):
        if limit is not None and low - 0.4 * near <= limit <= high + 0.4 * near:
            panel.axhline(limit, color=_MARKS[Became.REJECTED]["color"], linewidth=1, linestyle="--", zorder=0)
            panel.annotate(
                f"limit {_plain(course.metric.written(limit))}",
                (1, limit),
                xycoords=("axes fraction", "data"),
                xytext=(0, 3),
                textcoords="offset points",
                ha="right",
                fontsize=9,
                color=_QUIET,
                parse_math=False,
            )


def _labels(panel: Any, course: Course, shown: Sequence[tuple[int, Point]]) -> None:
    """Write the values that a decision looks at: of the question, and of the last run that was approved."""
    last = next((one for one in reversed(shown) if one[1].became is Became.APPROVED), None)
    for place, point in filter(None, [last, shown[-1]]):
        now = point.became is Became.OPEN
        panel.annotate(
            _plain(course.metric.written(point.value)),
            (place, point.value),
            xytext=(0, 9),
            textcoords="offset points",
            ha="right" if place == len(course.points) - 1 else "center",
            fontsize=12 if now else 11,
            fontweight="bold" if now else "normal",
            color=_TEXT if now else _QUIET,
            parse_math=False,
        )


def _runs(panel: Any, points: Sequence[Point]) -> None:
    """Name the first and the last run below the lowest panel."""
    last = len(points) - 1
    for place, side in ((0, "left"), (last, "right")):
        where = (0 if place == 0 else 1, 0)
        panel.annotate(
            f"run {_plain(points[place].run)}",
            where,
            xycoords="axes fraction",
            xytext=(0, -5),
            textcoords="offset points",
            ha=side,
            va="top",
            fontsize=9,
            color=_QUIET,
            parse_math=False,
        )


def _legend(figure: Any, became: set[Became]) -> None:
    from matplotlib.lines import Line2D  # noqa: PLC0415 - as above

    handles = [
        Line2D([], [], linestyle="none", marker=mark["marker"], color=mark["color"], markersize=8, label=one.value)
        for one, mark in _MARKS.items()
        if one in became
    ]
    figure.legend(
        handles=handles, loc="lower left", ncols=3, frameon=False, fontsize=10, labelcolor=_TEXT, handletextpad=0.2,
        bbox_to_anchor=(0.02, 0), columnspacing=1.4,
    )  # fmt: skip


@cache
def _known_letters() -> Callable[[int], bool]:
    """Return whether matplotlib's own font has a character."""
    from matplotlib import font_manager  # noqa: PLC0415 - as above

    letters = frozenset(font_manager.get_font(font_manager.findfont("DejaVu Sans")).get_charmap())
    return letters.__contains__


def _plain(text: str) -> str:
    """Shorten a text, and put a box where the font has no letter: matplotlib would complain of each."""
    text = " ".join(text.split())
    text = text if len(text) <= _LETTERS else f"{text[: _LETTERS - 1]}…"
    return "".join(char if _known_letters()(ord(char)) else "\u25a1" for char in text)
