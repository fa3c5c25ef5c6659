"""What a decision leaves in Metaflow: a card and metadata of the gated task, and tags of its run.

All of it is for finding and reading: the record is what counts, so none of it may keep a step from running.
"""

import hashlib
from collections.abc import Callable, Iterable
from threading import Thread
from typing import Any

from metaflow_extensions.hitl.approvals.codec import Version
from metaflow_extensions.hitl.approvals.errors import StoreError
from metaflow_extensions.hitl.approvals.evidence.pictures import Picture, pictures_of
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.record import Approval, Decision, Verdict, Where
from metaflow_extensions.hitl.approvals.sealed import Trust
from metaflow_extensions.hitl.messages import card
from metaflow_extensions.hitl.messages.voting import vouchers

from . import root
from .incoming import GatedTask
from .settings import read_settings
from .task_log import say

CARD = "hitl"  # the type that `get_cards(task, type=…)` finds it by
_PATIENCE = 10.0  # seconds for the tags
_TAG = 400  # characters; Metaflow takes 500


def leave(task: GatedTask, approval: Approval, metadata: Any, attempt: int) -> None:
    """Leave a card, metadata and tags; what can't be left is said in the task's log.

    Parameters
    ----------
    task : GatedTask
        About to run, or refused.
    approval : Approval
        As its gate found it.
    metadata : MetadataProvider
        Metaflow's, of this run.
    attempt : int
        Of the task, from 0.
    """
    effects: dict[str, Callable[[], None]] = {
        "The card": lambda: _save_card(task, approval),
        "The task's metadata": lambda: _register(task, approval, metadata, attempt),
        "The run's tags": lambda: _in_time(lambda: _tag(task, approval, metadata)),
    }
    for what, effect in effects.items():
        try:
            effect()
        except Exception as error:  # noqa: BLE001, PERF203 - Metaflow's storage and service raise what they like
            say(f"{what} about {approval.id} could not be written. The record has all of it. {error}")


def _save_card(task: GatedTask, approval: Approval) -> None:
    from metaflow.datastore import FlowDataStore  # noqa: PLC0415 - heavy
    from metaflow.metaflow_config import CARD_SUFFIX  # noqa: PLC0415
    from metaflow.plugins import DATASTORES  # noqa: PLC0415
    from metaflow.plugins.cards.card_datastore import CardDatastore  # noqa: PLC0415

    kind, where = task.datastore
    storage = next(one for one in DATASTORES if kind == one.TYPE)
    # Where Metaflow's own client looks for cards (metaflow 2.19, plugins/cards/card_client.py).
    place = FlowDataStore(task.flow.name, None, storage_impl=storage, ds_root=f"{where}/{CARD_SUFFIX}")
    # The same name for the same approval, so that another attempt of the task replaces the card.
    name = hashlib.sha256(approval.id.encode()).hexdigest()[:20]
    html = card.page(approval, *_shown(task, approval))
    CardDatastore(place, str(task.pathspec)).save_card(name, CARD, html)


def _shown(task: GatedTask, approval: Approval) -> tuple[list[Version], list[Picture]]:
    """Read what only the card shows: the versions, and the pictures of the question."""
    ledger = Ledger(root.build_store(*task.datastore), Trust.of(read_settings().public_keys))
    trail = [entry.version for entry in ledger.trail(approval.id)]
    try:
        return trail, pictures_of(ledger.store, approval)
    except StoreError as error:
        say(f"The card of {approval.id} has no pictures: {error}")
        return trail, []


def _register(task: GatedTask, approval: Approval, metadata: Any, attempt: int) -> None:
    from metaflow.metadata_provider import MetaDatum  # noqa: PLC0415 - heavy

    facts = {"hitl-approval": approval.id, "hitl-state": approval.state.value}
    if approval.decision is not None:
        facts |= {
            "hitl-decided-by": approval.decision.by.name,
            "hitl-decided-at": approval.decision.at.isoformat(),
            "hitl-vouched-by": vouchers(approval),
        }
    tags = [f"attempt_id:{attempt}"]
    data = [MetaDatum(field=name, value=value, type=name, tags=tags) for name, value in facts.items()]
    metadata.register_metadata(task.run_id, task.step, task.task_id, data)


def _tag(task: GatedTask, approval: Approval, metadata: Any) -> None:
    tags = tags_of(approval)
    if tags:
        metadata.mutate_user_tags_for_run(task.flow.name, task.run_id, tags_to_add=tags, tags_to_remove=())


def _in_time(effect: Callable[[], None]) -> None:
    """Give an effect up that takes too long: where Metaflow's service refuses a tag, its client tries for a minute."""
    errors: list[Exception] = []

    def do() -> None:
        try:
            effect()
        except Exception as error:  # noqa: BLE001 - handed on
            errors.append(error)

    thread = Thread(target=do, name="tags", daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    if thread.is_alive():
        raise TimeoutError(f"Metaflow's metadata service did not accept them within {_PATIENCE:.0f} s.")
    if errors:
        raise errors[0]


def tags_of(approval: Approval) -> list[str]:
    """Return what a run is found by: ``hitl:approved``, ``hitl:approved-by:bob``, ``hitl:rejected``."""
    decision = approval.decision
    if decision is None or approval.closing is not None:
        return []
    if decision.verdict is not Verdict.APPROVE:
        return ["hitl:rejected"]
    return ["hitl:approved", *_each(f"hitl:approved-by:{name}" for name in _approvers(decision))]


def _approvers(decision: Decision) -> Iterable[str]:
    if decision.where in {Where.RULE, Where.TIMEOUT}:
        return [decision.where.value]
    return [person.name or person.id for person in decision.voters or (decision.by,)]


def _each(tags: Iterable[str]) -> list[str]:
    return [tag.encode("utf-8", "backslashreplace").decode()[:_TAG] for tag in dict.fromkeys(tags)]
