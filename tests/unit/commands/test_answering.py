"""`hitl approve`, `reject` and `request-changes`: of one, of many, and how each ends."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from metaflow_extensions.hitl.approvals.record import Answer, Obligation, State, Verdict, Where
from metaflow_extensions.hitl.commands.context import ExitCode
from tests.fixtures.approvals import ALICE, BOB, pathspec, rejecting
from tests.unit.commands.test_looking import SCHEMA

PAGE = Path(__file__).parents[3] / "docs" / "evidence.md"


def state(terminal, asked):
    return terminal.bench.ledger.read(asked.id).approval.state


def test_approve_records_a_claim(terminal):
    """The record has the input, typed, and the name that nobody vouches for."""
    asked = terminal.bench.ask(schema=SCHEMA)
    assert terminal.hitl("approve", asked.id, "--set", "target=staging", "--set", "share=7") == 0
    decision = terminal.bench.ledger.read(asked.id).approval.decision
    assert decision.input == {"target": "staging", "share": 7, "notes": None}
    assert (decision.by.name, decision.by.is_claimed, decision.where) == ("rita", True, Where.COMMAND_LINE)
    assert terminal.out.startswith("Approved by rita (command line)")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("approve", "{id}", "--set", "target=moon"), ExitCode.BAD_INPUT, "one of staging, production"),
        (("approve", "{id}", "--set", "target"), ExitCode.BAD_INPUT, "--set needs NAME=VALUE, not 'target'."),
        (("approve", "{id}", "--input", "{{"), ExitCode.BAD_INPUT, "--input is not valid JSON"),
        (("approve", "{id}", "--input", "[1]"), ExitCode.BAD_INPUT, "must be a JSON object"),
        (("approve", "{id}", "--input", "@none.json"), ExitCode.BAD_INPUT, "can't be read"),
        (("request-changes", "{id}", "--reason", "x"), ExitCode.BAD_INPUT, "doesn't accept requests for changes"),
        (("approve", "nothing-like-it"), ExitCode.NO_SUCH_ID, "No approval nothing-like-it"),
        (("approve", "no id!"), ExitCode.NO_SUCH_ID, "'no id!'"),
        (("approve",), ExitCode.USAGE, "give IDs, or one of --all"),
        (("approve", "{id}", "--all"), ExitCode.USAGE, "give IDs, or one of --all"),
        (("reject", "{id}"), ExitCode.USAGE, "--reason"),
        (("reject", "--run", "none", "--reason", "x"), ExitCode.NO_SUCH_ID, "Nothing waits"),
        (("wait", "{id}", "--timeout", "soon"), ExitCode.USAGE, "'soon'"),
        (("wait", "{id}", "--timeout", "0"), ExitCode.PENDING, "Nobody has decided"),
    ],
)
def test_each_refusal_has_a_code_and_words(terminal, words, code, said):
    """A script can tell them apart, a person reads why on the standard error, and nothing is recorded."""
    asked = terminal.bench.ask(schema=SCHEMA)
    assert terminal.hitl(*(word.format(id=asked.id) for word in words)) == code
    assert said in terminal.err
    assert state(terminal, asked) is State.PENDING


def test_another_answer_came_first(terminal):
    """The same answer again is fine; another one ends with a code of its own."""
    asked = terminal.bench.ask()
    assert terminal.hitl("approve", asked.id) == 0
    assert terminal.hitl("approve", asked.id) == 0
    assert terminal.hitl("reject", asked.id, "--reason", "no") == ExitCode.ALREADY_ANSWERED


def test_an_answer_that_has_to_be_confirmed_is_pending(terminal):
    """Where it matters who answers, a claim is proposed to the bot, and the code says that it does not count yet."""
    asked = terminal.bench.ask(approvers=("U0ALICE",))
    assert terminal.hitl("approve", asked.id, "--wait", "0") == ExitCode.PENDING
    assert "Was that you?" in terminal.err
    assert "Not confirmed yet." in terminal.out
    assert state(terminal, asked) is State.PENDING
    assert len(list(terminal.bench.store.list("proposals/answers/"))) == 1


def test_many_that_have_to_be_confirmed_share_the_time_to_wait(terminal):
    """All are proposed before the first is waited for, and what to do is said once."""
    for task in range(3):
        terminal.bench.ask(pathspec(task=str(task)), approvers=("U0ALICE",))
    assert terminal.hitl("approve", "--all", "--wait", "0") == ExitCode.PENDING
    assert len(list(terminal.bench.store.list("proposals/answers/"))) == 3
    assert terminal.err.count("Was that you?") == 1
    assert terminal.out.count("Not confirmed yet.") == 3


def test_more_people_must_agree(terminal):
    """A vote is recorded, and the code says that nothing is decided."""
    asked = terminal.bench.ask(quorum=2, allow_self_approval=True)
    assert terminal.hitl("approve", asked.id, "--wait", "0") == ExitCode.PENDING
    assert state(terminal, asked) is State.PENDING


def test_all_of_a_run_but_one(terminal):
    """`--run`, `--step` and `--all` answer what waits, `--except` leaves out, and other runs are not touched."""
    shards = [terminal.bench.ask(pathspec(run="17", task=str(task))) for task in range(4)]
    other = terminal.bench.ask(pathspec(run="18"))
    assert terminal.hitl("approve", "--run", "17", "--except", shards[2].id) == 0
    assert [state(terminal, one).value for one in shards] == ["approved", "approved", "pending", "approved"]
    assert terminal.out.count("Approved by rita") == 3
    assert terminal.hitl("reject", "--step", "deploy", "--except", other.id, "--reason", "drift") == 0
    assert terminal.out.startswith(f"{shards[2].id}  Rejected")  # one alone is named too where nobody typed its ID
    assert (state(terminal, shards[2]), state(terminal, other)) == (State.REJECTED, State.PENDING)
    assert terminal.hitl("approve", "--all") == 0
    assert state(terminal, other) is State.APPROVED


def test_one_bad_answer_of_many_holds_up_no_other(terminal):
    """Those that fit are taken, and the code says that one was not."""
    plain = terminal.bench.ask(pathspec(run="1"))
    asking = terminal.bench.ask(pathspec(run="2"), schema=SCHEMA)
    assert terminal.hitl("approve", "--all") == ExitCode.BAD_INPUT
    assert f"{asking.id}  target is required" in terminal.err
    assert f"  Nothing was decided. Correct the input: approve {asking.id} --set target=..." in terminal.err
    assert (state(terminal, plain), state(terminal, asking)) == (State.APPROVED, State.PENDING)


def test_json_says_for_each_what_became_of_it(terminal):
    """A list, each with the state, the exit code of its own, and what a person would read."""
    asked = terminal.bench.ask()
    (one,) = terminal.json("approve", asked.id)
    assert (one["id"], one["state"], one["exit_code"]) == (asked.id, "approved", 0)
    assert one["decision"]["by"] == "rita"
    (again,) = terminal.json("reject", asked.id, "--reason", "no")
    assert again["exit_code"] == terminal.code == ExitCode.ALREADY_ANSWERED
    assert "approved by rita" in again["said"][0]


def test_wait_ends_as_the_approvals_did(terminal):
    """0 where all were approved; otherwise the code of what ended badly."""
    yes, no = terminal.bench.ask(pathspec(run="1")), terminal.bench.ask(pathspec(run="1", task="43"))
    terminal.hitl("approve", yes.id)
    assert terminal.hitl("wait", yes.id) == 0
    said = rejecting()
    terminal.bench.cases.decide(no.id, said, who=ALICE, where=Where.BUTTON)
    assert terminal.hitl("wait", no.id) == ExitCode.REJECTED
    assert terminal.hitl("wait", yes.id, no.id) == ExitCode.REJECTED
    late = terminal.bench.ask(pathspec(run="3"), timeout=60)
    terminal.bench.clock.forward(61)
    terminal.bench.cases.expire(terminal.bench.ledger.read(late.id))
    assert terminal.hitl("wait", late.id) == ExitCode.EXPIRED
    gone = terminal.bench.ask(pathspec(run="4"))
    terminal.bench.cases.close(terminal.bench.ledger.read(gone.id), "the run was stopped")
    assert [one["state"] for one in terminal.json("wait", gone.id)] == ["closed"]
    assert terminal.code == ExitCode.CLOSED


def test_wait_for_a_run_that_has_asked_nothing_yet(terminal):
    """It is waited for until the time is over."""
    assert terminal.hitl("wait", "--run", "17", "--timeout", "0") == ExitCode.PENDING
    assert "The run 17 has asked nothing" in terminal.err


def test_a_yes_can_carry_an_obligation(terminal):
    """With text, owner and day; `show` and the JSON list it, and what is incomplete is refused."""
    asked = terminal.bench.ask(pathspec())
    assert terminal.hitl("approve", asked.id, "--owes", "Look again.") == ExitCode.BAD_INPUT
    assert "--owes needs --due with a day such as 2026-12-31" in terminal.err
    assert terminal.hitl("approve", asked.id, "--due", "2199-12-31") == ExitCode.BAD_INPUT
    assert terminal.hitl("approve", asked.id, "--owes", "Look again.", "--due", "2020-01-01") == ExitCode.BAD_INPUT
    assert terminal.bench.ledger.read(asked.id).approval.decision is None
    assert terminal.hitl("approve", asked.id, "--owes", "Look again.", "--due", "2199-12-31", "--owner", "carol") == 0
    terminal.hitl("show", asked.id)
    assert "owed       carol: Look again., due 2199-12-31" in terminal.out
    (listed,) = terminal.json("obligations")
    assert (listed["id"], listed["number"], listed["due"]) == (asked.id, 1, "2199-12-31")
    terminal.hitl("obligations", "--step", "deploy")
    assert "2199-12-31  carol" in terminal.out
    terminal.hitl("obligations", "--step", "train")
    assert terminal.out == "Nobody owes anything.\n"
    (owed,) = terminal.json("show", asked.id)["obligations"]
    assert (owed["text"], owed["owner"], owed["due"], owed["closed_by"]) == ("Look again.", "carol", "2199-12-31", None)


def test_done_closes_an_obligation(terminal):
    """Whoever approved closes it with a comment, once; an approval with several needs the number of one."""
    first = terminal.bench.ask(pathspec())
    second = terminal.bench.ask(pathspec(run="18"))
    terminal.hitl("approve", first.id, second.id, "--owes", "Look again.", "--due", "2199-12-31", "--owner", "carol")
    assert terminal.hitl("done", first.id) == ExitCode.USAGE
    assert terminal.hitl("done", first.id, "--comment", "All fine.") == 0
    assert terminal.out == "carol: Look again., due 2199-12-31 (done by rita: All fine.)\n"
    assert terminal.hitl("done", first.id, "--comment", "Again.") == ExitCode.NO_SUCH_ID
    assert f"{first.id} has no open obligation" in terminal.err
    assert terminal.hitl("done", second.id, "--number", "2", "--comment", "All fine.") == ExitCode.NO_SUCH_ID
    (left,) = terminal.json("obligations")
    assert left["id"] == second.id
    (done,) = terminal.json("done", second.id, "--number", "1", "--comment", "All fine.")
    assert (done["exit_code"], done["obligations"][0]["closed_by"]) == (0, "rita")


def test_the_commands_of_the_page_take_an_obligation_on_and_close_it(terminal):
    """docs/evidence.md, as it is written, but for the ID and a day that is never over."""
    asked = terminal.bench.ask(pathspec())
    written = re.findall(r"^hitl (.*(?:owes|obligations|done).*)$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert [line.split()[0] for line in written] == ["approve", "obligations", "done"]
    for line in written:
        words = [{"ID": asked.id, "2026-12-31": "2199-12-31"}.get(word, word) for word in shlex.split(line)]
        assert terminal.hitl(*words) == 0, terminal.err
    assert "rita: Compare it with last year's., due 2199-12-31 (done by rita: Same as last year.)" in terminal.out


def test_an_obligation_of_somebody_whom_slack_knows_is_closed_once_it_is_confirmed(terminal):
    """A typed name closes nothing that somebody else owes: it is proposed to the bot."""
    owed = Obligation(text="Look again.", owner=ALICE, due="2199-12-31")
    asked = terminal.bench.ask()
    yes = Answer(verdict=Verdict.APPROVE, obligation=owed)
    terminal.bench.cases.decide(asked.id, yes, who=BOB, where=Where.FORM)
    assert terminal.hitl("done", asked.id, "--comment", "Mine.", "--wait", "0") == ExitCode.PENDING
    assert f"the obligation of {asked.id} is closed once you confirm it in Slack" in terminal.err
    assert "is still open" in terminal.out
    assert list(terminal.bench.ledger.read(asked.id).approval.open_obligations) == [1]
