"""What the bot counts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from hitl_bot.bootstrap import Bot
from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.driver import Driver
from hitl_bot.settings import Mode, Settings
from hitl_bot.telemetry.metrics import Metrics, WaitingApprovals
from metaflow_extensions.hitl.approvals import bucket, transitions
from metaflow_extensions.hitl.approvals.errors import StoreUnavailable
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.record import TrailEvent, Where
from tests.fixtures.approvals import (
    ALICE,
    NOW,
    REQUESTER,
    HandClock,
    after,
    approval,
    approving,
    gate,
    pathspec,
    question,
    rejecting,
)
from tests.integration.operate.conftest import CHANNEL, build, call, samples

REPOSITORY = Path(__file__).parents[3]


def test_every_metric_is_documented(clock: HandClock) -> None:
    """The page on the manifests, or that on events, names each metric."""
    pages = "".join(
        (REPOSITORY / page).read_text(encoding="utf-8") for page in ("manifests/README.md", "docs/events.md")
    )
    ours = {one.name for one in Metrics(clock, lambda: 0.0).registry.collect() if one.name.startswith("hitl_")}
    assert {name for name in ours if f"`{name}" not in pages} == set(), (
        "give each of these a row in manifests/README.md"
    )


def decisions(bot: Bot) -> dict[str, float]:
    shown = samples(bot.web.url)
    return {name: value for name, value in shown.items() if name.startswith("hitl_decisions_total")}


def test_a_click_is_counted_once(bot: Bot, people: Driver, clock: HandClock) -> None:
    """A decision is counted by verdict and by the way it came, with the time it took, however often it is swept."""
    bot.cases.ask(pathspec(), question(notifiers=("slack",)), gate(), REQUESTER)
    bot.sweeper.tick()
    shown = samples(bot.web.url)
    assert shown["hitl_pending_approvals"] == 1
    clock.forward(90)
    assert samples(bot.web.url)["hitl_oldest_pending_age_seconds"] == 90
    bob = people.as_("bob")
    message = bob.wait_for_message(CHANNEL)
    bob.click(message, "Approve", confirm="Approve")
    bob.wait_for_update(message)
    for _ in range(2):
        bot.sweeper.tick()
        assert decisions(bot) == {'hitl_decisions_total{verdict="approved",where="button"}': 1}
    shown = samples(bot.web.url)
    assert shown["hitl_time_to_decide_seconds_sum"] == 90
    assert shown['hitl_time_to_decide_seconds_bucket{le="60.0"}'] == 0
    assert shown['hitl_time_to_decide_seconds_bucket{le="300.0"}'] == 1
    assert (shown["hitl_pending_approvals"], shown["hitl_oldest_pending_age_seconds"]) == (0, 0)


def test_what_cannot_be_read_is_counted_and_listed(bot: Bot, store: Store, people: Driver) -> None:
    """A damaged record is a figure for the operator and a line in the list, and the bot goes on."""
    asked = bot.cases.ask(pathspec(), question(), gate(), REQUESTER).approval
    store.create(bucket.version_key(asked.id, 2), b"{}")
    store.mark(bucket.change_key(NOW, asked.id, 2))
    bot.sweeper.tick()
    assert samples(bot.web.url)["hitl_unreadable_approvals"] == 1
    (answer,) = people.as_("bob").command("/hitl list")
    assert "1 could not be read" in answer.plain
    assert asked.id in answer.plain


def test_what_others_decide_is_counted_too(bot: Bot, store: Store, clock: HandClock) -> None:
    """A decision by the command line, and one by the deadline, are counted as what they are."""
    ledger = Ledger(store)
    by_hand = bot.cases.ask(pathspec(task="1"), question(), gate(), REQUESTER).approval
    bot.cases.ask(pathspec(task="2"), question(timeout=60), gate(), REQUESTER)
    bot.sweeper.tick()
    clock.forward(60)
    said = rejecting(ALICE, at=clock(), where=Where.COMMAND_LINE)
    ledger.update(by_hand.id, TrailEvent.DECIDED, clock(), lambda one: transitions.decide(one, said))
    bot.sweeper.tick()
    bot.sweeper.tick()
    assert decisions(bot) == {
        'hitl_decisions_total{verdict="rejected",where="command line"}': 1,
        'hitl_decisions_total{verdict="rejected",where="timeout"}': 1,
    }


def test_history_is_not_counted(bot: Bot, settings: Settings, store: Store, clock: HandClock) -> None:
    """A bot that starts counts what is decided from then on, not what it finds in the tail."""
    asked = bot.cases.ask(pathspec(), question(), gate(), REQUESTER).approval
    said = approving(at=clock())
    bot.cases.ledger.update(asked.id, TrailEvent.DECIDED, clock(), lambda one: transitions.decide(one, said))
    clock.forward(1)
    other = build(settings, store=store, clock=clock)
    other.web.start()
    other.sweeper.tick()
    assert decisions(other) == {}
    assert other.stop(60)


def test_the_lag_grows_while_the_store_is_away(
    settings: Settings, store: Store, clock: HandClock, interventions: list[Callable[[str, str], None]]
) -> None:
    """The sweeper's lag counts from when it last had nothing more to do; the store's failures are counted by kind."""
    bot = build(settings, store=store, clock=clock)
    failing, failed = [False], 0

    def fail(request: str, key: str) -> None:
        if failing[0]:
            raise StoreUnavailable("away")

    interventions.append(fail)
    bot.web.start()
    clock.forward(7)
    assert samples(bot.web.url)["hitl_sweeper_lag_seconds"] == 7
    bot.sweeping._work()
    assert samples(bot.web.url)["hitl_sweeper_lag_seconds"] == 0
    failing[0] = True
    clock.forward(5)
    bot.sweeping._work()
    shown = samples(bot.web.url)
    assert shown["hitl_sweeper_lag_seconds"] == 5
    failed = sum(value for name, value in shown.items() if name.startswith("hitl_store_errors_total"))
    assert failed >= 1
    assert 'hitl_store_errors_total{kind="StoreUnavailable",request="list"}' in shown
    failing[0] = False
    assert bot.stop(60)


def test_slacks_errors_are_counted(bot: Bot, control: Control) -> None:
    """A call that Slack refuses is counted by method and Slack's code; one without an answer by what was raised."""
    control.fault("chat.postMessage", error="is_archived")
    bot.cases.ask(pathspec(task="1"), question(notifiers=("slack",)), gate(), REQUESTER)
    control.fault("chat.postMessage", status=503)
    bot.cases.ask(pathspec(task="2"), question(notifiers=("slack",)), gate(), REQUESTER)
    control.refuse("chat.postMessage")
    bot.cases.ask(pathspec(task="3"), question(notifiers=("slack",)), gate(), REQUESTER)
    shown = samples(bot.web.url)
    assert shown['hitl_slack_errors_total{kind="is_archived",method="chat.postMessage"}'] == 1
    errors = [name for name in shown if name.startswith("hitl_slack_errors_total") and "postMessage" in name]
    assert len(errors) == 3


def test_prometheus_is_answered_in_its_own_words(bot: Bot) -> None:
    """The plain format is the default, and OpenMetrics is spoken to who asks for it."""
    assert call(bot.web.url, "/metrics").headers["content-type"].startswith("text/plain")
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    answer = call(bot.web.url, "/metrics", headers=accept)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.body.endswith(b"# EOF\n")


def test_two_bots_in_one_process_count_apart(settings: Settings, store: Store, clock: HandClock, bot: Bot) -> None:
    """Nothing is kept in global state: what one bot refuses, another has not refused."""
    other = build(settings.model_copy(update={"mode": Mode.HTTP}), store=store, clock=clock)
    other.web.start()
    call(bot.web.url, "/slack/events", b"forged")
    assert samples(bot.web.url)['hitl_refused_requests_total{reason="unsigned"}'] == 1
    assert 'hitl_refused_requests_total{reason="unsigned"}' not in samples(other.web.url)
    assert other.stop(60)


# Who waits.


def test_the_oldest_is_the_one_asked_first() -> None:
    """Of those that wait the oldest is told; once it is answered, the next one."""
    waiting = WaitingApprovals()
    first, second = (approval(pathspec(task=str(n)), at=after(n)) for n in (1, 2))
    for one in (second, first, second):
        waiting.note(one)
    assert (waiting.number(), waiting.oldest()) == (2, after(1))
    waiting.note(transitions.decide(first, approving(at=after(3))))
    assert (waiting.number(), waiting.oldest()) == (1, after(2))


def test_one_whose_end_was_missed_is_forgotten() -> None:
    """After a full read in which it was not seen waiting, an approval no longer counts; one that was, does."""
    waiting = WaitingApprovals()
    gone, here = (approval(pathspec(task=str(n)), at=after(n)) for n in (1, 2))
    for one in (gone, here):
        waiting.note(one)
    waiting.forget_unseen()
    waiting.note(here)
    waiting.forget_unseen()
    assert (waiting.number(), waiting.oldest()) == (1, after(2))


def test_a_decision_before_its_question_takes_no_time() -> None:
    """Two machines' clocks may disagree: a time to decide is never negative."""
    metrics = Metrics(HandClock(NOW - timedelta(days=1)), lambda: 0)
    asked = approval()
    metrics.saw(transitions.decide(asked, approving(at=after(-5))))
    assert metrics.registry.get_sample_value("hitl_time_to_decide_seconds_sum") == 0
    assert metrics.registry.get_sample_value("hitl_time_to_decide_seconds_count") == 1
