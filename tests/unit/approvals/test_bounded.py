"""What the maps keep that forget."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, strategies as st

from metaflow_extensions.hitl.approvals.bounded import BoundedCache, BoundedMap
from tests.fixtures.approvals import HandClock


@given(st.lists(st.integers(0, 9), max_size=40), st.integers(1, 5))
def test_the_newest_keys_are_kept(keys: list[int], size: int) -> None:
    """Of all keys that were set, those set last are kept, the oldest first, and each that goes is reported once."""
    gone: list[int] = []
    found: BoundedMap[int, int] = BoundedMap(size, dropped=gone.append)
    for number, key in enumerate(keys):
        found[key] = number
    newest = list(dict.fromkeys(reversed(keys)))[:size]
    assert list(found) == newest[::-1]
    assert set(keys) <= set(gone) | set(found)
    assert all(found[key] == max(number for number, one in enumerate(keys) if one == key) for key in found)


def test_what_is_touched_is_kept() -> None:
    """A key that was touched is the newest, and popitem takes the oldest."""
    found: BoundedMap[str, int] = BoundedMap(2)
    found["a"], found["b"] = 1, 2
    found.touch("a")
    found["c"] = 3
    assert dict(found) == {"a": 1, "c": 3}
    assert found.popitem() == ("a", 1)
    with pytest.raises(KeyError):
        found.touch("a")


def test_a_cache_holds_what_it_fetched_and_no_failure() -> None:
    """What was fetched is good for the time it is kept; what failed is fetched again at once."""
    clock = HandClock()
    cache = BoundedCache[int](clock, keep=timedelta(minutes=1), size=2)
    with pytest.raises(ZeroDivisionError):
        cache.get("a", lambda: 1 // 0)
    assert cache.get("a", lambda: 1) == 1
    assert cache.get("a", lambda: 2) == 1
    clock.now += timedelta(minutes=1)
    assert cache.get("a", lambda: 3) == 3
