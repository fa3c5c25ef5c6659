"""The app's Home tab: one person's inbox.

Source of the limits: docs.slack.dev/reference/views (100 blocks, 250 kB), docs.slack.dev/reference/block-kit
(a menu takes 100 options; the text of one 75 characters, its value 150).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from metaflow_extensions.hitl.approvals.record import Approval, Person
from metaflow_extensions.hitl.messages import action_ids
from metaflow_extensions.hitl.messages.blocks import BUTTON, Block, context, divider, header, mrkdwn, plain, section
from metaflow_extensions.hitl.messages.lists import decided_row, differences, in_rows, row, watched_row
from metaflow_extensions.hitl.messages.mrkdwn import code, date
from metaflow_extensions.hitl.messages.question import more_menu

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
    """

    waiting: Sequence[Approval]
    asked: Sequence[Approval]
    decided: Sequence[Approval]
    flows: Sequence[str]
    flow: str | None = None
    absent: Mapping[str, Person] = field(default_factory=dict)


def home_view(inbox: Inbox, *, now: datetime) -> Block:
    """Build the Home tab: what waits with its buttons, what was asked, what was decided."""
    blocks: list[Block] = [_filter(inbox)] if inbox.flows else []
    count = len(inbox.waiting)
    waits = f"{count} {'is' if count == 1 else 'are'} waiting for you" if count else "Nothing is waiting for you"
    blocks.append(header(waits))
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
    return {"type": "home", "callback_id": action_ids.HOME_VIEW, "blocks": blocks}


def _filter(inbox: Inbox) -> Block:
    everything = _option("All flows", ALL_FLOWS)
    options = [_option(flow, flow) for flow in inbox.flows if len(flow) <= _LONGEST_FLOW][:_FLOWS]
    chosen = next((one for one in options if one["value"] == inbox.flow), everything)
    menu = {
        "type": "static_select",
        "action_id": action_ids.HOME_FLOW,
        "placeholder": plain("Flow"),
        "options": [everything, *options],
        "initial_option": chosen,
    }
    return section(mrkdwn("*Approvals*"), accessory=menu)


def _option(label: str, value: str) -> Block:
    return {"text": plain(label, BUTTON), "value": value}


def _more(count: int, words: str) -> list[Block]:
    return [context(f"and {count} more: {code(words)}")] if count > 0 else []
