"""The request URL: what Slack sends over HTTP is taken once, and nothing else ever is."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import resource
import socket
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from http.client import HTTPConnection
from threading import Event
from urllib.parse import urlencode, urlsplit

import pytest
from pydantic import SecretStr

from hitl_bot.bootstrap import Bot
from hitl_bot.keys import PrivateKey
from hitl_bot.sandbox import Sandbox
from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.delivery import signature, signed_headers
from hitl_bot.sandbox.driver import Closed, Driver, NotAcknowledged
from hitl_bot.settings import Settings
from hitl_bot.web import request_url, server
from hitl_bot.web.request_url import WINDOW
from hitl_bot.web.server import SLACK_PATH
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.record import State, Where
from metaflow_extensions.hitl.approvals.schema import normalise
from tests.fixtures.approvals import REQUESTER, HandClock, gate, pathspec, question
from tests.fixtures.attempts import Attempts
from tests.integration.operate.conftest import CHANNEL, Answer, Sign, build, call, samples
from tests.sizes import soak

FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    """What is attacked is attacked in both modes."""
    signs = "is_sealed" in request.fixturenames and request.getfixturevalue("is_sealed")
    return settings.model_copy(update={"signing_key": SecretStr(PrivateKey.new().text)}) if signs else settings


def command(text: str = "help", **more: str) -> bytes:
    """Return the body of a slash command that answers nowhere."""
    fields = {"command": "/hitl", "text": text, "user_id": "U0BOB", "team_id": "T0SANDBOX", **more}
    return urlencode(fields).encode()


def send(bot: Bot, body: bytes, headers: dict[str, str]) -> Answer:
    return call(bot.web.url, SLACK_PATH, body, headers)


def refusals(bot: Bot, reason: str) -> float:
    return samples(bot.web.url).get(f'hitl_refused_requests_total{{reason="{reason}"}}', 0)


# What Slack sends.


def test_a_button_decides(bot: Bot, people: Driver) -> None:
    """A click that comes over HTTP is a decision, and the message shows it."""
    asked = bot.cases.ask(pathspec(), question(notifiers=("slack",)), gate(), REQUESTER).approval
    bob = people.as_("bob")
    message = bob.wait_for_message(CHANNEL)
    bob.click(message, "Approve", confirm="Approve")
    assert "Approved" in bob.wait_for_update(message).plain
    decision = bot.cases.ledger.read(asked.id).approval.decision
    assert decision is not None
    assert (decision.by.id, decision.where) == ("U0BOB", Where.BUTTON)


def test_a_form_is_corrected_and_closes(bot: Bot, people: Driver) -> None:
    """Errors come back in the body of the answer and stand in the form; a good one closes it."""
    schema = normalise({"replicas": {"type": "int", "min": 1, "max": 9}})
    asked = bot.cases.ask(pathspec(), question(notifiers=("slack",), schema=schema), gate(), REQUESTER).approval
    bob = people.as_("bob")
    view = bob.open(bob.wait_for_message(CHANNEL), "Approve…")
    assert view.fill({"Replicas": "10"}).submit().by_label["Replicas"]
    assert isinstance(view.fill({"Replicas": "3"}).submit(), Closed)
    decision = bot.cases.ledger.read(asked.id).approval.decision
    assert decision is not None
    assert decision.input == {"replicas": 3}


def test_the_command_answers(bot: Bot, people: Driver) -> None:
    """/hitl list is answered to the asker alone."""
    [answer] = people.as_("bob").command("/hitl list")
    assert answer.is_ephemeral


def test_what_nobody_listens_to_is_acknowledged(bot: Bot, control: Control) -> None:
    """An event that the bot has no use for gets its 200, or Slack would send it again."""
    control.deliver("events_api", {"event": {"type": "team_rename"}})
    assert [one["acknowledged"] for one in control.envelopes()] == [True]


def test_slack_may_check_the_address(bot: Bot, sign: Sign) -> None:
    """The signed challenge, which Slack sends when the address is entered, comes back."""
    body = json.dumps({"type": "url_verification", "challenge": "3eZbrw1aB"}).encode()
    answer = send(bot, body, sign(body) | {"Content-Type": "application/json"})
    assert (answer.status, answer.json) == (200, {"challenge": "3eZbrw1aB"})


# What others send.


@pytest.mark.parametrize(
    "timestamp",
    ["", "soon", "1e9", "-1", "nan", "9" * 40, "0x10", "1 ", "1_000", "\u0663\u0664".encode().decode("latin-1")],
)
def test_a_malformed_timestamp_is_refused(bot: Bot, sandbox: Sandbox, timestamp: str) -> None:
    """A timestamp that is not a number is a 401, although its signature is right, and no error of the bot."""
    body = command()
    good = signature(sandbox.signing_secret, timestamp, body.decode())
    headers = {"X-Slack-Request-Timestamp": timestamp, "X-Slack-Signature": good, "Content-Type": FORM}
    answer = send(bot, body, headers)
    assert (answer.status, answer.body) == (401, b"")
    # HTTP itself takes blanks off the ends of a header, so the signature no longer fits.
    assert refusals(bot, "unsigned") + refusals(bot, "outside the window") == 1


@pytest.mark.parametrize("name", ["X-Slack-Request-Timestamp", "X-Slack-Signature"])
def test_both_headers_are_needed(bot: Bot, sign: Sign, name: str) -> None:
    """Without one of its two headers nothing is Slack's."""
    body = command()
    headers = sign(body)
    del headers[name]
    assert send(bot, body, headers).status == 401


@pytest.mark.parametrize(
    "forged", ["v0=", "v0=" + "0" * 64, "v1=" + "0" * 64, "v0=" + "é" * 64, "0" * 64, "v0=" + "g" * 64]
)
def test_a_forged_signature_is_refused(bot: Bot, sign: Sign, forged: str) -> None:
    """A signature that is none, or another one, is a 401."""
    body = command()
    headers = sign(body) | {"X-Slack-Signature": forged.encode().decode("latin-1")}
    assert send(bot, body, headers).status == 401


def test_another_secret_is_refused(bot: Bot, clock: HandClock) -> None:
    """A request signed with another app's secret is refused, and counted."""
    body = command()
    headers = {"Content-Type": FORM, **signed_headers("another-secret", clock.now.timestamp(), body.decode())}
    assert send(bot, body, headers).status == 401
    assert refusals(bot, "wrong signature") == 1


@pytest.mark.way("sends forged requests to the request URL")
@pytest.mark.soak
def test_no_mutation_of_a_signed_request_is_taken(
    bot: Bot, sign: Sign, attempts: Attempts, record_property: Callable[[str, object], None]
) -> None:
    """One character of the body, the timestamp or the signature, replaced, removed or added: all are refused."""
    asked = bot.cases.ask(pathspec(), question(notifiers=("slack",)), gate(), REQUESTER).approval
    body = command(f"approve {asked.id}")
    headers = sign(body) | {"Content-Type": FORM}
    rng, count = random.Random(10), soak(150, 5_000)  # in each mode
    for _ in range(count):
        parts = {"body": body.decode(), **headers}
        name = rng.choice(["body", "X-Slack-Request-Timestamp", "X-Slack-Signature"])
        parts[name] = mutated(rng, parts[name])
        sent = parts.pop("body").encode()
        answer = send(bot, sent, parts)
        assert not attempts.tried(opened=answer.status == 200), (name, sent, parts)
    assert bot.cases.ledger.read(asked.id).approval.state is State.PENDING
    assert send(bot, body, headers).status == 200
    record_property("figure", f"request URL, {attempts.mode}: {count:,} mutated requests, 0 taken")


def mutated(rng: random.Random, text: str) -> str:
    """Return a text in which one character is another, is gone, or was added."""
    at, other = rng.randrange(len(text)), chr(rng.randrange(0x21, 0x7F))
    kind = rng.choice(["replaced", "removed", "added"])
    changed = text[:at] + ("" if kind == "removed" else other) + text[at + (kind != "added") :]
    return changed if changed != text else mutated(rng, text)


def test_a_changed_body_is_refused(bot: Bot, sign: Sign) -> None:
    """A signature holds for its body alone."""
    assert send(bot, command("reject x y"), sign(command("list"))).status == 401


@pytest.mark.parametrize(
    ("off", "status"), [(-WINDOW - 1, 401), (-WINDOW, 200), (0, 200), (WINDOW, 200), (WINDOW + 1, 401)]
)
def test_the_window_is_five_minutes(bot: Bot, sign: Sign, off: int, status: int) -> None:
    """A right signature counts for five minutes before and after its timestamp."""
    body = command()
    assert send(bot, body, sign(body, off)).status == status


def test_a_replay_is_refused(bot: Bot, sign: Sign, clock: HandClock) -> None:
    """A request is taken once; recorded and sent again it is refused within the window, and after it."""
    body = command()
    headers = sign(body, WINDOW)
    assert send(bot, body, headers).status == 200
    assert send(bot, body, headers).status == 401
    clock.forward(2 * WINDOW)
    assert send(bot, body, headers).status == 401
    assert refusals(bot, "replayed") == 2
    clock.forward(1)
    assert send(bot, body, headers).status == 401
    assert refusals(bot, "outside the window") == 1


def test_a_replayed_answer_reaches_no_listener(
    bot: Bot, people: Driver, control: Control, interventions: list[Callable[[str, str], None]], sign: Sign
) -> None:
    """A recorded rejection that is sent again asks nothing of the store and nothing of Slack."""
    bot.cases.ask(pathspec(), question(notifiers=("slack",)), gate(), REQUESTER)
    bob = people.as_("bob")
    view = bob.open(bob.wait_for_message(CHANNEL), "Reject…")
    assert isinstance(view.fill({"Reason": "drift too high"}).submit(), Closed)
    body = urlencode({"payload": json.dumps(control.envelopes()[-1]["payload"])}).encode()
    headers = sign(body, 60)
    assert send(bot, body, headers).status == 200
    seen: list[str] = []
    interventions.append(lambda request, key: seen.append(f"{request} {key}"))
    calls = control.calls()
    assert send(bot, body, headers).status == 401
    assert seen == []
    assert control.calls() == calls


def test_what_failed_may_come_again(bot: Bot, sign: Sign, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slack tries an event again at once, maybe with the same signature: what ended in a 500 is no replay."""
    body = command()
    headers = sign(body)

    def broken(_request: object) -> None:
        raise OSError("no file descriptor is left")

    with monkeypatch.context() as patched:
        patched.setattr(bot.app, "dispatch", broken)
        assert send(bot, body, headers).status == 500
    assert send(bot, body, headers).status == 200


def test_a_body_that_is_no_text_is_refused(bot: Bot, sandbox: Sandbox, clock: HandClock) -> None:
    """Signed bytes that are not UTF-8 are a 400."""
    body, at = b"payload=\xff\xfe", str(int(clock.now.timestamp()))
    digest = hmac.new(sandbox.signing_secret.encode(), b"v0:" + at.encode() + b":" + body, hashlib.sha256).hexdigest()
    headers = {"X-Slack-Request-Timestamp": at, "X-Slack-Signature": f"v0={digest}", "Content-Type": FORM}
    assert send(bot, body, headers).status == 400


# What would wear it out.


def test_a_large_body_is_refused_before_it_is_read(bot: Bot) -> None:
    """A body that says it is too large is a 413 although none of it was sent."""
    with closing(socket.create_connection(_address(bot), timeout=60)) as connection:
        connection.sendall(
            f"POST {SLACK_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {request_url.LARGEST_BODY + 1}\r\n\r\n".encode()
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_a_body_that_grows_too_large_is_refused(bot: Bot) -> None:
    """A body that does not say how large it is, is a 413 as soon as it is too large."""
    chunk = b"x" * 65_536
    with closing(HTTPConnection(urlsplit(bot.web.url).netloc, timeout=60)) as connection:
        chunks = iter([chunk] * (request_url.LARGEST_BODY // len(chunk) + 1))
        connection.request("POST", SLACK_PATH, chunks, {}, encode_chunked=True)
        assert connection.getresponse().status == 413


def test_the_largest_view_fits(bot: Bot, sign: Sign) -> None:
    """A submission of 100 inputs with 3,000 characters each, percent-encoded, is taken."""
    body = command(padding="ä" * 300_000)
    assert len(body) < request_url.LARGEST_BODY
    assert send(bot, body, sign(body)).status == 200


def test_a_slow_body_is_given_up(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that does not come to its end in time is a 408."""
    monkeypatch.setattr(request_url, "_BODY_WITHIN", 0.1)
    with closing(socket.create_connection(_address(bot), timeout=60)) as connection:
        connection.sendall(f"POST {SLACK_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 408")


def test_too_many_at_once_do_not_hide_its_health(bot: Bot, sign: Sign, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over its bound a request is a 503 at once; health still answers."""
    monkeypatch.setattr(request_url, "_AT_ONCE", 0)
    body = command()
    assert send(bot, body, sign(body)).status == 503
    assert call(bot.web.url, "/healthz").status == 200


def _address(bot: Bot) -> tuple[str, int]:
    where = urlsplit(bot.web.url)
    return str(where.hostname), int(where.port or 0)


# When it takes anything.


def test_nothing_is_taken_before_and_after(settings: Settings, store: Store, clock: HandClock, sign: Sign) -> None:
    """Until the bot is open, and once it was told to stop, a request is a 503 that Slack sends again."""
    bot = build(settings, store=store, clock=clock)
    bot.web.start()
    body = command()
    headers = sign(body)
    assert send(bot, body, headers).status == 503
    bot.transport.open(Event())
    assert send(bot, body, headers).status == 200
    bot.transport.give_up()
    assert send(bot, command("list"), sign(command("list"))).status == 503
    assert bot.stop(60)


def test_a_stop_lets_what_was_taken_be_answered(
    bot: Bot, people: Driver, control: Control, interventions: list[Callable[[str, str], None]]
) -> None:
    """A form whose answer is being recorded when the bot stops is recorded, answered and settled."""
    asked = bot.cases.ask(pathspec(), question(notifiers=("slack",)), gate(), REQUESTER).approval
    bob = people.as_("bob")
    view = bob.open(bob.wait_for_message(CHANNEL), "Reject…").fill({"Reason": "drift too high"})

    def stop(request: str, key: str) -> None:
        if request == "create" and key.startswith("approvals/"):
            bot.transport.give_up()

    interventions.append(stop)
    assert isinstance(view.submit(), Closed)
    assert bot.stop(60)
    approval = bot.cases.ledger.read(asked.id).approval
    assert approval.state is State.REJECTED
    assert approval.settlement is not None


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", SLACK_PATH, 405), ("POST", "/healthz", 405), ("GET", "/", 404)]
)
def test_there_is_nothing_else(bot: Bot, method: str, path: str, status: int) -> None:
    """Only POST goes to the request URL, and no other address answers."""
    assert call(bot.web.url, path, method=method).status == status


def test_a_person_is_told_when_the_bot_is_gone(bot: Bot, people: Driver) -> None:
    """Once the bot is closing, Slack shows the person that the app did not answer: nothing is lost in silence."""
    bot.transport.give_up()
    with pytest.raises(NotAcknowledged, match="http_error"):
        people.as_("bob").command("/hitl list")


# Bodies that are signed and are not Slack's.

MALFORMED = {
    FORM: [
        b"",
        b"&&&",
        b"payload",
        b"payload=",
        b"payload=%7B",
        b"payload=null",
        b"payload=5",
        b"payload=%22text%22",
        b"payload=%5B%5D",
        b"payload=%7B%7D",
        b"command=",
        b"command=hitl&text=list",
        b"command=%2Fhitl",
        *(
            urlencode({"payload": json.dumps(one)}).encode()
            for one in (
                {"type": "block_actions"},
                {"type": "block_actions", "user": "U0BOB", "actions": [{}]},
                {"type": "block_actions", "user": {"id": "U0BOB"}, "actions": "approve"},
                {"type": "block_actions", "user": {"id": "U0BOB"}, "actions": ["approve"]},
                {"type": "block_actions", "user": {"id": "U0BOB"}, "actions": []},
                {"type": "block_actions", "user": {"id": "U0BOB"}, "actions": [{"action_id": 5, "type": "button"}]},
                {"type": "view_submission", "user": {"id": "U0BOB"}},
                {"type": "view_submission", "user": {"id": "U0BOB"}, "view": []},
                {"type": "view_submission", "user": {"id": "U0BOB"}, "view": {"id": "V1", "state": {"values": []}}},
                {"type": ["block_actions"], "user": {"id": "U0BOB"}},
                {"type": "never_heard_of", "user": {"id": "U0BOB"}},
            )
        ),
    ],
    "application/json": [b"", b"{", b"null", b"[]", b'{"type": "event_callback", "event": 5}', b"[" * 100_000],
}


@pytest.mark.way("sends forged requests to the request URL")
@pytest.mark.parametrize("content_type", MALFORMED)
def test_a_signed_body_that_is_not_slacks_is_refused(
    bot: Bot, sign: Sign, content_type: str, attempts: Attempts
) -> None:
    """What nobody could read is a 400, never an error of the bot, and the next request is answered."""
    for body in MALFORMED[content_type]:
        answer = send(bot, body, sign(body) | {"Content-Type": content_type})
        attempts.tried(opened=answer.status == 200)
        assert answer.status == 400, body[:80]
    assert send(bot, command(), sign(command()) | {"Content-Type": FORM}).status == 200


def test_slack_may_look_at_the_certificate(bot: Bot) -> None:
    """The request with ssl_check=1, which Slack sends now and then, is answered, signed or not."""
    assert send(bot, b"ssl_check=1&token=x", {"Content-Type": FORM}).status == 200


@pytest.mark.way("keeps connections to the request URL busy")
def test_unfinished_headers_hold_up_nobody(bot: Bot, sign: Sign, attempts: Attempts) -> None:
    """1,100 connections, more than the bot keeps, none of which ends its header: health, metrics and Slack go on."""
    address = urlsplit(bot.web.url)
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(1_100, most // 2 - 200)  # both ends are in this process
    assert count > server.CONNECTIONS
    with ExitStack() as stack:
        for _ in range(count):
            idle = stack.enter_context(socket.create_connection((str(address.hostname), int(address.port or 0)), 60))
            idle.sendall(b"POST /slack/events HTTP/1.1\r\nHost: x\r\nX-Half")
        assert not attempts.tried(opened=call(bot.web.url, "/healthz").status != 200, times=count)
        assert samples(bot.web.url)
        assert send(bot, command(), sign(command()) | {"Content-Type": FORM}).status == 200


def test_an_unfinished_header_has_a_deadline(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that never says what it wants is closed."""
    monkeypatch.setattr(server, "HEADER_WITHIN", 0.1)
    address = urlsplit(bot.web.url)
    with socket.create_connection((str(address.hostname), int(address.port or 0)), 60) as idle:
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost:")
        with suppress(ConnectionResetError):
            assert idle.recv(1) == b""
