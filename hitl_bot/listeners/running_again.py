"""Running again: the button, and the form with the parameters of the run."""

from __future__ import annotations

from concurrent.futures import Executor, TimeoutError as NotYet

from slack_bolt import Ack
from slack_sdk import WebClient

from hitl_bot.listeners.opening import opens
from hitl_bot.listeners.payloads import Json, user_of
from hitl_bot.listeners.submitting import PATIENCE
from hitl_bot.slack.client import replace_view
from hitl_bot.slack.people import SlackPeople
from hitl_bot.surfaces.threads import Threads
from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.pathspec import checked_id
from metaflow_extensions.hitl.approvals.record import Approval
from metaflow_extensions.hitl.approvals.running_again import BadParameter, RunningAgain
from metaflow_extensions.hitl.approvals.use_cases import UseCases
from metaflow_extensions.hitl.messages import again, views
from metaflow_extensions.hitl.messages.mrkdwn import code, name


def _form(cases: UseCases, approval: Approval, people: SlackPeople, user_id: str) -> Json:
    running = RunningAgain(cases.engines, people)
    return again.run_again_view(approval, running.parameters(approval, people.person(user_id)))


open_form = opens("Run again", _form)


def submitted(
    ack: Ack,
    body: Json,
    view: Json,
    client: WebClient,
    cases: UseCases,
    people: SlackPeople,
    workers: Executor,
    threads: Threads,
) -> None:
    """Start it, and say so in the view and in the question's thread."""

    def start() -> Json:
        approval = cases.ledger.read(checked_id(views.approval_of(view))).approval
        who = people.person(user_of(body))
        entered = again.parameters_of(view["state"]["values"])
        workflow = RunningAgain(cases.engines, people).run_again(approval, entered, who)
        threads.note(approval, f"{name(who)} runs it again: workflow {code(workflow)}")
        return views.notice_view("Run again", again.started(workflow))

    starting = workers.submit(start)
    try:
        ack(response_action="update", view=starting.result(PATIENCE))
    except NotYet:
        ack(response_action="update", view=views.notice_view("Run again", "Starting it…"))
        try:
            ending = starting.result()
        except HitlError as error:
            ending = views.refused_view(error)
        replace_view(client, view["id"], ending)
    except BadParameter as error:
        ack(response_action="errors", errors={again.parameter_block(error.name): str(error)})
    except HitlError as error:
        ack(response_action="update", view=views.refused_view(error))
