"""The clicks of the demo, played over the sandbox's sockets by nobody at all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from hitl_bot.demo.stage import CHANNEL, Stage
from hitl_bot.sandbox.driver import Closed, Driver, Errors
from hitl_bot.sandbox.surfaces import NotThere

_PATIENCE = 120.0  # seconds; a cold laptop takes 20 for the run to come to its gate


class WentWrong(Exception):
    """The demo did not go as it should; the message says where."""


EARLIER = ("--version", "6", "--learning_rate", "0.01")
"""The arguments of the demo's first run, which the second is compared with."""


def approve_earlier(stage: Stage) -> None:
    """Approve the first run as carol, unless somebody at the page is faster, and wait for its end."""
    carol = Driver(stage.url).as_("carol")
    question = carol.wait_for_message(CHANNEL, lambda message: "Deploy fraud v6" in message.plain, timeout=_PATIENCE)
    with suppress(NotThere):  # the button went with somebody else's answer
        carol.open(question, "Approve…").fill({"Deploy target": "production", "Traffic": "100"}).submit()
    stage.run.wait(_PATIENCE)


def play(stage: Stage, say: Callable[[str], None]) -> None:
    """Ask for the list, approve with a mistake and without, and hold the run to its end.

    Raises
    ------
    WentWrong
        Something else happened than a person would see.
    """
    bob = Driver(stage.url).as_("bob")
    question = bob.wait_for_message(CHANNEL, lambda message: "Deploy fraud v7" in message.plain, timeout=_PATIENCE)
    say(f"The channel shows: {question.text}")
    _expect("+1.2 points, better" in question.plain, f"no change since the first run is shown: {question.plain}")
    say("Its table shows what changed since the first run.")
    answers = bob.command("/hitl list", CHANNEL)
    _expect(any("Deploy" in answer.plain for answer in answers), "/hitl list does not show the question")
    say("/hitl list shows it.")
    form = bob.open(question, "Approve…")
    refused = form.fill({"Deploy target": "staging", "Traffic": "1000"}).submit()
    _expect(isinstance(refused, Errors), f"1000 per cent of the traffic was accepted: {refused}")
    say("1000 per cent of the traffic is refused, under the field.")
    done = form.fill({"Traffic": "25", "Notes": "canary first"}).submit()
    _expect(isinstance(done, Closed), f"the form did not close: {done}")
    answered = bob.wait_for_update(question, lambda message: not message.buttons and "Approved" in message.plain)
    say(f"The message now says: {answered.text}")
    code = stage.run.wait(_PATIENCE)
    _expect(code == 0, f"the run ended with exit code {code}")
    _expect(any("Deploying to staging with 25%" in line for line in stage.run.lines), "the step did not see the input")
    say("The step ran with what bob entered.")


def _expect(fact: bool, otherwise: str) -> None:  # noqa: FBT001 - an assertion that python -O keeps
    if not fact:
        raise WentWrong(otherwise)
