"""/hitl and its words, answered to the asker alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hitl_bot.listeners.commands.approve import approve
from hitl_bot.listeners.commands.delegate import delegate
from hitl_bot.listeners.commands.history import history, stats
from hitl_bot.listeners.commands.listing import listing
from hitl_bot.listeners.commands.reject import reject
from hitl_bot.listeners.commands.remind import remind
from hitl_bot.listeners.commands.show import show
from hitl_bot.listeners.commands.words import BadWords, read_words
from metaflow_extensions.hitl.messages import answers

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from slack_bolt import Ack, Respond
    from slack_sdk import WebClient

    from hitl_bot.listeners.payloads import Json
    from hitl_bot.slack.people import SlackPeople
    from hitl_bot.surfaces.reminding import Reminding
    from metaflow_extensions.hitl.approvals.use_cases import UseCases


def hitl(
    ack: Ack,
    command: Json,
    body: Json,
    client: WebClient,
    respond: Respond,
    cases: UseCases,
    people: SlackPeople,
    workers: Executor,
    reminding: Reminding,
) -> None:
    """Do what the first word says; explain the words for any other."""
    ack()
    words = read_words(command.get("text") or "")
    user_id = command["user_id"]
    about_all: dict[str, Callable[[], answers.Reply]] = {
        "": answers.help_text,
        "help": answers.help_text,
        "list": lambda: listing(cases, people, user_id, words),
        "history": lambda: history(cases, words),
        "stats": lambda: stats(cases, words),
        "delegate": lambda: delegate(cases, people, user_id, words),
    }
    about_one: dict[str, Callable[[], answers.Reply | None]] = {
        "show": lambda: show(cases, words),
        "reject": lambda: reject(cases, people, user_id, words),
        "remind": lambda: remind(cases, people, reminding, user_id, words),
        "approve": lambda: approve(cases, people, client, workers, body, words),
    }
    if words.verb in about_one and not words.approval_id:
        raise BadWords(
            f"/hitl {words.verb} needs an approval id: it stands under the question, and /hitl list has all."
        )
    answer = about_all.get(words.verb) or about_one.get(words.verb)
    reply = answer() if answer else answers.help_text(unknown=words.verb)
    if reply is not None:
        respond(**reply)
