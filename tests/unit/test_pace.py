"""The pace at which Slack is called."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from hypothesis import given, strategies as st

from hitl_bot.sandbox.faults import Count
from hitl_bot.sandbox.web_api import METHODS
from metaflow_extensions.hitl.approvals.errors import NotifierBusy
from metaflow_extensions.hitl.notifiers.slack.calls import PATIENCE, RATES, Lane, Pace

POST, UPDATE = "chat.postMessage", "chat.update"


class Seconds:
    """A clock that stands still until somebody moves it."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def pace(seconds: Seconds) -> Pace:
    return Pace(seconds)


def busy(pace: Pace, method: str, channel: str) -> float:
    """Return when bulk is told to come again, in seconds from now."""
    with pytest.raises(NotifierBusy) as told:
        pace.take(method, channel, Lane.BULK)
    return told.value.seconds


def test_people_get_a_burst_and_then_one_a_second(pace: Pace) -> None:
    """Three posts to a channel go at once, the next wait for their turns, a second apart."""
    assert [pace.take(POST, "C1", Lane.PEOPLE) for _ in range(6)] == [0, 0, 0, 1, 2, 3]


def test_people_wait_for_ten_seconds_at_most(pace: Pace) -> None:
    """What is further away is refused, and no turn is taken by it."""
    waits = [pace.take(POST, "C1", Lane.PEOPLE) for _ in range(13)]
    assert max(waits) == PATIENCE
    for _ in range(2):
        with pytest.raises(NotifierBusy) as told:
            pace.take(POST, "C1", Lane.PEOPLE)
        assert told.value.seconds == PATIENCE + 1


def test_bulk_never_waits_and_each_gets_a_time_of_its_own(pace: Pace, seconds: Seconds) -> None:
    """Of six, two go at once; the others are told to come a second apart, and then find their turn."""
    assert [pace.take(POST, "C1", Lane.BULK) for _ in range(2)] == [0, 0]
    assert [busy(pace, POST, "C1") for _ in range(4)] == [1, 2, 3, 4]
    for _ in range(4):
        seconds.now += 1
        assert pace.take(POST, "C1", Lane.BULK) == 0


def test_people_come_before_bulk(pace: Pace) -> None:
    """However much bulk is under way, people's calls go at once, five of them, and the next ones wait seconds."""
    for _ in range(500):
        with suppress(NotifierBusy):
            pace.take(UPDATE, "C1", Lane.BULK)
    assert [pace.take(UPDATE, "C1", Lane.PEOPLE) for _ in range(7)] == [0, 0, 0, 0, 0, 1.5, 3.0]


def test_channels_and_methods_have_their_own_pace(pace: Pace) -> None:
    """Slack counts posts by channel and everything by method, so neither waits for another."""
    for _ in range(10):
        pace.take(POST, "C1", Lane.PEOPLE)
    assert pace.take(POST, "C2", Lane.PEOPLE) == 0
    assert pace.take(UPDATE, "C1", Lane.PEOPLE) == 0


def test_what_is_not_paced_goes_at_once(pace: Pace) -> None:
    """Opening a view is never held up by us."""
    assert [pace.take("views.open", "", Lane.PEOPLE) for _ in range(200)] == [0] * 200


@pytest.mark.parametrize("method", [POST, UPDATE, "chat.getPermalink"])
def test_retry_after_holds_method_and_channel(pace: Pace, seconds: Seconds, method: str) -> None:
    """Nobody calls before the time that Slack said; other methods and, where Slack counts by channel, channels do."""
    pace.hold(method, "C1", 7)
    assert busy(pace, method, "C1") == 7
    assert pace.take(method, "C1", Lane.PEOPLE) == 7
    assert pace.take("conversations.history", "C1", Lane.BULK) == 0
    if method == POST:
        assert pace.take(method, "C2", Lane.BULK) == 0
    seconds.now += 20
    assert pace.take(method, "C1", Lane.BULK) == 0


def test_a_longer_hold_is_not_cut_short(pace: Pace) -> None:
    """Of two answers the later end counts."""
    pace.hold(POST, "C1", 9)
    pace.hold(POST, "C1", 2)
    assert pace.take(POST, "C1", Lane.PEOPLE) == 9


def test_a_channel_has_one_pace_under_two_names(pace: Pace) -> None:
    """What went to #name, was promised there and what Slack said there counts for the channel's id as well."""
    for _ in range(3):
        pace.take(POST, "#c", Lane.PEOPLE)
    assert busy(pace, POST, "#c") == 2
    pace.take(POST, "C1", Lane.PEOPLE)
    pace.merge("#c", "C1")
    assert pace.take(POST, "C1", Lane.PEOPLE) == 2
    assert busy(pace, POST, "C1") == 4
    pace.hold(POST, "#c", 9)
    pace.merge("#c", "C1")
    assert pace.take(POST, "C1", Lane.PEOPLE) == 9


def test_a_name_goes_on_counting_for_its_channel(pace: Pace) -> None:
    """Who has not heard of the id yet, and takes a turn by the name, finds no room of its own there."""
    pace.take(POST, "#c", Lane.BULK)
    pace.merge("#c", "C1")
    pace.take(POST, "#c", Lane.BULK)
    assert busy(pace, POST, "#c") == 1
    assert busy(pace, POST, "C1") == 2


def test_memory_is_bounded(pace: Pace) -> None:
    """Ten thousand channels, under two names each, leave some four thousand in mind."""
    for number in range(10_000):
        pace.take(POST, f"C{number}", Lane.PEOPLE)
        pace.merge(f"#c{number}", f"C{number}")
    assert len(pace._turns) == len(pace._ids) == 4_096


def test_threads_share_one_pace(pace: Pace) -> None:
    """Of forty calls at once, two go and each of the others gets a time of its own."""
    start = threading.Barrier(8)

    def call_five_times() -> list[float]:
        start.wait(60)
        return [when() for _ in range(5)]

    def when() -> float:
        try:
            return pace.take(POST, "C1", Lane.BULK)
        except NotifierBusy as told:
            return told.seconds

    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(call_five_times) for _ in range(8)]
    times = Counter(time for call in calls for time in call.result())
    assert times[0.0] == 2
    assert sorted(times)[1:] == [float(number) for number in range(1, 39)]


@pytest.mark.parametrize("method", sorted(RATES.keys() - {POST}))
def test_no_minute_holds_more_than_slack_allows(method: str) -> None:
    """At full speed, a burst and the minute after it stay within the tier that the method's page names."""
    rate = RATES[method]
    assert rate.burst + 60 / rate.seconds <= METHODS[method].tier.value


@given(
    st.sampled_from(sorted(RATES)),
    st.lists(st.tuples(st.sampled_from(Lane), st.floats(0, 3)), min_size=1, max_size=200),
)
def test_slack_never_counts_too_much(method: str, calls: list[tuple[Lane, float]]) -> None:
    """Whoever calls whenever, no call comes when Slack's own count has no room for it."""
    seconds = Seconds()
    pace = Pace(seconds)
    made: list[float] = []
    for lane, pause in calls:
        with suppress(NotifierBusy):
            made.append(seconds.now + pace.take(method, "C1", lane))
        seconds.now += pause
    count = Count(METHODS[method].tier)
    for at in sorted(made):
        count.add(at)
    assert count.exceeded == 0
