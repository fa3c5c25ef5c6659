"""Health: whether the bot lives, and whether it can do its work."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from threading import Event, Thread

import pytest

from hitl_bot.bootstrap import Bot
from hitl_bot.sandbox import Sandbox
from hitl_bot.sandbox.control import Control
from hitl_bot.settings import Mode, Settings
from hitl_bot.web.readiness import NotReady, Readiness
from hitl_bot.web.server import SLACK_PATH, CantListen
from metaflow_extensions.hitl.approvals.errors import StoreUnavailable
from metaflow_extensions.hitl.approvals.ports import Store
from tests.integration.operate.conftest import build, call

WELL = {
    "ready": True,
    "checks": {"slack": "ok", "store": "ok"},
    "policy": "none: METAFLOW_HITL_POLICY is not set, so each step's own arguments decide",
}


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing that was found be good for longer than it takes to say it."""
    monkeypatch.setattr(Readiness.__init__, "__kwdefaults__", {"keep": 0.0, "within": 60.0})


def test_all_is_well(bot: Bot) -> None:
    """An open bot with a store is alive and ready, and says what it looked at."""
    assert call(bot.web.url, "/healthz").body == b"ok"
    answer = call(bot.web.url, "/readyz")
    assert (answer.status, answer.json) == (200, WELL)


def test_a_store_that_is_away_is_named(bot: Bot, interventions: list[Callable[[str, str], None]]) -> None:
    """If the store does not answer the bot is not ready, and says why; it still lives."""

    def fail(request: str, key: str) -> None:
        raise StoreUnavailable("The bucket refused (AccessDenied).")

    interventions.append(fail)
    answer = call(bot.web.url, "/readyz")
    assert answer.status == 503
    assert answer.json["ready"] is False
    assert answer.json["checks"] == {"slack": "ok", "store": "The bucket refused (AccessDenied)."}
    assert call(bot.web.url, "/healthz").status == 200


def test_a_store_that_can_only_be_read_is_not_ready(bot: Bot, interventions: list[Callable[[str, str], None]]) -> None:
    """A disk that is full still lists: readiness writes before it says that all is well."""

    def full(request: str, key: str) -> None:
        if request in {"create", "mark", "check"}:
            raise StoreUnavailable("No space left on device.")

    interventions.append(full)
    answer = call(bot.web.url, "/readyz")
    assert (answer.status, answer.json["checks"]["store"]) == (503, "No space left on device.")


def test_a_bot_that_stops_is_not_ready(at_once: None, bot: Bot) -> None:
    """Told to stop, it is taken out of the service before it ends."""
    assert call(bot.web.url, "/readyz").status == 200
    bot.transport.give_up()
    answer = call(bot.web.url, "/readyz")
    assert answer.status == 503
    assert "stopping" in answer.json["checks"]["slack"]


@pytest.fixture
def socket_settings(settings: Settings, sandbox: Sandbox) -> Settings:
    return settings.model_copy(update={"mode": Mode.SOCKET, "slack_app_token": sandbox.app_token})


def test_socket_mode_has_health_too(at_once: None, socket_settings: Settings, store: Store, control: Control) -> None:
    """Over Socket Mode it is ready as long as the socket is open, and there is no request URL."""
    bot = build(socket_settings, store=store)
    stopping = Event()
    control.fault("apps.connections.open", status=503, times=99)
    starting = Thread(target=bot.start, args=(stopping,))
    starting.start()
    control.wait_for_calls("apps.connections.open")
    answer = call(bot.web.url, "/readyz")
    assert answer.status == 503
    assert "connecting" in answer.json["checks"]["slack"]
    stopping.set()
    starting.join()
    control.clear_faults()
    bot.transport.open(Event())
    assert call(bot.web.url, "/readyz").json == WELL
    assert call(bot.web.url, SLACK_PATH, b"").status == 404
    assert bot.stop(60)


def test_an_address_that_is_taken_is_named(settings: Settings, store: Store) -> None:
    """A port that another program has is an error that names the setting, and nothing was started."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        bot = build(settings.model_copy(update={"port": other.getsockname()[1]}), store=store)
        with pytest.raises(CantListen, match="METAFLOW_HITL_PORT"):
            bot.start(Event())
    assert not bot.transport.is_open
    assert bot.stop(60)


@pytest.mark.parametrize(("host", "beginning"), [("127.0.0.1", "http://127.0.0.1:"), ("::1", "http://[::1]:")])
def test_it_listens_where_it_is_told(settings: Settings, store: Store, host: str, beginning: str) -> None:
    """METAFLOW_HITL_HOST is the address, IPv4 or IPv6."""
    bot = build(settings.model_copy(update={"host": host}), store=store)
    try:
        bot.web.start()
    except CantListen:
        pytest.skip(f"this machine has no {host}") if host == "::1" else pytest.fail("no loopback")
    assert bot.web.url.startswith(beginning)
    assert call(bot.web.url, "/healthz").status == 200
    assert bot.stop(60)


# Checks.


def test_what_was_found_is_good_for_a_while() -> None:
    """Asked again within the time the check is not made again."""
    made: list[int] = []
    readiness = Readiness({"store": lambda: made.append(1)}, keep=60)
    assert readiness.problems() == readiness.problems() == {"store": ""}
    assert made == [1]


def test_a_check_that_hangs_is_bounded_and_made_once() -> None:
    """While one check hangs, each answer comes in time and names it, the others are told, and no second one starts."""
    free, made = Event(), []

    def hang() -> None:
        made.append(1)
        free.wait(60)

    def fail() -> None:
        raise NotReady("no token")

    readiness = Readiness({"store": hang, "slack": fail}, keep=0, within=1)
    began = time.monotonic()
    for _ in range(3):
        assert readiness.problems() == {"store": "no answer within 1 s", "slack": "no token"}
    assert time.monotonic() - began < 20  # far less than the check itself takes
    assert made == [1]
    free.set()


def test_a_check_that_recovers_is_well_again() -> None:
    """A problem is gone as soon as the check finds it gone."""
    problems = [NotReady("away"), None]

    def check() -> None:
        problem = problems.pop(0)
        if problem is not None:
            raise problem

    readiness = Readiness({"store": check}, keep=0)
    assert [readiness.problems()["store"] for _ in range(2)] == ["away", ""]


def test_a_defect_in_a_check_is_not_well() -> None:
    """A check that breaks counts as failed, and shows nothing of the defect to whoever asks."""

    def broken() -> None:
        raise ZeroDivisionError("secret")

    assert "secret" not in Readiness({"store": broken}).problems()["store"] != ""
