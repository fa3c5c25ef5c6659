"""The bot's own parts, handed to callbacks by argument name."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, fields

from slack_bolt import Ack, BoltContext, BoltResponse
from slack_sdk import WebClient

from hitl_bot.listeners.payloads import Json, fill_in_initial_values, is_in_attachment
from hitl_bot.slack.client import DirectRespond
from hitl_bot.slack.people import SlackPeople
from hitl_bot.surfaces.batches import Batches
from hitl_bot.surfaces.confirming import Confirming
from hitl_bot.surfaces.home import HomeTabs
from hitl_bot.surfaces.reminding import Reminding
from hitl_bot.surfaces.threads import Threads
from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.queries import Queries
from metaflow_extensions.hitl.approvals.use_cases import UseCases


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What callbacks may ask for besides Bolt's own arguments.

    Attributes
    ----------
    cases : UseCases
        What can be done with an approval. Its clock is the bot's.
    queries : Queries
        What waits and what was decided.
    people : SlackPeople
        Who a Slack user is.
    workers : Executor
        Where work goes that may take longer than Slack waits.
    homes : HomeTabs
        Everybody's Home tab.
    batches : Batches
        Gates that share a message.
    reminding : Reminding
        Asks people again.
    threads : Threads
        What stands below the questions.
    confirming : Confirming
        Asks people whether something is theirs.
    """

    cases: UseCases
    queries: Queries
    people: SlackPeople
    workers: Executor
    homes: HomeTabs
    batches: Batches
    reminding: Reminding
    threads: Threads
    confirming: Confirming


class StandingAck(Ack):
    """An ack that stands once it is given.

    Bolt looks for the response every 10 ms, and takes it back if the listener fails before it looked
    (slack_bolt 1.30, ``listener/thread_runner.py``: ``ack.response = response``, which is None by then). Slack would
    show a warning triangle beside the refusal.
    """

    @property
    def response(self) -> BoltResponse | None:
        """What goes to Slack; None until there is anything."""
        return self._response

    @response.setter
    def response(self, response: BoltResponse | None) -> None:
        if response is not None or not hasattr(self, "_response"):
            self._response = response


class CopiedButton(HitlError):
    """This button is in a copy of a message, so nothing was decided. Use the buttons on the message itself."""

    def __init__(self) -> None:
        super().__init__(str(self.__doc__))


def parts_adder(parts: Parts, client: WebClient, request_came: Callable[[], None]) -> Callable[..., None]:
    """Build the middleware that adds the parts to the context of every request. It has to be the first."""
    named = {field.name: getattr(parts, field.name) for field in fields(parts)}

    def add_parts(context: BoltContext, body: Json, next: Callable[[], None]) -> None:  # noqa: A002 - Bolt's name for it
        request_came()
        context.update(named)
        context["client"] = client  # Bolt makes one for each request, which knows nothing of NO_PROXY
        context["ack"] = StandingAck()  # type: ignore[no-untyped-call] # Bolt's
        context["respond"] = DirectRespond(response_url=context.response_url)
        if is_in_attachment(body):
            raise CopiedButton
        fill_in_initial_values(body)
        next()

    return add_parts
