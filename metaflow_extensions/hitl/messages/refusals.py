"""Why something did not happen, with those who may as people and groups instead of their ids."""

from __future__ import annotations

from metaflow_extensions.hitl.approvals.refusals import NotAllowed
from metaflow_extensions.hitl.messages.blocks import Block, mrkdwn, plain, section
from metaflow_extensions.hitl.messages.mrkdwn import approver, escape

_LONGEST = 2_900  # characters, below the 3,000 of a section


def refusal_block(error: Exception) -> Block:
    """Show an error's own words; letter by letter, unless it names people by their ids."""
    ids = _ids(error)
    if not ids:
        return section(plain(str(error), _LONGEST))
    said = escape(str(error), _LONGEST - sum(len(shown) for shown in ids.values()))
    for written, shown in ids.items():
        said = said.replace(written, shown)
    return section(mrkdwn(said))


def _ids(error: Exception) -> dict[str, str]:
    """Return how those are shown whom the rule behind a refusal names by id."""
    if not isinstance(error, NotAllowed):
        return {}
    rule = error.approval.rule
    named = {name: approver(name, {}) for name in (*rule.names, *rule.deciders)}
    return {name: shown for name, shown in named.items() if name in shown and shown.startswith("<")}
