"""Who somebody is in Slack."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import pytest

from hitl_bot.sandbox import Sandbox
from hitl_bot.sandbox.control import Control
from hitl_bot.slack.client import NoTurn, Turns, slack_client
from hitl_bot.slack.people import SlackPeople
from metaflow_extensions.hitl.approvals.bounded import BoundedCache
from metaflow_extensions.hitl.approvals.errors import NoUserGroups, PeopleUnavailable
from metaflow_extensions.hitl.approvals.record import Origin, Person
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
        ("U0ERIN", "other workspaces"),
        ("U0FRANK", "deactivated"),
        ("U0BOT", "apps"),
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


def test_a_decision_asks_afresh(directory: SlackPeople, control: Control) -> None:
    """What was asked before a decision begins does not count for it; in its course each thing is asked once."""
    bob = directory.person("U0BOB")
    assert directory.barred(bob) is None
    assert directory.groups_of(bob, ["@ml-leads"])
    assert directory.in_channel(bob, "C0APPROVALS")
    control.put_person(id="U0BOB", kind="guest", email="rob@example.com")
    control.put_group(id="S0MLLEADS", members=["U0CAROL"])
    control.put_channel(id="C0APPROVALS", members=["U0CAROL", "U0BOT"])
    assert directory.groups_of(bob, ["@ml-leads"])
    now = directory.now()
    for _ in range(3):
        assert now.current(bob).email == "rob@example.com"
        assert "guests" in (now.barred(bob) or "")
        assert not now.groups_of(bob, ["@ml-leads"])
        assert not now.in_channel(bob, "C0APPROVALS")
    for method in ("users.info", "usergroups.list", "conversations.members"):
        assert len(control.calls(method)) == 2
    assert not directory.in_channel(bob, "C0APPROVALS")  # and for showing the newer answer holds


def test_many_who_decide_at_once_stay_within_slacks_limits(directory: SlackPeople, control: Control) -> None:
    """Of sixty decisions in one moment Slack is asked about the groups once."""
    control.enforce_rates()
    bob = directory.person("U0BOB")
    decisions = [directory.now() for _ in range(60)]
    with ThreadPoolExecutor(60) as pool:
        came = list(pool.map(lambda people: people.groups_of(bob, ["@ml-leads"]), decisions))
    assert came == [{"@ml-leads"}] * 60
    assert len(control.calls("usergroups.list")) == 1
    assert not control.exceeded_rates()


def test_a_channel_of_many_pages(directory: SlackPeople, control: Control) -> None:
    """Everybody in a channel is found, also on the second page; by its id, its name, and its name with a #."""
    members = [f"U{number:07}" for number in range(1_200)]
    control.put_channel(id="C0CROWD", name="crowd", members=[*members, "U0BOT", "U0DAVE"])
    for channel in ("C0CROWD", "crowd", "#crowd"):
        assert directory.in_channel(Person(id=members[-1], name="x", origin=SLACK), channel)
        assert directory.in_channel(directory.person("U0DAVE"), channel)
        assert not directory.in_channel(directory.person("U0BOB"), channel)
    assert len(control.calls("conversations.members")) == 2


def test_a_direct_message_is_its_persons(directory: SlackPeople) -> None:
    """A question to one person belongs to that person alone, by their id and by the id of the conversation."""
    bob, carol = directory.person("U0BOB"), directory.person("U0CAROL")
    assert directory.in_channel(bob, "U0BOB")
    assert not directory.in_channel(carol, "U0BOB")


def test_a_name_that_nobody_vouches_for_is_in_no_channel(directory: SlackPeople, control: Control) -> None:
    """A typed name that looks like a member's id is nobody's, and Slack is not even asked."""
    typed = Person(id="U0BOB", name="U0BOB", origin=Origin.CLAIM)
    assert not directory.in_channel(typed, "C0APPROVALS")
    assert not directory.in_channel(typed, "U0BOB")
    assert not control.calls("conversations.members")


@pytest.mark.parametrize("code", ["channel_not_found", "missing_scope", "fetch_members_failed"])
def test_a_channel_that_cant_be_asked_has_nobody(directory: SlackPeople, control: Control, code: str) -> None:
    """When Slack won't say who is in a channel, nobody is, and nobody isn't: the answer is refused."""
    bob = directory.person("U0BOB")
    control.fault("conversations.members", error=code)
    with pytest.raises(PeopleUnavailable, match="nothing was decided"):
        directory.in_channel(bob, "C0APPROVALS")
    with pytest.raises(PeopleUnavailable, match="can't see a channel #nowhere"):
        directory.in_channel(bob, "#nowhere")


def test_a_plan_without_user_groups(directory: SlackPeople, control: Control) -> None:
    """On Slack's free plan nobody is in any group, and whoever is asked hears what to name instead."""
    control.fault("usergroups.list", error="plan_upgrade_required")
    with pytest.raises(NoUserGroups, match="email address or member ID"):
        directory.groups_of(directory.person("U0BOB"), ["@ml-leads"])


def test_a_decision_waits_a_moment_if_slack_asks_to(directory: SlackPeople, control: Control) -> None:
    """A short Retry-After costs a decision that time; without a decision nobody waits."""
    control.ratelimit("users.info", retry_after=1)
    assert directory.now().person("U0BOB").name == "bob"
    control.ratelimit("users.info", retry_after=1)
    with pytest.raises(PeopleUnavailable):
        directory.person("U0CAROL")


@pytest.mark.parametrize("address", ["bo\u212a@example.com", "b\u043eb@example.com", "bob@exam\uff50le.com"])
def test_an_address_that_only_looks_like_somebodys(directory: SlackPeople, control: Control, address: str) -> None:
    """A Kelvin sign is not a k, and a Cyrillic o is not an o: such an address is nobody's, and Slack is not asked."""
    control.put_person(id="U0BOK", name="bok", real_name="Bok", email="bok@example.com")
    assert directory.find("bok@example.com") is not None
    assert directory.find(address) is None
    assert len(control.calls("users.lookupByEmail")) == 1


def test_turns_stay_below_the_limit() -> None:
    """In no minute there are more turns than the burst and the pace allow; who would wait too long has none."""
    now = [0.0]
    turns = Turns(a_minute=12, burst=8, patience=5, monotonic=lambda: now[0], sleep=lambda _: None)
    taken: list[float] = []
    for _ in range(600):
        with suppress(NoTurn):
            turns.wait()
            taken.append(now[0])
        now[0] += 0.5
    for begin in taken:
        assert sum(begin <= one < begin + 60 for one in taken) <= 20
    assert len(taken) < 100


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
