"""Every error that Slack documents, given once to the notifier: what becomes of it is the table's line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from slack_sdk import WebClient

from hitl_bot.sandbox.control import Control
from metaflow_extensions.hitl.approvals.errors import (
    MessageUnreachable,
    NotifierError,
    NotifierRefused,
    NotifierUnavailable,
)
from metaflow_extensions.hitl.approvals.evidence.pictures import Picture
from metaflow_extensions.hitl.notifiers.slack.codes import Meaning, meaning
from metaflow_extensions.hitl.notifiers.slack.notifier import SlackNotifier
from tests.contract.conftest import CHANNEL, CHANNEL_ID
from tests.fixtures.approvals import HandClock, approval, pathspec

REFERENCE = json.loads(
    Path(__file__).parents[2].joinpath("hitl_bot/sandbox/web_api/reference.json").read_text(encoding="utf-8")
)
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x02\0\0\0\x02\x08\x02\0\0\0 a picture"
NEVER = ("something_new",)  # a code that no release knows yet
RAISED = {
    Meaning.FINAL: MessageUnreachable,
    Meaning.PASSING: NotifierUnavailable,
    Meaning.OPERATOR: NotifierRefused,
    Meaning.DEFECT: NotifierRefused,
    Meaning.TOO_LONG: NotifierRefused,
    Meaning.PLAN: NotifierRefused,
    Meaning.ABSENT: NotifierRefused,
}


def codes_of(method: str) -> list[str]:
    """Every code that Slack documents for a method, those of all methods, and one that is new."""
    busy = {"ratelimited", "rate_limited"}  # waited for instead: see test_patience_ends
    return sorted({*REFERENCE["methods"][method]["errors"], *REFERENCE["common_errors"], *NEVER} - busy)


def raised_by(act: Callable[[], object]) -> type[NotifierError] | None:
    """Return which of the port's errors an act raises, if any."""
    try:
        act()
    except NotifierError as error:
        return next(kind for kind in RAISED.values() if isinstance(error, kind))
    return None


def outcomes(method: str, control: Control, act: Callable[[], object]) -> dict[str, type[NotifierError] | None]:
    """Give each code of a method to an act, and return what became of each."""
    found = {}
    for code in codes_of(method):
        control.fault(method, error=code, times=2)  # a shorter message is tried as well
        found[code] = raised_by(act)
        control.clear_faults()
    return found


@pytest.mark.parametrize("method", ["chat.update", "chat.postMessage"])
def test_each_documented_error_of_writing_is_what_the_table_says(
    slack_notifier: SlackNotifier, control: Control, method: str
) -> None:
    """Final, passing or an operator's: the notifier raises the port's error that says so, and unknown codes pass."""
    post = slack_notifier.post(approval())

    def act() -> None:
        if method == "chat.update":
            slack_notifier.update(approval(), post)
        else:
            slack_notifier.reply(post, "a line")

    expected = {code: RAISED[meaning(method, code)] for code in codes_of(method)}
    assert outcomes(method, control, act) == expected


@pytest.mark.parametrize("method", ["conversations.replies", "chat.delete"])
def test_each_documented_error_of_the_thread_and_of_a_second_message_is_what_the_table_says(
    slack_notifier: SlackNotifier, control: Control, method: str
) -> None:
    """What stands below a message, and taking a second one back, end as the table says, too."""
    post = slack_notifier.post(approval())

    def act() -> None:
        if method == "chat.delete":
            slack_notifier.withdraw(post)
        else:
            slack_notifier.said_below(post)

    expected = {code: RAISED[meaning(method, code)] for code in codes_of(method)}
    assert outcomes(method, control, act) == expected


@pytest.mark.parametrize("method", ["files.getUploadURLExternal", "files.completeUploadExternal"])
def test_each_documented_error_of_showing_a_picture_is_what_the_table_says(
    slack_notifier: SlackNotifier, control: Control, method: str
) -> None:
    """No picture is shown twice: where Slack may have shown it nothing is raised, so that nobody tries again."""
    post = slack_notifier.post(approval())
    picture = Picture(name="course.png", title="accuracy", png=PNG, alt="accuracy, higher each time")

    def act() -> None:
        slack_notifier.attach(post, slack_notifier.upload([picture]))

    expected: dict[str, type[NotifierError] | None] = {code: RAISED[meaning(method, code)] for code in codes_of(method)}
    if method == "files.completeUploadExternal":
        surely_nothing = {"file_not_found"}
        perhaps = {one for one, kind in expected.items() if kind is NotifierUnavailable} - surely_nothing
        expected |= dict.fromkeys(perhaps)
    assert outcomes(method, control, act) == expected


@pytest.mark.parametrize(
    "code",
    [
        "update_failed",
        "external_channel_migrating",
        "org_login_required",
        "message_limit_exceeded",
        "streaming_state_conflict",
        "invalid_auth",
        "token_revoked",
        "not_in_channel",
        "channel_not_found",
        "ekm_access_denied",
        "something_new",
    ],
)
def test_a_refused_update_can_succeed_later(slack_notifier: SlackNotifier, control: Control, code: str) -> None:
    """None of these says that the message is lost for good, so none of them is final."""
    post = slack_notifier.post(approval())
    control.fault("chat.update", error=code)
    assert raised_by(lambda: slack_notifier.update(approval(), post)) in {NotifierUnavailable, NotifierRefused}
    slack_notifier.update(approval(), post)


def test_no_error_of_looking_for_the_message_loses_the_question(
    slack_notifier: SlackNotifier, control: Control, clock: HandClock
) -> None:
    """Whatever Slack answers to the look for an earlier message, the question is posted, at once or in another turn."""
    for method in ("conversations.history", "chat.getPermalink"):
        for number, code in enumerate(codes_of(method)):
            asked = approval(pathspec(task=f"{len(method)}{number}"))
            clock.forward(60)
            control.fault(method, error=code)
            found = raised_by(lambda asked=asked: slack_notifier.post(asked))
            control.clear_faults()
            assert found in {None, NotifierUnavailable}, (method, code)
            assert slack_notifier.post(asked).channel == CHANNEL_ID, (method, code)


def test_no_error_of_knowing_oneself_loses_the_question(
    slack: WebClient, slack_notifier: SlackNotifier, control: Control, clock: HandClock
) -> None:
    """Where auth.test fails while an earlier message is looked for, the question is posted, or tried again."""
    slack_notifier.post(approval())
    clock.forward(60)
    for code in codes_of("auth.test"):
        fresh = SlackNotifier(slack, default_channel=CHANNEL, clock=clock, wait=lambda _seconds: None)
        control.fault("auth.test", error=code)
        found = raised_by(lambda fresh=fresh: fresh.post(approval()))
        control.clear_faults()
        assert found is (NotifierUnavailable if meaning("auth.test", code) is Meaning.PASSING else None), code


@pytest.mark.parametrize(("method", "channel"), [("conversations.open", "U0BOB"), ("conversations.list", CHANNEL)])
def test_no_error_of_finding_the_channel_is_final(
    slack: WebClient, control: Control, clock: HandClock, method: str, channel: str
) -> None:
    """Where a channel can't be looked up, the question is posted all the same, or tried again."""
    clock.forward(3_600)  # so that the message is looked for, and the channel before it
    for number, code in enumerate(codes_of(method)):
        fresh = SlackNotifier(slack, default_channel=channel, clock=clock, wait=lambda _seconds: None)
        asked = replace(approval(pathspec(task=str(number))), requested_at=clock())
        clock.forward(60)
        control.fault(method, error=code)
        found = raised_by(lambda fresh=fresh, asked=asked: fresh.post(asked))
        control.clear_faults()
        assert found in {None, NotifierUnavailable}, (method, code)


@pytest.mark.parametrize("method", ["usergroups.list", "users.info", "users.lookupByEmail"])
def test_no_error_of_looking_up_a_name_holds_up_the_question(
    slack: WebClient, control: Control, clock: HandClock, method: str
) -> None:
    """The question is posted with the name as it was written; only "there is no such one" says that nobody is it."""
    name = {"usergroups.list": "@ml-leads", "users.info": "U0BOB", "users.lookupByEmail": "bob@example.com"}[method]
    asked = approval(approvers=(name,))
    for code in codes_of(method):
        control.fault(method, error=code)
        fresh = SlackNotifier(slack, default_channel=CHANNEL, clock=clock, wait=lambda _seconds: None)
        missed = fresh.look_up(asked).nobody
        control.clear_faults()
        # A plan without user groups has nobody to wait for, whatever the group's name.
        nobody = meaning(method, code) is Meaning.ABSENT or code == "plan_upgrade_required"
        assert missed == ((name,) if nobody else ()), (method, code)
