"""What a decision is based on, in words for any medium: metrics, what changed since the last approval, links."""

from collections.abc import Callable, Sequence

from metaflow_extensions.hitl.approvals.evidence.collected import Code, Evidence
from metaflow_extensions.hitl.approvals.evidence.comparing import Comparison, compare, other_parameters, raised, worst
from metaflow_extensions.hitl.approvals.question import RuleMode
from metaflow_extensions.hitl.approvals.record import Approval, Judgement

from .blocks import Block, bold, context, date, escape, link, mrkdwn, one_line, section, table

ROWS = 5  # of a table: more do not fit on a phone's first screen
_COLUMNS = 4  # metrics beside each other, where each shard has a row
_NOTIFIED = 2  # metrics in a notification
_PARAMETERS = 5
_LINKS = 5
_COMMIT = 7  # characters, as git shows them
FIRST = "No earlier approval of this step was found, so there is nothing to compare with."


def blocks(approval: Approval) -> list[Block]:
    """Show the metrics as a table, worst first, then what else differs."""
    evidence = approval.question.evidence
    if evidence is None:
        return []
    shown = [table([head(evidence), *rows(evidence)[:ROWS]])] if evidence.metrics else []
    further = len(evidence.metrics) - ROWS
    more = f"and {further} more {'metric' if further == 1 else 'metrics'} under Details" if further > 0 else ""
    told = [one.removesuffix(".") for one in (more, _compared_with(evidence), *differing(evidence)) if one]
    missing = [escape(words, 200) for words in not_shown(evidence)]
    return [*shown, *(context(text) for text in (" · ".join(told), "\n".join(missing)) if text)]


def has_table(approval: Approval) -> bool:
    """Whether ``blocks`` shows a table."""
    evidence = approval.question.evidence
    return evidence is not None and bool(evidence.metrics)


def rule_blocks(approval: Approval) -> list[Block]:
    """Say what conditions over metrics make of the question: who has to agree, and what a rule said."""
    question, judgement = approval.question, approval.judgement
    people, reasons = raised(question.quorum_if, question.evidence)
    said = []
    if reasons and approval.decision is None:
        said.append(f"{people} people must agree, because {' and '.join(reasons)}")
    # A rule on trial keeps its opinion to itself until people have theirs.
    on_trial = judgement is not None and judgement.mode is RuleMode.SHADOW and approval.decision is None
    if judgement is not None and not on_trial:
        said.append(judgement_words(judgement))
    return [context(escape(". ".join(said), 900))] if said else []


def judgement_words(judgement: Judgement) -> str:
    """Say what a rule said, and whether that counted; plain text."""
    rule = f"The rule {judgement.condition}"
    if judgement.mode is RuleMode.SHADOW:
        would = "would have approved this" if judgement.approves else f"would have left this to people: {judgement.why}"
        return f"{rule} {would} (shadow mode: recorded only)"
    if judgement.approves and not judgement.why:
        return f"{rule} holds"
    return f"{rule} leaves this to people: {judgement.why}"


def details(approval: Approval) -> list[Block]:
    """Show every metric in lines, where no table can be."""
    evidence = approval.question.evidence
    if evidence is None or not evidence.metrics:
        return []
    lines = [f"{bold(name, 100)}  {escape(': '.join(filter(None, rest)), 300)}" for name, *rest in lines_of(evidence)]
    return [section(mrkdwn("\n".join(lines[start : start + 8]))) for start in range(0, len(lines), 8)]


def batch_blocks(approvals: Sequence[Approval], label: Callable[[Approval], str]) -> list[Block]:
    """Show one table for many shards: a row each, worst first, a column for each metric."""
    recorded = [(one, one.question.evidence) for one in approvals]
    measured = [(one, evidence) for one, evidence in recorded if evidence is not None and evidence.metrics]
    if not measured:
        return []
    measured.sort(key=lambda pair: worst(pair[1]))
    names = [metric.name for metric in measured[0][1].metrics][:_COLUMNS]
    body = [[label(one), *_cells(evidence, names)] for one, evidence in measured[:ROWS]]
    further = len(measured) - ROWS
    more = f"The {ROWS} worst of {len(measured)}, worst first" if further > 0 else "Worst first"
    told = " · ".join(filter(None, [more, _compared_with(measured[0][1])]))
    return [table([["shard", *names], *body]), context(told)]


def head(evidence: Evidence) -> list[str]:
    """Return the head of the table. The first time there is no earlier approval."""
    if evidence.baseline is None:
        return ["metric", "now", "limit"] if any(row.limits for row in compare(evidence)) else ["metric", "now"]
    # A phone shows three columns before one has to scroll.
    return ["metric", "now", "change", "last approved"]


def rows(evidence: Evidence) -> list[list[str]]:
    """Return a row for each metric, worst first; as many cells as the head has."""
    width = len(head(evidence))
    return [_row(row, width) for row in compare(evidence)]


def _row(row: Comparison, width: int) -> list[str]:
    if width == 4:  # noqa: PLR2004 - compared with the last approved run
        return [row.metric.name, row.now_in_words, row.change_in_words, row.before_in_words]
    return [row.metric.name, row.now_in_words, " · ".join(row.limits) or "–"][:width]


def lines_of(evidence: Evidence) -> list[tuple[str, str, str]]:
    """Return for each metric, worst first: its name, its value, and how it compares."""
    return [(row.metric.name, row.now_in_words, _against(row, evidence)) for row in compare(evidence)]


def _against(row: Comparison, evidence: Evidence) -> str:
    if evidence.baseline is None:
        return ", ".join(row.limits)
    before = "" if row.before is None else f"last approved {row.before_in_words}"
    change = row.change_in_words if row.change_in_words != "–" else ""
    return "; ".join(filter(None, [before, change]))


def text_lines(evidence: Evidence | None) -> list[tuple[str, str]]:
    """Return label and text of each line that says all this without any formatting."""
    if evidence is None:
        return []
    shown = [(name, f"{now} ({against})" if against else now) for name, now, against in lines_of(evidence)]
    if evidence.metrics:
        before = evidence.baseline
        shown.append(("Comparison", FIRST) if before is None else ("Compared with", f"run {before.run}"))
    shown += [("Differs", words) for words in _differing(evidence)]
    shown += [("Picture", plot.name) for plot in evidence.plots if not plot.problem]
    shown += [("No picture", words) for words in not_shown(evidence)]
    return shown


def facts(approval: Approval) -> dict[str, str]:
    """Return what tells a task from others of its step: parameters, metrics and the code, in words by name.

    Parameters only where the question shows them too: one of them may be a secret.
    """
    evidence = approval.question.evidence
    if evidence is None:
        return {}
    shows = bool(evidence.metrics) or approval.question.allow_changes
    told = {name: _short(value) for name, value in evidence.parameters.items()} if shows else {}
    told |= {metric.name: one_line(metric.shown) for metric in evidence.metrics}
    return told if evidence.code.commit is None else told | {"code": evidence.code.commit[:_COMMIT]}


def not_shown(evidence: Evidence) -> list[str]:
    """Say which pictures of the run's own there are not, and why; plain text."""
    return [f"{plot.name} can't be shown: it {plot.problem}" for plot in evidence.plots if plot.problem]


def in_brief(evidence: Evidence | None) -> str:
    """Say the worst metrics in a few words, for a notification; plain text."""
    if evidence is None or not evidence.metrics:
        return ""
    shown = []
    for row in compare(evidence)[:_NOTIFIED]:
        said = row.change_in_words if evidence.baseline else " · ".join(row.limits)
        shown.append(f"{row.metric.name} {row.now_in_words}" + (f" ({said})" if said not in {"", "–"} else ""))
    return ", ".join(shown)


def differing(evidence: Evidence) -> list[str]:
    """Say which parameters and which code differ from the last approved run; mrkdwn."""
    return [escape(words, 200) for words in _differing(evidence)]


def _differing(evidence: Evidence) -> list[str]:
    if not evidence.metrics:
        return []
    changed = other_parameters(evidence)
    words = [_changed(name, before, now) for name, before, now in changed[:_PARAMETERS]]
    if len(changed) > _PARAMETERS:
        words.append(f"{len(changed) - _PARAMETERS} more parameters")
    code = code_words(evidence.code)
    if code:
        before = evidence.baseline.code.commit if evidence.baseline else None
        other = before is not None and before != evidence.code.commit
        words.append(f"{code} ({before[:_COMMIT]} was approved)" if other and before else code)
    return words


def _changed(name: str, before: str | None, now: str | None) -> str:
    if before is None:
        return f"{name} = {_short(now)}, new"
    return f"{name} {_short(before)} → {'not set' if now is None else _short(now)}"


def code_words(code: Code) -> str:
    """Name the code by its commit."""
    if code.commit is None:
        return ""
    local = {True: ", with local changes", False: ", no local changes", None: ""}[code.changed]
    return f"code {code.commit[:_COMMIT]}{local}"


def _compared_with(evidence: Evidence) -> str:
    if not evidence.metrics:
        return ""
    before = evidence.baseline
    if before is None:
        return FIRST
    return f"Compared with {link(before.run_url, f'run {before.run}')}, approved {date(before.at)}"


def links(approval: Approval) -> str:
    """Name where to look; mrkdwn, for a message without buttons."""
    offered = list(approval.question.links.items())[:_LINKS]
    return " · ".join(link(url, one_line(name)) for name, url in offered)


def _cells(evidence: Evidence, names: Sequence[str]) -> list[str]:
    found = {row.metric.name: row for row in compare(evidence)}
    return [_cell(found[name], evidence) if name in found else "–" for name in names]


def _cell(row: Comparison, evidence: Evidence) -> str:
    said = row.change_in_words if evidence.baseline else " · ".join(row.limits)
    return row.now_in_words + (f" ({said})" if said not in {"", "–"} else "")


def _short(text: str | None) -> str:
    words = one_line(text or "")
    return (words if len(words) <= 40 else f"{words[:39]}…") or "empty"  # noqa: PLR2004 - of a value beside another
