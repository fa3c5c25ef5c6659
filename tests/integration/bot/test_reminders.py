"""Reminders, escalation and the last call, in the thread of the question."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest

from hitl_bot.bootstrap import Bot, bootstrap
from hitl_bot.sandbox.driver import Message, Person
from hitl_bot.settings import Settings
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.record import ReminderKind, State, TrailEvent
from tests.fixtures.approvals import REQUESTER, HandClock, gate, pathspec, question
from tests.fixtures.slack import connect, work_until
from tests.integration.bot.conftest import CHANNEL, Ask
from tests.integration.bot.test_threads import let_die

HOUR = 3_600


def thread(person: Person, message: Message, count: int) -> list[Message]:
    """Wait for so many replies, and return all that there are."""

    def look() -> list[Message] | None:
        found = message.thread
        return found if len(found) >= count else None

    found: list[Message] = person.control.wait_until(look, what=f"{count} replies")
    return found


def sweep(bot: Bot, clock: HandClock, seconds: float) -> None:
    """Let time pass, remind, learn that the record says so, and write."""
    bot.sweeper.tick()
    clock.forward(seconds)
    bot.sweeper.tick()
    bot.sweeper.tick()


def test_every_four_hours(ask: Ask, bot: Bot, bob: Person, clock: HandClock) -> None:
    """After four hours, and after eight, a reply mentions those who are asked; not in between."""
    ask(remind_every=4 * HOUR, approvers=("U0BOB", "@risk"))
    message = bob.wait_for_message(CHANNEL)
    sweep(bot, clock, 4 * HOUR - 1)
    assert message.thread == []
    sweep(bot, clock, 1)
    (first,) = thread(bob, message, 1)
    assert sorted(first.mentions) == ["<!subteam^S0RISK>", "<@U0BOB>"]
    assert "has been waiting for 4 h" in first.plain
    sweep(bot, clock, 4 * HOUR)
    assert len(thread(bob, message, 2)) == 2


def test_everybody_is_not_rung(ask: Ask, bot: Bot, bob: Person, clock: HandClock) -> None:
    """Where nobody is named the reminder mentions nobody: a whole channel is not rung."""
    ask(remind_every=HOUR)
    message = bob.wait_for_message(CHANNEL)
    sweep(bot, clock, HOUR)
    (reminder,) = thread(bob, message, 1)
    assert reminder.mentions == []


def test_only_those_who_can_still_act(ask: Ask, bot: Bot, bob: Person, carol: Person, clock: HandClock) -> None:
    """Of a group in which somebody has voted, the others are mentioned one by one."""
    approval = ask(remind_every=HOUR, approvers=("@ml-leads",), quorum=2)
    message = bob.wait_for_message(CHANNEL)
    bob.command(f"/hitl approve {approval.id}")
    sweep(bot, clock, HOUR)
    found = bob.control.wait_until(
        lambda: next((one for one in message.thread if "Reminder" in one.plain), None), what="the reminder"
    )
    assert found.mentions == ["<@U0CAROL>"]


def test_one_reminder_whatever_runs(
    ask: Ask, bot: Bot, settings: Settings, store: Store, bob: Person, clock: HandClock, ledger: Ledger
) -> None:
    """Two bots, and a third that starts afterwards, send one reminder a period; the record has it before the thread."""
    approval = ask(remind_every=HOUR, approvers=("U0BOB",))
    message = bob.wait_for_message(CHANNEL)
    other = bootstrap(settings, store=store, clock=clock)
    connect(other)
    bot.sweeper.tick()
    other.sweeper.tick()
    clock.forward(HOUR)
    for one in (bot, other, bot, other):
        one.sweeper.tick()
    thread(bob, message, 1)
    assert other.stop(60)
    late = bootstrap(settings, store=store, clock=clock)
    late.sweeper.tick()
    late.sweeper.tick()
    assert late.stop(60)
    assert len(thread(bob, message, 1)) == 1
    events = [entry.version.event for entry in ledger.verify(approval.id)]
    assert events.count(TrailEvent.REMINDED) == 1


def test_nothing_after_the_answer(ask: Ask, bot: Bot, bob: Person, clock: HandClock) -> None:
    """Who has answered is left alone."""
    approval = ask(remind_every=HOUR, approvers=("U0BOB",))
    message = bob.wait_for_message(CHANNEL)
    bot.sweeper.tick()
    bob.command(f"/hitl approve {approval.id}")
    for _ in range(3):
        sweep(bot, clock, HOUR)
    assert [one.plain for one in thread(bob, message, 1) if "Reminder" in one.plain] == []


def test_the_escalated_may_decide(ask: Ask, bot: Bot, people: object, bob: Person, clock: HandClock) -> None:
    """After the time further people are mentioned, and from then on their answer counts; before, it does not."""
    grace = people.as_("grace")
    approval = ask(approvers=("U0BOB",), escalate_after=8 * HOUR, escalate_to=("@ml-oncall",))
    message = bob.wait_for_message(CHANNEL)
    (refused,) = grace.command(f"/hitl approve {approval.id}")
    assert "can't decide" in refused.plain
    sweep(bot, clock, 8 * HOUR)
    (escalation,) = thread(bob, message, 1)
    assert escalation.mentions == ["<!subteam^S0MLONCALL>"]
    assert bot.cases.ledger.read(approval.id).approval.reminded(ReminderKind.ESCALATION) is not None
    grace.command(f"/hitl approve {approval.id}")
    assert bot.cases.ledger.read(approval.id).approval.state is State.APPROVED


def test_the_last_call_comes_before_the_deadline(ask: Ask, bot: Bot, bob: Person, clock: HandClock) -> None:
    """An hour before a deadline of a day, those who can still act are called once more, and are told until when."""
    ask(remind_every=100 * HOUR, timeout=24 * HOUR, approvers=("U0BOB",))
    message = bob.wait_for_message(CHANNEL)
    sweep(bot, clock, 23 * HOUR)
    (call,) = thread(bob, message, 1)
    assert "Last call" in call.plain
    assert "else rejected" in call.plain
    assert call.mentions == ["<@U0BOB>"]


def test_remind_by_hand(ask: Ask, bot: Bot, alice: Person, bob: Person, clock: HandClock) -> None:
    """/hitl remind rings those who are asked, names who wanted it, and not twice within ten minutes."""
    approval = ask(approvers=("U0BOB",))
    message = bob.wait_for_message(CHANNEL)
    (said,) = alice.command(f"/hitl remind {approval.id}")
    assert "will be posted in its thread" in said.plain
    bot.sweeper.tick()
    (reminder,) = thread(bob, message, 1)
    assert reminder.mentions == ["<@U0BOB>"]
    assert "alice asks again" in reminder.plain
    (again,) = alice.command(f"/hitl remind {approval.id}")
    assert "Wait at least ten minutes" in again.plain
    clock.forward(600)
    (third,) = alice.command(f"/hitl remind {approval.id}")
    assert "will be posted in its thread" in third.plain


def test_no_reminder_of_what_is_answered(ask: Ask, bot: Bot, bob: Person) -> None:
    """/hitl remind of an answered approval says so."""
    approval = ask()
    bob.command(f"/hitl approve {approval.id}")
    (said,) = bob.command(f"/hitl remind {approval.id}")
    assert "can no longer be answered" in said.plain


# It is 09:30 in UTC, 10:30 for bob in Amsterdam, 04:30 for carol in New York.
ALL_DAY = "quiet_hours: 00:00-23:59\n"
MORNING = "quiet_hours: 00:00-08:00\n"
BY_RULE = "rules: [{name: nights, match: {flow: TrainFlow}, quiet_hours: 00:00-23:59}]"
NO_RULE, LOUD = "rules: []", "rules: [{name: on call, quiet_hours: never}]"
BOB, CAROL = "<@U0BOB>", "<@U0CAROL>"


@pytest.mark.parametrize(
    ("policy", "approvers", "mentioned"),
    [
        pytest.param(ALL_DAY + NO_RULE, ("U0BOB",), None, id="of all"),
        pytest.param(BY_RULE, ("U0BOB",), None, id="of the rule"),
        pytest.param(ALL_DAY + LOUD, ("U0BOB",), [BOB], id="the rule says never"),
        pytest.param(BY_RULE.replace("TrainFlow", "Other"), ("U0BOB",), [BOB], id="another rule"),
        pytest.param(MORNING + NO_RULE, ("U0BOB",), [BOB], id="he is up"),
        pytest.param(MORNING + NO_RULE, ("carol@example.com",), None, id="she is not"),
        pytest.param(MORNING + NO_RULE, ("@risk",), None, id="nobody of the group is"),
        pytest.param(MORNING + NO_RULE, ("@ml-leads",), [BOB], id="some of the group are"),
        pytest.param(MORNING + NO_RULE, ("U0BOB", "U0CAROL"), [BOB], id="one of two is"),
        pytest.param(NO_RULE, ("U0BOB", "U0CAROL"), [BOB, CAROL], id="never quiet"),
    ],
)
def test_quiet_hours(
    settings: Settings,
    store: Store,
    clock: HandClock,
    bob: Person,
    tmp_path: Path,
    policy: str,
    approvers: tuple[str, ...],
    mentioned: list[str] | None,
) -> None:
    """By the policy, as the rule says or else the file, and by each person's own clock; a group's by its people's."""
    file = tmp_path / "policy.yaml"
    file.write_text(policy)
    bot = bootstrap(settings.model_copy(update={"policy": file}), store=store, clock=clock)
    asked = question(notifiers=("slack",), approvers=approvers, remind_every=HOUR)
    bot.cases.ask(pathspec(), asked, gate(), REQUESTER)
    message = bob.wait_for_message(CHANNEL)
    sweep(bot, clock, HOUR)
    if mentioned is not None:
        (reminder,) = thread(bob, message, 1)
        assert reminder.mentions == mentioned
    assert bot.stop(60)
    assert len(message.thread) == (0 if mentioned is None else 1)


@pytest.mark.parametrize("beginning", ["claims/", "said/"])
def test_a_bot_that_dies_still_reminds_once(
    ask: Ask,
    bot: Bot,
    settings: Settings,
    store: Store,
    bob: Person,
    clock: HandClock,
    interventions: list[Callable[[str, str], None]],
    beginning: str,
) -> None:
    """It dies behind the record and before the thread, or before that is noted: another bot reminds, once."""
    approval = ask(remind_every=HOUR, approvers=("U0BOB",))
    message = bob.wait_for_message(CHANNEL)
    bot.sweeper.tick()
    died = let_die(interventions, "create" if beginning == "claims/" else "mark", beginning)
    clock.forward(HOUR)
    work_until(bot, clock, died.is_set)
    clock.forward(61)
    fresh = bootstrap(settings, store=store, clock=clock)
    said = Event()
    interventions.append(lambda asked, key: said.set() if (asked, key[:5]) == ("mark", "said/") else None)
    work_until(fresh, clock, said.is_set)
    for _ in range(5):
        fresh.sweeper.tick()
        clock.forward(60)
    assert fresh.stop(60)
    (reminder,) = thread(bob, message, 1)
    assert reminder.mentions == ["<@U0BOB>"]
    assert len(bot.cases.ledger.read(approval.id).approval.reminders) == 1
