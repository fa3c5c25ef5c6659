"""Pictures of the run's own: what becomes one, and why something does not."""

from __future__ import annotations

import importlib
import warnings
from hashlib import sha256
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from metaflow_extensions.hitl.approvals import bucket
from metaflow_extensions.hitl.approvals.errors import StoreUnavailable
from metaflow_extensions.hitl.stores.memory import MemoryStore
from tests.fixtures.approvals import pathspec
from tests.fixtures.watched_stores import WatchedStore

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x02\0\0\0\x02\x08\x02\0\0\0 a picture"


@pytest.fixture(scope="module")
def plots():
    """The plugin loads Metaflow, whose own copy of yaml warns where another one is installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("metaflow_extensions.hitl.plugins.plots")


def drawn(plots, value: Any, *, store: Any = None, size: int = 1, patience: float = 10.0) -> Any:
    """Draw an artifact ``picture``, of which the datastore says how large it is."""
    inputs = (SimpleNamespace(_info={"picture": {"size": size}}),)
    task = SimpleNamespace(inputs=inputs, pathspec=pathspec())
    spec = plots.PlotSpec(name="Picture", source=value if callable(value) else "picture")
    incoming = SimpleNamespace(picture=value)
    (plot,) = plots.draw(task, (spec,), incoming, MemoryStore() if store is None else store, patience=patience)
    return plot


def test_a_png_is_kept_by_the_hash_that_the_question_names(plots):
    """Asking once more, as another attempt does, is fine."""
    store = MemoryStore()
    for _ in range(2):
        plot = drawn(plots, PNG, store=store)
    assert (plot.name, plot.problem, plot.sha256) == ("Picture", "", sha256(PNG).hexdigest())
    assert store.read(bucket.plot_key(pathspec().approval_id, plot.sha256)) == PNG


def test_a_matplotlib_figure_is_rendered(plots):
    """However large its author wants it, at most 1,600 pixels wide."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - half a second

    store = MemoryStore()
    figure = Figure(figsize=(40, 20), dpi=600)
    axes = figure.subplots()
    axes.plot([1, 2, 3])
    axes.set(title="ROC", xlabel="false  positives", ylabel="true positives")
    plot = drawn(plots, figure, store=store)
    assert plot.shows == "ROC · true positives by false positives"
    png = store.read(bucket.plot_key(pathspec().approval_id, plot.sha256))
    assert int.from_bytes(png[16:20], "big") == 1_600


def refuse(_: Any) -> bytes:
    raise RuntimeError("no data")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (PNG + b"0" * 3 * 2**20, "has more than 2 MiB, the most that a picture may have"),
        (b"GIF89a" + PNG, "is not a PNG"),
        (PNG[:16] + b"\x7f\xff\xff\xff" * 2 + PNG[24:], "is 2147483647 × 2147483647 pixels"),
        ({"a": 1}, "is a dict, neither a matplotlib figure nor a PNG"),
        (refuse, "failed with RuntimeError: no data"),
    ],
)
def test_what_can_not_be_shown_says_why(plots, value, problem):
    """The question is asked without it, and names it."""
    plot = drawn(plots, value)
    assert plot.sha256 == ""
    assert plot.problem.startswith(problem)


def test_a_picture_that_takes_too_long_is_given_up(plots):
    """The question waits ten seconds at most for all of its pictures; here it waits for none."""
    never = Event()
    plot = drawn(plots, lambda _: never.wait() and PNG, patience=0.01)
    never.set()
    assert plot.problem == "took too long to draw"


def test_an_artifact_of_fifty_megabytes_is_not_even_loaded(plots):
    """The datastore knows its size."""
    assert (
        drawn(plots, PNG, size=51 * 2**20).problem
        == "comes from an artifact of more than 50 MiB, the most that is read for a picture"
    )


def test_a_store_that_is_away_keeps_a_picture_back_and_no_question(plots):
    """The store's own words are shown."""

    def away(request: str, key: str) -> None:
        raise StoreUnavailable("S3 is down")

    assert "S3 is down" in drawn(plots, PNG, store=WatchedStore(MemoryStore(), before=away)).problem


def test_an_artifact_that_is_not_there_is_named(plots):
    """As a metric's is."""
    task = SimpleNamespace(inputs=(), pathspec=pathspec())
    spec = plots.PlotSpec(name="Picture", source="picture")
    (plot,) = plots.draw(task, (spec,), SimpleNamespace(), MemoryStore())
    assert plot.problem == "needs what is missing: no artifact 'picture' comes in"
