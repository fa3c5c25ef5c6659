"""The approval that a click is about, and the message it came from."""

from __future__ import annotations

import structlog

from hitl_bot.listeners.payloads import Json, asks_about, place_of
from metaflow_extensions.hitl.approvals.errors import HitlError, NotifierError
from metaflow_extensions.hitl.approvals.ledger import Entry
from metaflow_extensions.hitl.approvals.pathspec import checked_id
from metaflow_extensions.hitl.approvals.ports import Finder
from metaflow_extensions.hitl.approvals.record import Approval, Post, State
from metaflow_extensions.hitl.approvals.use_cases import UseCases
from metaflow_extensions.hitl.notifiers.slack.notifier import NAME as SLACK

log = structlog.get_logger("hitl_bot.listeners")


class NotItsMessage(HitlError):
    """The button is on a message that is not this approval's: a copy, or a forgery. Nothing was decided."""

    def __init__(self, asked_about: str, known: Post) -> None:
        where = f" ({known.url})" if known.url else ""
        super().__init__(
            f"This button is not on the message that asks about {asked_about}, so nothing was decided. Use the buttons "
            f"on that message{where}, or /hitl list."
        )


def clicked_approval(cases: UseCases, approval_id: object, body: Json) -> Entry:
    """Read the approval that a button names, if the button can be trusted to name it.

    Raises
    ------
    BadId, NoSuchApproval, NotItsMessage
        It can't.
    StoreError, RecordError
        As the ledger says.
    """
    entry = cases.ledger.read(checked_id(str(approval_id)))
    place = place_of(body)
    posts = [post for post in entry.approval.posts if post.notifier == SLACK]
    # What a foreign message shows may be another question than the one that the record asks. A place in the record is
    # missing between posting and noting it: then there is nothing to hold the message against.
    if place is None or any(_is_at(post, body) for post in posts):
        return entry
    clicked = Post(notifier=SLACK, at=cases.clock(), channel=place.channel, ts=place.ts)
    asks = asks_about(body, entry.approval.id)
    if posts:
        if asks:
            _withdraw(cases, entry.approval, clicked)
        raise NotItsMessage(entry.approval.id, posts[0])
    if not asks:
        return entry
    # Whoever posted it could not note where; the click knows, so that the message will show how this ends.
    return cases.note_post(entry, clicked)


def _withdraw(cases: UseCases, approval: Approval, clicked: Post) -> None:
    """Remove a second message about a question; one that is not the bot's own stays."""
    notifier = cases.notifiers.get(SLACK)
    if not isinstance(notifier, Finder):
        return
    try:
        notifier.withdraw(approval, clicked)
    except NotifierError as error:
        log.info("a second message stays", approval_id=approval.id, why=str(error))


def refresh_if_stale(cases: UseCases, approval: Approval, body: Json) -> None:
    """Bring the message that was clicked up to date if the approval can no longer be answered.

    A message that can't be changed is left as it is: the person who clicked has been told.
    """
    post = next((post for post in approval.posts if _is_at(post, body)), None)
    if approval.state is State.PENDING or post is None:
        return
    for error in cases.show(approval, (post,)):
        log.warning("stale message left", approval_id=approval.id, why=str(error))


def _is_at(post: Post, body: Json) -> bool:
    place = place_of(body)
    return place is not None and post.notifier == SLACK and (post.channel, post.ts) == (place.channel, place.ts)
