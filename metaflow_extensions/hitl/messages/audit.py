"""What an audit found, in words for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from metaflow_extensions.hitl.approvals.auditing import Audited
from metaflow_extensions.hitl.messages.terminal import one_line
from metaflow_extensions.hitl.messages.vouching import who_vouches

_NAME = 80
_PROBLEM = 400


def audited(found: Audited) -> str:
    """Say what was found out about one record: one line, and one for each thing that is wrong."""
    place = found.approval.pathspec if found.approval is not None else None
    head = one_line(" ".join(filter(None, [found.approval_id, str(place or "")])), _NAME * 4)
    lines = ["  ".join(filter(None, ["whole" if found.is_whole else "BAD  ", head, "; ".join(_by_version(found))]))]
    lines += [f"         {one_line(f'{fault.key}: {fault.problem}', _PROBLEM)}" for fault in found.faults]
    return "\n".join(lines)


def _by_version(found: Audited) -> Iterator[str]:
    """Name who vouches, with the versions that they vouch for one after the other."""
    for said, group in groupby(found.versions, key=lambda version: one_line(who_vouches(version.voucher), 2 * _NAME)):
        numbers = [version.version.number for version in group]
        first, last = numbers[0], numbers[-1]
        yield f"{first}: {said}" if first == last else f"{first} to {last}: {said}"


def summary(records: int, faults: int, *, sealed: bool) -> str:
    """Say how an audit ended."""
    count = "1 record was checked" if records == 1 else f"{records:,} records were checked"
    said = {0: "nothing is wrong", 1: "1 thing is wrong"}.get(faults, f"{faults:,} things are wrong")
    if sealed:
        return f"{count}: {said}."
    return f"{count}: {said}. No signature was checked, so nobody vouches for this; give --public-keys."
