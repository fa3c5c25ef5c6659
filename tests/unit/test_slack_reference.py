"""The local Slack is held to Slack's own reference: scopes, tiers and errors of its methods."""

from __future__ import annotations

import pytest

from hitl_bot.manifest import SCOPES, WITHOUT_SCOPE
from hitl_bot.sandbox.web_api import METHODS
from hitl_bot.sandbox.web_api.method import METHODS as DOCUMENTED, is_documented, unknown_arguments
from metaflow_extensions.hitl.notifiers.slack import codes
from metaflow_extensions.hitl.notifiers.slack.calls import RATES

MINUTE = {"TWO": 20, "THREE": 50, "FOUR": 100}


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"api.test"}))
def test_a_method_has_the_documented_tier_and_scope(name: str) -> None:
    """What the local Slack demands and limits is what Slack demands and limits."""
    assert METHODS[name].tier is DOCUMENTED[name].tier
    if METHODS[name].scope:
        assert METHODS[name].scope in DOCUMENTED[name].scopes


def test_every_method_that_the_bot_calls_is_in_the_reference_and_the_local_slack() -> None:
    """Nothing that the bot calls goes unchecked."""
    assert set(DOCUMENTED) >= codes.METHODS
    assert set(METHODS) >= codes.METHODS


def test_the_manifest_asks_for_documented_scopes() -> None:
    """Each scope of the manifest is one that Slack demands for the methods it names; those without need none."""
    for scope in SCOPES:
        for method in scope.methods:
            assert scope.name in DOCUMENTED[method].scopes, (scope.name, method)
    assert [method for method in WITHOUT_SCOPE if DOCUMENTED[method].scopes] == []


def test_the_pace_stays_within_the_documented_tiers() -> None:
    """In no minute does the bot make more calls of a method than its tier allows."""
    for method, rate in RATES.items():
        most = MINUTE.get(DOCUMENTED[method].tier.name, 63)
        assert rate.burst + 60 / rate.seconds <= most, method


def test_what_slack_does_not_document_is_seen() -> None:
    """An unknown argument and an undocumented error are told apart from the documented ones."""
    assert unknown_arguments("chat.postMessage", ["channel", "text", "token", "colour"]) == ["colour"]
    assert is_documented("chat.update", "edit_window_closed")
    assert is_documented("chat.update", "invalid_auth")
    assert not is_documented("chat.update", "is_archived")
