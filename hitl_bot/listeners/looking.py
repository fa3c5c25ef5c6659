"""Looking at an approval: the menu beside the buttons, the entry of a message's menu, ``/hitl show``, and links."""

from __future__ import annotations

from concurrent.futures import Executor

from slack_bolt import Ack, Respond
from slack_sdk import WebClient

from hitl_bot.listeners.clicked import clicked_approval, refresh_if_stale
from hitl_bot.listeners.opening import Opening
from hitl_bot.listeners.payloads import Json, is_home, user_of
from hitl_bot.listeners.slash_command import Typed
from hitl_bot.slack.people import SlackPeople
from hitl_bot.surfaces.batches import Batches
from hitl_bot.surfaces.sight import Sight
from metaflow_extensions.hitl.approvals.errors import HitlError, NoSuchApproval
from metaflow_extensions.hitl.approvals.ledger import Entry
from metaflow_extensions.hitl.approvals.pathspec import checked_id
from metaflow_extensions.hitl.approvals.queries import Queries
from metaflow_extensions.hitl.approvals.use_cases import UseCases
from metaflow_extensions.hitl.messages import answers, views
from metaflow_extensions.hitl.messages.action_ids import COPY_COMMAND, LIKE_BEFORE, overflow_choice
from metaflow_extensions.hitl.messages.batch import gate_on_message
from metaflow_extensions.hitl.messages.batch_views import why_all_view
from metaflow_extensions.hitl.messages.like_before import SHOWN, like_before_view
from metaflow_extensions.hitl.messages.question import asked_by_message

_READ_BEFORE = 4 * SHOWN  # decisions of which this person may see some


class AsksNothing(HitlError):
    """This message asks for no approval. Choose the entry on the message with the question, or write /hitl show ID."""


def details(
    ack: Ack,
    action: Json,
    body: Json,
    client: WebClient,
    respond: Respond,
    cases: UseCases,
    people: SlackPeople,
    workers: Executor,
    queries: Queries,
) -> None:
    """Show everything about the approval, how it was decided before, or the command that answers from a terminal."""
    ack()
    choice, approval_id = overflow_choice(str((action.get("selected_option") or {}).get("value", "")))
    if choice == COPY_COMMAND and not is_home(body):  # there nothing can be answered with but a view, which has it too
        entry = clicked_approval(cases, approval_id, body)
        Sight(cases, people, user_of(body)).check(entry.approval)
        respond(**answers.command(entry.approval))
        return

    if choice == LIKE_BEFORE:
        with Opening(client, body, "Like before", workers) as opening:
            opening.show(opening.wait(lambda: _like_before(cases, queries, people, approval_id, body)))
        return

    def look() -> list[Entry]:
        entry = clicked_approval(cases, approval_id, body)
        Sight(cases, people, user_of(body)).check(entry.approval)
        return cases.ledger.trail(approval_id)

    with Opening(client, body, "Details", workers) as opening:
        trail = opening.wait(look)
        opening.show(
            views.details_view(trail[-1].approval, now=cases.clock(), trail=[entry.version for entry in trail])
        )
        refresh_if_stale(cases, trail[-1].approval, body)


def _like_before(cases: UseCases, queries: Queries, people: SlackPeople, approval_id: str, body: Json) -> Json:
    sight = Sight(cases, people, user_of(body))
    approval = clicked_approval(cases, approval_id, body).approval
    sight.check(approval)
    earlier = sight.of(queries.decided_like(approval, limit=_READ_BEFORE))
    return like_before_view(approval, earlier, now=cases.clock())


def why(
    ack: Ack,
    shortcut: Json,
    client: WebClient,
    cases: UseCases,
    people: SlackPeople,
    workers: Executor,
    batches: Batches,
) -> None:
    """Show the trail of the approval that a message asks about, or how each gate of many stands.

    What is shown is what this person may see, whatever message they chose: its metadata may be anybody's.
    """
    ack()

    def look() -> Json:
        sight = Sight(cases, people, user_of(shortcut))
        message = shortcut.get("message") or {}
        approval_id = asked_by_message(message) or gate_on_message(message)
        if approval_id is None:
            raise AsksNothing(str(AsksNothing.__doc__))
        try:
            trail = cases.ledger.trail(checked_id(approval_id))
        except NoSuchApproval:  # the metadata of a message that many gates share names the batch
            batch = batches.read(approval_id)
            sight.check(batch.members[0], approval_id)
            return why_all_view(batch)
        sight.check(trail[-1].approval)
        batch_id = next((post.batch for post in trail[-1].approval.posts if post.batch), None)
        if batch_id is not None:
            return why_all_view(batches.read(batch_id))
        return views.why_view(trail[-1].approval, now=cases.clock(), trail=[entry.version for entry in trail])

    with Opening(client, shortcut, "Why?", workers) as opening:
        try:
            shown = opening.wait(look)
        except HitlError as error:
            shown = views.refused_view(error)
        opening.show(shown)


def show(typed: Typed) -> answers.Reply:
    """``/hitl show ID``: one approval, with its buttons if it can still be answered."""
    entry = typed.sight.find(typed.words.approval_id)
    return answers.shown(entry.approval, now=typed.cases.clock())


def follow_link(ack: Ack) -> None:
    """The Open button of a list: Slack opens the link itself, and still waits for the ack."""
    ack()
