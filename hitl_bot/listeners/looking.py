"""Looking: at one approval, at lists of many, and at the Home tab."""

from collections.abc import Collection
from concurrent.futures import Executor
from datetime import datetime, timedelta

from slack_bolt import Ack, Respond
from slack_sdk import WebClient

from hitl_bot.slack.people import SlackPeople
from hitl_bot.surfaces.batches import Batches
from hitl_bot.surfaces.home import HomeTabs
from hitl_bot.surfaces.sight import Sight, asked_of
from metaflow_extensions.hitl.approvals.errors import HitlError, NoSuchApproval
from metaflow_extensions.hitl.approvals.ledger import Entry
from metaflow_extensions.hitl.approvals.queries import Queries
from metaflow_extensions.hitl.approvals.record import Approval, checked_id
from metaflow_extensions.hitl.approvals.use_cases import UseCases
from metaflow_extensions.hitl.messages import lists, replies, views
from metaflow_extensions.hitl.messages.batch import gate_on_message
from metaflow_extensions.hitl.messages.batch_views import why_all_view
from metaflow_extensions.hitl.messages.controls import COPY_COMMAND, LIKE_BEFORE, overflow_choice
from metaflow_extensions.hitl.messages.lists import ALL_FLOWS, turned_page
from metaflow_extensions.hitl.messages.replies import Reply
from metaflow_extensions.hitl.messages.single import asked_by_message
from metaflow_extensions.hitl.messages.views import SHOWN, like_before_view

from .forms import Opening
from .obligations import owed_page
from .payloads import Json, clicked_approval, is_home, refresh_if_stale, user_of
from .slash_command import Filter, Only, Typed, Words, read_filter, read_span, read_words

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
        respond(**replies.command_to_copy(entry.approval))
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
    found = queries.decided_like(approval, limit=_READ_BEFORE)
    earlier = sight.of(found.approvals)
    return like_before_view(approval, earlier, now=cases.clock(), problems=[*found.problems, *sight.doubts])


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


def show(typed: Typed) -> replies.Reply:
    """``/hitl show ID``: one approval, with its buttons if it can still be answered."""
    entry = typed.sight.find(typed.words.approval_id)
    return replies.shown(entry.approval, now=typed.cases.clock())


def follow_link(ack: Ack) -> None:
    """The Open button of a list: Slack opens the link itself, and still waits for the ack."""
    ack()


# Lists that people ask for: ``/hitl list``, ``history`` and ``stats``, and the pages of the long ones.

_LATELY = timedelta(days=30)  # in which the newest decision is looked for
_LAST_FEW = 5
_RULES = "rules"  # a word after `stats`
_HISTORY, _STATISTICS = timedelta(days=7), timedelta(days=30)


def list_open(typed: Typed) -> Reply:
    """``/hitl list``: what waits, with what this person is asked first."""
    return _open_page(typed.cases, typed.queries, typed.people, typed.user_id, typed.words)


def history(typed: Typed) -> Reply:
    """``/hitl history``: what was decided, newest first."""
    return _history_page(typed.cases, typed.queries, typed.sight, typed.words)


def statistics(typed: Typed) -> Reply:
    """``/hitl stats``: how many, and how long it took; ``/hitl stats rules``: how often rules agreed with people."""
    if typed.words.arguments[:1] == [_RULES]:
        return _rule_scores(typed)
    span, now = read_span(typed.words, _STATISTICS), typed.cases.clock()
    sight, problems = typed.sight, list[HitlError]()
    counted, left_out = typed.queries.statistics(now - span.length, flow=span.flow, sees=sight.sees, problems=problems)
    problems += sight.doubts
    return lists.figures(counted, now=now, span=span.text, left_out=left_out, problems=problems)


def _rule_scores(typed: Typed) -> Reply:
    span, now = read_span(typed.words.without_first, _STATISTICS), typed.cases.clock()
    sight, problems = typed.sight, list[HitlError]()
    scores, left_out = typed.queries.rule_scores(now - span.length, flow=span.flow, sees=sight.sees, problems=problems)
    problems += sight.doubts
    return lists.rules(scores, now=now, span=span.text, left_out=left_out, problems=problems)


def turn_page(
    ack: Ack, action: Json, body: Json, respond: Respond, cases: UseCases, queries: Queries, people: SlackPeople
) -> None:
    """Next and Previous below a long list: show another page of the list, as it is now, in the place of this one."""
    ack()
    page, typed = turned_page(str(action.get("value", "")))
    words = read_words(typed)
    if words.verb == "history":
        shown = _history_page(cases, queries, Sight(cases, people, user_of(body)), words, page)
    elif words.verb == "obligations":
        shown = owed_page(cases, queries, people, user_of(body), words, page)
    else:
        shown = _open_page(cases, queries, people, user_of(body), words, page)
    shown["replace_original"] = True
    respond(**shown)


def _open_page(
    cases: UseCases, queries: Queries, people: SlackPeople, user_id: str, words: Words, page: int = 1
) -> Reply:
    chosen = read_filter(words)
    found = queries.open()
    sight = Sight(cases, people, user_id)
    everything = sight.of(cases.governed(one) for one in found.approvals)
    mine = asked_of(cases, people, user_id, everything, sight.doubts)
    problems = [*found.problems, *sight.doubts]
    now = cases.clock()
    wanted = [one for one in everything if _is_wanted(one, chosen, now, mine)]
    if not everything and not problems and chosen.only is Only.ALL:
        newest = sight.of(queries.decided(now - _LATELY).approvals[:_LAST_FEW])
        return replies.nothing_waits(next(iter(newest), None), now=now)
    return lists.listing(
        wanted,
        now=now,
        mine=mine,
        problems=problems,
        page=page,
        words=words.text,
        # A shared message leads here for the shards that it does not list.
        rows_of=lists.alone if chosen.only is Only.STEP else None,
    )


def _is_wanted(approval: Approval, chosen: Filter, now: datetime, mine: Collection[str]) -> bool:
    if chosen.only is Only.MINE:
        return approval.id in mine
    if chosen.only is Only.OVERDUE:
        return approval.deadline is not None and approval.deadline <= now
    if chosen.only is Only.FLOW:
        return approval.pathspec.flow == chosen.name
    return chosen.only is Only.ALL or approval.pathspec.step == chosen.name


def _history_page(cases: UseCases, queries: Queries, sight: Sight, words: Words, page: int = 1) -> Reply:
    span = read_span(words, _HISTORY)
    now = cases.clock()
    decided = queries.decided(now - span.length, flow=span.flow)
    approvals = sight.of(decided.approvals)
    return lists.history(
        approvals,
        now=now,
        span=span.text,
        left_out=decided.left_out,
        problems=[*decided.problems, *sight.doubts],
        page=page,
        words=words.text,
    )


# The Home tab: it is opened, and its menu chooses a flow.


def home_opened(ack: Ack, event: Json, homes: HomeTabs) -> None:
    """Show the inbox. The event also comes when the tab with the messages is opened."""
    ack()
    if event.get("tab") == "home":
        homes.open(str(event["user"]))


def choose_home_flow(ack: Ack, action: Json, body: Json, homes: HomeTabs) -> None:
    """Show one flow, or all."""
    ack()
    flow = str((action.get("selected_option") or {}).get("value", ALL_FLOWS))
    homes.choose(user_of(body), None if flow == ALL_FLOWS else flow)
