"""Which task an approval is about, and the id that follows from it."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import given, strategies as st

from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.record import BadId, Pathspec, checked_id
from metaflow_extensions.hitl.stores import keys
from tests.fixtures.any_approval import pathspecs
from tests.fixtures.approvals import pathspec

UNFRIENDLY = {
    "Deploy_To_PROD": "deploy-to-prod",
    "__start__": "start",
    "a__b": "a-b",
    "_": "step",
    "a.b@c": "a-b-c",
    "x" * 200: "x" * 40,
    "x" * 39 + "_y": "x" * 39,
    "0": "0",
}

BAD_IDS = {
    "empty": "",
    "space": " ",
    "parent": "../",
    "parent alone": "..",
    "a way up": "deploy/../../x",
    "dot": ".",
    "slash": "/",
    "line break": "deploy-abc\n",
    "line break inside": "deploy\nabc",
    "null": "deploy\0",
    "escape": "\x1b[31mdeploy",
    "uppercase": "Deploy-abc",
    "underscore": "deploy_abc",
    "dash first": "-abc",
    "dash alone": "-",
    "percent": "deploy%2e%2e",
    "backslash": "deploy\\abc",
    "half a surrogate pair": "deploy\ud800",
    "look-alike": "dерloy-abc",
    "digit of another script": "deploy-٣",
    "long": "a" * 64,
    "long with dashes": "a" + "-" * 300,
    "star": "*",
}


def test_the_id_of_a_task_stays_the_same_for_good():
    """Ids are in records, in links and in workflows: this one was written once and must not change."""
    assert pathspec().approval_id == "deploy-p3ibpguhvg"


@pytest.mark.parametrize(("step", "beginning"), UNFRIENDLY.items(), ids=list(UNFRIENDLY.values()))
def test_a_step_is_recognised_in_the_id_whatever_its_name(step, beginning):
    """The id begins with the step's name in lower case, without what a key should not hold, cut after 40 characters."""
    assert re.fullmatch(re.escape(beginning) + "-[a-z2-7]{10}", pathspec(step=step).approval_id)


@given(pathspecs())
def test_an_id_is_safe_wherever_ids_go(where):
    """An id has only a-z, 0-9 and dashes, is a whole key part, is accepted as an id, and follows from the pathspec."""
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]*[a-z0-9]", where.approval_id)
    assert keys.checked(f"open/{where.approval_id}")
    assert checked_id(where.approval_id) == where.approval_id
    assert Pathspec.parse(str(where)).approval_id == where.approval_id


@given(st.lists(pathspecs(), unique=True, min_size=2, max_size=50))
def test_two_tasks_never_share_an_id(tasks):
    """Different pathspecs have different ids, also where the ids spell their steps alike."""
    assert len({where.approval_id for where in tasks}) == len(tasks)


@pytest.mark.parametrize("part", ["flow", "run", "step", "task"])
def test_each_of_the_four_names_counts(part):
    """Another flow, run, step or task has another approval."""
    assert pathspec(**{part: "other"}).approval_id != pathspec().approval_id


def test_names_that_are_spelled_alike_are_told_apart():
    """``a_b`` and ``a__b`` are cut to the same letters, and the hash still tells their gates apart."""
    first, second = pathspec(step="a_b").approval_id, pathspec(step="a__b").approval_id
    assert (first[:3], second[:3]) == ("a-b", "a-b")
    assert first != second


@given(pathspecs())
def test_a_pathspec_is_read_as_it_is_written(where):
    """``parse`` undoes ``str``."""
    assert Pathspec.parse(str(where)) == where


@given(pathspecs())
def test_a_pathspec_can_be_part_of_a_key(where):
    """A flow's history is filed under the flow and the step, which every store takes."""
    assert keys.checked(f"decided/{where.flow}/{where.step}/x")


@pytest.mark.parametrize(
    "text",
    [
        "TrainFlow/17/deploy",
        "TrainFlow/17/deploy/42/1",
        "//deploy/42",
        "TrainFlow/17/deploy/",
        "/17/deploy/42",
        "../17/deploy/42",
        "TrainFlow/../deploy/42",
        "TrainFlow/./deploy/42",
        ".hidden/17/deploy/42",
        "TrainFlow/17/deploy/42\n",
        "TrainFlow/17/de ploy/42",
        "TrainFlow/17/de\0ploy/42",
        "TrainFlow/17/déploy/42",
        "TrainFlow/17/deploy/" + "4" * 201,
        "",
    ],
)
def test_what_is_no_pathspec_is_refused(text):
    """Exactly four names, each of letters, digits, and ``_ . @ -``, none empty, hidden or leading elsewhere."""
    with pytest.raises(BadId):
        Pathspec.parse(text)


@pytest.mark.parametrize("text", BAD_IDS.values(), ids=list(BAD_IDS))
def test_what_is_no_id_is_refused(text):
    """Nothing that could leave its place in the store, or garble a terminal, passes as an id or a beginning of one."""
    with pytest.raises(BadId) as refusal:
        checked_id(text)
    assert isinstance(refusal.value, HitlError)


@pytest.mark.parametrize("text", ["d", "deploy", "deploy-", "deploy-p3ib", "deploy-p3ibpguhvg", "a" * 63])
def test_an_id_and_its_beginnings_are_accepted(text):
    """A person may give the beginning of an id."""
    assert checked_id(text) == text


@given(st.text())
def test_an_accepted_id_is_made_of_harmless_characters(text):
    """Whatever is typed is refused, or is made of a-z, 0-9 and dashes alone."""
    with suppress(BadId):
        assert re.fullmatch(r"[a-z0-9-]{1,63}", checked_id(text))


def test_the_refusal_of_an_id_is_one_short_printable_line():
    """A page of control characters given as an id does not reach the terminal."""
    with pytest.raises(BadId) as refusal:
        checked_id("\x1b[2J\n" * 1_000)
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 500
