"""Answering the gates that share a message: its buttons, the forms that they open, and the forms as submitted.

Each gate is decided by itself, so each has its own record, checks and refusal.
"""

from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial

from slack_bolt import Ack, Respond
from slack_sdk import WebClient

from hitl_bot.slack.client import replace_view
from hitl_bot.slack.people import SlackPeople
from hitl_bot.surfaces.batches import Batches
from hitl_bot.surfaces.home import HomeTabs
from hitl_bot.surfaces.in_advance import InAdvance
from metaflow_extensions.hitl.approvals.deciding.in_advance import AnswerInAdvance
from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.ledger import Entry
from metaflow_extensions.hitl.approvals.record import Answer, Approval, Obligation, Person, State, Verdict, Where
from metaflow_extensions.hitl.approvals.refusals import AlreadyDecided, ApprovalError, Closed, TooLate
from metaflow_extensions.hitl.approvals.schema import InvalidInput
from metaflow_extensions.hitl.approvals.use_cases import UseCases
from metaflow_extensions.hitl.messages import batch_views, controls, replies, views
from metaflow_extensions.hitl.messages.batch import Batch, ended_how, progress
from metaflow_extensions.hitl.messages.batch_views import OtherShards, chosen
from metaflow_extensions.hitl.messages.form import form_errors, form_values, with_initials_of
from metaflow_extensions.hitl.messages.sentences import form_fields, opens_form
from metaflow_extensions.hitl.messages.views import reason_of

from .answering import APPROVED, approve_form
from .forms import FormErrors, FormOver, Opening, submit
from .obligations import obligation_of
from .payloads import Json, NotItsMessage, is_home, place_of, user_of

Chosen = list[tuple[Approval, Answer]]
"""Which gates are answered, and how."""

_NAMED = 3
_OVER = (AlreadyDecided, TooLate, Closed)


# The buttons.


def _opens(build: Callable[[Batch], Json]) -> Callable[..., None]:
    """Return the callback of a button that opens the form which ``build`` makes of the batch."""

    def open_form(
        ack: Ack,
        action: Json,
        body: Json,
        client: WebClient,
        respond: Respond,
        cases: UseCases,
        people: SlackPeople,
        workers: Executor,
        batches: Batches,
    ) -> None:
        ack()

        def find_out() -> Batch:
            found = _clicked(cases, batches, action, body)
            if found.waiting:
                # The gates of a step are all asked of the same people: who may answer one may answer all.
                approve_form(cases, found.waiting[0], people, user_of(body))
            return found

        with Opening(client, body, "Answer all", workers) as opening:
            found = opening.wait(find_out)
            if found.waiting:
                opening.show(build(found))
            elif opening.is_open or is_home(body):
                opening.show(batch_views.answered_view(found))
            else:
                respond(**replies.said(f"All of these have already been answered: {progress(found)}."))

    return open_form


def _clicked(cases: UseCases, batches: Batches, action: Json, body: Json) -> Batch:
    """Read the batch that a button names, as this bot knows it, if the button stands on its message."""
    batch_id = str(action.get("value"))
    found = batches.glance(batch_id)
    place, post = place_of(body), batches.stands_at(batch_id)
    if place is not None and post is not None and (place.channel, place.ts) != (post.channel, post.ts):
        raise NotItsMessage(batch_id, post)
    return _governed(cases, found)


def _governed(cases: UseCases, found: Batch) -> Batch:
    """Return a batch with its gates under the operator's rules as they are now."""
    return replace(found, members=tuple(cases.governed(one) for one in found.members))


approve_except = _opens(lambda found: batch_views.approve_except_view(found, batch_views.offer(found)))
reject_all = _opens(batch_views.reject_all_view)


def approve_all(
    ack: Ack,
    action: Json,
    body: Json,
    client: WebClient,
    respond: Respond,
    cases: UseCases,
    people: SlackPeople,
    workers: Executor,
    batches: Batches,
    homes: HomeTabs,
) -> None:
    """Approve all that wait, or open the form where input, or a reason, is asked for."""
    ack()

    def find_out() -> Batch:
        found = _clicked(cases, batches, action, body)
        if not found.waiting:
            return found
        if opens_form(found.waiting[0]):
            approve_form(cases, found.waiting[0], people, user_of(body))
            return found
        return batches.read(found.id)  # what is answered without a form is all that waits now

    with Opening(client, body, "Approve all", workers) as opening:
        found = opening.wait(find_out)
        if not found.waiting:
            if opening.is_open or is_home(body):
                opening.show(batch_views.answered_view(found))
            else:
                respond(**replies.said(f"All of these have already been answered: {progress(found)}."))
        elif opens_form(found.waiting[0]):
            opening.show(batch_views.approve_all_view(found))
        else:
            who = people.person(user_of(body))
            came = _answer_all(cases, found.waiting, lambda _: APPROVED, who=who, where=Where.BUTTON, workers=workers)
            reply = came.reply(before=[one for one in found.members if one.state is not State.PENDING])
            if opening.is_open or (is_home(body) and came.refused):
                opening.show(views.notice_view("Approve all", reply["text"]))
            elif not is_home(body):
                respond(**reply)
        if is_home(body):
            homes.refresh(user_of(body))


def approve_to_come(
    ack: Ack,
    action: Json,
    body: Json,
    client: WebClient,
    respond: Respond,
    cases: UseCases,
    people: SlackPeople,
    workers: Executor,
    batches: Batches,
    in_advance: InAdvance,
    homes: HomeTabs,
) -> None:
    """Approve all shards, also those that have not asked yet."""
    ack()

    def find_out() -> Batch:
        _clicked(cases, batches, action, body)
        return _governed(cases, batches.read(str(action.get("value"))))

    with Opening(client, body, "Approve all", workers) as opening:
        found = opening.wait(find_out)
        who = people.person(user_of(body))
        # First what is to come: a shard that asks while the others are answered must not fall between the two.
        given = in_advance.give(found, APPROVED, who)
        came = _answer_all(cases, found.waiting, lambda _: APPROVED, who=who, where=Where.BUTTON, workers=workers)
        before = [one for one in found.members if one.state is not State.PENDING]
        _say(opening, body, respond, came.reply(before, also=_to_come(given)))
        if is_home(body):
            homes.refresh(user_of(body))


def take_back(
    ack: Ack,
    action: Json,
    body: Json,
    client: WebClient,
    respond: Respond,
    cases: UseCases,
    people: SlackPeople,
    workers: Executor,
    batches: Batches,
    in_advance: InAdvance,
) -> None:
    """Let shards to come wait for an answer of their own again."""
    ack()
    with Opening(client, body, "Take back", workers) as opening:
        found = opening.wait(lambda: _clicked(cases, batches, action, body))
        in_advance.take_back(found, people.person(user_of(body)))
        _say(opening, body, respond, replies.said("Taken back. Shards to come wait for an answer of their own."))


def _say(opening: Opening, body: Json, respond: Respond, reply: replies.Reply) -> None:
    """Answer in the view that is open, or on Home in one that opens, or else below the message."""
    if opening.is_open or is_home(body):
        opening.show(views.notice_view("Answer all", reply["text"]))
    else:
        respond(**reply)


def _to_come(given: AnswerInAdvance) -> str:
    done = "approved" if given.verdict is Verdict.APPROVE else "rejected"
    return f"{given.in_all - given.asked} to come will be {done} as they ask."


def choose_shards(ack: Ack, action: Json, body: Json, client: WebClient, batches: Batches) -> None:
    """Show another page, tick all or none, or say on the button what it does by now; keep what is ticked so far."""
    ack()
    view = body["view"]
    found = batches.read(batch_views.batch_of(view))
    try:
        choice = chosen(found, view)
    except OtherShards as error:
        replace_view(client, view["id"], views.refused_view(error))
        return
    if action["action_id"] == controls.TICK_ALL:
        choice = choice.all_ticked()
    elif action["action_id"] == controls.UNTICK_ALL:
        choice = choice.none_ticked()
    elif action["action_id"] in {controls.SHARDS_NEXT, controls.SHARDS_PREVIOUS}:
        choice = choice.turned_to(int(str(action["value"])))
    page = with_initials_of(view, batch_views.approve_except_view(found, choice, batch_views.rejected_in(choice, view)))
    # If somebody clicks twice quickly, the first click counts: the page of the second has been replaced by then.
    replace_view(client, view["id"], page, hash=view["hash"])


# The forms, submitted.


Owed = Callable[[Approval], Obligation | None]
"""From one of the gates to what was entered that somebody owes; raises FormErrors."""


def _answers_all(choose: Callable[[Batch, Json, Owed], Chosen]) -> Callable[..., None]:
    """Return the callback of a form.

    Parameters
    ----------
    choose : Callable
        From the batch as it is now, the view that Slack sent back, and what somebody owes with an approval, to the
        answers; raises FormErrors.
    """

    def submitted(
        ack: Ack,
        body: Json,
        view: Json,
        client: WebClient,
        cases: UseCases,
        people: SlackPeople,
        workers: Executor,
        batches: Batches,
        in_advance: InAdvance,
    ) -> None:
        left: Chosen = []
        to_come: list[AnswerInAdvance] = []
        faster: list[ApprovalError] = []  # somebody was, of those that this form answers as well

        def take() -> Entry:
            # The first gate's answer is taken before the form closes, so that a refusal stands in it.
            found = batches.read(batch_views.batch_of(view))
            who, now = people.person(user_of(body)), people.now()
            owed = partial(
                obligation_of, values=view["state"]["values"], cases=cases, people=people, user_id=user_of(body)
            )
            meant = sorted(choose(found, view, owed), key=lambda chosen: chosen[0].state is not State.PENDING)
            if batch_views.is_for_those_to_come(view) and meant:
                try:
                    to_come.append(in_advance.give(_governed(cases, found), meant[0][1], who))
                except InvalidInput as error:
                    raise FormErrors(form_errors(form_fields(meant[0][0]), error.problems)) from error
            for place, (first, answer) in enumerate(meant):
                try:
                    taken = cases.take(first.id, answer, who=who, where=Where.FORM, people=now)
                except InvalidInput as error:
                    raise FormErrors(form_errors(form_fields(first), error.problems)) from error
                except _OVER as error:
                    faster.append(error)
                    continue
                left.extend(meant[place + 1 :])
                return taken
            raise FormOver(batch_views.answered_view(batches.read(found.id)))

        if not submit(ack, view, client, cases, workers, take) or not (left or faster or to_come):
            return
        answer_to = {approval.id: answer for approval, answer in left}
        came = _answer_all(
            cases,
            [approval for approval, _ in left],
            lambda approval: answer_to[approval.id],
            who=people.person(user_of(body)),
            where=Where.FORM,
            workers=workers,
        )
        came = replace(came, count=came.count + 1, refused=(*faster, *came.refused))
        if came.refused or to_come:
            reply = came.reply(also=_to_come(to_come[0]) if to_come else "")
            client.chat_postMessage(channel=user_of(body), text=reply["text"], blocks=reply["blocks"])

    return submitted


def _approval_in(view: Json, found: Batch) -> Answer:
    """Return the approval that was entered; the gates of a step all ask for the same input."""
    values = view["state"]["values"]
    entered = form_values(form_fields(found.strictest), values)
    return Answer(verdict=Verdict.APPROVE, input=entered, reason=reason_of(values))


def _approvals(found: Batch, view: Json, owed: Owed) -> Chosen:
    if not found.waiting:
        return []
    answer = replace(_approval_in(view, found), obligation=owed(found.strictest))
    return [(one, answer) for one in found.waiting]


approval_submitted = _answers_all(_approvals)


def _chosen_answers(found: Batch, view: Json, owed: Owed) -> Chosen:
    choice = chosen(found, view)
    approval = _approval_in(view, found)
    rejected = frozenset(batch_views.rejected_in(choice, view))
    if rejected and not approval.reason:
        raise FormErrors({controls.REASON_BLOCK: "Enter a reason. The requester will see it."})
    if not (choice.ticked or rejected):
        raise FormErrors({controls.OTHERS_BLOCK: "Select at least one."})
    waiting = {one.id for one in found.waiting}
    if not batch_views.says_what_it_does(choice, view) and waiting & (choice.ticked | rejected):
        page = batch_views.approve_except_view(found, choice, rejected)
        raise FormOver(with_initials_of(view, page))  # nothing was decided: the button says now what it will do
    if choice.ticked:
        approval = replace(approval, obligation=owed(found.strictest))
    rejection = Answer(verdict=Verdict.REJECT, reason=approval.reason)
    if not found.strictest.requirements.reason_required:
        approval = replace(approval, reason="")  # it says why the others are rejected
    meant = [one for one in choice.offered if one.id in choice.ticked | rejected]
    return [(one, approval if one.id in choice.ticked else rejection) for one in meant]


choice_submitted = _answers_all(_chosen_answers)


def _rejections(found: Batch, view: Json, _: Owed) -> Chosen:
    answer = Answer(verdict=Verdict.REJECT, reason=reason_of(view["state"]["values"]))
    return [(one, answer) for one in found.waiting]


rejection_submitted = _answers_all(_rejections)


# One answer to many.


@dataclass(frozen=True, kw_only=True)
class _Answered:
    """What came of an answer to many."""

    count: int
    refused: tuple[HitlError, ...]

    def reply(self, before: Collection[Approval] = (), also: str = "") -> replies.Reply:
        """Say how many were answered, what was refused, and why.

        Parameters
        ----------
        before : Collection[Approval]
            Those that were answered before: whoever clicked may have seen them waiting.
        also : str
            What else was done.
        """
        why = [str(error) for error in self.refused[:_NAMED]]
        more = len(self.refused) - len(why)
        refused = f", {len(self.refused)} refused:" if self.refused else "."
        answered = f"{len(before)} had been answered before: {ended_how(before)}." if before else ""
        said = [f"{self.count} answered{refused}", *why, f"And {more} more." if more > 0 else "", also, answered]
        return replies.said(*filter(None, said))


def _answer_all(
    cases: UseCases,
    approvals: Iterable[Approval],
    answer_to: Callable[[Approval], Answer],
    *,
    who: Person,
    where: Where,
    workers: Executor,
) -> _Answered:
    """Answer many gates, several at a time. It is one click, so Slack is asked once who made it."""
    people = cases.people.now()

    def one(approval: Approval) -> HitlError | None:
        try:
            cases.decide(approval.id, answer_to(approval), who=who, where=where, people=people)
        except HitlError as error:
            return error
        return None

    came = list(workers.map(one, approvals))
    refused = tuple(error for error in came if error is not None)
    return _Answered(count=len(came) - len(refused), refused=refused)
