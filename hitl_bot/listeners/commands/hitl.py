"""/hitl and its words, answered to the asker alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hitl_bot.listeners.commands.approve import approve
from hitl_bot.listeners.commands.history import history, stats
from hitl_bot.listeners.commands.listing import listing
from hitl_bot.listeners.commands.reject import reject
from hitl_bot.listeners.commands.show import show
from hitl_bot.listeners.commands.words import BadWords, read_words
from metaflow_extensions.hitl.messages import answers

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from slack_bolt import Ack, Respond
    from slack_sdk import WebClient

    from hitl_bot.listeners.payloads import Json
    from hitl_bot.people import SlackPeople
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
) -> None:
    """Do what the first word says; explain the words for any other."""
    ack()
    words = read_words(command.get("text") or "")
    if words.verb in {"", "help"}:
        respond(**answers.help_text())
    elif words.verb == "list":
        respond(**listing(cases, people, command["user_id"], words))
    elif words.verb == "history":
        respond(**history(cases, words))
    elif words.verb == "stats":
        respond(**stats(cases, words))
    elif words.verb not in {"show", "approve", "reject"}:
        respond(**answers.help_text(unknown=words.verb))
    elif not words.approval_id:
        raise BadWords(
            f"/hitl {words.verb} needs an approval id: it stands under the question, and /hitl list has all."
        )
    elif words.verb == "show":
        respond(**show(cases, words))
    elif words.verb == "reject":
        respond(**reject(cases, people, command["user_id"], words))
    else:
        reply = approve(cases, people, client, workers, body, words)
        if reply is not None:
            respond(**reply)
