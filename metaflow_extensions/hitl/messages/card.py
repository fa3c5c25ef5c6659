"""A decision as a page of its own, for Metaflow's cards: one HTML file that loads nothing and runs nothing."""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape

from metaflow_extensions.hitl.approvals.codec import Version
from metaflow_extensions.hitl.approvals.evidence.binding import question_digest
from metaflow_extensions.hitl.approvals.evidence.pictures import Picture
from metaflow_extensions.hitl.approvals.record import Approval, Person, State

from . import evidence, sentences, voting
from .blocks import cut, is_web_address, one_line, utc
from .trail import short
from .voting import requester, vouched

_MESSAGE = 6_000  # characters of a message that may be megabytes
_REASON = 3_000  # as much as people can enter
_VALUE = 500
_LISTED = 100
_STYLE = """
:root { color-scheme: light dark; --text: #1d1c1d; --quiet: #5c5a5d; --line: #dddbe0; --page: #fff; --good: #0b6b46; --bad: #b3123a; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e8e6e9; --quiet: #a9a6ad; --line: #3c3a40; --page: #1a1d21; --good: #5fcf9f; --bad: #ff8099; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page); margin: 24px auto; padding: 0 16px; max-width: 800px; }
h1 { font-size: 22px; line-height: 1.3; white-space: pre-wrap; overflow-wrap: anywhere; }
h2 { font-size: 16px; margin: 28px 0 8px; }
p.verdict { font-size: 17px; font-weight: 600; }
p.good { color: var(--good); } p.bad { color: var(--bad); }
blockquote { margin: 8px 0; padding-left: 12px; border-left: 3px solid var(--line); white-space: pre-wrap; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 6px 12px 6px 0; border-bottom: 1px solid var(--line); font-weight: normal; overflow-wrap: anywhere; }
th { color: var(--quiet); } table.facts th { width: 30%; }
img { max-width: 100%; border: 1px solid var(--line); border-radius: 8px; }
"""  # noqa: E501 - one rule a line


def page(approval: Approval, trail: Sequence[Version] = (), pictures: Sequence[Picture] = ()) -> str:
    """Write the card of a gated task.

    Parameters
    ----------
    approval : Approval
        As the gate found it.
    trail : Sequence[Version]
        Its versions, oldest first.
    pictures : Sequence[Picture]
        What its question showed besides words.
    """
    asked = cut(sentences.question_text(approval), _MESSAGE)
    parts = [
        f"<h1>{escape(asked)}</h1>",
        *_ending(approval),
        *_measured(approval),
        *(_figure(one) for one in pictures),
        *_section("Question", _question(approval)),
        *_section("Answer", _answer(approval)),
        *_section("What the answer is about", _bound_to(approval)),
        *_section("Record", [(f"version {one.number}", f"{short(one)}, {utc(one.at)}") for one in trail[:_LISTED]]),
    ]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(one_line(asked[:150]))}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _ending(approval: Approval) -> list[str]:
    if approval.state is State.PENDING:
        return []
    ending = sentences.verdict(approval, _name)
    kind = "good" if approval.state is State.APPROVED else "bad"
    said = [f'<p class="verdict {kind}">{_text(ending.head + ending.tail, _REASON)}</p>']
    if reason := sentences.reason(approval):
        said.append(f"<blockquote>{escape(cut(reason, _REASON))}</blockquote>")
    return said


def _measured(approval: Approval) -> list[str]:
    found = approval.question.evidence
    if found is None:
        return ["<h2>Evidence</h2><p>Nothing was recorded.</p>"]
    if not found.metrics:
        return []
    head = "".join(f"<th>{_text(cell)}</th>" for cell in evidence.head(found))
    rows = "".join(
        "<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in evidence.rows(found)
    )
    rest = [text for label, text in evidence.text_lines(found) if label in {"Differs", "No picture"}]
    if found.baseline is not None:
        rest.insert(0, f"Compared with run {found.baseline.run}, approved {utc(found.baseline.at)}")
    else:
        rest.insert(0, evidence.FIRST)
    return [f"<h2>Evidence</h2><table><tr>{head}</tr>{rows}</table><p>{' · '.join(map(_text, rest))}</p>"]


def _figure(picture: Picture) -> str:
    source = f"data:image/png;base64,{b64encode(picture.png).decode()}"
    return f'<h2>{_text(picture.title)}</h2><img src="{source}" alt="{_text(picture.alt, _REASON)}">'


def _question(approval: Approval) -> list[tuple[str, str]]:
    url = next((post.url for post in approval.posts if is_web_address(post.url)), None)
    return [
        ("task", str(approval.pathspec)),
        ("started by", requester(approval, _name)),
        ("asked", utc(approval.requested_at)),
        ("who decides", voting.who_decides(approval, str, "everyone who can see the question")),
        *([("rule", voting.demands(approval.requirements))] if approval.requirements.name else []),
        *([("message", url)] if url else []),
        ("approval", approval.id),
    ]


def _answer(approval: Approval) -> list[tuple[str, str]]:
    decision = approval.decision
    if decision is None:
        return []
    votes = [
        (f"vote of {voting.voter(vote, _name)}", f"{vote.verdict.value} ({vote.where.value}), {utc(vote.at)}")
        for vote in approval.votes[:_LISTED]
    ]
    judged = [("rule on metrics", evidence.judgement_words(approval.judgement))] if approval.judgement else []
    return [
        ("verdict", decision.verdict.value),
        ("decided by", voting.deciders(approval, decision, _name)),
        ("at", utc(decision.at)),
        ("how", vouched(approval)),
        *votes,
        *judged,
        *((f"input {name}", sentences.value_text(value)) for name, value in list(decision.input.items())[:_LISTED]),
    ]


def _bound_to(approval: Approval) -> list[tuple[str, str]]:
    found = approval.question.evidence
    if found is None:
        return [("question", f"SHA-256 {question_digest(approval)}")]
    rows = [(f"parameter {name}", value) for name, value in list(found.parameters.items())[:_LISTED]]
    if words := evidence.code_words(found.code):
        rows.append(("code", words))
    if found.code.package:
        rows.append(("code package", f"SHA-1 {found.code.package}"))
    if found.artifacts is not None:
        rows += [(f"artifact {name}", key) for name, key in found.artifacts.keys.items()]
        rows.append(("artifacts", f"{found.artifacts.count}, SHA-256 {found.artifacts.sha256}"))
    return [*rows, ("question", f"SHA-256 {question_digest(approval)}")]


def _section(title: str, rows: Iterable[tuple[str, str]]) -> list[str]:
    cells = "".join(f"<tr><th>{_text(name)}</th><td>{_linked(text)}</td></tr>" for name, text in rows if text)
    return [f'<h2>{title}</h2><table class="facts">{cells}</table>'] if cells else []


def _linked(text: str) -> str:
    return f'<a href="{escape(text)}">{escape(text)}</a>' if is_web_address(text) else _text(text)


def _text(text: str, limit: int = _VALUE) -> str:
    return escape(one_line(cut(text, limit)))


def _name(person: Person) -> str:
    return one_line(cut(person.name or person.id, 80))
