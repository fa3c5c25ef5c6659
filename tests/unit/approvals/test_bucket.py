"""The map of the bucket: strict names, one place that formats keys, and a page that says the same."""

from __future__ import annotations

import ast
import re
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from docs import bucket_page
from metaflow_extensions.hitl.approvals import bucket, bucket_map
from metaflow_extensions.hitl.approvals.bucket_map import Role
from metaflow_extensions.hitl.approvals.errors import BadKey
from metaflow_extensions.hitl.approvals.record import BadId
from metaflow_extensions.hitl.stores import keys

ROOT = Path(__file__).parents[3]
ID = "gate-7f3k2m9qx4"
AT = datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=timezone.utc)
BATCH = "gate-abcdefghij-2"
OWED = bucket.Owed(day=AT.date(), approval_id=ID, number=7)
EVENT = bucket.WaitingEvent(at=AT, approval_id=ID, number=7, where="webhook")

SAMPLES = {
    bucket_map.APPROVALS: (bucket.version_key(ID, 7), f"approvals/{ID}/00007.json"),
    bucket_map.OPEN: (bucket.open_key(ID), f"open/{ID}"),
    bucket_map.CHANGES: (bucket.change_key(AT, ID, 7), f"changes/20260102T030405678900Z-{ID}-7"),
    bucket_map.DECIDED: (bucket.decided_key("F", "gate", ID, AT), f"decided/F/gate/8232676954321100-{ID}"),
    bucket_map.CLAIMS: (
        bucket.claim_key(ID, "post", now=AT, during=timedelta(minutes=1)),
        f"claims/{ID}/post-0029455384",
    ),
    bucket_map.SAID: (bucket.said_key(ID, 7), f"said/{ID}/00007"),
    bucket_map.THREADS: (bucket.threads_key(AT), "threads/20260102T030405678900Z"),
    bucket_map.BATCHES: (bucket.batch_member_key(BATCH, ID), f"batches/{BATCH}/of/{ID}"),
    bucket_map.SURPLUS: (bucket.surplus_key(ID, "C01", "1772443800.000100"), f"surplus/{ID}/C01-1772443800.000100"),
    bucket_map.DELEGATIONS: (bucket.delegation_key("U01", 7), "delegations/U01/00007.json"),
    bucket_map.DELEGATES: (bucket.delegate_key("U01", "U02"), "delegates/U01/U02"),
    bucket_map.DIGESTS: (bucket.digest_key(date(2026, 1, 2)), "digests/20260102.json"),
    bucket_map.PROPOSALS: (bucket.proposed_answer_key(ID, "0a" * 16), f"proposals/answers/{ID}/{'0a' * 16}.json"),
    bucket_map.OUTBOX: (
        bucket.waiting_event_key(EVENT),
        f"outbox/waiting/20260102T030405678900Z-{ID}-00007-webhook",
    ),
    bucket_map.WAITING: (bucket.heartbeat_key(ID, AT, 30), f"waiting/{ID}/20260102T030405678900Z-30"),
    bucket_map.GATES: (bucket.gate_key("F", "17", "gate", (3, 0), ID), f"gates/F/17/gate/3.0/{ID}"),
    bucket_map.STARTED: (bucket.started_key(ID), f"started/{ID}"),
    bucket_map.OWED: (bucket.owed_key(OWED), f"owed/20260102-{ID}-00007"),
    bucket_map.PROBE: (bucket.probe_key("abc"), "probe/abc"),
}


@pytest.mark.parametrize(("prefix", "sample"), SAMPLES.items(), ids=lambda one: getattr(one, "root", ""))
def test_keys_keep_their_form(prefix, sample):
    """A key is where the map says, and stays readable by other releases: its form is fixed."""
    key, expected = sample
    assert key == expected
    assert key.startswith(prefix.root)
    assert keys.checked(key) == key


def test_a_key_is_read_as_it_was_written():
    """Every key that can be taken apart says what it was made of."""
    assert bucket.read_version_key(bucket.version_key(ID, 7)) == (ID, 7)
    assert bucket.read_open_key(bucket.open_key(ID)) == ID
    change = bucket.read_change_key(bucket.change_key(AT, ID, 7))
    assert change is not None
    assert (change.at, change.approval_id, change.number) == (AT, ID, 7)
    decided = bucket.read_decided_key(bucket.decided_key("F", "gate", ID, AT))
    assert decided is not None
    assert (decided.flow, decided.step, decided.approval_id, decided.at) == ("F", "gate", ID, AT)
    assert bucket.read_said_key(bucket.said_key(ID, 7)) == 7
    assert bucket.read_surplus_key(bucket.surplus_key(ID, "C01", "1772443800.000100")) == ID
    assert bucket.read_threads_key(bucket.threads_key(AT)) == AT
    assert bucket.read_batch_member_key(bucket.batch_member_key(BATCH, ID)) == (BATCH, ID)
    assert bucket.read_batch_number(bucket.batch_post_key(BATCH), "gate-abcdefghij") == 2
    reminded = bucket.batch_reminded_key(BATCH, AT, "reminder")
    assert bucket.read_batch_reminded_key(reminded) == (AT.replace(microsecond=0), "reminder")
    assert bucket.read_delegation_key(bucket.delegation_key("U01", 7)) == ("U01", 7)
    assert bucket.read_delegate_key(bucket.delegate_key("U01", "U02")) == "U02"
    assert bucket.read_proposed_question_key(bucket.proposed_question_key(ID)) == ID
    assert bucket.read_proposed_answer_key(bucket.proposed_answer_key(ID, "0a" * 16)) == (ID, "0a" * 16)
    assert bucket.read_waiting_event_key(bucket.waiting_event_key(EVENT)) == EVENT
    assert bucket.read_sent_event_key(bucket.sent_event_key(EVENT)) == (7, "webhook")
    assert bucket.read_owed_key(bucket.owed_key(OWED)) == OWED
    assert bucket.read_events_seen_key(bucket.events_seen_key(AT)) == AT
    assert bucket.read_heartbeat_key(bucket.heartbeat_key(ID, AT, 30)) == (ID, 30)
    assert bucket.read_gate_key(bucket.gate_key("F", "17", "gate", (), ID)) == ID


READERS = [
    bucket.read_version_key,
    bucket.read_open_key,
    bucket.read_change_key,
    bucket.read_decided_key,
    bucket.read_said_key,
    bucket.read_threads_key,
    bucket.read_batch_member_key,
    bucket.read_batch_reminded_key,
    bucket.read_delegation_key,
    bucket.read_delegate_key,
    bucket.read_proposed_question_key,
    bucket.read_proposed_answer_key,
    bucket.read_waiting_event_key,
    bucket.read_sent_event_key,
    bucket.read_events_seen_key,
    bucket.read_heartbeat_key,
    bucket.read_gate_key,
    bucket.read_owed_key,
]


@pytest.mark.parametrize(
    "key",
    [
        f"approvals/{ID}/0999999.json",
        f"approvals/{ID}/00000.json",
        f"approvals/{ID}/٠٠٠٠١.json",
        f"approvals/{ID}/00001.json\n",
        f"approvals/{ID}/1/00001.json",
        "approvals/É/00001.json",
        "open/É",
        f"open/{ID}/more",
        f"changes/99990101T000000000000Z-{ID}-1",
        f"changes/20260230T000000000000Z-{ID}-1",
        f"changes/２０２６0102T030405678900Z-{ID}-1",
        f"changes/20260102T030405678900Z-{ID}-0",
        f"changes/20260102T030405678900Z-{ID}-999999",
        "decided/F/s/é",
        f"decided/F/s/0000000000000000-{ID}",
        f"decided/F/s/9999999999999999-{ID}",
        f"decided/F/{8232676954321100}-{ID}",
        f"said/{ID}/7",
        "threads/99990101T000000000000Z",
        f"batches/{BATCH}/of/É",
        f"batches/{BATCH}/reminded/20260102T030405Z-É",
        "delegations/U01/0999999.json",
        "delegates/U01/é",
        f"waiting/{ID}/20260102T030405678900Z-x",
        f"gates/F/17/gate/É/{ID}",
        "proposals/questions/É.json",
        f"proposals/questions/{ID}",
        f"proposals/answers/{ID}/{'0A' * 16}.json",
        f"proposals/answers/{ID}/{'٠' * 32}.json",
        f"outbox/waiting/20260102T030405678900Z-{ID}-7-webhook",
        f"outbox/waiting/20260102T030405678900Z-{ID}-00007-",
        f"outbox/sent/{ID}/7-webhook",
        "outbox/seen/99990101T000000000000Z",
        f"owed/20260230-{ID}-00001",
        f"owed/20260102-{ID}-1",
    ],
)
def test_a_name_of_another_form_is_not_read(key):
    """Digits of other scripts, numbers and moments out of bounds, parts too many: no such key says anything."""
    assert [reader.__name__ for reader in READERS if reader(key) is not None] == []


def mutated(key: str) -> st.SearchStrategy[str]:
    return st.builds(
        lambda at, text: key[:at] + text + key[at + 1 :], st.integers(0, len(key)), st.text(min_size=0, max_size=3)
    )


@given(st.text(max_size=40) | st.sampled_from([key for key, _ in SAMPLES.values()]).flatmap(mutated))
def test_no_key_makes_a_reader_fail(key):
    """Whatever a key looks like, reading it gives what it says, or None."""
    for reader in READERS:
        reader(key)
    assert bucket.read_batch_number(key, "gate") is None or key.startswith("batches/")


@pytest.mark.parametrize("part", ["", ".", "..", "a/b", "é", ".hidden", "a b", "a\n", "٠"])
def test_what_is_not_a_name_makes_no_key(part):
    """A key is made of ASCII names; anything else is refused before a store sees it."""
    with pytest.raises(BadKey, match="can't be part of a key"):
        bucket_map.WAITING.key(part, "name")
    with pytest.raises((BadId, BadKey)):
        bucket.version_key(part, 1)


@pytest.mark.parametrize("number", [0, -1, 100_000])
def test_a_version_has_a_number_within_bounds(number):
    """Five digits: a name with more would sort before the ones that it follows."""
    with pytest.raises(BadKey, match="1 to 99999"):
        bucket.version_key(ID, number)


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=8))
def test_a_listing_goes_on_after_a_folder_whatever_is_in_it(name):
    """What follows a folder comes after every key in it, also after one beyond ASCII."""
    assert f"decided/F/s/{name}" < bucket.after_all("decided/F/s/") < "decided/F/t/a"


# One place.


def _strings(tree: ast.AST) -> list[tuple[int, str]]:
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    ]


def test_nothing_else_formats_a_key():
    """No module but the map and its keys holds a text that begins as a key does."""
    key = re.compile(f"({'|'.join(prefix.root[:-1] for prefix in bucket_map.PREFIXES)})/")
    found = [
        f"{file.relative_to(ROOT)}:{line}: {text!r}"
        for folder in ("metaflow_extensions", "hitl_bot", "benchmarks")
        for file in (ROOT / folder).rglob("*.py")
        if file not in {Path(bucket.__file__), Path(bucket_map.__file__)}
        for line, text in _strings(ast.parse(file.read_text()))
        if key.match(text)
    ]
    assert found == []


# The page.


def test_the_page_says_what_the_map_says():
    """docs/bucket.md is written from the map: run `python docs/bucket_page.py` after a change."""
    assert (ROOT / "docs" / "bucket.md").read_text() == bucket_page.page()


def test_whoever_removes_something_may_read_it():
    """Nobody removes, or writes in sealed mode, what they can't look at or what the other mode keeps from them."""
    for prefix in bucket_map.PREFIXES:
        assert set(prefix.removed_by) <= set(prefix.written_by) | {Role.BOT}
        assert set(prefix.written_by_if_sealed) <= set(prefix.written_by) | {Role.BOT}
        assert Role.BOT in prefix.read_by


def test_only_the_bot_writes_what_counts_in_sealed_mode():
    """Runs and command lines propose, say what a run asked, awaits and started, and leave pictures named by hash."""
    theirs = {prefix.root for prefix in bucket_map.PREFIXES if set(prefix.written_by_if_sealed) - {Role.BOT}}
    assert theirs == {
        bucket_map.PROPOSALS.root,
        bucket_map.PLOTS.root,
        bucket_map.WAITING.root,
        bucket_map.GATES.root,
        bucket_map.STARTED.root,
    }


def test_no_marker_speaks_of_what_is_to_come() -> None:
    """Up to when something was done lies in the past: one ahead of every clock was planted."""
    ahead, planted = AT + timedelta(minutes=4), AT + timedelta(days=36_500)
    assert bucket.newest_moment([AT, None, ahead, planted], AT) == ahead
    assert bucket.newest_moment([planted, None], AT) is None
