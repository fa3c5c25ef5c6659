"""Who somebody is in Slack."""

from __future__ import annotations

from datetime import timedelta

import pytest

from hitl_bot.sandbox import Sandbox
from hitl_bot.sandbox.control import Control
from hitl_bot.slack.client import slack_client
from hitl_bot.slack.people import SlackPeople
from metaflow_extensions.hitl.approvals.bounded import BoundedCache
from metaflow_extensions.hitl.approvals.errors import PeopleUnavailable
from metaflow_extensions.hitl.approvals.record import Person
from metaflow_extensions.hitl.slack import SLACK
from tests.fixtures.approvals import HandClock


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def directory(sandbox: Sandbox, clock: HandClock) -> SlackPeople:
    return SlackPeople(slack_client(sandbox.bot_token, sandbox.api_url), clock)


def test_a_person_has_a_name_and_an_address(directory: SlackPeople) -> None:
    """The display name and the email address come from Slack; one that is hidden is None."""
    assert directory.person("U0BOB") == Person(id="U0BOB", name="bob", origin=SLACK, email="bob@example.com")
    assert directory.person("U0GRACE").email is None


@pytest.mark.parametrize(
    ("user", "why"),
    [
        ("U0ALICE", None),
        ("U0DAVE", "guests"),
        ("U0ERIN", "another workspace"),
        ("U0FRANK", "deactivated"),
        ("U0BOT", "an app"),
    ],
)
def test_who_never_decides(directory: SlackPeople, user: str, why: str | None) -> None:
    """A member may; a guest, a stranger, a deactivated person and an app never do, and each is told why."""
    bar = directory.barred(directory.person(user))
    assert bar is None if why is None else why in (bar or "")


def test_a_single_channel_guest_never_decides(directory: SlackPeople, control: Control) -> None:
    """Slack marks these with a flag of their own."""
    control.put_person(id="U0GUEST", name="guest", real_name="Guest", kind="single-channel guest")
    assert "guests" in (directory.barred(directory.person("U0GUEST")) or "")


def test_groups_by_handle_and_by_id(directory: SlackPeople) -> None:
    """A group is found by its handle and by its id; only those that were asked for are returned."""
    carol = directory.person("U0CAROL")
    assert directory.groups_of(carol, ["@ml-leads", "S0RISK", "@ml-oncall"]) == {"@ml-leads", "S0RISK"}
    assert directory.groups_of(carol, ["@risk"]) == {"@risk"}
    assert directory.groups_of(directory.person("U0BOB"), ["@risk"]) == frozenset()


def test_a_group_that_is_gone_has_nobody(directory: SlackPeople, control: Control) -> None:
    """A disabled group, or one that never was, lets nobody decide."""
    control.put_group(id="S0RISK", disabled=True)
    assert directory.groups_of(directory.person("U0CAROL"), ["@risk", "S0RISK", "@nobody"]) == frozenset()


def test_slack_is_asked_once_in_some_minutes(directory: SlackPeople, control: Control, clock: HandClock) -> None:
    """A profile is good for five minutes and the groups for two; then Slack is asked again."""
    for seconds in (0, 60, 59):
        clock.forward(seconds)
        directory.groups_of(directory.person("U0BOB"), ["@risk"])
    assert len(control.calls("users.info")) == 1
    assert len(control.calls("usergroups.list")) == 1
    clock.forward(1)
    directory.groups_of(directory.person("U0BOB"), ["@risk"])
    assert len(control.calls("users.info")) == 1
    assert len(control.calls("usergroups.list")) == 2
    clock.forward(180)
    directory.person("U0BOB")
    assert len(control.calls("users.info")) == 2


def test_who_was_deactivated_is_barred_within_minutes(
    directory: SlackPeople, control: Control, clock: HandClock
) -> None:
    """What is cached about a person is forgotten in time for the next decision."""
    bob = directory.person("U0BOB")
    assert directory.barred(bob) is None
    control.put_person(id="U0BOB", kind="deactivated")
    clock.forward(300)
    assert "deactivated" in (directory.barred(bob) or "")


@pytest.mark.parametrize("trouble", ["error", "status", "refused", "lost", "ratelimited", "scope"])
def test_when_slack_cant_be_asked_nobody_is_anybody(directory: SlackPeople, control: Control, trouble: str) -> None:
    """Every way in which Slack can fail ends in PeopleUnavailable, is not cached, and names no token."""
    method = "users.info"
    if trouble == "error":
        control.fault(method, error="fatal_error")
    elif trouble == "scope":
        control.fault(method, error="missing_scope")
    elif trouble == "status":
        control.fault(method, status=503)
    elif trouble == "refused":
        control.refuse(method)
    elif trouble == "lost":
        control.lose_answer(method)
    else:
        control.ratelimit(method, retry_after=30)
    with pytest.raises(PeopleUnavailable, match="nothing was decided") as refused:
        directory.person("U0BOB")
    assert "xox" not in str(refused.value)
    assert directory.person("U0BOB").name == "bob"


def test_an_unknown_user_is_nobody(directory: SlackPeople) -> None:
    """An id that Slack does not know is refused, not taken at its word."""
    with pytest.raises(PeopleUnavailable, match="user_not_found"):
        directory.person("U0NOBODY")


def test_a_cache_keeps_the_newest_only(clock: HandClock) -> None:
    """However many are asked for, no more than the size are held, and the oldest go first."""
    cache = BoundedCache[int](clock, keep=timedelta(minutes=5), size=3)
    fetched: list[int] = []

    def fetch(number: int) -> int:
        fetched.append(number)
        return number

    for number in (1, 2, 3, 4, 2, 3, 4, 1):
        cache.get(number, lambda number=number: fetch(number))
    assert fetched == [1, 2, 3, 4, 1]


def test_a_cache_forgets_when_the_clock_is_set_back(clock: HandClock) -> None:
    """A clock that jumps back must not make an answer live for longer."""
    cache = BoundedCache[object](clock, keep=timedelta(minutes=5), size=3)
    first = cache.get("key", object)
    clock.forward(-1)
    assert cache.get("key", object) is not first


def test_a_cache_holds_no_failure(clock: HandClock) -> None:
    """What could not be fetched is fetched again."""
    cache = BoundedCache[int](clock, keep=timedelta(minutes=5), size=3)

    def fail() -> int:
        raise PeopleUnavailable("away")

    with pytest.raises(PeopleUnavailable):
        cache.get("key", fail)
    assert cache.get("key", lambda: 7) == 7
