"""/hitl and its words."""

from __future__ import annotations

import re
from collections.abc import Callable
from traceback import extract_stack

import pytest
from structlog.testing import capture_logs

from hitl_bot.bootstrap import Bot
from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.driver import Closed, Person
from metaflow_extensions.hitl.approvals.evidence.collected import Evidence, Metric
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.question import OnTimeout, RuleMode
from metaflow_extensions.hitl.approvals.record import State, Where
from tests.fixtures.approvals import REQUESTER, HandClock, gate, pathspec, question
from tests.integration.bot.conftest import CHANNEL, SCHEMA, Ask


def said(person: Person, line: str) -> str:
    """Type a command and return the one answer, which nobody else sees."""
    (answer,) = person.command(line)
    assert answer.is_ephemeral
    return answer.plain


def test_list_shows_what_waits(ask: Ask, bob: Person, alice: Person) -> None:
    """Each open approval is in the list, with whom it asks; to the asker alone."""
    first, second = ask("1"), ask("2", approvers=("@ml-leads",))
    mine = said(bob, "/hitl list")
    assert "2 approvals wait (2 for you)" in mine
    assert first.id in mine
    assert second.id in mine
    assert "2 approvals wait (1 for you)" in said(alice, "/hitl list")


def test_a_list_reads_no_record(
    ask: Ask, bot: Bot, bob: Person, interventions: list[Callable[[str, str], None]]
) -> None:
    """What is open is in the bot's memory after its first full read: a list asks only who stands in for whom."""
    for number in range(5):
        last = ask(f"shard-{number}").id
    bot.sweeper.tick()
    requests: list[str] = []

    def note(request: str, key: str) -> None:
        if any("/listeners/" in frame.filename for frame in extract_stack()):
            requests.append(f"{request} {key}")

    interventions.append(note)
    assert last in said(bob, "/hitl list")
    assert set(requests) == {f"list delegates/{bob.id}/"}


def test_list_when_nothing_waits(bot: Bot, bob: Person) -> None:
    """An empty list says so in words."""
    assert "Nothing is waiting for an answer." in said(bob, "/hitl list")


def test_list_says_when_the_last_was_decided(ask: Ask, bob: Person, bot: Bot, clock: HandClock) -> None:
    """With nothing left to answer, it names the newest answer."""
    first, second = ask("1"), ask("2")
    bob.command(f"/hitl approve {first.id}")
    clock.forward(60)
    bob.command(f"/hitl reject {second.id} no")
    clock.forward(120)
    bot.sweeper.tick()
    assert f"The last one was rejected 2 min ago: {second.id}." in said(bob, "/hitl list")


def test_list_survives_a_record_that_cant_be_read(ask: Ask, bob: Person, store: Store) -> None:
    """One corrupt record is reported, and the others are listed all the same."""
    good, bad = ask("1"), ask("2")
    store.create(f"approvals/{bad.id}/00003.json", b"{")
    answer = said(bob, "/hitl list")
    assert good.id in answer
    assert "1 could not be read" in answer


def test_list_without_slacks_groups(ask: Ask, bob: Person, control: Control) -> None:
    """If Slack can't say who is in which group, the list comes all the same."""
    approval = ask(approvers=("@ml-leads",))
    control.fault("usergroups.list", error="fatal_error")
    assert approval.id in said(bob, "/hitl list")


@pytest.mark.parametrize(
    ("rest", "listed"),
    [
        ("", {"1", "2", "3"}),
        ("mine", {"1", "3"}),
        ("flow TrainFlow", {"1", "2"}),
        ("flow “OtherFlow”", {"3"}),
        ("step deploy", {"1", "2"}),
        ("step gate", {"3"}),
        ("overdue", {"2"}),
    ],
)
def test_list_can_be_narrowed(bot: Bot, alice: Person, clock: HandClock, rest: str, listed: set[str]) -> None:
    """The list shows what waits for the asker alone, or one flow, one step, or what is behind its deadline."""
    asked = {
        "1": bot.cases.ask(pathspec(task="1"), question(), gate(), REQUESTER),
        "2": bot.cases.ask(
            pathspec(task="2"),
            question(approvers=("@ml-leads",), timeout=60, on_timeout=OnTimeout.NOTIFY),
            gate(),
            REQUESTER,
        ),
        "3": bot.cases.ask(pathspec(flow="OtherFlow", step="gate"), question(timeout=600), gate(), REQUESTER),
    }
    clock.forward(61)
    answer = said(alice, f"/hitl list {rest}")
    assert {name for name, outcome in asked.items() if outcome.approval.id in answer} == listed


@pytest.mark.parametrize("rest", ["yours", "flow", "step", "flow ../x", "mine too", "flow a b"])
def test_a_list_of_what_it_does_not_know(ask: Ask, bob: Person, rest: str) -> None:
    """A word that narrows nothing is answered with those that do."""
    ask()
    assert "mine, flow NAME, step NAME, overdue" in said(bob, f"/hitl list {rest}")


def test_a_long_list_is_turned_page_by_page(bot: Bot, bob: Person, clock: HandClock) -> None:
    """Next and Previous show every open approval once, in the place of the page before."""
    asked = set()
    for task in range(20):
        asked.add(bot.cases.ask(pathspec(task=f"{task}"), question(), gate(), REQUESTER).approval.id)
    (shown,) = bob.command("/hitl list flow TrainFlow")
    assert "Previous" not in shown.buttons
    seen: list[str] = []
    while True:
        seen += [one for one in asked if one in shown.plain]
        if "Next" not in shown.buttons:
            break
        bob.click(shown, "Next")
        shown = bob.wait_for_update(shown)
    assert sorted(seen) == sorted(asked)
    bob.click(shown, "Previous")
    assert "Next" in bob.wait_for_update(shown).buttons


def test_history_lists_what_was_decided(ask: Ask, bob: Person, clock: HandClock) -> None:
    """The last seven days, newest first: who decided what, when, and why; a flow or a time narrows it."""
    old, first, second = ask("1"), ask("2"), ask("3")
    said(bob, f"/hitl approve {old.id}")
    clock.forward(8 * 86_400)
    said(bob, f"/hitl approve {first.id}")
    clock.forward(7_200)
    said(bob, f"/hitl reject {second.id} too much drift")
    clock.forward(3_600)
    answer = said(bob, "/hitl history")
    assert "2 decided in 7 d" in answer
    assert answer.index(second.id) < answer.index(first.id)
    assert "Rejected by bob" in answer.replace("*", "")
    assert "“too much drift”" in answer
    assert old.id in said(bob, "/hitl history 30d")
    assert first.id not in said(bob, "/hitl history flow TrainFlow 2h")
    assert "Nothing was decided in 7 d, OtherFlow" in said(bob, "/hitl history flow OtherFlow")


@pytest.mark.parametrize("rest", ["soon", "flow", "7 weeks", "flow ../../x", "0d"])
def test_a_history_of_no_time(ask: Ask, bob: Person, rest: str) -> None:
    """What is neither a flow nor a time is answered with what is."""
    ask()
    assert "/hitl history" in said(bob, f"/hitl history {rest}")


def test_stats_count_and_time(ask: Ask, bob: Person, clock: HandClock) -> None:
    """Asked, approved, rejected, expired; half and 95 % of the answers; and what has been open for the longest time."""
    approved, rejected, expired, waiting = ask("1"), ask("2"), ask("3", timeout=86_400), ask("4")
    clock.forward(60)
    said(bob, f"/hitl approve {approved.id}")
    clock.forward(3_540)
    said(bob, f"/hitl reject {rejected.id} no")
    clock.forward(86_400)
    assert "closed at" in said(bob, f"/hitl approve {expired.id}")
    answer = said(bob, "/hitl stats").replace("*", "").replace("\n", " ")
    for words in ("Asked 4", "Approved 1", "Rejected 1", "Expired 0", "Half decided within 1 min"):
        assert words in answer
    assert "95% decided within 1 h" in answer
    assert "Open for the longest time: 1 d 1 h" in answer
    assert waiting.id in answer or expired.id in answer
    assert "Asked 0" in said(bob, "/hitl stats flow OtherFlow 7d").replace("*", "").replace("\n", " ")


def test_stats_rules_says_how_often_a_rule_in_shadow_mode_agreed(ask: Ask, bot: Bot, bob: Person) -> None:
    """Each rule with its count, and each miss with its ID and the way to its message."""
    shadow = {"auto_approve": "accuracy > 0.9", "auto_approve_mode": RuleMode.SHADOW}
    asked = [
        ask(run, evidence=Evidence(metrics=(Metric(name="accuracy", value=value),)), **shadow)
        for run, value in (("1", 0.95), ("2", 0.97))
    ]
    bot.sweeper.tick()  # the bot lets the rules speak
    said(bob, f"/hitl approve {asked[0].id}")
    said(bob, f"/hitl reject {asked[1].id} too slow")
    (answer,) = bob.command("/hitl stats rules 7d")
    told = answer.plain
    assert "agreed with people 1 of 2 times; would have approved 1 that people did not approve" in told
    assert asked[0].id not in told
    miss = re.search(rf"`{asked[1].id}` · <(.*)\|the message> · the rule would have approved it; bob did not", told)
    assert miss is not None
    assert miss[1] == bot.cases.ledger.read(asked[1].id).approval.posts[0].url
    assert "No rule in shadow mode was compared with people in 7 d, OtherFlow." in said(
        bob, "/hitl stats rules flow OtherFlow 7d"
    )


@pytest.mark.parametrize("line", ["/hitl", "/hitl help", "/hitl HELP", "/hitl  help me"])
def test_help_lists_the_words(bot: Bot, bob: Person, line: str) -> None:
    """No word, or help, gets the words."""
    assert "/hitl approve ID" in said(bob, line)


def test_an_unknown_word_gets_help(bot: Bot, bob: Person) -> None:
    """What Unknown command is named, with what it does know; a mention in it rings nobody."""
    answer = said(bob, "/hitl aprove <!channel>")
    assert "aprove" in answer
    assert "/hitl approve ID" in answer
    (shown,) = bob.command("/hitl <!channel>")
    assert shown.mentions == []


@pytest.mark.parametrize("word", ["show", "approve", "reject"])
def test_a_word_without_its_id(bot: Bot, bob: Person, word: str) -> None:
    """A word that needs an id says where ids are found."""
    assert f"/hitl {word} needs an approval ID" in said(bob, f"/hitl {word}")


@pytest.mark.parametrize(
    ("identifier", "words"),
    [
        ("../../x", "is not an approval ID"),
        ("a/b/c", "is not an approval ID"),
        ("gate\u200b", "is not an approval ID"),
        ("nobody-aaaaaaaaaa", "No approval nobody-aaaaaaaaaa"),
        ("deploy", "Several approvals begin like this"),
    ],
)
def test_an_id_that_names_nothing(ask: Ask, bob: Person, identifier: str, words: str) -> None:
    """An id that is malformed, unknown or ambiguous gets a clear line."""
    ask("1"), ask("2")
    assert words in said(bob, f"/hitl show {identifier}")


@pytest.mark.parametrize(
    "form", ["{id}", "`{id}`", "“{id}”", "‘{id}’", '"{id}"', "{beginning}", "{pathspec}", "  {id}  "]
)
def test_show_takes_an_id_as_people_paste_it(ask: Ask, bob: Person, form: str) -> None:
    """The id, a unique beginning of it, or the pathspec; in backticks, straight or typographic quotes."""
    approval = ask()
    written = form.format(id=approval.id, beginning=approval.id[:9], pathspec=approval.pathspec)
    answer = said(bob, f"/hitl show {written}")
    assert approval.question.message in answer
    assert approval.id in answer


def test_approve_decides(ask: Ask, bob: Person, ledger: Ledger) -> None:
    """Without a schema the command decides at once, and says what it decided."""
    approval = ask()
    assert "Approved" in said(bob, f"/hitl approve {approval.id}")
    decision = ledger.read(approval.id).approval.decision
    assert decision is not None
    assert (decision.by.id, decision.where) == ("U0BOB", Where.SLASH_COMMAND)


def test_approve_opens_the_form(ask: Ask, bob: Person, ledger: Ledger) -> None:
    """With a schema the form opens, and takes the input as from the button."""
    approval = ask(schema=SCHEMA)
    assert bob.command(f"/hitl approve {approval.id}") == []
    view = bob.wait_for_view()
    assert isinstance(view.fill({"Deploy target": "staging", "Replicas": 2}).submit(), Closed)
    decision = ledger.read(approval.id).approval.decision
    assert decision is not None
    assert decision.input == {"deploy_target": "staging", "replicas": 2}


def test_approve_with_values(ask: Ask, bob: Person, ledger: Ledger) -> None:
    """Values can be typed behind the id, quoted with what a phone's keyboard makes of quotes."""
    approval = ask(schema=SCHEMA)
    assert "Approved" in said(bob, f"/hitl approve {approval.id} deploy_target=“eu west” replicas=2")
    decision = ledger.read(approval.id).approval.decision
    assert decision is not None
    assert decision.input == {"deploy_target": "eu west", "replicas": 2}


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ("deploy_target=x replicas=many", "replicas must be a whole number"),
        ("deploy_target=x replica=1", "replica is not a field"),
        ("staging", "is not name=value"),
        ('deploy_target="x', "A quotation mark is missing"),
    ],
)
def test_approve_with_values_that_do_not_fit(ask: Ask, bob: Person, ledger: Ledger, rest: str, words: str) -> None:
    """A value that is wrong, unknown or no pair at all is refused by name, and nothing is decided."""
    approval = ask(schema=SCHEMA)
    assert words in said(bob, f"/hitl approve {approval.id} {rest}")
    assert ledger.read(approval.id).approval.state is State.PENDING


def test_values_where_none_are_asked(ask: Ask, bob: Person, ledger: Ledger) -> None:
    """Words behind the id of an approval without a schema decide nothing, since they would get lost."""
    approval = ask()
    assert "doesn't need input" in said(bob, f"/hitl approve {approval.id} please")
    assert ledger.read(approval.id).approval.state is State.PENDING


@pytest.mark.parametrize("written", ["too much drift", '"too much drift"', "“too much drift”"])
def test_reject_takes_the_rest_as_the_reason(ask: Ask, bob: Person, ledger: Ledger, written: str) -> None:
    """Everything behind the id is the reason, without quotes around it."""
    approval = ask()
    assert "Rejected" in said(bob, f"/hitl reject {approval.id} {written}")
    decision = ledger.read(approval.id).approval.decision
    assert decision is not None
    assert decision.reason == "too much drift"


def test_a_reason_is_kept_as_it_was_typed(ask: Ask, bob: Person, ledger: Ledger) -> None:
    """Slack escapes &, < and > in a command; the record has what the person typed."""
    approval = ask()
    said(bob, f"/hitl reject {approval.id} p<0.05 & “odd” tails")
    decision = ledger.read(approval.id).approval.decision
    assert decision is not None
    assert decision.reason == "p<0.05 & “odd” tails"


def test_reject_needs_a_reason(ask: Ask, bob: Person, ledger: Ledger) -> None:
    """Without a reason nothing is rejected."""
    approval = ask()
    assert "needs a reason" in said(bob, f"/hitl reject {approval.id}")
    assert ledger.read(approval.id).approval.state is State.PENDING


def test_a_conflict_names_the_winner(ask: Ask, bob: Person, carol: Person, clock: HandClock) -> None:
    """Who comes second with another answer is told who was first."""
    approval = ask()
    said(bob, f"/hitl approve {approval.id}")
    clock.forward(61)
    assert "was approved by bob 1 min ago" in said(carol, f"/hitl reject {approval.id} no")


def test_a_listed_approval_can_be_decided_from_the_list(ask: Ask, bob: Person, ledger: Ledger) -> None:
    """The buttons of a list, which one person alone sees, decide like those of the message."""
    approval = ask()
    (listed,) = bob.command("/hitl list")
    bob.click(listed, "Approve", confirm="Approve")
    assert "Approved" in bob.wait_for_ephemeral(CHANNEL, lambda one: one.ts > listed.ts).plain
    assert ledger.read(approval.id).approval.state is State.APPROVED


def test_a_defect_is_told_with_a_reference(ask: Ask, bob: Person, interventions: list[object]) -> None:
    """What nobody foresaw is answered with a reference that is in the log beside the traceback."""
    ask()

    def broken(request: str, key: str) -> None:
        raise ZeroDivisionError("a defect")

    interventions.append(broken)
    with capture_logs() as logs:
        answer = said(bob, "/hitl list")
    assert "Something went wrong." in answer
    reference = answer.rsplit(" ", 1)[1].strip(".")
    (line,) = [one for one in logs if one["event"] == "broke"]
    assert line["reference"] == reference
    assert isinstance(line["exc_info"], ZeroDivisionError)
