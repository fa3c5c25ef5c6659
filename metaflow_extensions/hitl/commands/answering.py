"""``approve``, ``reject`` and ``request-changes``, for one approval or for many."""

import json
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metaflow_extensions.hitl.api import Answered, parse_input
from metaflow_extensions.hitl.approvals.deciding.proposal import claimed_owner
from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.record import Approval, Obligation, State
from metaflow_extensions.hitl.approvals.schema import InvalidInput
from metaflow_extensions.hitl.messages import terminal
from metaflow_extensions.hitl.messages.sentences import approve_words

from . import looking
from .context import BadEntry, BadUsage, Context, ExitCode, code_of_error, worst

# The input of an approval as it is typed: ``--input`` with JSON, or ``--set`` with one value.


def document(text: str | None) -> dict[str, Any]:
    """Read ``--input``: a JSON object, or ``@`` and the file it is in.

    Raises
    ------
    BadEntry
        It is something else.
    """
    if text is None:
        return {}
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise BadEntry(f"--input {text}: the file can't be read: {error}") from error
    try:
        value = json.loads(text)
    except ValueError as error:
        raise BadEntry(
            f'--input is not valid JSON: {error}. Quote it for the shell: --input \'{{"name": "value"}}\''
        ) from error
    if not isinstance(value, dict):
        raise BadEntry('--input must be a JSON object. Write it as \'{"name": "value"}\'.')
    return value


def pairs(values: Sequence[str]) -> dict[str, list[str]]:
    """Read what ``--set`` was given, NAME=VALUE each; the same name more than once is a list's items.

    Raises
    ------
    BadEntry
        One has no name.
    """
    read: dict[str, list[str]] = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name.strip():
            raise BadEntry(f"--set needs NAME=VALUE, not {value!r}.")
        read.setdefault(name.strip(), []).append(text)
    return read


def entered(schema: dict[str, Any] | None, whole: str | None, values: Sequence[str]) -> dict[str, Any]:
    """Return the input for one approval.

    Parameters
    ----------
    schema : dict, optional
        What the step asks for. Without one, values of ``--set`` stay text.
    whole : str, optional
        What ``--input`` was given.
    values : Sequence[str]
        What ``--set`` was given.

    Raises
    ------
    BadEntry, InvalidInput
        It can't be read, or does not fit.
    """
    if whole is not None and values:
        raise BadEntry("Use either --input (the whole input) or --set (single values), not both.")
    if not values:
        return document(whole)
    return parse_input(schema, pairs(values))


# ``approve``, ``reject`` and ``request-changes``, for one approval or for many.

_AT_ONCE = 8  # answers, each some requests one after the other


@dataclass(frozen=True, kw_only=True)
class _Tried:
    """What became of one answer."""

    approval: Approval
    code: ExitCode
    lines: tuple[str, ...]
    refused: bool = False


def approve(context: Context, options: Namespace) -> ExitCode:
    """Approve, with the input that each step asks for."""
    owed = _owed(context, options)

    def answer(approval: Approval) -> Answered:
        given = entered(approval.question.schema, options.input, options.set)
        return context.approvals.approve(approval.id, input=given, reason=options.reason, obligation=owed)

    return _answer(context, options, answer)


def _owed(context: Context, options: Namespace) -> Obligation | None:
    """Read what somebody owes for the approval; raise BadEntry if it is incomplete."""
    if not options.owes:
        if options.due or options.owner:
            raise BadEntry("--due and --owner go with --owes TEXT.")
        return None
    owner = claimed_owner(options.owner) if options.owner else context.approvals.who
    try:
        owed = Obligation(text=options.owes, owner=owner, due=options.due or "")
    except ValueError:
        raise BadEntry(f"--owes needs --due with a day such as 2026-12-31, not {options.due!r}.") from None
    return owed.check_not_over(context.now.astimezone(context.zone).date())


def reject(context: Context, options: Namespace) -> ExitCode:
    """Reject. The runs fail with the reason."""
    return _answer(context, options, lambda approval: context.approvals.reject(approval.id, reason=options.reason))


def request_changes(context: Context, options: Namespace) -> ExitCode:
    """Say what must change, where the step offers it."""
    return _answer(
        context, options, lambda approval: context.approvals.request_changes(approval.id, reason=options.reason)
    )


def done(context: Context, options: Namespace) -> ExitCode:
    """Say that obligations are done, and how."""
    chosen = [context.approvals.get(approval_id) for approval_id in options.ids]

    def close(approval: Approval) -> Answered:
        return context.approvals.close_obligation(approval.id, options.number, comment=options.comment)

    return _each(context, options, chosen, close, said=terminal.owed)


def _answer(context: Context, options: Namespace, answer: Callable[[Approval], Answered]) -> ExitCode:
    problems: list[HitlError] = []
    chosen = _chosen(context, options, problems)
    code = _each(context, options, chosen, answer, said=terminal.decided, unread=bool(problems))
    return worst([code, looking.unread(context, problems)])


def _each(
    context: Context,
    options: Namespace,
    chosen: Sequence[Approval],
    answer: Callable[[Approval], Answered],
    *,
    said: Callable[[Approval], str],
    unread: bool = False,
) -> ExitCode:
    """Do something with each of some approvals, and say what became of it."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        given = list(pool.map(lambda approval: _give(approval, answer), chosen))
    if proposed := [one.proposal for one in given if isinstance(one, Answered) and one.proposal is not None]:
        context.warn(terminal.to_be_confirmed(proposed[0]))  # of many, the others say so at the end
    end = time.monotonic() + options.wait  # for all of them
    tried = [_result(context, end, *one, said) for one in zip(chosen, given, strict=True)]
    if options.json:
        context.write(
            looking.written(
                [
                    {**looking.approval_document(one.approval), "exit_code": int(one.code), "said": list(one.lines)}
                    for one in tried
                ]
            )
        )
    else:
        _say(context, tried, typed=bool(options.ids))
    if not tried:
        context.warn(f"Nothing{' that can be read' if unread else ''} waits for an answer there.")
        return ExitCode.NO_SUCH_ID
    return worst(one.code for one in tried)


def _say(context: Context, tried: list[_Tried], *, typed: bool) -> None:
    for one in tried:
        # One alone that was typed needs no name before it.
        first = "" if typed and len(tried) == 1 else f"{one.approval.id}  "
        say = context.warn if one.refused else context.write
        say("\n".join((f"{first}{one.lines[0]}", *(f"  {line}" for line in one.lines[1:]))))


def _chosen(context: Context, options: Namespace, problems: list[HitlError]) -> list[Approval]:
    """Return what is to be answered, and why others that may be meant could not be read.

    Raises
    ------
    BadUsage
        Nothing says which, or both IDs and a group do.
    """
    group = options.all or options.run or options.step or options.flow
    if bool(options.ids) == bool(group):
        raise BadUsage("Say which: give IDs, or one of --all, --run, --step and --flow.")
    if options.ids and options.excepted:
        raise BadUsage("--except goes with --all, --run, --step or --flow.")
    if options.ids:
        found = [context.approvals.get(approval_id) for approval_id in options.ids]
        return list({approval.id: approval for approval in found}.values())
    left_out = {context.approvals.get(approval_id).id for approval_id in options.excepted}
    waiting = context.approvals.waiting(flow=options.flow, run=options.run, step=options.step, problems=problems)
    return [approval for approval in waiting if approval.id not in left_out]


def _give(approval: Approval, answer: Callable[[Approval], Answered]) -> Answered | HitlError:
    try:
        return answer(approval)
    except HitlError as error:
        return error


def _result(
    context: Context, end: float, approval: Approval, given: Answered | HitlError, said: Callable[[Approval], str]
) -> _Tried:
    """Say what became of an answer, after the person has confirmed it in the chat system where that is needed."""
    if isinstance(given, HitlError):
        words = terminal.words(given)
        correct = (f"Nothing was decided. Correct the input: {approve_words(approval)}",)
        refusal = (words, *(correct if isinstance(given, InvalidInput) else ()))
        return _Tried(approval=approval, code=code_of_error(given), lines=refusal, refused=True)
    try:
        given = context.approvals.wait_until_confirmed(given, timeout=max(0.0, end - time.monotonic()))
    except HitlError as error:
        return _Tried(approval=approval, code=code_of_error(error), lines=(terminal.words(error),), refused=True)
    approval = given.approval
    if given.proposal is not None and not given.counts:
        if not given.proposal.is_over(approval):
            words = terminal.not_confirmed(given.proposal)
            return _Tried(approval=approval, code=ExitCode.PENDING, lines=(words,))
        words = said(approval)  # somebody else was first
        return _Tried(approval=approval, code=ExitCode.ALREADY_ANSWERED, lines=(words,), refused=True)
    unfinished = [terminal.words(problem) for problem in given.unfinished]
    lines = (said(approval), *unfinished, *terminal.what_follows(approval))
    return _Tried(approval=approval, code=_code(approval), lines=lines)


def _code(approval: Approval) -> ExitCode:
    return ExitCode.PENDING if approval.state is State.PENDING else ExitCode.DONE
