"""Events that leave the bot: a signed webhook, and what starts flows on Argo."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from hitl_bot.bootstrap import Bot, bootstrap
from hitl_bot.doctor.checks import Health, check_events
from hitl_bot.events import TYPES, destinations_of
from hitl_bot.settings import Settings, SettingsError
from hitl_bot.surfaces.outbox import Outbox
from metaflow_extensions.hitl.approvals import bucket_map
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.record import Obligation, ReminderKind, Where
from metaflow_extensions.hitl.notifiers.slack.calls import Pace
from tests.fixtures.approvals import ALICE, REQUESTER, Bench, HandClock, approving, gate, pathspec, question, rejecting
from tests.fixtures.outlets import Web

PAGE = (Path(__file__).parents[3] / "docs" / "events.md").read_text(encoding="utf-8")
SECRET = f"whsec_{base64.b64encode(bytes(range(32))).decode()}"


@pytest.fixture
def settings(settings: Settings, web: Web) -> Settings:
    return settings.model_copy(update={"events_url": SecretStr(web.url), "events_secret": SecretStr(SECRET)})


@pytest.fixture
def ask(bot: Bot) -> Any:
    sweep(bot)  # from now on, what happens is sent
    return lambda task="42", **parts: bot.cases.ask(pathspec(task=task), question(**parts), gate(), REQUESTER).approval


def outbox_of(bot: Bot) -> Outbox:
    return next(one for one in bot.sweeper._subscribers if isinstance(one, Outbox))


def sweep(bot: Bot) -> None:
    """Let the bot see what happened, and send what is due."""
    bot.sweeper.tick()
    while outbox_of(bot)._job.is_busy:
        bot.executors[1].submit(lambda: None).result(60)


def types(web: Web) -> list[str]:
    return [body["type"].removeprefix("hitl.") for body in web.bodies]


@contextmanager
def another_bot(settings: Settings, store: Store, clock: HandClock) -> Iterator[Bot]:
    other = bootstrap(
        settings, store=store, clock=clock, pace=Pace(count(step=60).__next__), monotonic=count(step=60).__next__
    )
    yield other
    assert other.stop(60)


def test_a_decision_is_a_cloud_event(ask: Any, bot: Bot, web: Web, clock: HandClock) -> None:
    """Question and decision, in order, each with all that `hitl show --json` says but the stored record."""
    asked = ask()
    sweep(bot)
    clock.forward(60)
    bot.cases.decide(asked.id, rejecting(), who=ALICE, where=Where.BUTTON)
    sweep(bot)
    assert types(web) == ["requested", "rejected"]
    event = web.bodies[1]
    data = event.pop("data")
    assert event == {
        "specversion": "1.0",
        "id": f"{asked.id}-2",
        "source": bot.cases.ledger.store.url,
        "type": "hitl.rejected",
        "subject": "TrainFlow/17/deploy/42",
        "time": "2026-03-02T09:31:00Z",
        "datacontenttype": "application/json",
    }
    assert (data["id"], data["state"], data["version"]) == (asked.id, "rejected", 2)
    assert (data["decision"]["by"], data["decision"]["reason"]) == ("alice", "The data is stale.")
    assert "record" not in data


def test_a_receiver_verifies_as_the_page_says(ask: Any, bot: Bot, web: Web, clock: HandClock) -> None:
    """The page's own code takes what the bot sent lately, and nothing that was changed, or signed by somebody else."""
    clock.forward(time.time() - clock().timestamp())
    ask()
    sweep(bot)
    (code,) = [
        one for one in re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) if "is_genuine" in one
    ]
    known: dict[str, Any] = {}
    exec(code, known)  # noqa: S102 - our own page
    headers, body = web.headers[0], web.raw[0]
    assert headers["Content-Type"].startswith("application/cloudevents+json")
    assert known["is_genuine"](SECRET, headers, body)
    other = f"whsec_{base64.b64encode(bytes(32)).decode()}"
    late = {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) - 301)}
    assert not known["is_genuine"](other, headers, body)
    assert not known["is_genuine"](SECRET, headers, body + b" ")
    assert not known["is_genuine"](SECRET, late, body)


def test_the_page_names_every_type_and_every_setting() -> None:
    """No type of event, and no setting, is missing there."""
    table = PAGE.split("Types are")[1].split("\n\nWhat was decided")[0]
    assert sorted(re.findall(r"`hitl\.([a-z-]+)`", table)) == sorted(TYPES)
    named = set(re.findall(r"`(METAFLOW_HITL_(?:ARGO_)?EVENTS_[A-Z]+)`", PAGE))
    assert named == {name for name in Settings.names() if "EVENTS" in name}


def test_what_happened_in_between_is_not_skipped(ask: Any, bot: Bot, web: Web) -> None:
    """Asked, reminded and answered before the bot looks: all of that is sent, in order, and so is what was taken on."""
    asked = ask()
    bot.cases.ledger.update(
        asked.id, ReminderKind.REMINDER.event, bot.cases.clock(), lambda one: remind(one, bot.cases.clock())
    )
    owed = Obligation(text="Look again.", owner=ALICE, due="2026-03-06")
    bot.cases.decide(asked.id, approving(obligation=owed), who=ALICE, where=Where.BUTTON)
    sweep(bot)
    assert types(web) == ["requested", "reminded", "approved", "obligation-taken-on"]
    assert len({body["id"] for body in web.bodies}) == 4
    bot.cases.obligations.close(asked.id, 1, who=ALICE, comment="All fine.")
    sweep(bot)
    assert types(web)[4:] == ["obligation-done"]
    data = web.bodies[-1]["data"]
    assert (data["obligation"], data["obligations"][0]["comment"]) == (1, "All fine.")


def remind(approval: Any, now: Any) -> Any:
    from metaflow_extensions.hitl.approvals.transitions import remind as reminded  # noqa: PLC0415

    return reminded(approval, ReminderKind.REMINDER, now)


def test_an_expiry_is_an_event(ask: Any, bot: Bot, web: Web, clock: HandClock) -> None:
    """What the deadline decides is sent once it is settled."""
    ask(timeout=60)
    clock.forward(61)
    for _ in range(3):
        sweep(bot)
    assert types(web) == ["requested", "expired"]


def test_a_failing_receiver_gets_everything_in_the_end(ask: Any, bot: Bot, web: Web, clock: HandClock) -> None:
    """A broken connection and a 503 are tried again, after pauses; each event keeps its ID, and none is lost."""
    web.answers += [(0, "", {}), (503, "", {"Retry-After": "90"})]
    asked = ask()
    sweep(bot)
    assert len(web.bodies) == 1
    clock.forward(4)
    sweep(bot)
    assert len(web.bodies) == 1
    clock.forward(2)
    sweep(bot)
    assert len(web.bodies) == 2
    bot.cases.decide(asked.id, approving(), who=ALICE, where=Where.BUTTON)
    clock.forward(60)
    sweep(bot)
    assert len(web.bodies) == 2
    clock.forward(31)
    sweep(bot)
    assert types(web) == ["requested"] * 3 + ["approved"]
    assert len({body["id"] for body in web.bodies[:3]}) == 1


def test_an_event_that_is_refused_holds_up_no_other(ask: Any, bot: Bot, web: Web) -> None:
    """A 422 is about one event: those after it are delivered."""
    web.answers.append((422, "", {}))
    asked = ask()
    sweep(bot)
    bot.cases.decide(asked.id, approving(), who=ALICE, where=Where.BUTTON)
    sweep(bot)
    assert types(web) == ["requested", "approved"]


def test_events_survive_the_bot(
    ask: Any, bot: Bot, web: Web, settings: Settings, store: Store, clock: HandClock
) -> None:
    """What could not be delivered, and what happened while no bot ran, is sent by the next one; nothing twice."""
    first = ask("1")
    sweep(bot)
    web.answers.append((500, "", {}))
    second = ask("2")
    sweep(bot)
    assert types(web) == ["requested"] * 2
    assert bot.stop(60)
    by_hand = Bench(store=store, clock=clock)
    by_hand.cases.decide(first.id, approving(), who=ALICE, where=Where.BUTTON)
    clock.forward(600)
    with another_bot(settings, store, clock) as later:
        sweep(later)
        sweep(later)
    assert [(body["type"], body["data"]["id"]) for body in web.bodies[2:]] == [
        ("hitl.requested", second.id),
        ("hitl.approved", first.id),
    ]
    assert list(store.list("outbox/waiting/")) == []


def test_two_bots_send_each_event_once(
    ask: Any, bot: Bot, web: Web, settings: Settings, store: Store, clock: HandClock
) -> None:
    """One of them delivers, and the other finds that it was."""
    with another_bot(settings, store, clock) as other:
        sweep(other)
        ask()
        for _ in range(3):
            sweep(bot)
            sweep(other)
            clock.forward(70)
    assert types(web) == ["requested"]


def test_what_was_there_before_is_not_sent(web: Web, settings: Settings, store: Store, clock: HandClock) -> None:
    """Where events begin to be sent, history stays history."""
    by_hand = Bench(store=store, clock=clock)
    asked = by_hand.ask()
    clock.forward(60)
    with another_bot(settings, store, clock) as bot:
        sweep(bot)
        by_hand.cases.decide(asked.id, approving(), who=ALICE, where=Where.BUTTON)
        sweep(bot)
    assert types(web) == ["approved"]


def test_a_bot_without_an_address_writes_nothing(bot: Bot, store: Store, settings: Settings, clock: HandClock) -> None:
    """Nobody pays for events that go nowhere."""
    with another_bot(settings.model_copy(update={"events_url": None}), store, clock) as silent:
        Bench(store=store, clock=clock).ask()
        sweep(silent)
    assert list(store.list(bucket_map.OUTBOX.root)) == []


def test_after_seven_days_an_event_is_given_up(ask: Any, bot: Bot, web: Web, store: Store, clock: HandClock) -> None:
    """The marker goes, and a metric counts it."""
    web.answers += [(500, "", {})] * 50
    ask()
    sweep(bot)
    clock.forward(timedelta(days=7, minutes=1).total_seconds())
    sweep(bot)
    assert list(store.list("outbox/waiting/")) == []
    counted = outbox_of(bot)._metrics.registry.get_sample_value
    assert counted("hitl_events_given_up_total", {"to": "webhook"}) == 1
    assert counted("hitl_event_failures_total", {"to": "webhook", "kind": "500"}) == 1
    assert counted("hitl_events_waiting") == 0


def test_only_the_types_that_are_wanted_are_sent(web: Web, settings: Settings, store: Store, clock: HandClock) -> None:
    """METAFLOW_HITL_EVENTS_TYPES chooses, with or without `hitl.`."""
    with another_bot(settings.model_copy(update={"events_types": "hitl.approved, rejected"}), store, clock) as bot:
        sweep(bot)
        asked = bot.cases.ask(pathspec(), question(), gate(), REQUESTER).approval
        bot.cases.decide(asked.id, approving(), who=ALICE, where=Where.BUTTON)
        sweep(bot)
    assert types(web) == ["approved"]


def test_argo_events_get_what_metaflow_publishes(web: Web, settings: Settings, store: Store, clock: HandClock) -> None:
    """A name for all gates and one for this step alone, with flat keys that parameters can be taken from."""
    argo = settings.model_copy(update={"events_url": None, "argo_events_url": web.url, "events_types": "approved"})
    with another_bot(argo, store, clock) as bot:
        sweep(bot)
        asked = bot.cases.ask(pathspec(), question(), gate(), REQUESTER).approval
        said = approving(input={"target": "production", "share": 10})
        bot.cases.decide(asked.id, said, who=ALICE, where=Where.BUTTON)
        sweep(bot)
    assert [body["name"] for body in web.bodies] == ["hitl.approved", "hitl.approved.TrainFlow.deploy"]
    payload = web.bodies[1]["payload"]
    assert payload["name"] == "hitl.approved.TrainFlow.deploy"
    assert (payload["approval"], payload["flow"], payload["run"]) == (asked.id, "TrainFlow", "17")
    assert (payload["input_target"], payload["input_share"], payload["by"]) == ("production", "10", "alice")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"events_secret": None}, "METAFLOW_HITL_EVENTS_SECRET is not set"),
        ({"events_secret": SecretStr("whsec_c2hvcnQ=")}, "24 to 64 bytes"),
        ({"events_url": SecretStr("http://example.com/hook")}, "begins with https://"),
        ({"events_types": "approved decided"}, "names decided"),
        ({"argo_events_url": "argo-events:12000"}, "METAFLOW_HITL_ARGO_EVENTS_URL"),
    ],
)
def test_a_setting_that_can_t_work_is_named(settings: Settings, changes: dict[str, Any], words: str) -> None:
    """Before anything is sent; doctor says the same, and shows no secret."""
    wrong = settings.model_copy(update=changes)
    with pytest.raises(SettingsError, match=words):
        destinations_of(wrong, "s3://bucket")
    (finding,) = check_events(wrong)
    assert finding.health is Health.BAD
    assert words in finding.detail


def test_doctor_sends_a_ping(settings: Settings, web: Web) -> None:
    """A receiver that takes it is good, one that refuses is bad; without an address there is nothing to say."""
    (good,) = check_events(settings)
    assert good.health is Health.GOOD
    assert web.bodies[0]["type"] == "hitl.ping"
    web.answers.append((401, "", {}))
    (bad,) = check_events(settings)
    assert (bad.health, "127.0.0.1 answered 401" in bad.detail) == (Health.BAD, True)
    assert "secret" not in bad.detail
    assert list(check_events(settings.model_copy(update={"events_url": None}))) == []
