"""One of every message, view and Home that the bot can build."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.question import Question
from metaflow_extensions.hitl.approvals.record import (
    Approval,
    Decision,
    EngineKind,
    Gate,
    Origin,
    Pathspec,
    Person,
    Verdict,
    Vote,
    Where,
)
from metaflow_extensions.hitl.approvals.schema import normalise
from metaflow_extensions.hitl.messages import batch_views, lists, replies, single, views
from metaflow_extensions.hitl.messages.batch import Batch, render as render_batch
from metaflow_extensions.hitl.messages.views import like_before_view
from metaflow_extensions.hitl.slack import SLACK

SHARDS = 120  # more than one page of "Approve all except…"
_FIELDS: dict[str, Any] = {
    "deploy_target": {"type": "choice", "choices": ["staging", "production"], "help": "Where it goes"},
    "traffic": {"type": "int", "min": 1, "max": 100, "default": 10},
    "regions": {"type": "multichoice", "choices": ["eu", "us", "asia"]},
    "share": {"type": "float", "min": 0, "max": 1, "optional": True},
    "urgent": {"type": "bool", "default": False},
    "notes": {"type": "text", "optional": True},
    "on": {"type": "date", "optional": True},
    "at": {"type": "datetime", "optional": True},
    "contact": {"type": "email", "optional": True},
    "runbook": {"type": "url", "optional": True},
    "owner": {"type": "user", "optional": True},
}
_BOB = Person(id="U012AB3CD", name="bob", origin=SLACK)
_RITA = Person(id="rita", name="rita", origin=Origin.CLAIM)


class Validated(str, Enum):
    """What blocks.validate takes."""

    MESSAGE = "message"
    VIEW = "view"


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """One thing that the bot can build.

    Attributes
    ----------
    name : str
        What it is.
    body : dict
        A message's text and blocks, or a view.
    """

    name: str
    kind: Validated
    body: dict[str, Any]


def pending(now: datetime, task: int = 1, **asked: Any) -> Approval:
    """Ask something about one task."""
    parts = {"message": "Deploy fraud v7?  :x: <b> & *94.0%*", "timeout": 86_400, **asked}
    pathspec = Pathspec(flow="TrainAndDeploy", run="1732", step="gate", task=str(task))
    return transitions.request(pathspec, Question(**parts), Gate(engine=EngineKind.LOCAL), _RITA, now)


def exhibits(now: datetime) -> Iterator[Exhibit]:
    """Yield every message, view and Home that the bot can build, with every type of field in the forms."""
    states = _states(now)
    for name, approval in states.items():
        message = single.render(approval, now=now)
        yield _message(f"question, {name}", message.text, message.blocks)
        short = single.brief(message)
        yield _message(f"short question, {name}", short.text, short.blocks)
        for word, reply in _replies(approval, now).items():
            yield _message(f"{word}, {name}", reply["text"], reply["blocks"])
        for word, view in _views(approval, now).items():
            yield Exhibit(name=f"{word}, {name}", kind=Validated.VIEW, body=view)
    yield from _of_batch(now)
    yield from _of_home(states, now)
    for word, reply in {
        "list": lists.listing(list(states.values()), now=now),
        "help": replies.help_text(),
        "refusal": replies.refusal(HitlError("It can't be done. Do something else.")),
        "defect": replies.broken("a1b2c3d4"),
        "nothing waits": replies.nothing_waits(None, now=now),
    }.items():
        yield _message(word, reply["text"], reply["blocks"])


def _states(now: datetime) -> dict[str, Approval]:
    schema = normalise(_FIELDS)
    asked = pending(now, allow_changes=True)
    form = pending(now, schema=schema)
    later = now + timedelta(minutes=3)
    entered = {"deploy_target": "staging", "traffic": 10, "regions": ["eu"], "urgent": False}
    yes = Decision(verdict=Verdict.APPROVE, by=_BOB, at=later, where=Where.BUTTON)
    no = replace(yes, verdict=Verdict.REJECT, reason="drift too high")
    vote = Vote(verdict=Verdict.APPROVE, by=_BOB, at=later, where=Where.BUTTON)
    return {
        "open": asked,
        "open with a form": form,
        "with a vote": transitions.vote(pending(now, quorum=2), vote),
        "approved": transitions.decide(asked, yes),
        "approved with input": transitions.settle(transitions.decide(form, replace(yes, input=entered)), later),
        "rejected": transitions.settle(transitions.decide(asked, no), later),
        "expired": transitions.expire(asked, now + timedelta(days=2)),
        "closed": transitions.close(asked, "the run has ended", later),
    }


def _replies(approval: Approval, now: datetime) -> dict[str, replies.Reply]:
    return {"/hitl show": replies.shown(approval, now=now), "commands": replies.command_to_copy(approval)}


def _views(approval: Approval, now: datetime) -> dict[str, dict[str, Any]]:
    return {
        "approve": views.approve_view(approval, now=now),
        "reject": views.reject_view(approval, now=now),
        "request changes": views.changes_view(approval, now=now),
        "closed": views.closed_view(approval, now=now),
        "details": views.details_view(approval, now=now),
        "like before": like_before_view(approval, [approval], now=now),
        "why": views.why_view(approval, now=now, trail=[]),
        "loading": views.loading_view("Approve"),
        "saving": views.saving_view(approval.id),
        "refused": views.refused_view(HitlError("It can't be done. Do something else.")),
        "run again": views.run_again_view(approval, {"alpha": "0.5", "note": ""}),
    }


def _of_batch(now: datetime) -> Iterator[Exhibit]:
    schema = normalise(_FIELDS)
    members = [
        replace(pending(now, task=number, schema=schema), id=f"gate-{number:010d}") for number in range(1, SHARDS + 1)
    ]
    batch = Batch(id="gate-abc-1", pathspec="TrainAndDeploy/1732/gate", members=members)
    message = render_batch(batch, now=now)
    yield _message("many gates", message.text, message.blocks)
    choice = batch_views.offer(batch)
    for name, view in {
        "approve all": batch_views.approve_all_view(batch),
        "reject all": batch_views.reject_all_view(batch),
        "approve all except": batch_views.approve_except_view(batch, choice),
        "approve all except, second page": batch_views.approve_except_view(batch, choice.turned_to(1)),
        "all answered": batch_views.answered_view(batch),
        "why, many gates": batch_views.why_all_view(batch),
    }.items():
        yield Exhibit(name=name, kind=Validated.VIEW, body=view)


def _of_home(states: dict[str, Approval], now: datetime) -> Iterator[Exhibit]:
    waiting = [states["open"], states["open with a form"]]
    decided = [states["approved"], states["rejected"]]
    full = lists.Inbox(waiting=waiting, asked=waiting, decided=decided, flows=["TrainAndDeploy", "Other"])
    empty = lists.Inbox(waiting=[], asked=[], decided=[], flows=[])
    yield Exhibit(name="Home", kind=Validated.VIEW, body=lists.home_view(full, now=now))
    yield Exhibit(name="Home, empty", kind=Validated.VIEW, body=lists.home_view(empty, now=now))
    yield Exhibit(
        name="Home, broken", kind=Validated.VIEW, body=lists.broken_home(HitlError("The store does not answer."))
    )


def _message(name: str, text: str, blocks: list[dict[str, Any]]) -> Exhibit:
    return Exhibit(name=name, kind=Validated.MESSAGE, body={"text": text, "blocks": blocks})
