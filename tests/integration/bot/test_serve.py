"""``hitl-bot serve`` as a process, and how a bot starts and stops."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread, Timer

import pytest

from hitl_bot.bootstrap import Bot, bootstrap
from hitl_bot.sandbox import Sandbox
from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.driver import Driver, Person
from hitl_bot.settings import Settings, SettingsError
from hitl_bot.slack.connection import CONNECTIONS, CantConnect
from metaflow_extensions.hitl.approvals.errors import StoreUnfit
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.record import State, TrailEvent
from metaflow_extensions.hitl.approvals.transitions import request
from metaflow_extensions.hitl.stores import DirectoryStore, MemoryStore
from tests.fixtures.approvals import REQUESTER, HandClock, gate, pathspec, question
from tests.fixtures.slack import PATIENCE, connect
from tests.integration.bot.conftest import CHANNEL, Ask
from tests.sizes import soak

SERVE = [sys.executable, "-c", "from hitl_bot.cli import main; main()", "serve"]
ROOT = Path(__file__).parents[3]
SIGNALS = (signal.SIGTERM, signal.SIGINT)


def variables(sandbox: Sandbox, folder: Path, **more: str) -> dict[str, str]:
    """Return an environment for the process in which nothing else says anything about Slack or Metaflow."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("METAFLOW_", "SLACK_"))}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "METAFLOW_HOME": str(folder),
        "METAFLOW_HITL_ROOT": str(folder / "records"),
        "METAFLOW_HITL_SLACK_BOT_TOKEN": sandbox.bot_token,
        "METAFLOW_HITL_SLACK_APP_TOKEN": sandbox.app_token,
        "METAFLOW_HITL_SLACK_API_URL": sandbox.api_url,
        "METAFLOW_HITL_SLACK_CHANNEL": CHANNEL,
        "METAFLOW_HITL_LOG_FORMAT": "json",
        "METAFLOW_HITL_PORT": "0",
        **more,
    }


@contextmanager
def serving(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run the command; whatever happens, end it."""
    process = subprocess.Popen(SERVE, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ask_by_bot(folder: Path) -> str:
    """Leave a question in the store, as a run without a token does; the bot posts it after ten seconds of its clock."""
    now = HandClock().now  # long ago, so at once
    approval = request(pathspec(), question(notifiers=("slack",)), gate(), REQUESTER, now)
    return Ledger(DirectoryStore(folder / "records")).begin(approval).approval.id


def test_a_signal_ends_it_well(sandbox: Sandbox, control: Control, tmp_path: Path) -> None:
    """Told to stop, a serving bot ends with 0; its log is JSON, line by line, and shows no token and no ticket."""
    with serving(variables(sandbox, tmp_path, METAFLOW_HITL_LOG_LEVEL="debug")) as process:
        control.wait_for_connection(timeout=120)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=120)
    assert process.returncode == 0, log
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert "stopping" in events
    assert sandbox.bot_token not in log
    assert sandbox.app_token not in log
    assert "ticket=" not in log


def test_what_is_in_flight_is_finished(sandbox: Sandbox, people: Driver, control: Control, tmp_path: Path) -> None:
    """A decision whose message is being updated when the signal comes is settled before the process ends."""
    approval_id = ask_by_bot(tmp_path)
    ledger = Ledger(DirectoryStore(tmp_path / "records"))
    bob = people.as_("bob")
    with serving(variables(sandbox, tmp_path)) as process:
        control.wait_for_connection(timeout=120)
        message = bob.wait_for_message(CHANNEL, timeout=120)
        control.set_clock(control.now())  # it stands still, so the delay lasts until the clock is moved
        control.fault("chat.update", delay=5)
        pressed = Thread(target=bob.click, args=(message, "Approve"), kwargs={"confirm": "Approve"})
        pressed.start()
        control.wait_until(lambda: ledger.read(approval_id).approval.decision)
        process.send_signal(signal.SIGTERM)
        for _ in range(600):
            control.advance(5)  # the update may have arrived since the last time, or not yet
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
                break
        _, log = process.communicate(timeout=120)
        pressed.join()
    assert process.returncode == 0, log
    approval = ledger.read(approval_id).approval
    assert approval.state is State.APPROVED
    assert approval.settlement is not None
    assert "Approved" in message.refresh().plain


def test_a_bad_setting_ends_it_in_one_line(sandbox: Sandbox, tmp_path: Path) -> None:
    """What an operator can fix is reported without a traceback, with 1."""
    environment = variables(sandbox, tmp_path, METAFLOW_HITL_SLACK_APP_TOKEN="")
    result = subprocess.run(SERVE, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("hitl-bot: METAFLOW_HITL_SLACK_APP_TOKEN is not set.")
    assert len(result.stderr.splitlines()) == 1


def test_a_refused_token_ends_it(sandbox: Sandbox, tmp_path: Path) -> None:
    """If Slack refuses the app-level token, the process ends with 1 and says what to make."""
    environment = variables(sandbox, tmp_path, METAFLOW_HITL_SLACK_APP_TOKEN="xapp-wrong")
    result = subprocess.run(SERVE, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 1
    assert "connections:write" in result.stderr.splitlines()[-1]
    assert "xapp-wrong" not in result.stderr


class OverwritingStore(MemoryStore):
    """A store that overwrites where it must refuse, as some S3 servers do."""

    def check(self) -> None:
        raise StoreUnfit("It overwrites.")


def test_an_unfit_store_is_refused(settings: Settings, control: Control) -> None:
    """A store in which two answers could both win is refused before anything is started."""
    bot = bootstrap(settings, store=OverwritingStore())
    with pytest.raises(StoreUnfit):
        bot.start(Event())
    assert control.calls() == []
    assert bot.stop(60)


def test_slack_is_away_at_the_start(settings: Settings, control: Control, people: Driver) -> None:
    """While Slack refuses connections the sweeper works; a stop is heeded while the bot waits for Slack."""
    stopping = Event()
    control.fault("apps.connections.open", status=503, times=99)
    bot = bootstrap(settings, store=MemoryStore())
    starting = Thread(target=bot.start, args=(stopping,))
    starting.start()
    control.wait_for_calls("apps.connections.open")
    bot.cases.ask(pathspec(), question(notifiers=("slack",), timeout=1), gate(), REQUESTER)
    people.as_("bob").wait_for_message(CHANNEL, lambda one: "no one answered" in one.plain)
    stopping.set()
    starting.join(60)
    assert not starting.is_alive()
    assert bot.stop(60)


def test_a_wrong_app_token_is_not_tried_again(settings: Settings, control: Control) -> None:
    """What only an operator can fix is raised at once."""
    control.fault("apps.connections.open", error="invalid_auth")
    bot = bootstrap(settings, store=MemoryStore())
    with pytest.raises(CantConnect, match="invalid_auth"):
        bot.transport.open(Event())
    assert len(control.calls("apps.connections.open")) == 1
    assert bot.stop(60)


@pytest.mark.parametrize("missing", ["slack_bot_token", "slack_app_token"])
def test_a_bot_needs_both_tokens(settings: Settings, missing: str) -> None:
    """Without one of its tokens no bot is built."""
    with pytest.raises(SettingsError, match=missing.upper()):
        bootstrap(settings.model_copy(update={missing: None}), store=MemoryStore())


def test_slacks_oauth_variables_change_nothing(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, store: Store, clock: HandClock, people: Driver
) -> None:
    """SLACK_CLIENT_ID and SLACK_CLIENT_SECRET would turn Bolt into an OAuth app that refuses every request."""
    monkeypatch.setenv("SLACK_CLIENT_ID", "1.2")
    monkeypatch.setenv("SLACK_CLIENT_SECRET", "secret")
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-of-another-app")
    bot = bootstrap(settings, store=store, clock=clock)
    connect(bot)
    assert "1 approval" not in people.as_("bob").command("/hitl list")[0].plain
    assert bot.app.oauth_flow is None
    assert os.environ["SLACK_CLIENT_ID"] == "1.2"
    assert bot.stop(60)


def test_a_proxy_is_not_asked_for_loopback(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, store: Store, clock: HandClock, people: Driver
) -> None:
    """slack_sdk knows HTTPS_PROXY and not NO_PROXY; for an address that needs no proxy the bot takes it away."""
    for name in ("HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    bot = bootstrap(settings, store=store, clock=clock)
    connect(bot)
    assert people.as_("bob").command("/hitl list")[0].is_ephemeral
    assert bot.stop(60)


def test_a_connection_that_breaks_comes_back(bot: Bot, control: Control, bob: Person) -> None:
    """After Slack cut the connection, and after it asked for a new one, the bot answers again."""
    control.wait_for_connection(CONNECTIONS)
    assert control.drop_connections() == CONNECTIONS
    control.wait_for_connection()
    assert bob.command("/hitl help")
    control.refresh_connections()
    control.wait_for_connection()
    assert bob.command("/hitl help")


def test_a_connection_is_replaced_once(bot: Bot, control: Control, bob: Person) -> None:
    """Asked to connect again, and cut off at once, the bot opens one for each; nothing sent on them is lost."""
    for _ in range(5):
        control.wait_for_connection(CONNECTIONS)
        control.refresh_connections()
        control.wait_for_connection()
        assert bob.command("/hitl help")
    control.wait_for_connection(CONNECTIONS)
    assert len(control.calls("apps.connections.open")) == CONNECTIONS * 6


def test_a_connection_that_is_about_to_close_is_read_until_then(bot: Bot, control: Control, bob: Person) -> None:
    """While another connection is opened, slowly, what Slack still sends on the old ones is acknowledged."""
    control.wait_for_connection(CONNECTIONS)
    control.fault("apps.connections.open", delay=3_600, times=CONNECTIONS)
    assert control.ask_to_reconnect() == CONNECTIONS
    for _ in range(2 * CONNECTIONS):
        assert bob.command("/hitl help")
    control.clear_faults()
    control.advance(3_600)


def test_slacks_patience_does_not_hold_up_a_stop(settings: Settings, store: Store, control: Control) -> None:
    """Told to wait a minute before it may connect, the bot stops at once all the same."""
    control.ratelimit("apps.connections.open", retry_after=60, times=5)
    stopping, bot = Event(), bootstrap(settings, store=store)
    opening = Thread(target=bot.transport.open, args=(stopping,))
    opening.start()
    control.wait_for_calls("apps.connections.open")
    stopping.set()
    opening.join(50)
    assert not opening.is_alive()
    assert bot.stop(60)


def test_the_first_click_does_not_wait_for_slack(bot: Bot, ask: Ask, bob: Person, control: Control) -> None:
    """A click is acknowledged although auth.test takes for ever: nobody has to be asked whose request it is."""
    control.fault("auth.test", delay=3_600)
    ask()
    bob.click(bob.wait_for_message(CHANNEL), "Approve", confirm="Approve", timeout=0)
    assert [one["acknowledged"] for one in control.envelopes()] == [True]
    control.clear_faults()  # also of a call that is still to come
    control.advance(3_600)


def test_an_organisation_wide_installation_is_refused_in_words(bot: Bot, control: Control) -> None:
    """On Enterprise Grid a request of an installation for the whole organisation decides nothing, and says why."""
    payload = {
        "command": "/hitl",
        "text": "list",
        "user_id": "U0BOB",
        "enterprise_id": "E0ORG",
        "is_enterprise_install": "true",
    }
    answer = control.deliver("slash_commands", payload)["answer"]
    assert "Ask an admin to install it in this workspace" in str(answer)


def test_a_workspace_of_an_organisation_works(bot: Bot, ask: Ask, bob: Person, control: Control) -> None:
    """On Enterprise Grid, installed to one workspace, people answer as anywhere."""
    control.put_team(enterprise="E0ORG")
    approval = ask()
    bob.click(bob.wait_for_message(CHANNEL), "Approve", confirm="Approve")
    assert bot.cases.ledger.read(approval.id).approval.decision is not None


def test_a_stop_does_not_wait_for_ever(
    settings: Settings, store: Store, clock: HandClock, bob: Person, interventions: list[Callable[[str, str], None]]
) -> None:
    """If the store hangs, the stop gives up in time and says so; what hung is finished when it can."""
    bot = bootstrap(settings, store=store, clock=clock)
    connect(bot)
    hanging, free = Event(), Event()

    def hang(request: str, key: str) -> None:
        hanging.set()
        free.wait(60)

    interventions.append(hang)
    typing = Thread(target=bob.command, args=("/hitl list",))
    typing.start()
    assert hanging.wait(60)
    assert not bot.stop(0.2)
    free.set()
    typing.join()
    assert bot.stop(60)


def test_a_redelivered_envelope_decides_once(ask: Ask, bob: Person, control: Control, bot: Bot) -> None:
    """An envelope whose ack Slack did not hear comes again, and the decision stands as it was."""
    approval = ask()
    message = bob.wait_for_message(CHANNEL)
    bob.click(message, "Approve", confirm="Approve")
    bob.wait_for_update(message)
    control.redeliver(control.envelopes()[-1]["envelope_id"])
    events = [entry.version.event for entry in bot.cases.ledger.verify(approval.id)]
    assert events.count(TrailEvent.DECIDED) == 1


NURSERY = """
import os, sys
from hitl_bot import bootstrap, serve
for _ in sys.stdin:
    if (child := os.fork()) == 0:
        serve.command([])
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""  # imports once what each bot would take two seconds for


def takes_signals(process: int) -> bool:
    caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{process}/status").read_text())
    mask = int(caught[1], 16) if caught is not None else 0
    return all(mask >> (number - 1) & 1 for number in SIGNALS)


@pytest.mark.soak
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux hands a signal to the thread that is named")
def test_a_signal_ends_it_at_any_moment_in_any_thread(sandbox: Sandbox, tmp_path: Path) -> None:
    """A bot that is starting, connecting or serving ends soon after a signal, with 0, whichever thread it reaches."""
    rng, codes = random.Random(7), []
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-c", NURSERY],
            env=variables(sandbox, tmp_path),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as nursery,
    ):
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        for number in range(soak(6, 300)):
            print(file=nursery.stdin, flush=True)
            bot = int(nursery.stdout.readline())
            while not takes_signals(bot):
                Event().wait(0.01)
            Event().wait(rng.uniform(0, 0.7))  # any moment is one to end at
            threads = sorted(int(one.name) for one in Path(f"/proc/{bot}/task").iterdir())
            which, sent = threads[0] if number % 3 == 0 else rng.choice(threads), rng.choice(SIGNALS)
            try:
                os.kill(which, sent)
            except ProcessLookupError:  # that thread has ended meanwhile
                os.kill(bot, sent)
            giving_up = Timer(PATIENCE, os.kill, (bot, signal.SIGKILL))
            giving_up.start()
            codes.append(int(nursery.stdout.readline()))
            giving_up.cancel()
        nursery.stdin.close()
    assert set(codes) == {0}, (codes, (tmp_path / "log").read_text()[-2000:])
