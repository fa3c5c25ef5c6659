"""The record as JSON: what is written comes back, and what is not understood is refused."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, strategies as st

from metaflow_extensions.hitl.approvals.codec import FORMAT, NotJson, Version, decode, encode, with_checksum
from metaflow_extensions.hitl.approvals.errors import CorruptRecord, NewerFormat, OlderFormat, RecordError
from metaflow_extensions.hitl.approvals.record import Closing, Post, Settlement, TrailEvent
from metaflow_extensions.hitl.approvals.sealed import OPEN
from tests.fixtures.any_approval import versions
from tests.fixtures.approvals import NOW, approval, approving, pathspec

KEY = "approvals/x/00001.json"


def _closed(document: dict[str, Any]) -> bytes:
    return with_checksum(document, trust=OPEN, kind="version")


def full() -> Version:
    """Return a version in which every part of the record is filled in."""
    asked = approval(
        message="Genauigkeit: 93,1 % – „ausrollen“? 🚀 \ud83d",
        schema={"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "integer"}}},
        approvers=("@ml-leads", "bob@example.com"),
        notifiers=("slack",),
        channel="#ml-approvals",
        timeout=3_600,
        run_url="https://example.com/17",
    )
    whole = replace(
        asked,
        posts=(Post(notifier="slack", at=NOW, channel="C1", ts="1.2", url="https://example.com"),),
        decision=approving(input={"target": "staging", "n": 3, "share": 0.5, "on": True, "none": None}, reason="ok"),
        settlement=Settlement(at=NOW, problem="The workflow is gone."),
        unknown={"evidence": {"accuracy": 0.931}},
    )
    return Version(number=3, previous="0" * 64, event=TrailEvent.SETTLED, at=NOW, approval=whole)


def document(version: Version | None = None) -> dict[str, Any]:
    """Return a version's JSON without its seal."""
    read = json.loads(encode(version or full()))
    del read["sha256"]
    return read


# What is written comes back.


@pytest.mark.slow
@given(versions())
def test_any_version_comes_back_as_it_was(version):
    """A record is read back with every value, type and order as written, whatever text it holds."""
    assert repr(decode(KEY, encode(version))) == repr(version)


@pytest.mark.slow
@given(versions())
def test_a_version_has_one_spelling(version):
    """Writing what was read gives the same bytes, so that a hash over them means something."""
    body = encode(version)
    assert encode(decode(KEY, body)) == body


@pytest.mark.parametrize("message", ["\ud800", "\udfff\ud800", "a\\\ud800", "\\ud800", "\ud800é🚀\0\u2028", '"\\"'])
def test_a_lone_surrogate_comes_back(message):
    """Half of a surrogate pair, as a model's output may hold, is kept as it was, in valid UTF-8."""
    version = Version(number=1, previous=None, event=TrailEvent.REQUESTED, at=NOW, approval=approval(message=message))
    encode(version).decode("utf-8")
    assert decode(KEY, encode(version)).approval.question.message == message


def test_two_halves_come_back_as_one_character():
    """A high and a low surrogate as two characters are, in JSON, the one character that they stand for."""
    version = Version(
        number=1, previous=None, event=TrailEvent.REQUESTED, at=NOW, approval=approval(message="\ud83d\ude80")
    )
    assert decode(KEY, encode(version)).approval.question.message == "🚀"


def test_a_record_can_be_read_by_people():
    """Text stands in the file as people wrote it, a name a line."""
    text = encode(full()).decode()
    assert "Genauigkeit: 93,1 % – „ausrollen“? 🚀" in text
    assert '\n "requested_at": "2026-03-02T09:30:00Z",\n' in text


def test_what_a_later_release_added_survives_a_rewrite():
    """Names at the top that this release does not know are carried into the next version."""
    later = _closed({**document(), "stamp": "abc", "unknown": [1], "score": {"a": [1, None, 0.5]}})
    version = decode(KEY, later)
    rewritten = json.loads(encode(replace(version, number=4)))
    assert (rewritten["stamp"], rewritten["unknown"], rewritten["score"]) == ("abc", [1], {"a": [1, None, 0.5]})


def test_times_come_back_in_utc():
    """A time with another offset is the same moment, and is shown in UTC like all others."""
    east = timezone(timedelta(hours=5, minutes=30))
    written = Version(number=1, previous=None, event=TrailEvent.REQUESTED, at=NOW.astimezone(east), approval=approval())
    changed = {**document(), "deadline": "2026-03-02T15:00:00+05:30"}
    assert decode(KEY, encode(written)).at.utcoffset() == timedelta(0)
    assert f"{decode(KEY, _closed(changed)).approval.deadline:%H:%M}" == "09:30"


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), -float("inf"), b"bytes", {1, 2}, object(), 10**5_000, NOW.isoformat],
    ids=["NaN", "infinity", "minus infinity", "bytes", "set", "object", "5,000 digits", "function"],
)
def test_what_is_no_json_is_refused_before_it_is_written(value):
    """A value that could not be read again by everybody is an error that names the approval."""
    version = replace(full(), approval=replace(approval(), decision=approving(input={"value": value})))
    with pytest.raises(NotJson, match=r"deploy-p3ibpguhvg.*Nothing was written"):
        encode(version)


def test_what_is_nested_too_deep_is_refused_before_it_is_written():
    """A document of thousands of brackets is an error, and no crash."""
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(NotJson):
        encode(replace(full(), approval=replace(approval(), decision=approving(input=deep))))


# What is not understood to the letter is refused.


def test_a_record_cut_anywhere_is_refused():
    """However much of the end is missing, a truncated version is corrupt."""
    body = encode(full())
    for length in range(len(body)):
        with pytest.raises(CorruptRecord):
            decode(KEY, body[:length])


def test_a_flipped_bit_anywhere_is_refused():
    """One changed bit in any byte is found: no text, time or name is silently another."""
    body = bytearray(encode(full()))
    for place in range(len(body)):
        for bit in range(8):
            body[place] ^= 1 << bit
            with pytest.raises(RecordError):  # a flipped format is a newer one
                decode(KEY, bytes(body))
            body[place] ^= 1 << bit


@given(st.binary())
def test_any_other_bytes_are_refused(body):
    """Nothing but a record is a record."""
    with pytest.raises(CorruptRecord):
        decode(KEY, body)


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b'"text"', b"1", b"{}", b"{", b"[" * 100_000, b'{"a": ' * 100_000, b"9" * 5_000, b"NaN"],
    ids=["nothing", "null", "list", "text", "number", "empty", "open", "deep list", "deep", "digits", "NaN"],
)
def test_other_json_is_refused(body):
    """JSON that is no object, or bottomless, is corrupt and no crash."""
    with pytest.raises(CorruptRecord):
        decode(KEY, body)


@pytest.mark.parametrize("extra", [b"\n", b" ", b"}", b"\0", b'{"a": 1}'])
def test_something_behind_the_record_is_refused(extra):
    """A version ends where it was written to end."""
    with pytest.raises(CorruptRecord):
        decode(KEY, encode(full()) + extra)


def test_a_name_given_twice_is_refused():
    """A second verdict in the same object, which a JSON reader would let win, is found by the seal."""
    body = encode(full()).replace(b'"verdict": "approved"', b'"verdict": "rejected",\n  "verdict": "approved"')
    with pytest.raises(CorruptRecord, match="hash"):
        decode(KEY, body)


def test_the_seal_is_the_hash_of_what_stands_before_it():
    """Anybody can check the seal: the SHA-256 of the object without its last name."""
    body = encode(full())
    whole = body[: body.rindex(b',\n "sha256"')] + b"\n}"
    assert json.loads(body)["sha256"] == hashlib.sha256(whole).hexdigest()
    assert json.loads(whole) == document()


@pytest.mark.parametrize("newer", [FORMAT + 1, 99, 10**30])
def test_a_newer_format_asks_for_an_upgrade(newer):
    """A record of a later format is refused with both formats, also where it is sealed in another way."""
    with pytest.raises(NewerFormat, match=f"format {newer}, but this release reads formats up to {FORMAT}. Upgrade"):
        decode(KEY, json.dumps({"format": newer, "anything": "else"}).encode())


@pytest.mark.parametrize("older", range(1, FORMAT))
def test_a_development_release_s_format_says_what_to_do(older):
    """A record from before the first release is refused, with what to do about its run and about new ones."""
    body = _closed({**document(), "format": older})
    with pytest.raises(OlderFormat, match=rf"format {older}, .* only format {FORMAT}. Finish or abandon .* METAFLOW"):
        decode(KEY, body)


def test_a_later_release_s_event_stays_the_word_that_it_wrote():
    """An event only describes, so that one more of them makes no record unreadable."""
    later = decode(KEY, _closed({**document(), "event": "countersigned"}))
    assert later.event == "countersigned"
    assert json.loads(encode(later))["event"] == "countersigned"


@pytest.mark.parametrize("written", [None, True, "1", 1.0, 0, -1, [], {}])
def test_a_format_that_is_no_format_is_refused(written):
    """The format is a whole number from 1; True is none."""
    with pytest.raises(CorruptRecord, match="does not say its format"):
        decode(KEY, _closed({**document(), "format": written}))


REQUIRED = ["version", "event", "at", "id", "pathspec", "question", "gate", "requester", "requested_at"]


@pytest.mark.parametrize("name", ["format", *REQUIRED])
def test_a_record_without_a_part_is_refused(name):
    """Every part that a question needs must be there."""
    incomplete = document()
    del incomplete[name]
    with pytest.raises(CorruptRecord):
        decode(KEY, _closed(incomplete))


WRONG: dict[str, list[Any]] = {
    "version": [None, "3", True, 3.0, [3]],
    "previous": [0, [], {}],
    "event": [None, 1, {}],
    "at": [None, 0, "", "yesterday", "2026-03-02T09:30:00", "2026-03-02", "2026-13-02T09:30:00Z", True],
    "id": [None, 1, "deploy-aaaaaaaaaa", ""],
    "pathspec": [None, "TrainFlow/17/deploy/42", [], {"flow": "F", "run": "1", "step": "a"}],
    "question": [None, [], "text", {}],
    "gate": [None, {}, {"engine": "other"}, {"engine": None}, {"engine": []}],
    "requester": [None, "rita", {"id": "x"}],
    "requested_at": [None, 5, "0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00"],
    "deadline": [0, "soon", "2026-03-02T09:30:00"],
    "posts": [None, {}, "x", [None], [[]], [{"notifier": "slack"}]],
    "decision": [True, "approved", [], {}, {"verdict": "approved"}],
    "closing": [True, "gone", {}],
    "settlement": [True, {}, {"at": None}],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_value_of_another_type_is_refused(name, value):
    """Whatever stands in the wrong type makes the whole record corrupt, named by its place."""
    with pytest.raises(CorruptRecord) as refusal:
        decode(KEY, _closed({**document(), name: value}))
    assert KEY in str(refusal.value)


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("decision", "verdict", "APPROVED"),
        ("decision", "verdict", True),
        ("decision", "verdict", None),
        ("decision", "by", "alice"),
        ("decision", "input", []),
        ("decision", "input", None),
        ("decision", "reason", None),
        ("decision", "where", "elsewhere"),
        ("question", "message", 1),
        ("question", "schema", []),
        ("question", "approvers", "@ml-leads"),
        ("question", "approvers", [None]),
        ("question", "timeout", "24h"),
        ("question", "timeout", True),
        ("question", "timeout", 1.5),
        ("question", "on_timeout", "Approve"),
        ("question", "on_reject", ""),
        ("requester", "origin", "Moon"),
        ("pathspec", "step", "../x"),
        ("pathspec", "flow", 1),
    ],
)
def test_a_value_of_another_type_deep_inside_is_refused(part, name, value):
    """The parts of the record are held to their types like the record itself."""
    changed = document()
    changed[part] = {**changed[part], name: value}
    with pytest.raises(CorruptRecord):
        decode(KEY, _closed(changed))


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity"])
def test_a_number_beyond_all_bounds_is_refused(number):
    """Python would read 1e999 as infinity, which is not JSON and could not be written again."""
    sealed = encode(full())
    whole = sealed[: sealed.rindex(b',\n "sha256"')].replace(b'"share": 0.5', f'"share": {number}'.encode())
    digest = hashlib.sha256(whole + b"\n}").hexdigest()
    with pytest.raises(CorruptRecord, match="not JSON"):
        decode(KEY, whole + f',\n "sha256": "{digest}"\n}}'.encode())


def test_an_id_must_follow_from_the_pathspec():
    """A record that was copied to another task, or whose pathspec was changed, is refused."""
    other = {**document()["pathspec"], "run": "18"}
    with pytest.raises(CorruptRecord, match="does not follow from TrainFlow/18/deploy/42"):
        decode(KEY, _closed({**document(), "pathspec": other}))
    with pytest.raises(CorruptRecord, match="does not follow from TrainFlow/17/deploy/42"):
        decode(KEY, _closed({**document(), "id": pathspec(run="18").approval_id}))


def test_a_name_that_a_later_release_put_into_a_part_is_passed_over():
    """Below the top, a name that is not known refines what is known, and does not make the record unreadable."""
    changed = document()
    changed["decision"]["second"] = {"by": "carol"}
    assert decode(KEY, _closed(changed)).approval.decision == full().approval.decision


def test_a_closing_comes_back():
    """An approval that was closed without an answer is read as one."""
    closed = replace(full(), approval=replace(approval(), closing=Closing(at=NOW, reason="The run is gone.")))
    assert decode(KEY, encode(closed)) == closed
