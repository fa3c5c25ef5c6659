"""Pictures of the run's own: a matplotlib figure, or an artifact that is a PNG, rendered where the run is."""

import io
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from threading import Thread
from time import monotonic
from typing import Any

from metaflow_extensions.hitl.approvals import bucket
from metaflow_extensions.hitl.approvals.errors import KeyTaken, StoreError
from metaflow_extensions.hitl.approvals.evidence.collected import Plot, failed
from metaflow_extensions.hitl.approvals.ports import Store

from .evidence import NothingThere, look_up
from .evidence_arguments import PlotSpec
from .incoming import GatedTask

LARGEST = 2 * 2**20  # bytes of a PNG
_LARGEST_ARTIFACT = 50 * 2**20  # bytes, pickled, beyond which a figure is not even loaded
_PATIENCE = 10.0  # seconds for all pictures of a task; the question comes first
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEAD = 24  # bytes of a PNG up to its height
_WIDEST = 8_000  # pixels
_DPI, _PIXELS = 150, 1_600  # of a figure, and its longer side
_SAID = 500  # characters


def draw(
    task: GatedTask, specs: tuple[PlotSpec, ...], incoming: Any, store: Store, *, patience: float = _PATIENCE
) -> tuple[Plot, ...]:
    """Render pictures and put them into the bucket. Nothing that they can do makes this fail, or take long.

    Parameters
    ----------
    task : GatedTask
        Not started.
    specs : tuple of PlotSpec
        What its author wants to be shown.
    incoming : Any
        What the task will find as ``self``, or as ``inputs`` in a join.
    store : Store
        Where the pictures are kept, by the SHA-256 that the question names.
    patience : float
        Seconds for all of them.
    """
    end = monotonic() + patience
    return tuple(_plot(task, spec, incoming, store, end) for spec in specs)


def _plot(task: GatedTask, spec: PlotSpec, incoming: Any, store: Store, end: float) -> Plot:
    try:
        _check_size(task, spec)
        png, shows = _in_time(lambda: _rendered(spec, incoming), end)
        digest = sha256(png).hexdigest()
        with suppress(KeyTaken):  # the same picture: an attempt before this one has written it
            store.create(bucket.plot_key(task.pathspec.approval_id, digest), png)
    except _NotShown as error:
        return Plot(name=spec.name, problem=str(error))
    except NothingThere as error:
        return Plot(name=spec.name, problem=f"needs what is missing: {error}")
    except StoreError as error:
        return Plot(name=spec.name, problem=failed(error))
    except Exception as error:  # noqa: BLE001 - the author's code, and an artifact's own, may raise anything
        return Plot(name=spec.name, problem=failed(error))
    return Plot(name=spec.name, sha256=digest, shows=shows)


class _NotShown(Exception):
    """Why a picture is not shown."""


def _check_size(task: GatedTask, spec: PlotSpec) -> None:
    """Refuse an artifact before it is loaded: its size is known to the datastore."""
    name = spec.source.split(".")[0] if isinstance(spec.source, str) else ""
    for datastore in task.inputs if name else ():
        # What the datastore knows of its artifacts (metaflow 2.19, datastore/task_datastore.py).
        size = (getattr(datastore, "_info", {}).get(name) or {}).get("size", 0)
        if size > _LARGEST_ARTIFACT:
            most = _size(_LARGEST_ARTIFACT)
            raise _NotShown(f"comes from an artifact of more than {most}, the most that is read for a picture")


@dataclass
class _Result:
    drawn: tuple[bytes, str] | None = None
    errors: list[Exception] = field(default_factory=list[Exception])


def _in_time(work: Callable[[], tuple[bytes, str]], end: float) -> tuple[bytes, str]:
    """Return what some work brings, or give it up; a thread can't be stopped, so it goes on unheard."""
    result = _Result()

    def do() -> None:
        try:
            result.drawn = work()
        except Exception as error:  # noqa: BLE001 - handed on
            result.errors.append(error)

    thread = Thread(target=do, name="plot", daemon=True)
    thread.start()
    thread.join(max(0.0, end - monotonic()))
    if result.errors:
        raise result.errors[0]
    if result.drawn is None:
        raise _NotShown("took too long to draw")
    return result.drawn


def _rendered(spec: PlotSpec, incoming: Any) -> tuple[bytes, str]:
    """Return a PNG, and the words that are in the figure it was made of."""
    found = look_up(spec.source, incoming) if isinstance(spec.source, str) else spec.source(incoming)
    if isinstance(found, (bytes, bytearray)):
        return _checked(bytes(found)), ""
    figure = found if callable(getattr(found, "savefig", None)) else getattr(found, "figure", None)  # of axes
    if not callable(getattr(figure, "savefig", None)):
        raise _NotShown(f"is a {type(found).__name__}, neither a matplotlib figure nor a PNG")
    return _checked(_saved(figure)), _words(figure)


def _words(figure: Any) -> str:
    """Return the titles of a figure and the names of its axes, or as many of them as can be had."""
    said: list[str] = []
    with suppress(Exception):
        title = getattr(figure, "_suptitle", None)
        said += [title.get_text()] if title is not None else []
        for axes in figure.get_axes():
            across, up = axes.get_xlabel(), axes.get_ylabel()
            said += [axes.get_title(), f"{up} by {across}" if across and up else across or up]
    return " · ".join(dict.fromkeys(" ".join(one.split()) for one in said if one.strip()))[:_SAID]


def _saved(figure: Any) -> bytes:
    width, height = figure.get_size_inches()
    dpi = min(_DPI, _PIXELS / max(width, height, 1e-6))
    written = io.BytesIO()
    # Opaque, so that dark letters stay legible where Slack is dark.
    figure.savefig(written, format="png", dpi=dpi, facecolor="white")
    return written.getvalue()


def _checked(png: bytes) -> bytes:
    if len(png) > LARGEST:
        raise _NotShown(f"has more than {_size(LARGEST)}, the most that a picture may have")
    if len(png) < _HEAD or not png.startswith(_SIGNATURE):
        raise _NotShown("is not a PNG")
    width, height = struct.unpack(">II", png[16:_HEAD])
    if not (0 < width <= _WIDEST and 0 < height <= _WIDEST):
        raise _NotShown(f"is {width} × {height} pixels; a picture may have {_WIDEST} a side")
    return png


def _size(count: int) -> str:
    return f"{count / 2**20:.0f} MiB" if count >= 2**20 else f"{count / 2**10:.0f} KiB"
