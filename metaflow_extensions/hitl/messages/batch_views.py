"""The views that answer many gates at once.

Source of the limits: docs.slack.dev/reference/block-kit (10 options in a group of checkboxes, 75 characters for the
text of one), docs.slack.dev/reference/views (100 blocks, 250 kB, 3,000 characters of private_metadata).
"""

import hashlib
import json
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from metaflow_extensions.hitl.approvals.deciding import votes
from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.record import Approval, State

from . import controls, obligations, sentences, single
from .batch import Batch, ending, label, line, progress
from .blocks import VIEW_TITLE, Block, actions, button, code, context, modal, one_line, plain, section
from .form import form_blocks
from .views import reason_input, rule_wants_one

# Which shards somebody ticks, over as many pages as it takes.

_COMPRESSED = "."  # before bits that are; no character of the others
_METADATA = 3_000  # characters of a view's private_metadata


class TooManyShards(HitlError):
    """There are too many shards to choose from in Slack. Approve all or reject all of them, or answer each one."""

    def __init__(self) -> None:
        super().__init__(str(self.__doc__))


class OtherShards(HitlError):
    """Other shards have joined since this was opened, so nothing was answered. Close it, and open it again."""

    def __init__(self) -> None:
        super().__init__(str(self.__doc__))


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What was offered, what is ticked, and where somebody looks.

    Attributes
    ----------
    known : Sequence[str]
        The ids of all gates that were on the message when the view opened, sorted.
    until : datetime
        When the youngest of them was asked.
    offered : Sequence[Approval]
        Those of them that waited then, in the order of the foreach.
    off : frozenset[str]
        The ids of those that are not ticked.
    size : int
        Checkboxes on a page.
    page : int
        From 0.
    look : int
        Counts how often the view was built. Its inputs are named by it: what somebody ticked in one that keeps its
        name, Slack keeps.
    """

    known: Sequence[str]
    until: datetime
    offered: Sequence[Approval]
    off: frozenset[str] = frozenset()
    size: int
    page: int = 0
    look: int = 0

    @property
    def pages(self) -> int:
        return max(1, -(-len(self.offered) // self.size))

    @property
    def shown(self) -> Sequence[Approval]:
        """The page's shards, also those that were answered meanwhile: a page never shifts."""
        return self.offered[self.page * self.size : (self.page + 1) * self.size]

    @property
    def ticked(self) -> frozenset[str]:
        return frozenset(one.id for one in self.offered) - self.off

    @property
    def held(self) -> dict[str, Any]:
        """What the view keeps."""
        return {
            "until": self.until.isoformat(),
            "of": _digest(self.known),
            "offered": _packed(self.known, {one.id for one in self.offered}),
            "off": _packed(self.known, self.off),
            "size": self.size,
            "page": self.page,
            "look": self.look,
        }

    def turned_to(self, page: int) -> "Choice":
        return replace(self, page=min(max(page, 0), self.pages - 1), look=self.look + 1)

    def all_ticked(self) -> "Choice":
        return replace(self, off=frozenset(), look=self.look + 1)

    def none_ticked(self) -> "Choice":
        return replace(self, off=frozenset(one.id for one in self.offered), look=self.look + 1)


def metadata(kept: Mapping[str, Any]) -> str:
    """Write what a view keeps for itself, or raise TooManyShards."""
    written = json.dumps(kept, separators=(",", ":"))
    if len(written) > _METADATA:
        raise TooManyShards
    return written


def held(view: Mapping[str, Any]) -> dict[str, Any]:
    """Read what a view keeps for itself."""
    try:
        found = json.loads(view.get("private_metadata") or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def chosen(batch: Batch, view: Mapping[str, Any]) -> Choice:
    """Read a choice out of a view that Slack sent back, with what is ticked on its page.

    Raises
    ------
    OtherShards
        The gates are not those that it was made of.
    """
    kept = held(view)
    try:
        until = datetime.fromisoformat(str(kept["until"]))
        known = sorted(one.id for one in batch.members if one.requested_at <= until)
        offered, off = _unpacked(known, str(kept["offered"])), _unpacked(known, str(kept["off"]))
        size, page, look = int(kept["size"]), int(kept["page"]), int(kept["look"])
    except (KeyError, TypeError, ValueError) as error:
        raise OtherShards from error
    if kept.get("of") != _digest(known):
        raise OtherShards
    ticked, unticked = _ticked_in(view)
    return Choice(
        known=known,
        until=until,
        offered=[one for one in batch.members if one.id in offered],
        off=frozenset(((off | unticked) - ticked) & offered),
        size=size,
        page=page,
        look=look,
    )


def _ticked_in(view: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    """Return the ids of the shards on this page that are ticked, and of those that are not."""
    offered: set[str] = set()
    for block in view.get("blocks", ()):
        if str(block.get("block_id", "")).startswith(controls.SHARDS_BLOCK):
            offered |= {str(option["value"]) for option in block["element"]["options"]}
    ticked: set[str] = set()
    for block_id, values in view["state"]["values"].items():
        if block_id.startswith(controls.SHARDS_BLOCK):
            ticked |= {str(one["value"]) for one in values[controls.SHARDS_VALUE].get("selected_options") or ()}
    return ticked & offered, offered - ticked


def _digest(known: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(known).encode()).hexdigest()[:16]


def _packed(known: Sequence[str], ids: Collection[str]) -> str:
    bits = sum(1 << place for place, one in enumerate(known) if one in ids)
    raw = bits.to_bytes(len(known) // 8 + 1, "little").rstrip(b"\0")
    small = zlib.compress(raw, 9)
    if len(small) < len(raw):
        return _COMPRESSED + urlsafe_b64encode(small).decode()
    return urlsafe_b64encode(raw).decode()


def _unpacked(known: Sequence[str], text: str) -> frozenset[str]:
    raw = urlsafe_b64decode(text.removeprefix(_COMPRESSED))
    if text.startswith(_COMPRESSED):
        try:
            raw = zlib.decompressobj().decompress(raw, len(known) // 8 + 1)
        except zlib.error as error:
            raise ValueError(str(error)) from error
    bits = int.from_bytes(raw, "little")
    return frozenset(one for place, one in enumerate(known) if bits >> place & 1)


# The views that answer many gates at once.

_BLOCKS = 100
_BESIDE = 6  # blocks of a page that are neither checkboxes nor inputs of the step
_GROUP = 10  # checkboxes of one group
_GROUPS = 10  # of one page, which nobody wants to scroll further than that
_OPTION = 75
_ENDINGS = 20
_EXPLAINED = 90  # gates of one view, beside four other blocks


def approve_all_view(batch: Batch) -> Block:
    """Build the form that approves all with the same input."""
    said = f"Your input is used for all {len(batch.waiting)} that are waiting."
    inputs = _inputs(batch)
    below = [*inputs, *_to_come(batch, "approved")]
    blocks = [*[_origin(batch), section(plain(said))][: _BLOCKS - len(below)], *below]
    submit = "Approve" if batch.offers_in_advance else f"Approve {len(batch.waiting)}"
    return _view("Approve all", blocks, batch, callback_id=controls.APPROVE_ALL_VIEW, submit=submit)


def reject_all_view(batch: Batch) -> Block:
    """Build the view that asks why all are rejected."""
    said = f"All {len(batch.waiting)} that are waiting will be rejected."
    reason = reason_input("Reason", "The requester will see it.")
    blocks = [_origin(batch), section(plain(said)), reason, *_to_come(batch, "rejected")]
    submit = "Reject" if batch.offers_in_advance else f"Reject {len(batch.waiting)}"
    return _view("Reject all", blocks, batch, callback_id=controls.REJECT_ALL_VIEW, submit=submit)


def _to_come(batch: Batch, done: str) -> list[Block]:
    """Ask whether the answer is also for the shards that have not asked yet."""
    if not batch.offers_in_advance:
        return []
    waiting, to_come = len(batch.waiting), batch.to_come
    options = [
        {"text": plain(f"Those that wait now ({waiting})", _OPTION), "value": controls.ASKED},
        {
            "text": plain(f"All {waiting + to_come}, also those to come ({to_come})", _OPTION),
            "value": controls.TO_COME,
        },
    ]
    hint = f"Those to come are {done} as they ask, before anybody has seen them. The record says so."
    return [
        {
            "type": "input",
            "block_id": controls.TO_COME_BLOCK,
            "label": plain("Which shards"),
            "hint": plain(hint),
            "element": {
                "type": "radio_buttons",
                "action_id": controls.TO_COME_VALUE,
                "options": options,
                "initial_option": options[0],
            },
        }
    ]


def is_for_those_to_come(view: Mapping[str, Any]) -> bool:
    """Whether a form that was sent back answers also the shards that have not asked yet."""
    entered = view["state"]["values"].get(controls.TO_COME_BLOCK, {}).get(controls.TO_COME_VALUE, {})
    return (entered.get("selected_option") or {}).get("value") == controls.TO_COME


def page_size(batch: Batch) -> int:
    """Return how many checkboxes one page of the view has, beside the inputs of the form."""
    return _GROUP * max(1, min(_GROUPS, _BLOCKS - _BESIDE - len(_inputs(batch))))


def offer(batch: Batch) -> Choice:
    """Offer every shard that waits, ticked."""
    return Choice(
        known=sorted(one.id for one in batch.members),
        until=max(one.requested_at for one in batch.members),
        offered=batch.waiting,
        size=page_size(batch),
    )


def approve_except_view(batch: Batch, choice: Choice, rejected: Collection[str] = ()) -> Block:
    """Build a page of the view with a checkbox for each shard that waits, and the inputs of the form."""
    # Its button says what it does, so every tick brings the view up to date.
    shown = choice.shown
    waiting = {one.id for one in batch.waiting}
    first = choice.page * choice.size + 1
    said = "Every selected shard will be approved. Clear the others."
    if choice.pages > 1:
        said += f" {first} to {first + len(shown) - 1} of {len(choice.offered)}; selections on all pages count."
    blocks: list[Block] = [_origin(batch), section(plain(said))]
    for number, start in enumerate(range(0, len(shown), _GROUP)):
        some = [one for one in shown[start : start + _GROUP] if one.id in waiting]
        if some:
            upto = min(start + _GROUP, len(shown))
            heading = f"Shards {first + start} to {first + upto - 1} of {len(choice.offered)}"
            blocks.append(_checkboxes(batch, choice, some, f"{choice.look}_{number}", heading))
    if gone := sum(one.id not in waiting for one in shown):
        blocks.append(context(f"{gone} of these {'was' if gone == 1 else 'were'} answered in the meantime."))
    blocks += _turning(choice)
    options = [
        {"text": plain("The others keep waiting", _OPTION), "value": controls.OTHERS_WAIT},
        {"text": plain("The others are rejected too", _OPTION), "value": controls.OTHERS_REJECTED},
    ]
    blocks.append(
        {
            "type": "input",
            "block_id": controls.OTHERS_BLOCK,
            "label": plain("Shards that are not selected"),
            "element": {
                "type": "radio_buttons",
                "action_id": controls.OTHERS_VALUE,
                "options": options,
                "initial_option": options[1 if rejected else 0],
            },
            "dispatch_action": True,
        }
    )
    inputs = _inputs(batch, may_reject=True)
    if not batch.strictest.requirements.reason_required:
        hint = "Required if the others are rejected. The requester will see it."
        blocks.append({**reason_input("Reason", hint), "optional": True})
    blocks += inputs
    if len(blocks) > _BLOCKS:  # a form of 92 inputs leaves no room for what is only good to know
        blocks = [block for block in blocks if block["type"] != "context"]
    return _view(
        "Approve all except…",
        blocks,
        batch,
        callback_id=controls.APPROVE_EXCEPT_VIEW,
        submit=submit_says(choice, rejected),
        more=choice.held,
    )


def submit_says(choice: Choice, rejected: Collection[str]) -> str:
    """Say what the button of the form does: "Reject 3, approve 57"; 24 characters at most."""
    approves = len(choice.ticked)
    if not rejected:
        return f"Approve {approves}" if approves else "Approve"
    said = f"Reject {len(rejected)}, approve {approves}" if approves else f"Reject {len(rejected)}"
    return said if len(said) <= VIEW_TITLE else "Approve and reject"


def says_what_it_does(choice: Choice, view: Mapping[str, Any]) -> bool:
    """Whether the button of a form that was sent back said what it did; of quick clicks one may have been missed."""
    return str((view.get("submit") or {}).get("text")) == submit_says(choice, rejected_in(choice, view))


def rejected_in(choice: Choice, view: Mapping[str, Any]) -> Collection[str]:
    """Return the ids of the shards that a form rejects."""
    return choice.off if others_are_rejected(view) else ()


def answered_view(batch: Batch) -> Block:
    """Say how it ended to somebody whose form was still open."""
    ended = [one for one in batch.members if one.state is not State.PENDING]
    lines = [context(f"{ending(one)} · {code(one.id)}") for one in ended[:_ENDINGS]]
    if len(ended) > len(lines):
        lines.append(context(f"and {len(ended) - len(lines)} more"))
    said = f"All of these have already been answered. {progress(batch)}."
    return modal(
        "Answered",
        [_origin(batch), section(plain(said)), *lines],
        callback_id=controls.NOTICE_VIEW,
        close="Close",
    )


def why_all_view(batch: Batch) -> Block:
    """Say of each gate how it stands, by whom and why; of more than 90 those that are answered come first."""
    answered_first = sorted(batch.members, key=lambda one: one.state is State.PENDING)
    blocks = [_origin(batch), section(plain(progress(batch)))]
    blocks += [context(line(batch, one)) for one in answered_first[:_EXPLAINED]]
    if len(answered_first) > _EXPLAINED:
        blocks.append(context(f"and {len(answered_first) - _EXPLAINED} more"))
    blocks.append(context(f"The full history of one gate: {code('/hitl show ID')}, Details."))
    return modal("Why?", blocks, callback_id=controls.NOTICE_VIEW, close="Close")


def batch_of(view: Mapping[str, Any]) -> str:
    """Read the batch's id out of a view that Slack sent back; empty if it holds none."""
    found = held(view).get("batch")
    return found if isinstance(found, str) else ""


def others_are_rejected(view: Mapping[str, Any]) -> bool:
    """Whether the view says so."""
    entered = view["state"]["values"].get(controls.OTHERS_BLOCK, {}).get(controls.OTHERS_VALUE, {})
    return (entered.get("selected_option") or {}).get("value") == controls.OTHERS_REJECTED


def _origin(batch: Batch) -> Block:
    return context(single.origin(batch.members[0]))


def _inputs(batch: Batch, *, may_reject: bool = False) -> list[Block]:
    """Build what is asked for when somebody approves: filled in with what others approve, where that is the same."""
    waiting = batch.waiting or batch.members
    proposals = [votes.proposal(one) for one in waiting]
    alike = proposals[0] if all(one == proposals[0] for one in proposals) else None
    first = batch.strictest
    inputs = form_blocks(sentences.form_fields(first), values=alike)
    if first.requirements.reason_required:
        inputs.append(reason_input("Reason", rule_wants_one(first)))
    room = _BLOCKS - _BESIDE - len(inputs)
    return [*inputs, *obligations.inputs(first.requirements, may_reject=may_reject, room=room)]


def _checkboxes(batch: Batch, choice: Choice, some: Sequence[Approval], name: str, heading: str) -> Block:
    options = {one.id: _option(batch, one) for one in some}
    element = {"type": "checkboxes", "action_id": controls.SHARDS_VALUE, "options": list(options.values())}
    if ticked := [option for shard, option in options.items() if shard not in choice.off]:
        element["initial_options"] = ticked
    return {
        "type": "input",
        "block_id": f"{controls.SHARDS_BLOCK}{name}",
        "label": plain(heading),
        "optional": True,  # an empty group is an answer
        "element": element,
        "dispatch_action": True,
    }


def _turning(choice: Choice) -> list[Block]:
    turns: list[Block] = []
    if choice.page > 0:
        turns.append(button("Previous page", controls.SHARDS_PREVIOUS, str(choice.page - 1)))
    if choice.page + 1 < choice.pages:
        turns.append(button("Next page", controls.SHARDS_NEXT, str(choice.page + 1)))
    count = f" {len(choice.offered)}" if choice.pages > 1 else ""
    return [
        actions(
            [
                *turns,
                button(f"Select all{count}", controls.TICK_ALL, str(choice.page)),
                button(f"Clear all{count}", controls.UNTICK_ALL, str(choice.page)),
            ]
        )
    ]


def _option(batch: Batch, approval: Approval) -> Block:
    named = label(batch, approval, _OPTION)
    asks = one_line(sentences.question_text(approval)[: 4 * _OPTION])
    # What did not fit above, or else the id, by which the shard is found again.
    more = approval.id if (len(asks) <= _OPTION and asks in named) or batch.asks_alike else asks
    return {"text": plain(named, _OPTION), "description": plain(more, _OPTION), "value": approval.id}


def _view(
    title: str,
    blocks: list[Block],
    batch: Batch,
    *,
    callback_id: str,
    submit: str,
    more: Mapping[str, Any] | None = None,
) -> Block:
    return modal(
        title,
        blocks,
        callback_id=callback_id,
        close="Cancel",
        submit=plain(submit),
        private_metadata=metadata({"batch": batch.id, **(more or {})}),
    )
