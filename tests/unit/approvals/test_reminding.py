"""When people are asked again."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.question import OnTimeout
from metaflow_extensions.hitl.approvals.record import Approval, ReminderKind
from metaflow_extensions.hitl.approvals.reminding import NEVER_QUIET, WEEKEND, Due, Quiet, next_reminder, read_quiet
from tests.fixtures.any_approval import moments
from tests.fixtures.approvals import NOW, after, approval, approving

HOUR = 3_600
NIGHTS = Quiet(begins=time(20), ends=time(8))
ZONES = st.sampled_from(["UTC", "Europe/Amsterdam", "America/New_York", "Asia/Tokyo", "Asia/Kolkata"]).map(ZoneInfo)
QUIETS = st.builds(
    Quiet,
    begins=st.times().map(lambda one: one.replace(second=0, microsecond=0)),
    ends=st.times().map(lambda one: one.replace(second=0, microsecond=0)),
    weekends=st.sampled_from([(), WEEKEND]),
    zones=st.lists(ZONES, min_size=1, max_size=3).map(tuple),
)
SPANS = st.none() | st.integers(60, 30 * 86_400)


@st.composite
def asked(draw: st.DrawFn) -> Approval:
    escalates = draw(SPANS)
    one = approval(
        at=draw(moments()),
        timeout=draw(SPANS),
        on_timeout=draw(st.sampled_from(OnTimeout)),
        remind_every=draw(SPANS),
        escalate_after=escalates,
        escalate_to=("@ml-oncall",) if escalates else (),
    )
    for kind in draw(st.lists(st.sampled_from(ReminderKind), max_size=4)):
        one = transitions.remind(one, kind, one.requested_at + timedelta(seconds=draw(st.integers(0, 10**6))))
    return one


@given(asked(), QUIETS)
def test_nobody_is_woken(one: Approval, quiet: Quiet) -> None:
    """Whatever comes next does not come while it is quiet, nor before the question, nor at a deadline that decides."""
    due = next_reminder(one, quiet)
    if due is not None:
        assert not quiet.holds(due.at)
        assert due.at > one.requested_at
        assert one.deadline is None or due.at < one.deadline or one.question.on_timeout is OnTimeout.NOTIFY


@given(asked(), QUIETS)
def test_at_most_one_a_period(one: Approval, quiet: Quiet) -> None:
    """After a reminder the next of its kind is a whole period away, whenever it was sent; the others come once."""
    due = next_reminder(one, quiet)
    if due is None:
        return
    for late in (0, 10**6):
        sent = due.at + timedelta(seconds=late)
        following = next_reminder(transitions.remind(one, due.kind, sent), quiet)
        if following is None or following.kind is not due.kind:
            continue
        assert due.kind is ReminderKind.REMINDER
        assert following.at - sent >= timedelta(seconds=one.question.remind_every or 0)


@given(asked(), QUIETS)
def test_nothing_after_the_answer(one: Approval, quiet: Quiet) -> None:
    """What was answered or closed is reminded of no more, and can't be."""
    answered = replace(one, decision=approving(at=one.requested_at))
    closed = transitions.close(one, "the run was stopped", one.requested_at)
    for ended in (answered, closed):
        assert next_reminder(ended, quiet) is None
        assert transitions.remind(ended, ReminderKind.REMINDER, one.requested_at) == ended


@given(moments(), QUIETS)
def test_quiet_ends_at_the_next_moment_that_is_not(moment: datetime, quiet: Quiet) -> None:
    """Between a quiet moment and the one that `after` names, it is quiet all the time."""
    end = quiet.after(moment)
    if end is None:
        return
    assert not quiet.holds(end)
    for part in range(20):
        between = moment + (end - moment) * part / 20
        assert between == end or quiet.holds(between)


def test_the_author_who_wants_none_gets_none() -> None:
    """Without `remind_every` and `escalate_after` nobody is reminded, of the deadline neither."""
    assert next_reminder(approval(timeout=HOUR), NEVER_QUIET) is None


def test_one_after_the_other() -> None:
    """Every four hours; after eight the escalation; an hour before the deadline, or at a tenth, the last call."""
    one = approval(timeout=10 * HOUR, remind_every=4 * HOUR, escalate_after=7 * HOUR, escalate_to=("@ml-oncall",))
    seen: list[tuple[str, float]] = []
    while (due := next_reminder(one, NEVER_QUIET)) is not None:
        seen.append((due.kind.value, (due.at - NOW).total_seconds() / HOUR))
        one = transitions.remind(one, due.kind, due.at)
    assert seen == [("reminder", 4), ("escalation", 7), ("last call", 9)]


def test_it_waits_for_the_morning() -> None:
    """What would come in the night of those who are asked comes when it ends there."""
    amsterdam = replace(NIGHTS, zones=(ZoneInfo("Europe/Amsterdam"),))
    due = next_reminder(approval(remind_every=12 * HOUR), amsterdam)  # asked at 10:30 there
    assert due == Due(kind=ReminderKind.REMINDER, at=datetime(2026, 3, 3, 7, 0, tzinfo=timezone.utc))


def test_the_last_call_comes_before_the_night() -> None:
    """A deadline in the night is called before people go to sleep, not when it has passed."""
    due = next_reminder(approval(timeout=15 * HOUR, remind_every=24 * HOUR), NIGHTS)
    assert due == Due(kind=ReminderKind.LAST_CALL, at=datetime(2026, 3, 2, 19, 59, 59, tzinfo=timezone.utc))


def test_somebody_is_awake() -> None:
    """With people on two continents it is quiet only while it is night for both."""
    both = replace(NIGHTS, zones=(ZoneInfo("Europe/Amsterdam"), ZoneInfo("America/New_York")))
    assert not both.holds(datetime(2026, 3, 2, 22, 0, tzinfo=timezone.utc))  # 17:00 in New York
    assert both.holds(datetime(2026, 3, 2, 3, 0, tzinfo=timezone.utc))


def test_always_quiet_is_never() -> None:
    """If it is never anything but quiet, nobody is reminded, and nothing hangs."""
    always = Quiet(weekends=(0, 1, 2, 3, 4, 5, 6))
    assert next_reminder(approval(remind_every=HOUR), always) is None


@pytest.mark.parametrize("text", ["20:00-08:00", "20:00 - 8:00, weekends", "weekends"])
def test_quiet_can_be_written(text: str) -> None:
    """Hours, weekends, or both."""
    quiet = read_quiet(text)
    assert (quiet.weekends == WEEKEND) is ("weekends" in text)
    assert ((quiet.begins, quiet.ends) == (time(20), time(8))) is ("20" in text)


def test_never_is_a_word() -> None:
    """A rule can say that its approvals are reminded of at any time."""
    assert read_quiet("never") == NEVER_QUIET


@pytest.mark.parametrize("text", ["", "night", "25:00-08:00", "20:00", "20:00-08:61", "sundays"])
def test_what_is_no_time_is_refused(text: str) -> None:
    """Anything else is an error, not a night that never comes."""
    with pytest.raises(ValueError, match=r"."):
        read_quiet(text)


def test_a_reminder_counts() -> None:
    """Of each kind the record keeps the newest, and how many there were."""
    one = approval(remind_every=HOUR)
    for hours in (1, 2, 3):
        one = transitions.remind(one, ReminderKind.REMINDER, after(hours * HOUR))
    newest = one.reminded(ReminderKind.REMINDER)
    assert newest is not None
    assert (newest.count, newest.at, len(one.reminders)) == (3, after(3 * HOUR), 1)
