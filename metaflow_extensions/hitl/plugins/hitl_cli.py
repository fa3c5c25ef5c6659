"""``python flow.py hitl …``: the same use cases as the bot's, from a terminal."""

from __future__ import annotations

import json
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from metaflow._vendor import click
from metaflow.exception import MetaflowException

from metaflow_extensions.hitl.approvals.record import Answer, Approval, State, Verdict
from metaflow_extensions.hitl.approvals.use_cases import Outcome, UseCases
from metaflow_extensions.hitl.plugins.task_commands import notify, wait

_UNCONFIRMED = 3  # the exit status while nobody has confirmed the answer
_LOOK_EVERY = 2.0  # seconds between two looks whether it is confirmed
_WAIT = click.option(
    "--wait",
    "patience",
    type=click.IntRange(0, 86_400),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for you to confirm the answer in Slack, where it matters who answers. "
    "Ends with status 3 if you haven't by then; you can still do it for a day.",
)
_HISTORY = 50  # decided approvals of each step that `list --all` shows


class NotDone(MetaflowException):
    """A refusal or a failure, in words for the person who typed the command."""

    headline = "Not done"


@click.group()
def cli() -> None:
    pass


@cli.group(name="hitl", help="Answer for steps that wait for a person.")
@click.pass_context
def hitl(ctx: click.Context) -> None:
    from metaflow_extensions.hitl.plugins import root  # noqa: PLC0415 - every command of a flow imports this module

    datastore = ctx.obj.flow_datastore
    with _in_words():
        store = root.build_store(datastore.TYPE, datastore.datastore_root)
        ctx.obj.hitl = root.build_use_cases(store, click.echo)


hitl.add_command(notify)
hitl.add_command(wait)


@hitl.command(name="list", help="Show what waits for an answer.")
@click.option("--all", "everything", is_flag=True, help="Also what was decided, newest first.")
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
@click.pass_obj
def list_(obj: Any, everything: bool, as_json: bool) -> None:  # noqa: FBT001 - click hands flags over like this
    from metaflow_extensions.hitl.approvals.errors import RecordError  # noqa: PLC0415
    from metaflow_extensions.hitl.messages import terminal  # noqa: PLC0415
    from metaflow_extensions.hitl.plugins import root  # noqa: PLC0415

    cases: UseCases = obj.hitl
    approvals: list[Approval] = []
    with _in_words():
        ids = list(cases.ledger.open_ids())
        if everything:
            steps = [node.name for node in obj.graph]
            decided = [cases.ledger.decided_ids(obj.flow.name, step, limit=_HISTORY) for step in steps]
            ids += [approval_id for of_step in decided for approval_id in of_step]
        for entry in cases.ledger.read_many(dict.fromkeys(ids)):
            if isinstance(entry, RecordError):
                click.secho(terminal.words(entry), fg="yellow", err=True)
            elif entry.approval.pathspec.flow == obj.flow.name:
                approvals.append(entry.approval)
    if not everything:
        approvals = [approval for approval in approvals if approval.state.value == "pending"]
    approvals.sort(key=lambda approval: approval.requested_at, reverse=everything)
    if as_json:
        click.echo(json.dumps([_summary(approval) for approval in approvals], indent=2, ensure_ascii=False))
    else:
        click.echo(terminal.table(approvals, now=cases.clock(), zone=root.local_zone()))


@hitl.command(help="Show one approval, and all that happened to it.")
@click.argument("approval", metavar="ID")
@click.pass_obj
def show(obj: Any, approval: str) -> None:
    from metaflow_extensions.hitl.messages import terminal  # noqa: PLC0415
    from metaflow_extensions.hitl.plugins import root  # noqa: PLC0415

    cases: UseCases = obj.hitl
    with _in_words():
        trail = cases.ledger.trail(cases.ledger.resolve(approval))
        versions = [entry.version for entry in trail]
        click.echo(
            terminal.shown(
                trail[-1].approval, versions, now=cases.clock(), script=root.script(), zone=root.local_zone()
            )
        )


@hitl.command(help="Approve, with the input that the step asks for.")
@click.argument("approval", metavar="ID")
@click.option(
    "--input", "document", metavar="JSON|@FILE", help="The whole input as a JSON object, or the file it is in."
)
@click.option("--set", "values", metavar="NAME=VALUE", multiple=True, help="One value of the input; may be repeated.")
@click.option("--reason", default="", help="Why; needed where the operator's policy wants one.")
@_WAIT
@click.pass_obj
def approve(obj: Any, approval: str, document: str | None, values: tuple[str, ...], reason: str, patience: int) -> None:
    from metaflow_extensions.hitl.approvals.record import Answer, Verdict  # noqa: PLC0415

    cases: UseCases = obj.hitl
    with _in_words():
        approval_id = cases.ledger.resolve(approval)
        schema = cases.ledger.read(approval_id).approval.question.schema
        if document is not None and values:
            raise NotDone("Give the whole input with --input, or single values with --set, not both.")
        entered = _values(schema, values) if values else _document(document)
        answer = Answer(verdict=Verdict.APPROVE, input=entered, reason=reason)
        _answer(cases, approval_id, answer, patience)


@hitl.command(help="Reject. The run fails with the reason.")
@click.argument("approval", metavar="ID")
@click.option("--reason", required=True, help="Why; the requester reads it.")
@_WAIT
@click.pass_obj
def reject(obj: Any, approval: str, reason: str, patience: int) -> None:
    from metaflow_extensions.hitl.approvals.record import Verdict  # noqa: PLC0415

    _refuse(obj, approval, Verdict.REJECT, reason, patience)


@hitl.command(name="request-changes", help="Say what must change, where the step offers it. The run fails with it.")
@click.argument("approval", metavar="ID")
@click.option("--reason", required=True, help="What must change; the requester reads it.")
@_WAIT
@click.pass_obj
def request_changes(obj: Any, approval: str, reason: str, patience: int) -> None:
    from metaflow_extensions.hitl.approvals.record import Verdict  # noqa: PLC0415

    _refuse(obj, approval, Verdict.CHANGES, reason, patience)


def _refuse(obj: Any, approval: str, verdict: Verdict, reason: str, patience: int) -> None:
    from metaflow_extensions.hitl.approvals.record import Answer  # noqa: PLC0415

    cases: UseCases = obj.hitl
    with _in_words():
        answer = Answer(verdict=verdict, reason=reason)
        approval_id = cases.ledger.resolve(approval)
        _answer(cases, approval_id, answer, patience)


@hitl.command(help="Prove that nobody changed the record: every version, every hash.")
@click.argument("approval", metavar="ID")
@click.pass_obj
def verify(obj: Any, approval: str) -> None:
    from metaflow_extensions.hitl.messages import terminal  # noqa: PLC0415
    from metaflow_extensions.hitl.plugins import root  # noqa: PLC0415

    cases: UseCases = obj.hitl
    with _in_words():
        trail = cases.ledger.verify(cases.ledger.resolve(approval))
        click.echo(terminal.verified([entry.version for entry in trail], trail[-1].digest, zone=root.local_zone()))


def _summary(approval: Approval) -> dict[str, str | None]:
    return {
        "id": approval.id,
        "pathspec": str(approval.pathspec),
        "state": approval.state.value,
        "message": approval.question.message,
        "requested_at": approval.requested_at.isoformat(),
        "deadline": approval.deadline.isoformat() if approval.deadline else None,
    }


def _document(document: str | None) -> dict[str, Any]:
    if document is None:
        return {}
    text = document
    if document.startswith("@"):
        try:
            text = Path(document[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise NotDone(f"--input {document}: the file can't be read: {error}") from error
    try:
        value = json.loads(text)
    except ValueError as error:
        raise NotDone(
            f'--input is no JSON: {error}. Quote it for the shell: --input \'{{"name": "value"}}\''
        ) from error
    if not isinstance(value, dict):
        raise NotDone('--input is JSON, and no object. Write it as \'{"name": "value"}\'.')
    return value


def _values(schema: dict[str, Any] | None, values: tuple[str, ...]) -> dict[str, Any]:
    from metaflow_extensions.hitl.inputs import parse  # noqa: PLC0415 - jsonschema takes 100 ms

    pairs: dict[str, str] = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name.strip():
            raise NotDone(f"--set {value!r} names no value. Write --set NAME=VALUE.")
        pairs[name.strip()] = text
    return pairs if schema is None else parse(schema, pairs)


def _answer(cases: UseCases, approval_id: str, answer: Answer, patience: int) -> None:
    """Give an answer; where it has to be confirmed in Slack, wait for that, or end with `_UNCONFIRMED`."""
    from metaflow_extensions.hitl.approvals.use_cases import Outcome  # noqa: PLC0415
    from metaflow_extensions.hitl.messages import terminal  # noqa: PLC0415
    from metaflow_extensions.hitl.plugins import root  # noqa: PLC0415

    came = cases.answer_from_command_line(approval_id, answer, who=root.local_person(), nonce=secrets.token_hex(16))
    if isinstance(came, Outcome):
        _report(came)
        return
    click.echo(terminal.to_be_confirmed(came))
    end = time.monotonic() + patience
    while True:
        approval = cases.ledger.read(approval_id).approval
        if came.is_confirmed(approval) or approval.state is not State.PENDING:
            click.echo(terminal.decided(approval))
            sys.exit(0 if came.is_confirmed(approval) else 1)
        if time.monotonic() >= end:
            click.echo(terminal.not_confirmed(came))
            sys.exit(_UNCONFIRMED)
        time.sleep(min(_LOOK_EVERY, max(0.0, end - time.monotonic())))


def _report(outcome: Outcome) -> None:
    from metaflow_extensions.hitl.messages import terminal  # noqa: PLC0415

    click.echo(terminal.decided(outcome.approval))
    for problem in outcome.pending:
        click.echo(f"  {terminal.words(problem)}")


@contextmanager
def _in_words() -> Iterator[None]:
    from metaflow_extensions.hitl.approvals.errors import HitlError  # noqa: PLC0415

    try:
        yield
    except HitlError as error:
        from metaflow_extensions.hitl.messages.terminal import words  # noqa: PLC0415 - only to fail

        raise NotDone(words(error)) from error
