"""The ledger: who is first wins, nothing is overwritten, and the trail proves itself."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaflow_extensions.hitl.approvals import rules
from metaflow_extensions.hitl.approvals.codec import Version, encode
from metaflow_extensions.hitl.approvals.errors import (
    AmbiguousId,
    CorruptRecord,
    HitlError,
    NoSuchApproval,
    OtherPathspec,
    RecordError,
    StoreUnavailable,
    TooManyWriters,
)
from metaflow_extensions.hitl.approvals.ledger import Entry, Ledger, change_key
from metaflow_extensions.hitl.approvals.pathspec import BadId
from metaflow_extensions.hitl.approvals.question import OnTimeout
from metaflow_extensions.hitl.approvals.record import Post, State
from metaflow_extensions.hitl.approvals.refusals import AlreadyDecided, ApprovalError, TooLate
from metaflow_extensions.hitl.stores.memory import MemoryStore
from tests.fixtures.approvals import (
    ALICE,
    BOB,
    NOW,
    CountedStore,
    WatchedStore,
    after,
    approval,
    approvals,
    approving,
    pathspec,
    rejecting,
    unavailable,
)

ID = pathspec().approval_id


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def ledger(store: MemoryStore) -> Ledger:
    return Ledger(store)


def decide(ledger: Ledger, decision, *, seen: Entry | None = None) -> Entry:
    return ledger.update(ID, "decided", decision.at, partial(rules.decide, decision=decision), seen=seen)


def settle(ledger: Ledger, at=NOW) -> Entry:
    return ledger.update(ID, "settled", at, partial(rules.settle, now=at))


def post(ledger: Ledger, notifier: str = "slack") -> Entry:
    return ledger.update(ID, "posted", NOW, partial(rules.posted, post=Post(notifier=notifier, at=NOW)))


def markers(store: MemoryStore, prefix: str) -> list[str]:
    return list(store.list(prefix))


# Asking.


def test_asking_writes_the_first_version(ledger, store):
    """A new approval is version 1, with nothing before it, and is on the list of open ones and in the tail."""
    entry = ledger.begin(approval())
    assert (entry.number, entry.version.previous, entry.version.event) == (1, None, "requested")
    assert ledger.read(ID) == entry
    assert list(ledger.open_ids()) == [ID]
    assert [(change.approval_id, change.number, change.at) for change in ledger.changes(NOW)] == [(ID, 1, NOW)]


def test_asking_again_finds_what_is_there(ledger):
    """A retry of the step, with another message and a later clock, finds the first question and its answer."""
    ledger.begin(approval())
    decided = decide(ledger, approving())
    assert ledger.begin(approval(at=after(60), message="Once more?")) == decided
    assert len(ledger.trail(ID)) == 2


def test_of_eight_who_ask_at_once_all_get_one_question(ledger):
    """The notify container and its retries agree on one record."""
    barrier = Barrier(8)

    def ask(n: int) -> Entry:
        asked = approval(message=f"Question {n}")
        barrier.wait()
        return ledger.begin(asked)

    with ThreadPoolExecutor(8) as pool:
        entries = list(pool.map(ask, range(8)))
    assert len({entry.digest for entry in entries}) == 1
    assert len(ledger.verify(ID)) == 1


def test_asking_about_another_task_under_the_same_id_is_refused(ledger, store):
    """If ever two pathspecs shared an id, the second would be refused and not take the first one's answer."""
    ledger.begin(approval())
    with pytest.raises(OtherPathspec, match="about TrainFlow/17/deploy/42, not about TrainFlow/18/deploy/42"):
        ledger.begin(replace(approval(pathspec(run="18")), id=ID))


def test_asking_again_about_a_settled_approval_leaves_it_settled(ledger):
    """What is settled does not come back on the list of open ones."""
    ledger.begin(approval())
    decide(ledger, approving())
    ledger.finish(settle(ledger).approval)
    ledger.begin(approval())
    assert list(ledger.open_ids()) == []


def test_the_open_marker_is_there_before_the_record(store):
    """Whoever dies between the two writes leaves a marker to clean, and no question that nobody would find."""
    written = []
    Ledger(WatchedStore(store, lambda request, key: written.append((request, key)))).begin(approval())
    assert written == [
        ("mark", f"open/{ID}"),
        ("create", f"approvals/{ID}/00001.json"),
        ("mark", f"changes/20260302T093000000000Z-{ID}-1"),
    ]


# Deciding.


def test_of_eight_deciders_one_wins_and_seven_are_told_who(ledger):
    """Eight people with eight answers at the same moment make one decision, and everybody learns of that one."""
    seen = ledger.begin(approval())
    barrier = Barrier(8)
    people = [replace(ALICE, id=f"U{n}", name=f"Person {n}") for n in range(8)]

    def answer(n: int) -> Entry:
        decision = approving(people[n], input={"n": n})
        barrier.wait()
        return decide(ledger, decision, seen=seen)

    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(answer, n) for n in range(8)]
    winner = ledger.read(ID).approval.decision
    refusals = [refusal for answer in answers if (refusal := answer.exception()) is not None]
    assert [type(refusal) for refusal in refusals] == [AlreadyDecided] * 7
    assert all(refusal.standing == winner for refusal in refusals)
    assert [entry.version.event for entry in ledger.verify(ID)] == ["requested", "decided"]


def test_of_eight_with_the_same_answer_all_have_approved(ledger):
    """Eight clicks on Approve are one decision, and nobody is told that there was a conflict."""
    seen = ledger.begin(approval())
    barrier = Barrier(8)

    def answer(n: int) -> Entry:
        barrier.wait()
        return decide(ledger, approving(replace(ALICE, id=f"U{n}")), seen=seen)

    with ThreadPoolExecutor(8) as pool:
        entries = list(pool.map(answer, range(8)))
    assert len({entry.digest for entry in entries}) == 1


def test_an_answer_and_the_deadline_never_both_win(ledger):
    """An answer from just before the deadline and an expiry, at the same moment, many times: one of them stands."""
    for run in range(50):
        task = pathspec(run=str(run))
        seen = ledger.begin(approval(task, timeout=60))
        barrier = Barrier(2)

        def answer(seen=seen, barrier=barrier) -> Entry:
            barrier.wait()
            change = partial(rules.decide, decision=approving(at=after(59)))
            return ledger.update(seen.approval.id, "decided", after(59), change, seen=seen)

        def expire(seen=seen, barrier=barrier) -> Entry:
            barrier.wait()
            return ledger.update(
                seen.approval.id, "expired", after(60), partial(rules.expire, now=after(60)), seen=seen
            )

        with ThreadPoolExecutor(2) as pool:
            by_person, by_clock = pool.submit(answer), pool.submit(expire)
        stands = ledger.verify(task.approval_id)[-1]
        assert stands.number == 2
        if stands.approval.state is State.APPROVED:
            assert (by_person.result(), by_clock.result()) == (stands, stands)
        else:
            assert isinstance(by_person.exception(), TooLate)
            assert by_clock.result() == stands


def test_what_was_seen_may_be_old(ledger):
    """An answer by somebody who saw the question before it was posted goes behind the version that they did not see."""
    old = ledger.begin(approval())
    posted = post(ledger)
    decided = decide(ledger, approving(), seen=old)
    assert (decided.number, decided.version.previous) == (3, posted.digest)
    assert decided.approval.posts == posted.approval.posts


def test_the_same_answer_by_somebody_who_saw_an_old_version_is_fine(ledger):
    """Who saw the question open and clicks what was answered meanwhile gets that answer, even after the deadline."""
    old = ledger.begin(approval(timeout=60))
    decided = decide(ledger, approving(at=after(59)))
    assert decide(ledger, approving(BOB, at=after(61)), seen=old) == decided


def test_a_refusal_speaks_of_the_newest_version(ledger):
    """Who saw the question open and comes too late is told who decided, and not that nobody had."""
    old = ledger.begin(approval(timeout=60))
    decide(ledger, approving(at=after(59)))
    with pytest.raises(AlreadyDecided, match="approved by Alice Adams"):
        decide(ledger, rejecting(at=after(61)), seen=old)


def test_a_change_that_changes_nothing_is_not_written(ledger):
    """The trail has no versions that add nothing; what was seen is read again before that is said."""
    old = ledger.begin(approval(timeout=60))
    decided = decide(ledger, approving())
    assert ledger.update(ID, "expired", after(60), partial(rules.expire, now=after(60)), seen=decided) == decided
    assert ledger.update(ID, "nothing", NOW, lambda newest: newest, seen=old) == decided
    assert len(ledger.trail(ID)) == 2


def test_a_writer_that_keeps_losing_gives_up(ledger):
    """If others write first 20 times in a row, nothing is written and the person is told to try again."""
    ledger.begin(approval())
    rivals = iter(range(1_000))

    def slow(newest):
        post(ledger, f"rival {next(rivals)}")
        return rules.decide(newest, approving())

    with pytest.raises(TooManyWriters, match=f"changing {ID} at the same moment. Nothing was written; try again"):
        ledger.update(ID, "decided", NOW, slow)
    assert ledger.verify(ID)[-1].number == 21
    assert ledger.read(ID).approval.state is State.PENDING


def test_settling_twice_is_one_version(ledger):
    """Two who finish the same approval, each with an old view, leave one settlement."""
    ledger.begin(approval())
    seen = decide(ledger, approving())
    first = ledger.update(ID, "settled", after(1), partial(rules.settle, now=after(1)), seen=seen)
    second = ledger.update(ID, "settled", after(2), partial(rules.settle, now=after(2)), seen=seen)
    assert second == first


def test_an_answer_stands_although_the_tail_could_not_be_written(store):
    """The tail only says what is new. If its marker fails, nobody is told that their answer does not count."""

    def no_tail(request, key):
        if key.startswith("changes/"):
            unavailable(request, key)

    flaky = Ledger(WatchedStore(store, no_tail))
    flaky.begin(approval())
    assert decide(flaky, approving()) == flaky.read(ID)
    assert markers(store, "changes/") == []
    assert list(flaky.open_ids()) == [ID]


# Any interleaving, with any old view.

steps = st.one_of(
    st.tuples(
        st.just("decide"),
        st.sampled_from((approving(), approving(BOB, input={"n": 2}), rejecting(), rejecting(ALICE, reason="No."))),
    ),
    st.tuples(st.sampled_from(["expire", "close", "settle", "post", "begin"]), st.none()),
)


@given(
    st.sampled_from(OnTimeout),
    st.lists(st.tuples(steps, st.integers(0, 120), st.integers(0, 20)), max_size=15),
)
def test_any_interleaving_leaves_one_whole_trail_with_one_outcome(on_timeout, happening):
    """Whatever people, clocks and sweepers do, in any order, each with any old view: first written wins for good."""
    ledger = Ledger(MemoryStore())
    views = [ledger.begin(approval(timeout=60, on_timeout=on_timeout))]
    refused = []
    for (act, decision), seconds, view in happening:
        now, seen = after(seconds), views[min(view, len(views) - 1)]
        try:
            match act:
                case "decide":
                    change = partial(rules.decide, decision=replace(decision, at=now))
                case "expire":
                    change = partial(rules.expire, now=now)
                case "close":
                    change = partial(rules.close, reason="gone", now=now)
                case "settle":
                    change = partial(rules.settle, now=now)
                case "post":
                    change = partial(rules.posted, post=Post(notifier=f"notifier {seconds % 3}", at=now))
                case "begin":
                    views.append(ledger.begin(approval(at=now)))
                    continue
            views.append(ledger.update(ID, act, now, change, seen=seen))
        except ApprovalError as refusal:
            refused.append((refusal.approval, ledger.read(ID).approval))
    trail = ledger.verify(ID)
    outcomes = [(entry.approval.decision, entry.approval.closing) for entry in trail]
    ended = [outcome for outcome in outcomes if outcome != (None, None)]
    assert len(set(map(repr, ended))) <= 1
    assert outcomes == [(None, None)] * (len(outcomes) - len(ended)) + ended
    assert all(entry in trail for entry in views)
    # Everybody is refused for what the newest version says.
    assert all(told == newest for told, newest in refused)


@given(approvals())
def test_whatever_is_recorded_is_read_back(recorded):
    """A record holds any text that a flow or a person may come up with."""
    ledger = Ledger(MemoryStore())
    entry = ledger.begin(recorded)
    assert ledger.read(recorded.id) == entry
    assert ledger.read_version(recorded.id, 1) == entry


# Finding.


def ask_many(ledger: Ledger, *ids_begin: str) -> list[str]:
    return [ledger.begin(approval(pathspec(step=step))).approval.id for step in ids_begin]


def test_an_approval_is_found_by_its_id_a_beginning_or_its_pathspec(ledger):
    """A person may give whichever is at hand; space around it does not matter."""
    deploy, train = ask_many(ledger, "deploy", "train")
    assert ledger.resolve(deploy) == deploy
    assert ledger.resolve(f" {train}\n") == train
    assert ledger.resolve("d") == deploy
    assert ledger.resolve("train-") == train
    assert ledger.resolve("TrainFlow/17/train/42") == train


def test_a_beginning_of_several_names_them(ledger):
    """Who gives too little is shown what there is, up to five, and told to give more."""
    ids = sorted(ask_many(ledger, *(f"deploy_{n}" for n in range(7)), "train"))
    with pytest.raises(AmbiguousId) as refusal:
        ledger.resolve("deploy")
    assert [each for each in ids if each in str(refusal.value)] == ids[:5]
    assert "Give more of the id" in str(refusal.value)


def test_a_whole_id_means_itself(ledger):
    """An approval can be named although six others begin with its whole id."""
    short = ask_many(ledger, "deploy")[0]
    others = ask_many(ledger, *(f"{short.replace('-', '_')}_{n}" for n in range(6)))
    assert all(other.startswith(short) for other in others)
    assert ledger.resolve(short) == short


def test_an_unknown_id_says_where_it_was_looked_for(ledger):
    """Nothing begins like this: the message names the store and the way to a list."""
    ask_many(ledger, "deploy")
    with pytest.raises(NoSuchApproval, match=r"No approval deploy-x in memory\. `hitl list --all`"):
        ledger.resolve("deploy-x")
    with pytest.raises(NoSuchApproval):
        ledger.read("deploy-x")
    with pytest.raises(NoSuchApproval):
        ledger.verify("deploy-x")
    with pytest.raises(NoSuchApproval):
        ledger.update("deploy-x", "decided", NOW, lambda newest: newest)


@pytest.mark.parametrize(
    "text", ["", "../", "../../open", "deploy/../x", "Deploy", "deploy\0", "deploy\nx", "-", "a/b/c"]
)
def test_what_can_be_no_id_touches_no_store(text):
    """A path, a control character or an empty text is refused before a key is made of it."""
    ledger = Ledger(WatchedStore(MemoryStore(), unavailable))
    with pytest.raises(BadId):
        ledger.resolve(text)
    if "/" not in text:
        with pytest.raises(BadId):
            ledger.read(text)


def test_only_open_approvals_are_listed(ledger):
    """What is settled is off the list, and what stands there without being an id is passed over."""
    ids = ask_many(ledger, "deploy", "train")
    ledger.finish(ledger.read(ids[0]).approval)
    ledger.store.mark("open/Not an id")
    assert list(ledger.open_ids()) == [ids[1]]


def test_many_are_read_in_order_and_a_bad_one_is_its_own_error(ledger, store):
    """One record that can't be read does not hide the others."""
    ids = ask_many(ledger, *(f"step_{n}" for n in range(40)))
    bad = ids[7]
    store.create(f"approvals/{bad}/00002.json", b"{}")
    read = list(ledger.read_many([*ids, "not-there"]))
    assert [entry.approval.id for entry in read if isinstance(entry, Entry)] == [each for each in ids if each != bad]
    assert isinstance(read[7], CorruptRecord)
    assert isinstance(read[-1], NoSuchApproval)


def test_a_store_that_is_away_is_no_bad_record(ledger, store):
    """Reading many fails as a whole when the store does not answer, and says so."""
    with pytest.raises(StoreUnavailable):
        list(Ledger(WatchedStore(store, unavailable)).read_many([ID]))


# Markers.


def test_the_history_of_a_step_is_newest_first(ledger):
    """The last decision is the first of its flow and step; undecided ones and other steps are not there."""
    for n, run in enumerate(["1", "2", "3"]):
        decided = rules.decide(approval(pathspec(run=run)), approving(at=after(n * 0.000001)))
        ledger.note_decided(decided)
        ledger.note_decided(decided)
    ledger.note_decided(rules.decide(approval(pathspec(step="train")), approving()))
    ledger.note_decided(approval(pathspec(run="4")))
    newest_first = [pathspec(run=run).approval_id for run in ("3", "2", "1")]
    assert ledger.decided_ids("TrainFlow", "deploy", limit=10) == newest_first
    assert ledger.decided_ids("TrainFlow", "deploy", limit=2) == newest_first[:2]
    assert ledger.decided_ids("TrainFlow", "other", limit=2) == []


def test_the_tail_tells_what_was_written_since(ledger):
    """The tail is in the order of the writers' clocks, includes the moment asked for, and names the version."""
    ledger.begin(approval())
    decide(ledger, approving(at=after(2)))
    settle(ledger, at=after(3))
    assert [change.number for change in ledger.changes(NOW)] == [1, 2, 3]
    assert [change.number for change in ledger.changes(after(2))] == [2, 3]
    assert [change.number for change in ledger.changes(after(2.000001))] == [3]


def test_the_tail_passes_over_what_is_no_change(ledger, store):
    """A key that somebody else left among the markers stops nobody who follows the tail."""
    ledger.begin(approval())
    for key in ("20261302T093000000000Z-deploy-1", "20260302T093000000000Z--1", "zzz", f"{'9' * 8}T{'9' * 12}Z-a-1"):
        store.mark(f"changes/{key}")
    store.mark(f"changes/20260302T093000000000Z-{'a' * 100}-1")
    assert [change.approval_id for change in ledger.changes(NOW)] == [ID]


def test_old_markers_of_the_tail_are_removed_and_records_are_not(ledger, store):
    """Forgetting removes what is older than a moment, and only markers of the tail."""
    ledger.begin(approval())
    decide(ledger, approving(at=after(10)))
    assert ledger.forget_changes(after(10)) == 1
    assert [change.number for change in ledger.changes(NOW)] == [2]
    assert ledger.forget_changes(after(10)) == 0
    assert len(ledger.verify(ID)) == 2
    assert list(ledger.open_ids()) == [ID]


@given(st.lists(st.integers(-(10**12), 10**12), min_size=2, max_size=2))
def test_keys_of_the_tail_sort_as_time_does(offsets):
    """Earlier is smaller, so that a listing from a key on is a listing from a moment on."""
    first, second = (NOW + timedelta(milliseconds=offset) for offset in sorted(offsets))
    assert change_key(first) <= change_key(second)


# The trail.


@pytest.fixture
def whole(ledger: Ledger) -> Ledger:
    ledger.begin(approval())
    post(ledger)
    decide(ledger, approving())
    settle(ledger)
    return ledger


def bodies(ledger: Ledger) -> list[bytes]:
    return [ledger.store.read(key) for key in ledger.store.list(f"approvals/{ID}/")]


def of(versions: list[bytes], *, first: int = 1) -> Ledger:
    """Return a ledger that holds these bodies as its versions."""
    store = MemoryStore()
    for number, body in enumerate(versions, start=first):
        store.create(f"approvals/{ID}/{number:05d}.json", body)
    return Ledger(store)


def test_a_whole_trail_is_proved(whole):
    """Each version holds the hash of the one before it, and what they add is told in order."""
    trail = whole.verify(ID)
    assert [entry.version.event for entry in trail] == ["requested", "posted", "decided", "settled"]
    assert [entry.version.previous for entry in trail] == [None, *(entry.digest for entry in trail[:-1])]


@pytest.mark.parametrize("version", range(4))
def test_a_flipped_byte_in_any_version_is_found(whole, version):
    """Wherever a byte is changed, the trail is not whole, and the record is named."""
    body = bodies(whole)[version]
    for place in range(len(body)):
        changed = bodies(whole)
        changed[version] = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        with pytest.raises(RecordError, match=ID):
            of(changed).verify(ID)


@pytest.mark.parametrize("version", range(3))
def test_a_missing_version_is_found(whole, version):
    """A version that was removed leaves a gap."""
    store = MemoryStore()
    for number, body in enumerate(bodies(whole)):
        if number != version:
            store.create(f"approvals/{ID}/{number + 1:05d}.json", body)
    with pytest.raises(CorruptRecord, match=f"version {version + 1} is missing before it"):
        Ledger(store).verify(ID)


def test_closing_the_gap_of_a_missing_version_is_found(whole):
    """Versions that were moved up do not carry their own number any more."""
    first, _, *others = bodies(whole)
    with pytest.raises(CorruptRecord, match="says that it is version 3"):
        of([first, *others]).verify(ID)


@pytest.mark.parametrize("version", range(3))
def test_a_replaced_version_is_found(whole, version):
    """A version that was written anew, well formed and with another time, has another hash than the next one says."""
    forged = whole.trail(ID)[version].version
    versions = bodies(whole)
    versions[version] = encode(replace(forged, at=after(1)))
    with pytest.raises(CorruptRecord, match=f"hash in it is not that of version {version + 1}"):
        of(versions).verify(ID)


def test_swapped_versions_are_found(whole):
    """Two versions in each other's place do not carry their numbers."""
    first, second, third, fourth = bodies(whole)
    with pytest.raises(CorruptRecord, match="says that it is version 3"):
        of([first, third, second, fourth]).verify(ID)


FORGERIES = {
    "another verdict": lambda decided: replace(decided, decision=rejecting()),
    "another approver": lambda decided: replace(decided, decision=replace(decided.decision, by=BOB)),
    "no verdict": lambda decided: replace(decided, decision=None),
    "another question": lambda decided: replace(decided, question=replace(decided.question, message="Delete it?")),
    "another deadline": lambda decided: replace(decided, deadline=after(1)),
    "another requester": lambda decided: replace(decided, requester=BOB),
    "another problem": lambda decided: rules.settle(replace(decided, settlement=None), NOW, "The workflow is gone."),
    "no settlement": lambda decided: replace(decided, settlement=None),
    "a lost message": lambda decided: replace(decided, posts=()),
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=list(FORGERIES))
def test_a_later_version_that_changes_what_was_settled_is_found(whole, forge):
    """With every hash right, a version that rewrites the question, the decision or a message is still refused."""
    last = whole.read(ID)
    forged = Version(number=5, previous=last.digest, event="settled", at=NOW, approval=forge(last.approval))
    with pytest.raises(CorruptRecord, match=r"00005\.json.*changes what an earlier version had settled"):
        of([*bodies(whole), encode(forged)]).verify(ID)


def test_an_answer_to_a_closed_question_is_found(ledger):
    """With every hash right, a version that forgets a closing, to answer after all, is refused."""
    ledger.begin(approval())
    closed = ledger.update(ID, "closed", NOW, partial(rules.close, reason="gone", now=NOW))
    answered = rules.decide(approval(), approving())
    forged = Version(number=3, previous=closed.digest, event="decided", at=NOW, approval=answered)
    ledger.store.create(f"approvals/{ID}/00003.json", encode(forged))
    with pytest.raises(CorruptRecord, match="changes what an earlier version had settled"):
        ledger.verify(ID)


def test_a_question_that_begins_decided_is_found(whole):
    """A trail starts with a question: one that starts with its answer was not written by asking."""
    decided = rules.decide(approval(), approving())
    forged = Version(number=1, previous=None, event="requested", at=NOW, approval=decided)
    with pytest.raises(CorruptRecord, match=r"00001\.json"):
        of([encode(forged)]).verify(ID)


def test_another_record_under_this_id_is_refused(whole):
    """A record that was copied from another task opens nothing here."""
    other = Ledger(MemoryStore()).begin(approval(pathspec(run="18")))
    with pytest.raises(OtherPathspec, match="is about TrainFlow/18/deploy/42"):
        of([encode(other.version)]).read(ID)


@pytest.mark.parametrize("name", ["00001.json.tmp", "1.json", "latest", "00000x.json"])
def test_a_stray_object_beside_the_versions_closes_the_gate(whole, name):
    """What is no version, behind the newest one, makes the record untrustworthy and is named."""
    whole.store.create(f"approvals/{ID}/z{name}", b"")
    with pytest.raises(CorruptRecord, match=re.escape(name)):
        whole.read(ID)


@pytest.mark.parametrize("body", [b"", b"{", b'{"format": 99}'])
def test_a_bad_newest_version_closes_the_gate(whole, body):
    """Nobody falls back to an older version: that would undo what the newest one said."""
    whole.store.create(f"approvals/{ID}/00005.json", body)
    ask, answer = partial(whole.begin, approval()), partial(decide, whole, approving())
    for act in (partial(whole.read, ID), partial(whole.verify, ID), ask, answer):
        with pytest.raises(HitlError, match=r"00005\.json"):
            act()


# How many requests.


def crowd(store: MemoryStore, count: int) -> None:
    """Put other approvals around the one in question."""
    other = Ledger(store)
    for n in range(count):
        other.begin(approval(pathspec(task=str(n), step="deploy" if n % 2 else "a")))


def test_one_approval_costs_the_same_however_many_there_are(store):
    """Reading is one LIST and one GET, deciding adds one PUT for the record, and looking for an answer is one GET."""
    crowd(store, 1_500)
    Ledger(store).begin(approval())
    counted = CountedStore(store)
    ledger = Ledger(counted)

    seen = ledger.read(ID)
    assert counted.requests == {"list": 1, "read": 1}

    counted.requests.clear()
    assert ledger.read_version(ID, seen.number + 1) is None
    assert counted.requests == {"read": 1}

    counted.requests.clear()
    decide(ledger, approving(), seen=seen)
    assert counted.requests == {"create": 1, "mark": 1}

    counted.requests.clear()
    assert ledger.read_version(ID, seen.number + 1) is not None
    assert counted.requests == {"read": 1}

    counted.requests.clear()
    assert ledger.resolve(ID) == ID
    assert counted.requests == {"list": 1}


def test_asking_costs_three_requests(store):
    """A mark, the record, and a mark."""
    crowd(store, 100)
    counted = CountedStore(store)
    Ledger(counted).begin(approval())
    assert counted.requests == {"create": 1, "mark": 2}


def test_listing_costs_a_request_for_each_thousand_and_one_for_each_approval_read(store):
    """2,500 open approvals are three LISTs; ten of them are read with a LIST and a GET each."""
    for n in range(2_500):
        store.mark(f"open/step-{n:010d}")
    counted = CountedStore(store)
    ledger = Ledger(counted)
    assert len(list(ledger.open_ids())) == 2_500
    assert counted.requests == {"list": 3}

    ids = [ledger.begin(approval(pathspec(task=str(n)))).approval.id for n in range(10)]
    counted.requests.clear()
    assert len(list(ledger.read_many(ids))) == 10
    assert counted.requests == {"list": 10, "read": 10}


def test_a_beginning_costs_two_requests_more_than_what_it_finds(store):
    """Resolving never reads through all versions: each approval that is found costs one LIST, at most five do."""
    crowd(store, 300)
    counted = CountedStore(store)
    with pytest.raises(AmbiguousId):
        Ledger(counted).resolve("deploy")
    assert counted.requests == {"list": 6}
