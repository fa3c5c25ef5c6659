"""Every error that Slack documents for looking people up, given once: nobody is taken for somebody else."""

from __future__ import annotations

import pytest
from slack_sdk import WebClient

from hitl_bot.sandbox.control import Control
from hitl_bot.slack.people import SlackPeople
from metaflow_extensions.hitl.approvals.errors import PeopleUnavailable
from metaflow_extensions.hitl.notifiers.slack.codes import Meaning, meaning
from tests.contract.test_slack_codes import codes_of
from tests.fixtures.approvals import BOB, HandClock

LOOKS = {
    "users.info": lambda people: people.find("U0BOB"),
    "users.lookupByEmail": lambda people: people.find("bob@example.com"),
    "users.list": lambda people: people.called("@bob"),
    "usergroups.list": lambda people: people.group("@ml-leads"),
    "conversations.members": lambda people: people.in_channel(BOB, "C0APPROVALS"),
    "conversations.list": lambda people: people.in_channel(BOB, "#ml-approvals"),
    "auth.test": lambda people: people.barred(BOB),
}


@pytest.mark.parametrize("method", LOOKS)
def test_each_documented_error_of_looking_somebody_up_is_what_the_table_says(
    slack: WebClient, control: Control, clock: HandClock, method: str
) -> None:
    """Only "there is no such one" means nobody; with every other error, known or new, nobody can say."""
    for code in codes_of(method):
        control.fault(method, error=code)
        people = SlackPeople(slack, clock)
        if meaning(method, code) is Meaning.ABSENT:
            assert LOOKS[method](people) is None, code
        else:
            with pytest.raises(PeopleUnavailable):
                LOOKS[method](people)
        control.clear_faults()
