"""What waits, what was decided, and how long it took: the lists that one person alone sees."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from metaflow_extensions.hitl.approvals.duration import in_words
from metaflow_extensions.hitl.approvals.errors import PeopleUnavailable
from metaflow_extensions.hitl.approvals.queries import urgency
from metaflow_extensions.hitl.approvals.record import Approval, Person, State
from metaflow_extensions.hitl.approvals.statistics import RuleScore, Statistics

from . import controls, evidence, sentences, single, voting
from .batch import Batch, answer_buttons as all_buttons, title_of
from .blocks import (
    BUTTON,
    Block,
    actions,
    approver,
    bold,
    button,
    code,
    context,
    cut,
    date,
    divider,
    escape,
    field_sections,
    fits,
    header,
    is_web_address,
    link,
    link_button,
    mrkdwn,
    name,
    one_line,
    plain,
    quoted,
    section,
)
from .controls import more_menu
from .replies import Reply, nothing_waits, reply, said

# Long lists, a page at a time: as many rows as one message carries, with buttons that turn the page.

_LONGEST_WORDS = 1_000  # a button's value takes 2,000 characters


def paged(
    head: Sequence[Block], rows: Iterable[Sequence[Block]], foot: Sequence[Block], *, page: int, words: str
) -> list[Block]:
    """Return the blocks of one page.

    Parameters
    ----------
    head, foot : Sequence[Block]
        What stands on every page.
    rows : Iterable[Sequence[Block]]
        The blocks of each row. A row is never parted.
    page : int
        From 1. One that is not there is the last one that is.
    words : str
        What was typed behind ``/hitl``; the buttons bring it back, see `turned_page`.
    """
    pages: list[list[Block]] = [[]]
    ends: list[int] = [0]
    count = 0
    around = [*head, _position(1, 1, 1), _turning(1_000, 10_000, words), *foot]  # whatever page it will be
    for row in rows:
        if pages[-1] and not fits([*around, *pages[-1], *row]):
            pages.append([])
            ends.append(count)
        pages[-1] += row
        count += 1
        ends[-1] = count
    if len(pages) == 1:
        return [*head, *pages[0], *foot]
    shown = min(max(page, 1), len(pages))
    first = ends[shown - 2] + 1 if shown > 1 else 1
    where = _position(first, ends[shown - 1], count)
    return [*head, *pages[shown - 1], where, _turning(shown, len(pages), words), *foot]


def _position(first: int, last: int, count: int) -> Block:
    return context(f"{first} to {last} of {count}")


def _turning(page: int, pages: int, words: str) -> Block:
    previous = [_button("Previous", controls.PREVIOUS_PAGE, page - 1, words)] if page > 1 else []
    following = [_button("Next", controls.NEXT_PAGE, page + 1, words)] if page < pages else []
    return actions([*previous, *following])


def _button(label: str, action_id: str, page: int, words: str) -> Block:
    return button(label, action_id, f"{page}:{words[:_LONGEST_WORDS]}")


def turned_page(value: str) -> tuple[int, str]:
    """Read the value of a button that turns the page: which page, and the words behind ``/hitl``."""
    number, _, words = value.partition(":")
    return (int(number) if number.isdecimal() else 1), words


# What waits, what was decided, and how long it took: the lists that one person alone sees.

_MESSAGE = 150  # characters of a question in a list
_PROBLEMS = 3
_RULES, _MISSES = 8, 4  # in one message, which has 50 blocks
_TAGS, _TAG, _SHARD = 3, 40, 60  # tags of a run, characters of one, and of what a shard works on
_DIFFERENCES, _DIFFERENCE = 3, 160  # facts in which two runs differ, and characters of all of them


def gaps(problems: Sequence[Exception]) -> list[Block]:
    """Say what may be missing from a list, and why; nothing if all could be read and Slack could be asked."""
    unread = [str(one) for one in problems if not isinstance(one, PeopleUnavailable)]
    blocks = [context(f"{len(unread)} could not be read:")] if unread else []
    shown = [escape(one_line(why), 300) for why in dict.fromkeys(unread)]
    blocks += [context(why) for why in list(filter(str.strip, shown))[:_PROBLEMS]]
    if len(unread) < len(problems):
        blocks.append(context("Slack could not say all that this depends on, so something may be missing."))
    return blocks


def listing(
    approvals: Sequence[Approval],
    *,
    now: datetime,
    mine: Mapping[str, Person | None] | None = None,
    problems: Sequence[Exception] = (),
    page: int = 1,
    words: str = "list",
    rows_of: Callable[[Sequence[Approval]], list[Batch]] | None = None,
) -> Reply:
    """List what waits, what waits for this person first, then by deadline.

    Parameters
    ----------
    approvals : Sequence[Approval]
        The open ones. Those that are answered and not yet carried out are counted, not listed.
    now : datetime
        The present; aware.
    mine : Mapping[str, Person or None], optional
        The ids of those that wait for the person who asks, each with whom they would decide for.
    problems : Sequence[Exception]
        Why other approvals could not be read, or what Slack could not say.
    page : int
        From 1.
    words : str
        What was typed behind ``/hitl``, for the buttons that turn the page.
    rows_of : Callable, optional
        From approvals to rows: `alone`, or by default `in_rows`.
    """
    waiting = sorted((one for one in approvals if one.state is State.PENDING), key=urgency)
    if not waiting and not problems:
        return (
            nothing_waits(None, now=now) if words == "list" else said(f"Nothing that matches /hitl {words} is waiting.")
        )
    mine = mine or {}
    for_me = [one for one in waiting if one.id in mine]
    for_others = [one for one in waiting if one.id not in mine]
    verb = "approval waits" if len(waiting) == 1 else "approvals wait"
    title = f"{len(waiting)} {verb} ({len(for_me)} for you)"
    if not waiting:
        which = "" if words == "list" else f" that matches /hitl {words}"
        title = f"Nothing{which} is known to be waiting."
    foot = gaps(problems)
    if carried_out := len(approvals) - len(waiting):
        foot.append(context(f"{carried_out} more have been answered and are being carried out"))

    differs = differences(waiting)

    def rows() -> Iterator[list[Block]]:
        for heading, group in (("Waiting for you", for_me), ("Waiting for others", for_others)):
            for position, one in enumerate((rows_of or in_rows)(group)):
                head = [section(mrkdwn(f"*{heading}*"))] if position == 0 and for_me and for_others else []
                yield [*head, *(row(one, now, differs, mine) if group is for_me else watched_row(one, now, differs))]

    head = [section(mrkdwn(f"*{escape(title)}*"))]
    return reply(escape(title), paged(head, rows(), foot, page=page, words=words))


def history(
    approvals: Sequence[Approval],
    *,
    now: datetime,
    span: str,
    left_out: int = 0,
    problems: Sequence[Exception] = (),
    page: int = 1,
    words: str = "history",
) -> Reply:
    """List what was decided, in the order given.

    Parameters
    ----------
    approvals : Sequence[Approval]
        Decided ones.
    now : datetime
        The present; aware.
    span : str
        Of which time and flow this is all, in words: "in 7 d, TrainFlow".
    left_out : int
        How many more there are that were not read.
    problems, page, words
        As for `listing`.
    """
    if not approvals and not problems:
        return said(f"Nothing was decided {span}.")
    title = (
        f"{len(approvals) + left_out} decided {span}" if approvals else f"Nothing is known to have been decided {span}."
    )
    foot = [context(f"and {left_out} earlier ones: name a flow or a shorter time")] if left_out else []
    foot += gaps(problems)
    rows = (decided_row(approval, now) for approval in approvals)
    return reply(escape(title), paged([section(mrkdwn(f"*{escape(title)}*"))], rows, foot, page=page, words=words))


def figures(
    statistics: Statistics, *, now: datetime, span: str, left_out: int = 0, problems: Sequence[Exception] = ()
) -> Reply:
    """Show counts and times.

    Parameters
    ----------
    statistics : Statistics
        What was counted.
    now : datetime
        The present; aware.
    span, left_out, problems
        As for `history`.
    """
    counts = (
        ("Asked", str(statistics.asked)),
        ("Approved", str(statistics.approved)),
        ("Rejected", str(statistics.rejected)),
        ("Expired", str(statistics.expired)),
        ("Half decided within", "–" if statistics.median is None else in_words(statistics.median)),
        ("95% decided within", "–" if statistics.p95 is None else in_words(statistics.p95)),
    )
    title = f"Approvals {span}"
    blocks = [
        section(mrkdwn(f"*{escape(title)}*")),
        *field_sections([f"*{label}*\n{value}" for label, value in counts]),
    ]
    if left_out:
        blocks.append(context(f"{left_out} older decisions are not counted here: name a flow or a shorter time."))
    blocks += gaps(problems)
    if statistics.slowest_open is not None:
        waited = in_words((now - statistics.slowest_open.requested_at).total_seconds())
        blocks.append(section(mrkdwn(f"*Open for the longest time: {waited}*")))
        (slowest,) = in_rows([statistics.slowest_open])
        blocks += watched_row(slowest, now, {})
    said_short = ", ".join(f"{label.lower()} {value}" for label, value in counts)
    return reply(escape(f"{title}: {said_short}"), blocks)


def rules(
    scores: Sequence[RuleScore],
    *,
    now: datetime,
    span: str,
    left_out: int = 0,
    problems: Sequence[Exception] = (),
) -> Reply:
    """Show for each rule in shadow mode how often it agreed with people, and where it did not.

    Parameters
    ----------
    scores : Sequence[RuleScore]
        One for each rule.
    now : datetime
        The present; aware.
    span, left_out, problems
        As for `history`.
    """
    if not scores and problems:
        title = f"No rule in shadow mode is known to be compared with people {span}."
        return reply(escape(title), [section(mrkdwn(escape(title))), *gaps(problems)])
    if not scores:
        return said(
            f"No rule in shadow mode was compared with people {span}.",
            'A rule is one that a step has with auto_approve="…" and mode="shadow", or that the policy puts in shadow.',
        )
    title = f"Rules in shadow mode {span}"
    blocks: list[Block] = [section(mrkdwn(f"*{escape(title)}*"))]
    for score in scores[:_RULES]:
        where = f"*{escape(f'{score.flow} / {score.step}', 300)}*: {code(score.condition, 500)}"
        blocks.append(section(mrkdwn(f"{where}\n{escape(sentences.agreement(score))}")))
        for miss in score.misses[:_MISSES]:
            at = miss.decision.at if miss.decision else miss.requested_at
            seen = next((post.url for post in miss.posts if post.url and is_web_address(post.url)), None)
            named = code(miss.id) if seen is None else f"{code(miss.id)} · {link(seen, 'the message')}"
            told = escape(sentences.disagreement(miss), 300)
            blocks.append(context(f"{named} · {told} · {sentences.ago(at, now)}"))
        if len(score.misses) > _MISSES:
            blocks.append(context(f"and {len(score.misses) - _MISSES} more: `hitl stats rules` lists all of them"))
    if len(scores) > _RULES:
        blocks.append(context(f"and {len(scores) - _RULES} more rules: name a flow"))
    if left_out:
        blocks.append(context(f"{left_out} older decisions are not counted here: name a flow or a shorter time."))
    blocks += gaps(problems)
    short = "; ".join(f"{one.flow} / {one.step}: {sentences.agreement(one)}" for one in scores[:_RULES])
    return reply(escape(f"{title}: {short}", 1_500), blocks)


def in_rows(waiting: Sequence[Approval]) -> list[Batch]:
    """Put approvals that share a message into one row, where the most urgent of them stands; all others alone."""
    rows: dict[str, list[Approval]] = {}
    for one in waiting:
        rows.setdefault(next((post.batch for post in one.posts if post.batch), None) or one.id, []).append(one)
    return [
        Batch(id=key, pathspec=str(members[0].pathspec).rpartition("/")[0], members=members)
        for key, members in rows.items()
    ]


def alone(waiting: Sequence[Approval]) -> list[Batch]:
    """Put each approval into a row of its own, also those that share a message: for who looks for one of them."""
    return [Batch(id=one.id, pathspec=str(one.pathspec).rpartition("/")[0], members=[one]) for one in waiting]


def differences(waiting: Sequence[Approval]) -> dict[str, str]:
    """Say of approvals of the same step in what they differ from each other, by id; plain text of one line."""
    alike: dict[str, list[Approval]] = {}
    for one in waiting:
        alike.setdefault(sentences.step_name(one), []).append(one)
    said: dict[str, str] = {}
    for group in alike.values():
        facts = {one.id: evidence.facts(one) for one in group}
        names = dict.fromkeys(name for known in facts.values() for name in known)
        told = [name for name in names if len({known[name] for known in facts.values() if name in known}) > 1][
            :_DIFFERENCES
        ]
        for one in group:
            known = [f"{name} {facts[one.id][name]}" for name in told if name in facts[one.id]]
            said[one.id] = cut(one_line(", ".join(known)), _DIFFERENCE)
    return said


def row(
    one: Batch,
    now: datetime,
    differs: Mapping[str, str],
    absent: Mapping[str, Person | None],
    further: Callable[[Approval], Block] | None = None,
) -> list[Block]:
    """Show what waits for the reader with its buttons: three blocks.

    Parameters
    ----------
    one : Batch
        From `in_rows`: an approval by itself, or several that share a message.
    differs : Mapping[str, str]
        From `differences`.
    absent : Mapping[str, Person or None]
        For whom the reader decides, by approval id, if not for themselves.
    further : Callable, optional
        From an approval by itself to one more button.
    """
    first = one.members[0]
    where = _where(one, now, differs)
    person = absent.get(first.id)
    if person is not None:
        where += f"\nYou decide for {name(person)}."
    if len(one.members) > 1:
        return [section(_head(title_of(one))), context(where), actions([*_open_button(first), *all_buttons(one)])]
    more = [] if further is None else [further(first)]
    buttons = [*_open_button(first), *controls.answer_buttons(first), *more]
    return [section(_head(_title(first))), context(where), actions(buttons)]


def watched_row(one: Batch, now: datetime, differs: Mapping[str, str]) -> list[Block]:
    """Show what waits for others, with the way to its message: two blocks. The parameters are those of `row`."""
    first = one.members[0]
    title = _head(title_of(one) if len(one.members) > 1 else _title(first))
    to_message = next(iter(_open_button(first)), None)
    shown = section(title) if to_message is None else section(title, accessory=to_message)
    return [shown, context(_where(one, now, differs))]


def _where(row: Batch, now: datetime, differs: Mapping[str, str]) -> str:
    """Say where a question comes from and how it differs from others; how long it waits; and who has voted."""
    approval, is_shared = row.members[0], len(row.members) > 1
    asked = f"asked {sentences.ago(min(one.requested_at for one in row.members), now)}"
    until = f"until {date(approval.deadline)}" if approval.deadline else "no deadline"
    if approval.deadline is not None and approval.deadline <= now:
        until = f"*overdue*, was {until}"
    shard = "" if is_shared or not approval.shard_value else bold(approval.shard_value, _SHARD)
    tags = [escape(tag, _TAG) for tag in approval.question.tags[:_TAGS]]
    told = [single.origin(approval), *tags, shard, "" if is_shared else escape(differs.get(approval.id, ""))]
    away = sorted(one.unattended_since for one in row.members if one.unattended_since is not None)
    waits = [asked, until, *([f"*nobody has been waiting since* {date(away[0])}"] if away else [])]
    waits += [] if is_shared else [code(approval.id)]
    voted = "" if is_shared else voting.votes_so_far(approval, name, lambda written: approver(written, {}))
    return "\n".join(filter(None, [" · ".join(filter(None, told)), " · ".join(waits), voted]))


def decided_row(approval: Approval, now: datetime) -> list[Block]:
    """Show a decided approval: two blocks."""
    ending = sentences.verdict(approval, name)
    at = approval.decision.at if approval.decision else approval.requested_at
    reason = sentences.reason(approval)
    why = f": {quoted(reason, 150)}" if reason else ""
    # A closing's reason is text from outside, also where it annuls a decision.
    tail = escape(ending.tail, 300) if approval.closing is not None else ending.tail
    where = f"*{ending.head}*{tail}{why} · {sentences.ago(at, now)}"
    if sentences.is_unaccepted(approval):
        where += " · *not accepted by the operator's policy*"
    return [
        section(_head(_title(approval))),
        context(f"{where}\n{single.origin(approval)} · {code(approval.id)}"),
    ]


def _head(title: str) -> Block:
    """Show what a row is about so that the eye finds where a row begins."""
    return mrkdwn(bold(title, 4 * _MESSAGE))


def _title(approval: Approval) -> str:
    return cut(one_line(sentences.question_text(approval)[: 4 * _MESSAGE]), _MESSAGE)


def _open_button(approval: Approval) -> list[Block]:
    url = next((post.url for post in approval.posts if post.url and is_web_address(post.url)), None)
    return [] if url is None else [link_button("Open", controls.OPEN, url, about=sentences.spoken(approval))]


# The app's Home tab: one person's inbox.

WAITING, ASKED, DECIDED = 15, 5, 8  # rows of each part: 80 blocks at most
_FLOWS = 99  # in the menu, beside "All flows"
_LONGEST_FLOW = 150
ALL_FLOWS = "*"  # no flow has this name


@dataclass(frozen=True, kw_only=True)
class Inbox:
    """What one person's Home tab shows.

    Attributes
    ----------
    waiting : Sequence[Approval]
        What waits for this person, the most urgent first.
    asked : Sequence[Approval]
        What this person asked and is still open, likewise.
    decided : Sequence[Approval]
        What was decided lately, the newest first.
    flows : Sequence[str]
        The flows to choose from.
    flow : str, optional
        The one that was chosen: everything here is of it.
    absent : Mapping[str, Person]
        For whom this person would decide, by approval id, where it is not for themselves.
    problems : Sequence[Exception]
        Why others could not be read, or what Slack could not say.
    """

    waiting: Sequence[Approval]
    asked: Sequence[Approval]
    decided: Sequence[Approval]
    flows: Sequence[str]
    flow: str | None = None
    absent: Mapping[str, Person] = field(default_factory=dict)
    problems: Sequence[Exception] = ()


def home_view(inbox: Inbox, *, now: datetime) -> Block:
    """Build the Home tab: what waits with its buttons, what was asked, what was decided."""
    blocks: list[Block] = [_filter(inbox)] if inbox.flows else []
    count = len(inbox.waiting)
    nothing = f"Nothing is {'known to be ' if inbox.problems else ''}waiting for you"
    blocks.append(header(f"{count} {'is' if count == 1 else 'are'} waiting for you" if count else nothing))
    blocks += gaps(inbox.problems)
    differs = differences([*inbox.waiting, *inbox.asked])
    rows = in_rows(inbox.waiting)
    for one in rows[:WAITING]:
        blocks += row(one, now, differs, inbox.absent, more_menu)
    blocks += _more(sum(len(one.members) for one in rows[WAITING:]), "/hitl list mine")
    if inbox.asked:
        blocks += [divider(), header("You asked")]
        rows = in_rows(inbox.asked)
        for one in rows[:ASKED]:
            blocks += watched_row(one, now, differs)
        blocks += _more(sum(len(one.members) for one in rows[ASKED:]), "/hitl list")
    if inbox.decided:
        blocks += [divider(), header("Recently decided")]
        for approval in inbox.decided[:DECIDED]:
            blocks += decided_row(approval, now)
        blocks += _more(len(inbox.decided) - DECIDED, "/hitl history")
    blocks.append(context(f"As of {date(now)}. Updates automatically."))
    return _home(blocks)


def broken_home(error: Exception) -> Block:
    """Say why there is nothing to see now."""
    return _home(
        [section(plain(f"This can't be shown right now: {error}")), context("Open this tab again in a minute.")]
    )


def _home(blocks: list[Block]) -> Block:
    return {"type": "home", "callback_id": controls.HOME_VIEW, "blocks": blocks}


def _filter(inbox: Inbox) -> Block:
    everything = _option("All flows", ALL_FLOWS)
    options = [_option(flow, flow) for flow in inbox.flows if len(flow) <= _LONGEST_FLOW][:_FLOWS]
    chosen = next((one for one in options if one["value"] == inbox.flow), everything)
    menu = {
        "type": "static_select",
        "action_id": controls.HOME_FLOW,
        "placeholder": plain("Flow"),
        "options": [everything, *options],
        "initial_option": chosen,
    }
    return section(mrkdwn("*Approvals*"), accessory=menu)


def _option(label: str, value: str) -> Block:
    return {"text": plain(label, BUTTON), "value": value}


def _more(count: int, words: str) -> list[Block]:
    return [context(f"and {count} more: {code(words)}")] if count > 0 else []
