"""What Slack sends, as far as the listeners read it, and the approval that a click is about."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import structlog

from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.ledger import Entry
from metaflow_extensions.hitl.approvals.record import Approval, Post, State, checked_id
from metaflow_extensions.hitl.approvals.use_cases import UseCases
from metaflow_extensions.hitl.notifiers.slack.notifier import NAME as SLACK

Json: TypeAlias = dict[str, Any]


_INITIAL = {  # by the field of an element's state: where the element says what it begins with
    "value": "initial_value",
    "selected_option": "initial_option",
    "selected_options": "initial_options",
    "selected_date": "initial_date",
    "selected_date_time": "initial_date_time",
    "selected_user": "initial_user",
}


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a message is."""

    channel: str
    ts: str


def user_of(body: Json) -> str:
    """Return the id of the person who made a request; empty if there is none.

    Interactions have ``user.id``, slash commands ``user_id``, events ``event.user``.
    """
    user = body.get("user") or body.get("user_id") or (body.get("event") or {}).get("user") or ""
    return str(user.get("id", "")) if isinstance(user, dict) else str(user)


def is_home(body: Json) -> bool:
    """Whether a button of the Home tab was clicked."""
    return (body.get("view") or {}).get("type") == "home"


def place_of(body: Json) -> Place | None:
    """Return the message in a channel whose button was clicked; None in a view, and for what one person alone sees."""
    container = body.get("container") or {}
    if container.get("type") != "message" or container.get("is_ephemeral"):
        return None
    return Place(channel=str(container.get("channel_id", "")), ts=str(container.get("message_ts", "")))


def asks_about(body: Json, approval_id: str) -> bool:
    """Whether the message that was clicked, as Slack has it, offers buttons for this approval."""
    blocks = (body.get("message") or {}).get("blocks") or ()
    return any(element.get("value") == approval_id for block in blocks for element in block.get("elements") or ())


def is_in_attachment(body: Json) -> bool:
    """Whether the button stands in an attachment: in a message that somebody shared, or in another app's."""
    return (body.get("container") or {}).get("type") == "message_attachment"


def fill_in_initial_values(body: Json) -> None:
    """Put into a view's state what its inputs show and Slack leaves out.

    After a view was updated, Slack sends nothing for an input that was there before and that the person did not touch,
    although they see what it began with (github.com/slackapi/bolt-js/issues/1258). Whoever empties an input sends it
    empty, so nothing that is taken away comes back.
    """
    view = body.get("view")
    state = view.get("state") if isinstance(view, dict) else None
    if not isinstance(view, dict) or not isinstance(state, dict):
        return
    values: Json = state.setdefault("values", {})
    for block in view.get("blocks") or ():
        element = block.get("element") or {}
        begins = {field: element[name] for field, name in _INITIAL.items() if element.get(name) is not None}
        if begins and element.get("action_id") not in values.get(block["block_id"], {}):
            entry = {"type": element["type"], **begins}
            values.setdefault(block["block_id"], {})[element["action_id"]] = entry


# The approval that a click is about, and the message it came from.

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
            for problem in cases.posting.withdraw(entry.approval.id, clicked):
                log.info("a second message stays for now", approval_id=entry.approval.id, why=str(problem))
        raise NotItsMessage(entry.approval.id, posts[0])
    if not asks:
        return entry
    # Whoever posted it could not note where; the click knows, so that the message will show how this ends.
    return cases.posting.note_post(entry, clicked)


def refresh_if_stale(cases: UseCases, approval: Approval, body: Json) -> None:
    """Bring the message that was clicked up to date if the approval can no longer be answered.

    A message that can't be changed is left as it is: the person who clicked has been told.
    """
    post = next((post for post in approval.posts if _is_at(post, body)), None)
    if approval.state is State.PENDING or post is None:
        return
    for error in cases.posting.refresh(approval, (post,)):
        log.warning("stale message left", approval_id=approval.id, why=str(error))


def _is_at(post: Post, body: Json) -> bool:
    place = place_of(body)
    return place is not None and post.notifier == SLACK and (post.channel, post.ts) == (place.channel, place.ts)
