"""What people read about obligations: in the form that approves, on the message, in lists, reminders and the trail."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from metaflow_extensions.hitl.approvals.question import Requirements
from metaflow_extensions.hitl.approvals.record import Approval, FollowUpKind, Obligation, Promise

from . import controls, sentences
from .blocks import (
    Block,
    actions,
    button,
    code,
    context,
    divider,
    escape,
    is_web_address,
    link_button,
    modal,
    mrkdwn,
    name,
    one_line,
    plain,
    quoted,
    section,
)
from .lists import gaps, paged
from .replies import Reply, reply, said

LONGEST = 1_000  # characters of an obligation, and of the comment that closes it
CLOSED = "The obligation is closed. What you wrote is in the approval's trail."
_TEXT = 300


def line(obligation: Obligation, done: str = "") -> str:
    """Say in plain words who owes what, by when."""
    return f"{obligation.owner.name}: {obligation.text}, due {obligation.due}{done and f' ({done})'}"


def lines(approval: Approval) -> list[str]:
    """Say of each obligation of an approval what it is, and who closed it with which comment."""
    closed = {one.number: one for one in approval.follow_ups if one.kind is FollowUpKind.DONE}
    found: list[str] = []
    for number, one in enumerate(approval.obligations, start=1):
        end, done = closed.get(number), ""
        if end is not None:
            by = end.by.name if end.by is not None else ""
            done = f"done by {by}" + (f": {end.comment}" if end.comment else "")
        found.append(line(one, done))
    return found


# The form that approves.


def inputs(requirements: Requirements, *, room: int, may_reject: bool = False) -> list[Block]:
    """Build the inputs for an obligation; none where nobody is asked for one.

    Parameters
    ----------
    requirements : Requirements
        What holds for the approval: whether it does without one.
    room : int
        Blocks that the view still takes; where there are few, the words above the inputs are left out.
    may_reject : bool
        Whether the same form can also only reject, which owes nothing.
    """
    if not requirements.obligations_offered:
        return []
    required = requirements.obligation_required
    why = (
        f"The rule “{requirements.name[:80]}” of the operator's policy requires one with each approval."
        if required
        else ""
    )
    why = why or "If the approval depends on something that is still to be done. It delays nothing."
    optional = may_reject or not required
    above = [divider(), section(mrkdwn("*Obligation*")), context(escape(why))]
    asked = [
        _input(
            controls.OBLIGATION_TEXT,
            "What is owed",
            {"type": "plain_text_input", "multiline": True, "max_length": LONGEST},
            optional=optional,
        ),
        _input(controls.OBLIGATION_OWNER, "Owner", {"type": "users_select"}, hint="You, unless you choose someone."),
        _input(controls.OBLIGATION_DUE, "Due date", {"type": "datepicker"}, optional=optional),
    ]
    return [*above, *asked] if len(above) + len(asked) <= room else asked


def _input(block_id: str, label: str, element: Block, *, hint: str = "", optional: bool = True) -> Block:
    block: Block = {
        "type": "input",
        "block_id": block_id,
        "label": plain(label),
        "optional": optional,
        "element": {**element, "action_id": controls.OBLIGATION_VALUE},
    }
    return {**block, "hint": plain(hint)} if hint else block


def entered(
    values: Mapping[str, Any], *, today: date, required: bool
) -> tuple[tuple[str, str, str] | None, dict[str, str]]:
    """Read what was entered: text, the owner's user ID (empty: who approves) and day; and what is wrong, by block.

    Parameters
    ----------
    values : Mapping
        ``view["state"]["values"]``.
    today : date
        By the clock of who approves.
    required : bool
        Whether nothing at all is wrong, too.
    """

    def value(block_id: str, key: str) -> str:
        found = (values.get(block_id) or {}).get(controls.OBLIGATION_VALUE) or {}
        return str(found.get(key) or "").strip()

    text = value(controls.OBLIGATION_TEXT, "value")
    owner = value(controls.OBLIGATION_OWNER, "selected_user")
    due = value(controls.OBLIGATION_DUE, "selected_date")
    if not (text or owner or due) and not required:
        return None, {}
    if not text:
        return None, {
            controls.OBLIGATION_TEXT: "Say what is owed: an approval needs an obligation here."
            if required
            else "Say what is owed, or leave owner and due date empty, too."
        }
    if not due:
        return None, {controls.OBLIGATION_DUE: "Choose the day on which it is due."}
    if date.fromisoformat(due) < today:
        return None, {controls.OBLIGATION_DUE: "Choose today or a later day."}
    return (text, owner, due), {}


# Lists, reminders, and the view that closes one.


def together(owed: Iterable[tuple[Approval, int]]) -> list[tuple[Approval, int, int]]:
    """Return each promise once, with the number of other approvals that it was made for."""
    found: dict[Promise, tuple[Approval, int, int]] = {}
    for approval, number in owed:
        promise = approval.promise(number)
        first, its_number, others = found.get(promise, (approval, number, -1))
        found[promise] = (first, its_number, others + 1)
    return list(found.values())


def _and_others(others: int) -> str:
    return f", and {others} more of this step" if others else ""


def listing(
    owed: Sequence[tuple[Approval, int]],
    *,
    today: date,
    page: int = 1,
    words: str = "obligations",
    left_out: int = 0,
    problems: Sequence[Exception] = (),
) -> Reply:
    """List open obligations, the first due first, each with a button that closes it; and what may be missing, why."""
    if not owed and problems:
        whose = "Nobody is known to owe anything." if words.endswith("all") else "You are not known to owe anything."
        return reply(whose, [section(mrkdwn(whose)), *gaps(problems)])
    if not owed:
        whose = "Nobody owes anything." if words.endswith("all") else "You owe nothing."
        return said(whose, "To see what others owe: /hitl obligations all." if not words.endswith("all") else "")
    promises = together(owed)
    title = f"{len(promises)} open {'obligation' if len(promises) == 1 else 'obligations'}"

    def rows() -> Iterator[list[Block]]:
        for approval, number, others in promises:
            one = approval.open_obligations[number]
            late = f" · *overdue by {(today - one.day).days} d*" if one.day < today else ""
            where = f"{escape(sentences.step_name(approval))}{_and_others(others)} · {code(approval.id)}"
            yield [
                section(plain(one_line(one.text)[:_TEXT])),
                context(f"{name(one.owner)} · due {one.due}{late} · {where}"),
                actions(_buttons(approval, number)),
            ]

    foot = [*([context(f"and {left_out} more, due later")] if left_out else []), *gaps(problems)]
    return reply(title, paged([section(mrkdwn(f"*{title}*"))], rows(), foot, page=page, words=words))


def reminder(approval: Approval, number: int, *, today: date, others: int = 0) -> Reply:
    """Remind an owner in a direct message of what they owe with an approval, and with so many others of its step."""
    one = approval.open_obligations[number]
    when = "is due today" if one.day == today else f"was due on {one.due}"
    decision = approval.decision
    by = f" by {name(decision.by)}" if decision is not None else ""
    about = f"It came with the approval{by} of {quoted(sentences.question_text(approval), _TEXT)}"
    place = f"{escape(sentences.step_name(approval))}{_and_others(others)}"
    blocks = [
        section(mrkdwn(f"*What you owe {when}:* {quoted(one.text, LONGEST)}")),
        context(f"{about} ({place}) · {code(approval.id)}"),
        actions(_buttons(approval, number)),
    ]
    return reply(f"What you owe {when}: {escape(one_line(one.text), _TEXT)}", blocks)


def _buttons(approval: Approval, number: int) -> Iterable[Block]:
    about = f"{sentences.spoken(approval)}, obligation {number}"
    yield button("Done…", controls.OBLIGATION_DONE, f"{approval.id}:{number}", about=about, style="primary")
    url = next((post.url for post in approval.posts if post.url and is_web_address(post.url)), None)
    if url is not None:
        yield link_button("Open", controls.OPEN, url)


def close_view(approval: Approval, number: int) -> Block:
    """Build the view that asks for the comment that closes an obligation."""
    one = approval.open_obligations[number]
    return modal(
        "Close an obligation",
        [
            section(plain(one_line(one.text)[:LONGEST])),
            context(f"{name(one.owner)} · due {one.due} · {code(approval.id)}"),
            {
                "type": "input",
                "block_id": controls.OBLIGATION_TEXT,
                "label": plain("What was done"),
                "hint": plain("It becomes part of the record."),
                "element": {
                    "type": "plain_text_input",
                    "action_id": controls.OBLIGATION_VALUE,
                    "min_length": 1,
                    "max_length": LONGEST,
                    "focus_on_load": True,
                },
            },
        ],
        callback_id=controls.OBLIGATION_VIEW,
        close="Cancel",
        submit=plain("Close"),
        private_metadata=f"{approval.id}:{number}",
    )


def comment_of(values: Mapping[str, Any]) -> str:
    """Read the comment from the view that closes an obligation."""
    found = (values.get(controls.OBLIGATION_TEXT) or {}).get(controls.OBLIGATION_VALUE) or {}
    return str(found.get("value") or "").strip()


def which(value: str) -> tuple[str, int]:
    """Split what a button or a view holds into the approval's ID and the number; 0 for what is none."""
    approval_id, _, number = value.rpartition(":")
    return approval_id, int(number) if number.isascii() and number.isdigit() and len(number) < 6 else 0  # noqa: PLR2004 - as in a key


# The trail.


def told_done(approval: Approval) -> str:
    """Say who closed which obligation, and how; mrkdwn."""
    end = _newest(approval, FollowUpKind.DONE)
    if end is None:
        return ""
    who, obligation = end
    by = name(who.by) if who.by is not None else ""
    comment = f": {quoted(who.comment)}" if who.comment else ""
    return f"{by} closed the obligation {quoted(obligation.text, _TEXT)}{comment}"


def told_reminded(approval: Approval) -> str:
    """Say who was reminded of what; mrkdwn."""
    end = _newest(approval, FollowUpKind.REMINDED)
    return "" if end is None else f"Reminded {name(end[1].owner)} of the obligation {quoted(end[1].text, _TEXT)}"


def _newest(approval: Approval, kind: FollowUpKind) -> Any:
    found = next((one for one in reversed(approval.follow_ups) if one.kind is kind), None)
    owed = approval.obligations
    return None if found is None or found.number > len(owed) else (found, owed[found.number - 1])
