"""The slash command: which of its words is meant, answered to the person who typed it alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass

from slack_bolt import Ack, Respond
from slack_sdk import WebClient

from hitl_bot.listeners.command_text import BadWords, Words, read_words
from hitl_bot.listeners.payloads import Json
from hitl_bot.slack.people import SlackPeople
from hitl_bot.surfaces.reminding import Reminding
from hitl_bot.surfaces.sight import Sight
from metaflow_extensions.hitl.approvals.queries import Queries
from metaflow_extensions.hitl.approvals.record import Person
from metaflow_extensions.hitl.approvals.use_cases import UseCases
from metaflow_extensions.hitl.messages import answers


@dataclass(frozen=True, kw_only=True)
class Typed:
    """A command that somebody typed, and what it can be answered with.

    Attributes
    ----------
    words : Words
        What was typed after the command.
    user_id : str
        Of the Slack user who typed it.
    body : dict
        What Slack sent, with a ``trigger_id`` that opens one view.
    """

    words: Words
    user_id: str
    body: Json
    client: WebClient
    cases: UseCases
    queries: Queries
    people: SlackPeople
    workers: Executor
    reminding: Reminding

    @property
    def sight(self) -> Sight:
        """What the person who typed it may see."""
        return Sight(self.cases, self.people, self.user_id)

    @property
    def who(self) -> Person:
        """The person who typed it."""
        return self.people.person(self.user_id)


Answer = Callable[[Typed], answers.Reply | None]
"""What a word does. None: it has opened a view, which is the answer."""


def dispatcher(words: Mapping[str, Answer], words_with_id: Mapping[str, Answer]) -> Callable[..., None]:
    """Return the callback of a command that does what the first word says, and explains the words for any other."""

    def dispatch(
        ack: Ack,
        command: Json,
        body: Json,
        client: WebClient,
        respond: Respond,
        cases: UseCases,
        queries: Queries,
        people: SlackPeople,
        workers: Executor,
        reminding: Reminding,
    ) -> None:
        ack()
        said = read_words(command.get("text") or "")
        if said.verb in words_with_id and not said.approval_id:
            raise BadWords(
                f"/hitl {said.verb} needs an approval ID. It is shown under each question and in /hitl list."
            )
        answer = words.get(said.verb) or words_with_id.get(said.verb)
        typed = Typed(
            words=said,
            user_id=command["user_id"],
            body=body,
            client=client,
            cases=cases,
            queries=queries,
            people=people,
            workers=workers,
            reminding=reminding,
        )
        reply = answer(typed) if answer else answers.help_text(unknown=said.verb)
        if reply is not None:
            respond(**reply)

    return dispatch


def explain(_: Typed) -> answers.Reply:
    """``/hitl help``: list the words."""
    return answers.help_text()


def remind(typed: Typed) -> answers.Reply:
    """``/hitl remind ID``: ask again in the thread, now."""
    approval = typed.reminding.by_hand(typed.sight.find(typed.words.approval_id), typed.who)
    return answers.said(f"A reminder of {approval.id} will be posted in its thread.")
