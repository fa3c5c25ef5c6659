"""Pictures below a question: drawn by the bot and by the run, uploaded to Slack, and never in the question's way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from threading import Event
from typing import Any

import pytest
from pydantic import SecretStr

from hitl_bot.bootstrap import Bot
from hitl_bot.keys import PrivateKey
from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.driver import Message, Person
from hitl_bot.settings import Settings
from metaflow_extensions.hitl.approvals import bucket
from metaflow_extensions.hitl.approvals.evidence.collected import Plot
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.record import Approval
from tests.fixtures.approvals import HandClock
from tests.fixtures.attempts import Attempts
from tests.fixtures.slack import work_until
from tests.integration.bot.conftest import CHANNEL
from tests.integration.bot.test_batches import ask_shards, sweep
from tests.integration.bot.test_evidence import ask_in, measured
from tests.integration.bot.test_threads import another_bot

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x02\0\0\0\x02\x08\x02\0\0\0 a picture"
DIGEST = sha256(PNG).hexdigest()


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    """What is attacked is attacked in both modes."""
    signs = "is_sealed" in request.fixturenames and request.getfixturevalue("is_sealed")
    return settings.model_copy(update={"signing_key": SecretStr(PrivateKey.new().text)}) if signs else settings


def approve_first(bot: Bot, bob: Person, accuracy: float = 0.9) -> Approval:
    """Let an earlier run be asked about and approved, so that there is something to draw."""
    asked = ask_in(bot, "1", evidence=measured(accuracy))
    first = bob.wait_for_message(CHANNEL)
    bob.click(first, "Approve", confirm="Approve")
    bob.wait_for_update(first)
    bot.sweeper.tick()
    return asked


def question(bob: Person, asked: Approval) -> Message:
    return bob.wait_for_message(CHANNEL, lambda one: asked.id in one.plain)


def images(bob: Person, message: Message) -> list[dict[str, Any]]:
    """Wait for the pictures in the thread."""

    def look() -> list[dict[str, Any]]:
        return [block for reply in message.thread for block in reply.blocks if block["type"] == "image"]

    found: list[dict[str, Any]] = bob.control.wait_until(look, what="a picture")
    return found


def test_the_second_question_has_a_picture_in_its_thread(
    bot: Bot, bob: Person, ledger: Ledger, control: Control
) -> None:
    """It says in words what it shows, stays the only one, and is kept for the card; the message is as it was."""
    approve_first(bot, bob)
    asked = ask_in(bot, "2", evidence=measured(0.95))
    second = question(bob, asked)
    bot.sweeper.tick()
    (image,) = images(bob, second)
    assert image["alt_text"] == "accuracy: 90.0% (run 1, approved), 95.0% (run 2, this question)."
    assert image["title"]["text"] == "Metrics over the last runs"
    assert ledger.store.read(bucket.course_key(asked.id)).startswith(b"\x89PNG")
    assert second.refresh().versions == second.versions
    ledger.store.mark(bucket.change_key(bot.cases.clock(), asked.id, 2))  # told of once more
    bot.sweeper.tick()
    assert bot.stop(60)
    assert len(control.calls("files.completeUploadExternal")) == 1


@pytest.mark.way("plants a picture of how the metrics developed")
def test_a_planted_picture_is_shown_to_nobody(
    bot: Bot, bob: Person, ledger: Ledger, control: Control, attempts: Attempts
) -> None:
    """Whoever may write the bucket draws no picture that people decide by: the bot shows what it has drawn itself."""
    approve_first(bot, bob)
    asked = ask_in(bot, "2", evidence=measured(0.95))
    planted = b"\x89PNG planted"
    ledger.store.create(bucket.course_key(asked.id), planted)
    bot.sweeper.tick()
    images(bob, question(bob, asked))
    (upload,) = control.calls("files.getUploadURLExternal")
    assert not attempts.tried(opened=int(upload["args"]["length"]) == len(planted))


@pytest.mark.parametrize("code", ["missing_scope", "file_uploads_disabled"])
def test_where_uploads_are_refused_questions_are_asked_all_the_same(
    bot: Bot, bob: Person, control: Control, code: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The question has its table and its buttons; the operator is told once, and Slack is not asked again."""
    approve_first(bot, bob)
    control.fault("files.getUploadURLExternal", error=code, times=5)
    for run in ("2", "3"):
        asked = ask_in(bot, run, evidence=measured(0.95))
        message = question(bob, asked)
        assert "Approve" in message.buttons
        assert any(block["type"] == "table" for block in message.blocks)
        bot.sweeper.tick()
        control.wait_for_calls("files.getUploadURLExternal")
    assert bot.stop(60)
    assert len(control.calls("files.getUploadURLExternal")) == 1
    said = capfd.readouterr()
    assert (said.out + said.err).count("questions are asked without their pictures") == 1


def test_the_runs_own_picture_is_shown_if_it_is_what_the_question_names(bot: Bot, bob: Person, ledger: Ledger) -> None:
    """Bytes that somebody else put in its place are not."""
    plots = (Plot(name="Confusion matrix", sha256=DIGEST), Plot(name="ROC", sha256="0" * 64))
    evidence = replace(measured(0.9), plots=(*plots, Plot(name="Loss", problem="took too long to draw")))
    asked = ask_in(bot, "1", evidence=evidence)
    ledger.store.create(bucket.plot_key(asked.id, DIGEST), PNG)
    ledger.store.create(bucket.plot_key(asked.id, "0" * 64), PNG)
    message = question(bob, asked)
    bot.sweeper.tick()
    assert [one["title"]["text"] for one in images(bob, message)] == ["Confusion matrix"]
    assert "Loss can't be shown: it took too long to draw" in message.plain


def test_a_bot_that_starts_shows_what_another_one_left_undone(
    bot: Bot,
    bob: Person,
    settings: Settings,
    store: Store,
    clock: HandClock,
    ledger: Ledger,
    noted: Callable[[str], Event],
) -> None:
    """The first one claimed the pictures of a question and died: the other takes over when that claim has run out."""
    approve_first(bot, bob)
    asked = ask_in(bot, "2", evidence=measured(0.95))
    message = question(bob, asked)
    assert ledger.claim(asked.id, "pictures", "the one that died", now=clock(), during=timedelta(minutes=2))
    with another_bot(settings, store, clock, 10) as other:
        work_until(other, clock, noted(bucket.pictures_shown_key(asked.id)).is_set, seconds=10)
    assert len(images(bob, message)) == 1


def test_a_lost_answer_doubles_no_picture(bot: Bot, bob: Person, control: Control) -> None:
    """Where Slack may have shown it already, it is not shown again."""
    approve_first(bot, bob)
    control.lose_answer("files.completeUploadExternal")
    message = question(bob, ask_in(bot, "2", evidence=measured(0.95)))
    bot.sweeper.tick()
    assert len(images(bob, message)) == 1
    bot.sweeper.tick()
    assert bot.stop(60)
    assert len(images(bob, message)) == 1
    assert len(control.calls("files.getUploadURLExternal")) == 1


def test_gates_that_share_a_message_share_its_table(bot: Bot, bob: Person, control: Control, clock: HandClock) -> None:
    """A foreach uploads nothing, however many shards it has."""
    approve_first(bot, bob)
    asked = ask_shards(bot, 4, run="2", evidence=measured(0.95))
    sweep(bot, clock)
    message = bob.wait_for_message(CHANNEL, lambda one: "4 shards wait" in one.plain)
    assert all(one.id in message.plain for one in asked)
    sweep(bot, clock)
    assert bot.stop(60)
    assert control.calls("files.getUploadURLExternal") == []
