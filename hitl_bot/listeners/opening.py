"""Opening a view before its trigger expires."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, TimeoutError as NotYet
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from slack_bolt import Ack
from slack_sdk import WebClient

from hitl_bot.listeners.clicked import clicked_approval, refresh_if_stale
from hitl_bot.listeners.payloads import Json, is_home, user_of
from hitl_bot.slack.client import SLACK_FAILED, replace_view
from hitl_bot.slack.people import SlackPeople
from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.ledger import Entry
from metaflow_extensions.hitl.approvals.record import Approval
from metaflow_extensions.hitl.approvals.use_cases import UseCases
from metaflow_extensions.hitl.messages import views
from metaflow_extensions.hitl.messages.action_ids import NOTICE_VIEW

if TYPE_CHECKING:
    from typing_extensions import Self


PATIENCE = 1.0  # seconds of the three that a trigger lives; opening the view takes some of the rest

_Found = TypeVar("_Found")

Build: TypeAlias = "Callable[[UseCases, Approval, SlackPeople, str], Json]"
"""From the use cases, the approval, the people and the id of who clicked to a view."""


class Opening:
    """A view that is about to open. If what it shows takes too long to find out, one that says so opens meanwhile.

    Usually a record is read within a few hundredths of a second, and the view opens whole. A loading view every time
    would cost each person a flicker and a second call.

    A refusal inside the ``with`` is shown in the view if one is open, or if the button stands in the Home tab, where
    Slack offers no other way to answer; and raised otherwise.

    Parameters
    ----------
    client : WebClient
        Slack.
    body : dict
        What came from Slack, with a ``trigger_id``: good for three seconds and for one view.
    title : str
        Of the view that says to wait; at most 24 characters.
    workers : Executor
        Where the finding out goes on.
    """

    def __init__(self, client: WebClient, body: Json, title: str, workers: Executor) -> None:
        self._client = client
        self._trigger_id = str(body["trigger_id"])
        self._title = title
        self._workers = workers
        self._from_home = is_home(body)
        self._view_id: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the person looks at a view."""
        return self._view_id is not None

    def wait(self, find_out: Callable[[], _Found]) -> _Found:
        """Return what is found out, or raise what is raised."""
        finding = self._workers.submit(find_out)
        try:
            return finding.result(PATIENCE)
        except NotYet:
            self.show(views.loading_view(self._title))
            return finding.result()

    def show(self, view: Json) -> None:
        """Open the view, or replace the one that is open."""
        if self._view_id is None:
            self._view_id = str(self._client.views_open(trigger_id=self._trigger_id, view=view)["view"]["id"])
        else:
            replace_view(self._client, self._view_id, view)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        if not isinstance(error, HitlError) or not (self.is_open or self._from_home):
            return False
        try:
            self.show(views.refused_view(error))
        except SLACK_FAILED:
            if self.is_open:
                raise
            return False  # the trigger has expired meanwhile
        return True


def opens(title: str, build: Build) -> Callable[..., None]:
    """Return the callback of a button that opens a form.

    Parameters
    ----------
    title : str
        Of the view while the record is read; at most 24 characters.
    build : Callable
        The view; ``answering`` has several.
    """

    def open_form(
        ack: Ack, action: Json, body: Json, client: WebClient, cases: UseCases, people: SlackPeople, workers: Executor
    ) -> None:
        ack()

        def look() -> tuple[Entry, Json]:
            entry = clicked_approval(cases, action.get("value"), body)
            return entry, build(cases, entry.approval, people, user_of(body))

        with Opening(client, body, title, workers) as opening:
            entry, form = opening.wait(look)
            opening.show(form)
            if form["callback_id"] == NOTICE_VIEW:  # in place of a form: the message may offer what is over
                refresh_if_stale(cases, entry.approval, body)

    return open_form
