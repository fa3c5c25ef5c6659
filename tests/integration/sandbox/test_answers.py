"""Entries in every kind of field: the exact shapes that the app gets, and what the client itself refuses."""

from __future__ import annotations

from typing import Any

import pytest
from slack_bolt import Ack, App
from slack_sdk import WebClient

from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.driver import Closed, Driver, Errors

Json = dict[str, Any]
A = {"text": {"type": "plain_text", "text": "Option A", "emoji": True}, "value": "a"}
B = {"text": {"type": "plain_text", "text": "Option B", "emoji": True}, "value": "b"}


def form(element: Json, **more: Any) -> Json:
    block = {"type": "input", "block_id": "one", "label": {"type": "plain_text", "text": "Field"}, **more}
    return {
        "type": "modal",
        "callback_id": "form",
        "title": {"type": "plain_text", "text": "Form"},
        "submit": {"type": "plain_text", "text": "Go"},
        "blocks": [{**block, "element": {"action_id": "entry", **element}}],
    }


@pytest.fixture
def submitted(bolt: App, connected: App) -> list[Json]:
    """The values of every submission that reached the app."""
    values: list[Json] = []

    @bolt.view("form")
    def submit(ack: Ack, view: Json) -> None:
        values.append(view["state"]["values"]["one"]["entry"])
        ack()

    return values


@pytest.mark.parametrize(
    ("element", "entry", "state"),
    [
        ({"type": "plain_text_input"}, "x", {"value": "x"}),
        ({"type": "number_input", "is_decimal_allowed": True}, 0.5, {"value": "0.5"}),
        ({"type": "email_text_input"}, "a@b.example", {"value": "a@b.example"}),
        ({"type": "url_text_input"}, "https://x.example/", {"value": "https://x.example/"}),
        ({"type": "static_select", "options": [A, B]}, "Option B", {"selected_option": B}),
        ({"type": "radio_buttons", "options": [A, B]}, "a", {"selected_option": A}),
        ({"type": "checkboxes", "options": [A, B]}, ["a", "Option B"], {"selected_options": [A, B]}),
        ({"type": "multi_static_select", "options": [A, B]}, ["b"], {"selected_options": [B]}),
        ({"type": "users_select"}, "U0BOB", {"selected_user": "U0BOB"}),
        ({"type": "multi_users_select"}, ["U0BOB"], {"selected_users": ["U0BOB"]}),
        ({"type": "conversations_select"}, "C0OLD", {"selected_conversation": "C0OLD"}),
        ({"type": "datepicker"}, "2026-11-24", {"selected_date": "2026-11-24"}),
        ({"type": "timepicker"}, "17:00", {"selected_time": "17:00"}),
        ({"type": "datetimepicker"}, 1_795_536_000, {"selected_date_time": 1_795_536_000}),
    ],
    ids=lambda one: one.get("type", "") if isinstance(one, dict) else "",
)
def test_an_entry_has_slacks_shape(
    submitted: list[Json], slack: WebClient, people: Driver, control: Control, element: Json, entry: Any, state: Json
) -> None:
    """Each element tells its type and its value under the name that Slack gives it."""
    slack.views_open(trigger_id=control.new_trigger("bob"), view=form(element))
    assert people.as_("bob").wait_for_view().fill({"Field": entry}).submit() == Closed()
    assert submitted == [{"type": element["type"], **state}]


@pytest.mark.parametrize(
    ("element", "state"),
    [
        ({"type": "plain_text_input"}, {"value": None}),
        ({"type": "static_select", "options": [A, B]}, {"selected_option": None}),
        ({"type": "static_select", "options": [A, B], "initial_option": A}, {"selected_option": A}),
        ({"type": "checkboxes", "options": [A, B]}, {"selected_options": []}),
        ({"type": "datepicker", "initial_date": "2026-11-24"}, {"selected_date": "2026-11-24"}),
    ],
    ids=["text", "select", "select with a default", "checkboxes", "date with a default"],
)
def test_an_untouched_field_tells_its_default(
    submitted: list[Json], slack: WebClient, people: Driver, control: Control, element: Json, state: Json
) -> None:
    """Without a default it is null, and [] where several can be chosen."""
    slack.views_open(trigger_id=control.new_trigger("bob"), view=form(element, optional=True))
    people.as_("bob").wait_for_view().submit()
    assert submitted == [{"type": element["type"], **state}]


@pytest.mark.parametrize(
    ("element", "entry", "refusal"),
    [
        ({"type": "plain_text_input"}, "", "Please complete this required field."),
        ({"type": "plain_text_input", "min_length": 3}, "ab", "Enter at least 3 characters."),
        ({"type": "plain_text_input", "max_length": 3}, "abcd", "Enter at most 3 characters."),
        ({"type": "number_input", "is_decimal_allowed": False}, "1.5", "Please enter a whole number."),
        ({"type": "number_input", "is_decimal_allowed": True}, "NaN", "Please enter a number."),
        (
            {"type": "number_input", "is_decimal_allowed": True, "max_value": "1"},
            "1.1",
            "Enter a number of at most 1.",
        ),
        ({"type": "email_text_input"}, "nobody", "Please enter a valid email address."),
        ({"type": "url_text_input"}, "x.example", "Please enter a valid URL."),
        ({"type": "checkboxes", "options": [A, B]}, [], "Please complete this required field."),
    ],
)
def test_the_client_refuses_before_the_app_hears(
    submitted: list[Json], slack: WebClient, people: Driver, control: Control, element: Json, entry: Any, refusal: str
) -> None:
    """What is empty or of the wrong form is refused under its field, and nothing is sent."""
    slack.views_open(trigger_id=control.new_trigger("bob"), view=form(element))
    view = people.as_("bob").wait_for_view()
    assert view.fill({"one": entry}).submit() == Errors({"Field": refusal}, from_app=False)
    assert submitted == []


def test_what_was_entered_survives_an_update(
    bolt: App, submitted: list[Json], slack: WebClient, people: Driver, control: Control
) -> None:
    """After views.update a field with the same ids keeps what was entered in it."""

    @bolt.action("toggle")
    def more(ack: Ack, client: WebClient, body: Json) -> None:
        ack()
        client.views_update(view_id=body["view"]["id"], view=view)

    toggle = {"type": "button", "action_id": "toggle", "text": {"type": "plain_text", "text": "More"}}
    view = form({"type": "plain_text_input"})
    view["blocks"].append({"type": "actions", "block_id": "buttons", "elements": [toggle]})
    slack.views_open(trigger_id=control.new_trigger("bob"), view=view)
    bob = people.as_("bob")
    shown = bob.wait_for_view().fill({"Field": "kept"})
    bob.click(shown, "More")
    assert shown.wait_for_update().submit() == Closed()
    assert submitted == [{"type": "plain_text_input", "value": "kept"}]
