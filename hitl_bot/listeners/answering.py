"""Answering one question: buttons, forms, typed words, confirmations, and running again after a request for changes."""

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from slack_bolt import Ack, Respond
from slack_sdk import WebClient

from hitl_bot.slack.people import SlackPeople
from hitl_bot.surfaces.confirming import Confirming
from hitl_bot.surfaces.home import HomeTabs
from hitl_bot.surfaces.threads import Threads
from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.ledger import Entry
from metaflow_extensions.hitl.approvals.record import Answer, Approval, State, Verdict, Where, checked_id
from metaflow_extensions.hitl.approvals.refusals import ApprovalError, ChangesNotOffered
from metaflow_extensions.hitl.approvals.running_again import BadParameter, RunningAgain
from metaflow_extensions.hitl.approvals.schema import InvalidInput
from metaflow_extensions.hitl.approvals.use_cases import Outcome, UseCases
from metaflow_extensions.hitl.inputs import parse
from metaflow_extensions.hitl.messages import controls, replies, views
from metaflow_extensions.hitl.messages.blocks import code, name
from metaflow_extensions.hitl.messages.form import form_errors, form_values
from metaflow_extensions.hitl.messages.sentences import chosen_by_button, form_fields, opens_form
from metaflow_extensions.hitl.messages.views import approval_of, reason_of

from .forms import FormErrors, FormOver, Opening, end_with, opens, submit
from .obligations import OBLIGATION_WORDS, obligation_of, obligation_typed
from .payloads import Json, clicked_approval, is_home, place_of, refresh_if_stale, user_of
from .slash_command import BadWords, Typed, as_typed, read_pairs, unquoted

APPROVED = Answer(verdict=Verdict.APPROVE)


# The forms, whichever way they were asked for.


def approve_form(cases: UseCases, approval: Approval, people: SlackPeople, user_id: str) -> Json:
    """Build the form that approves, or the view that says how it ended.

    Raises
    ------
    NotAllowed, PeopleUnavailable
        Said before the form is filled in, not after. It is checked again when the form is submitted.
    """
    now = cases.clock()
    if not _takes_an_answer(cases, approval):
        return views.closed_view(approval, now=now)
    cases.check_may_answer(approval, people.person(user_id))
    return views.approve_view(cases.governed(approval), now=now)


def reject_form(cases: UseCases, approval: Approval, people: SlackPeople, user_id: str) -> Json:
    """Build the view that asks for the reason, or the one that says how it ended; raises as ``approve_form``."""
    now = cases.clock()
    if not _takes_an_answer(cases, approval):
        return views.closed_view(approval, now=now)
    cases.check_may_answer(approval, people.person(user_id), verdict=Verdict.REJECT)
    return views.reject_view(approval, now=now)


def changes_form(cases: UseCases, approval: Approval, people: SlackPeople, user_id: str) -> Json:
    """Build the view that asks what must change, or the one that says how it ended; raises as ``approve_form``.

    Raises
    ------
    ChangesNotOffered
        The step takes a yes or a no.
    """
    now = cases.clock()
    if not _takes_an_answer(cases, approval):
        return views.closed_view(approval, now=now)
    if not approval.question.allow_changes:
        raise ChangesNotOffered(approval)
    cases.check_may_answer(approval, people.person(user_id), verdict=Verdict.CHANGES)
    return views.changes_view(approval, now=now)


def _takes_an_answer(cases: UseCases, approval: Approval) -> bool:
    return approval.state is State.PENDING and not cases.governed(approval).is_due(cases.clock())


# The buttons.


def _approved(approval: Approval, _action_id: str) -> Answer | None:
    return None if opens_form(approval) else APPROVED


def _chosen(approval: Approval, action_id: str) -> Answer | None:
    field = chosen_by_button(approval)
    number = controls.CHOOSE.index(action_id)
    if field is None or number >= len(field.choices):
        return None  # by now a rule wants a reason, or the message is about another question
    return Answer(verdict=Verdict.APPROVE, input={field.name: field.choices[number]})


def _approves(answer_of: Callable[[Approval, str], Answer | None]) -> Callable[..., None]:
    """Return the callback of a button that approves with this answer, or opens the form where there is none."""

    def clicked(
        ack: Ack,
        action: Json,
        body: Json,
        client: WebClient,
        respond: Respond,
        cases: UseCases,
        people: SlackPeople,
        workers: Executor,
        homes: HomeTabs,
    ) -> None:
        """Open the form where one is needed; decide otherwise, since Slack has asked "are you sure"."""
        ack()

        def look() -> tuple[Entry, Answer | Json]:
            entry = clicked_approval(cases, action.get("value"), body)
            answer = answer_of(cases.governed(entry.approval), str(action["action_id"]))
            return entry, answer or approve_form(cases, entry.approval, people, user_of(body))

        with Opening(client, body, "Approve", workers) as opening:
            entry, found = opening.wait(look)
            if not isinstance(found, Answer):
                opening.show(found)
                refresh_if_stale(cases, entry.approval, body)
                return
            known_before = entry.approval.decision
            try:
                who = people.person(user_of(body))
                outcome = cases.decide(entry.approval.id, found, who=who, where=Where.BUTTON, seen=entry)
            except ApprovalError as error:
                refresh_if_stale(cases, error.approval, body)
                raise
            if opening.is_open:
                opening.show(views.closed_view(outcome.approval, now=cases.clock()))
            elif is_home(body):
                homes.refresh(user_of(body))
            elif known_before is not None or outcome.pending or place_of(body) is None or _needs_words(outcome):
                # What just went well is said by the question's own message, unless the button stood on a list.
                respond(**_said(entry, outcome))
            if known_before is not None:
                refresh_if_stale(cases, outcome.approval, body)

    return clicked


def _said(seen: Entry, outcome: Outcome) -> replies.Reply:
    changed = outcome.approval.state is not State.PENDING or outcome.approval.votes != seen.approval.votes
    return replies.done(outcome) if changed else replies.voted_before(outcome)


def _needs_words(outcome: Outcome) -> bool:
    """Whether the message may not say at once what a click did: one vote among several, or in somebody's place."""
    decision = outcome.approval.decision
    return decision is None or decision.on_behalf_of is not None


approve = _approves(_approved)
choose = _approves(_chosen)
reject = opens("Reject", reject_form)
request_changes = opens("Request changes", changes_form)


# The forms, submitted.


def approval_submitted(
    ack: Ack, body: Json, view: Json, client: WebClient, cases: UseCases, people: SlackPeople, workers: Executor
) -> None:
    """Approve with what was entered in the form."""

    def take() -> Entry:
        # The view carries the id alone: the schema it is held to is the record's, whatever the view shows.
        seen = cases.ledger.read(checked_id(approval_of(view)))
        fields = form_fields(seen.approval)
        values = view["state"]["values"]
        who = user_of(body)
        owed = obligation_of(seen.approval, values, cases=cases, people=people, user_id=who)
        entered = form_values(fields, values)
        answer = Answer(verdict=Verdict.APPROVE, input=entered, reason=reason_of(values), obligation=owed)
        try:
            taken = cases.take(seen.approval.id, answer, who=people.person(who), where=Where.FORM, seen=seen)
        except InvalidInput as error:
            raise FormErrors(form_errors(fields, error.problems)) from error
        if taken.number == seen.number and taken.approval.state is State.PENDING:
            raise FormOver(views.voted_before_view(taken.approval))
        return taken

    submit(ack, view, client, cases, workers, take)


def _reason_form(verdict: Verdict) -> Callable[..., None]:
    """Return the callback of a form that gives this answer, for the reason that was entered."""

    def submitted(
        ack: Ack, body: Json, view: Json, client: WebClient, cases: UseCases, people: SlackPeople, workers: Executor
    ) -> None:
        def take() -> Entry:
            answer = Answer(verdict=verdict, reason=reason_of(view["state"]["values"]))
            approval_id = checked_id(approval_of(view))
            return cases.take(approval_id, answer, who=people.person(user_of(body)), where=Where.FORM)

        submit(ack, view, client, cases, workers, take)

    return submitted


rejection_submitted = _reason_form(Verdict.REJECT)
changes_submitted = _reason_form(Verdict.CHANGES)


# Typed after /hitl.


def approve_typed(typed: Typed) -> replies.Reply | None:
    """``/hitl approve ID``, with name=value where the step asks for input.

    Decide, or open the form where the step asks for input and none was typed.
    """
    cases, words = typed.cases, typed.words

    def look() -> tuple[Entry, Json | None]:
        entry = typed.sight.find(words.approval_id)
        with_form = opens_form(cases.governed(entry.approval)) and not words.rest
        return entry, approve_form(cases, entry.approval, typed.people, typed.user_id) if with_form else None

    with Opening(typed.client, typed.body, "Approve", typed.workers) as opening:
        entry, form = opening.wait(look)
        if form is not None:
            opening.show(form)
            return None
        answer = _typed_answer(entry.approval, typed)
        outcome = cases.decide(entry.approval.id, answer, who=typed.who, where=Where.SLASH_COMMAND, seen=entry)
        if opening.is_open:
            opening.show(views.closed_view(outcome.approval, now=cases.clock()))
        return _said(entry, outcome)
    return None  # the view says why it was refused


def _typed_answer(approval: Approval, typed: Typed) -> Answer:
    """Read the values of the input, and what somebody owes, from NAME=VALUE after the ID."""
    fields = {field.name for field in form_fields(approval)}
    unwanted = f"{approval.id} doesn't need input, so nothing was decided. Use /hitl approve {approval.id}."
    if not fields and typed.words.rest and "=" not in typed.words.rest:
        raise BadWords(unwanted)
    pairs = read_pairs(typed.words.rest)
    about = [name for name in OBLIGATION_WORDS if name in pairs and name not in fields]
    if twice := next((name for name in about if len(pairs[name]) > 1), None):
        raise BadWords(f"{twice} is given {len(pairs[twice])} times, so nothing was decided. Give it once.")
    owed = {name: pairs.pop(name)[0] for name in about}
    obligation = obligation_typed(owed, cases=typed.cases, people=typed.people, user_id=typed.user_id)
    schema, entered = approval.question.schema, dict[str, Any]()
    if schema is not None and fields:
        entered = parse(schema, pairs) if typed.words.rest else {}
    elif pairs:
        raise BadWords(unwanted)
    return Answer(verdict=Verdict.APPROVE, input=entered, obligation=obligation)


def reject_typed(typed: Typed) -> replies.Reply:
    """``/hitl reject ID REASON``: reject for the reason after the ID."""
    entry = typed.sight.find(typed.words.approval_id)
    answer = Answer(verdict=Verdict.REJECT, reason=unquoted(as_typed(typed.words.rest)))
    return _said(
        entry, typed.cases.decide(entry.approval.id, answer, who=typed.who, where=Where.SLASH_COMMAND, seen=entry)
    )


# The buttons of the direct messages that ask whether an answer, or a run, is somebody's own.


def confirm_answer(ack: Ack, action: Json, body: Json, respond: Respond, confirming: Confirming) -> None:
    """Take the answer for this person's own, and say so in the place of the question."""
    ack()
    reply = confirming.confirm_answer(str(action.get("value")), user_of(body))
    reply["replace_original"] = True
    respond(**reply)


def confirm_run(ack: Ack, action: Json, body: Json, respond: Respond, confirming: Confirming) -> None:
    """Note whose run it is, and say so in the place of the question."""
    ack()
    approval = confirming.confirm_run(checked_id(str(action.get("value"))), user_of(body))
    place = f"{approval.pathspec.flow}/{approval.pathspec.run}"
    reply = replies.said(f"You confirmed that the run {code(place)} is yours. Others can approve it now.")
    reply["replace_original"] = True
    respond(**reply)


# Running again: the button, and the form with the parameters of the run.


def _form(cases: UseCases, approval: Approval, people: SlackPeople, user_id: str) -> Json:
    running = RunningAgain(cases.engines, people)
    return views.run_again_view(approval, running.parameters(approval, people.person(user_id)))


open_run_again = opens("Run again", _form)


def run_again_submitted(
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
        entered = views.parameters_of(view["state"]["values"])
        workflow = RunningAgain(cases.engines, people).run_again(approval, entered, who)
        threads.note(approval, f"{name(who)} runs it again: workflow {code(workflow)}")
        return views.notice_view("Run again", views.started(workflow))

    try:
        end_with(ack, client, view, workers.submit(start), meanwhile=views.notice_view("Run again", "Starting it…"))
    except BadParameter as error:
        ack(response_action="errors", errors={views.parameter_block(error.name): str(error)})
    except HitlError as error:
        ack(response_action="update", view=views.refused_view(error))
