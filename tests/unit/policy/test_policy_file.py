"""The operator's policy file: what it may say, whom it matches, and what happens when it changes."""

from __future__ import annotations

import os
import re
from contextlib import suppress

import pytest
from click.testing import CliRunner
from hypothesis import given, strategies as st

from hitl_bot.cli import cli
from hitl_bot.policy.file import BadPolicy, PolicyFile, parse_policy
from hitl_bot.policy.model import Subject
from metaflow_extensions.hitl.approvals.question import Automatic, Need, OnVeto, PolicyRule
from metaflow_extensions.hitl.approvals.reminding import NEVER_QUIET, read_quiet
from tests.fixtures.approvals import approval, pathspec

WHOLE = """
people:
  rita: alice@example.com
email_domain: example.com
rules:
  - name: production
    match: {flow: "Train*", step: [deploy, release], tag: "prod*", namespace: prod-*}
    quorum: 2
    approvers: [{group: "@risk", quorum: 1}]
    deciders: ["@ml-leads", "@risk"]
    reason: required
    longest_timeout: 8h
    channel: "#prod-approvals"
    command_line: refused
    self_approval: refused
    delegation: refused
    approval_by_timeout: allowed
    automatic_approval: shadow
    outsiders: dave@agency.example
    on_veto: count
    quiet_hours: 20:00-08:00, weekends
  - name: everything else
"""
DEMANDS = PolicyRule(
    name="production",
    needs=(Need(of=("@risk",)),),
    quorum=2,
    deciders=("@ml-leads", "@risk"),
    reason_required=True,
    longest_timeout=28_800,
    channel="#prod-approvals",
    command_line_counts=False,
    timeout_approves=True,
    automatic=Automatic.SHADOW,
    self_approval_allowed=False,
    delegation_allowed=False,
    outsiders=("dave@agency.example",),
    on_veto=OnVeto.COUNT,
)


def parse(text):
    return parse_policy(text.encode(), "policy.yaml")


def test_a_rule_says_all_that_can_be_demanded():
    """Each key of the file is a demand."""
    policy = parse(WHOLE)
    assert policy.rules[0].demands == DEMANDS
    assert policy.rules[1].demands == PolicyRule(name="everything else")


@pytest.mark.parametrize(
    ("subject", "rule"),
    [
        (Subject(flow="TrainFlow", step="deploy", tags=("a", "production"), namespace="prod-eu"), "production"),
        (Subject(flow="TrainFlow", step="release", tags=("prod",), namespace="prod-eu"), "production"),
        (Subject(flow="trainflow", step="deploy", tags=("prod",), namespace="prod-eu"), "everything else"),
        (Subject(flow="TrainFlow", step="deployed", tags=("prod",), namespace="prod-eu"), "everything else"),
        (Subject(flow="TrainFlow", step="deploy", tags=("test",), namespace="prod-eu"), "everything else"),
        (Subject(flow="TrainFlow", step="deploy", tags=(), namespace="prod-eu"), "everything else"),
        (Subject(flow="TrainFlow", step="deploy", tags=("prod",), namespace=""), "everything else"),
    ],
)
def test_the_first_rule_that_matches_applies(subject, rule):
    """Flow, step, tag and namespace must all match; of a list one; case counts."""
    assert parse(WHOLE).rule_of(subject).name == rule


def test_where_people_are_asked_for_the_clock_is_none_of_them():
    """A rule that wants a quorum, approvers, deciders or a reason lets no deadline approve, unless it says so."""
    for wants in ("quorum: 2", "approvers: [{group: '@risk'}]", "deciders: '@risk'", "reason: required"):
        assert not parse(f"rules: [{{name: a, {wants}}}]").rules[0].demands.timeout_approves
    assert parse("rules: [{name: a, channel: '#x'}]").rules[0].demands.timeout_approves
    assert not parse("rules: [{name: a, approval_by_timeout: refused}]").rules[0].demands.timeout_approves


def test_the_keys_about_people_and_rejections():
    """A rule can demand named approvers, forbid to go on after a rejection, and take a run's word for who asked."""
    text = "{name: a, named_approvers: required, continue_on_reject: refused, claimed_requester: allowed}"
    demands = parse(f"rules: [{text}]").rules[0].demands
    assert (demands.named_approvers, demands.continue_allowed, demands.claimed_requester_counts) == (True, False, True)
    assert not demands.timeout_approves
    demands = parse("rules: [{name: a}]").rules[0].demands
    assert (demands.named_approvers, demands.continue_allowed, demands.claimed_requester_counts) == (False, True, False)


def test_who_somebody_is_by_the_map_and_by_the_domain():
    """The map comes first; a user name that is no address gets the domain, if there is one."""
    policy = parse(WHOLE)
    assert [policy.known_as(user) for user in ("rita", "sam", "sam@x.example")] == [
        "alice@example.com",
        "sam@example.com",
        None,
    ]
    assert parse("rules: []").known_as("sam") is None


BAD = {
    "an unknown key": ("rules:\n  - name: a\n    quorun: 2\n", "policy.yaml:3: rules[0].quorun: unknown key"),
    "an unknown key at the top": ("rule: []\nrules: []\n", "policy.yaml:1: rule: unknown key"),
    "an unknown key in a match": (
        "rules:\n- name: a\n  match:\n    steps: deploy\n",
        "policy.yaml:4: rules[0].match.steps: unknown key",
    ),
    "no name": ("rules:\n\n  - quorum: 2\n", "policy.yaml:3: rules[0].name: this is missing"),
    "a quorum of nobody": ("rules:\n- name: a\n  quorum: 0\n", "policy.yaml:3: rules[0].quorum: "),
    "a quorum in words": ("rules:\n- name: a\n  quorum: '2'\n", "policy.yaml:3: rules[0].quorum: "),
    "a word that is none": (
        "rules:\n- name: a\n  self_approval: no\n",
        "policy.yaml:3: rules[0].self_approval: Input should be 'allowed' or 'refused'",
    ),
    "a time that is none": (
        "rules:\n- name: a\n  longest_timeout: soon\n",
        "policy.yaml:3: rules[0].longest_timeout: ",
    ),
    "the same name twice": ("rules:\n- name: a\n- name: a\n", "two rules are called 'a'"),
    "the same key twice": (
        "rules:\n- name: a\n  quorum: 2\n  quorum: 1\n",
        "policy.yaml:4: quorum: this key is repeated",
    ),
    "quiet hours that are none": (
        "rules:\n- name: a\n  quiet_hours: nights\n",
        "policy.yaml:3: rules[0].quiet_hours: it must be hours such as 20:00-08:00",
    ),
    **{
        f"an empty list: {key}": (
            f"rules:\n- name: a\n  {key}: []\n",
            f"policy.yaml:3: rules[0].{key}: this list is empty: name at least one, or leave out the key",
        )
        for key in ("deciders", "outsiders", "approvers")
    },
    **{
        f"an empty list in a match: {key}": (
            f"rules:\n- name: a\n  match:\n    {key}: []\n",
            f"policy.yaml:4: rules[0].match.{key}: this list is empty",
        )
        for key in ("flow", "step", "tag", "namespace")
    },
    "deciders that can never be": ("rules:\n- name: a\n  deciders: ml-leads\n", "nobody can be 'ml-leads'"),
    "a group in capitals": (
        "rules:\n- name: a\n  approvers:\n  - group: '@Risk'\n",
        "policy.yaml:4: rules[0].approvers[0].group: handles are in lowercase letters: write '@risk'",
    ),
    "no rules": ("people: {}\n", "policy.yaml:1: rules: this is missing"),
    "nothing": ("", "policy.yaml:1: rules: this is missing"),
    "no YAML": ("rules: [\n  - a", "policy.yaml:2: this is not valid YAML"),
    "no map": ("- rules\n", "policy.yaml:1: "),
    "a map of lists": ("rules: []\npeople: {rita: [a]}\n", "policy.yaml:2: people.rita: "),
    "an object of Python": ("rules: !!python/object/apply:os.system [id]\n", "this is not valid YAML"),
}


@pytest.mark.parametrize(("text", "said"), BAD.values(), ids=list(BAD))
def test_what_can_not_be_meant_is_refused_with_its_line(text, said):
    """Unknown keys and bad values are errors that name file, line and key, never silently nothing."""
    with pytest.raises(BadPolicy) as refused:
        parse(text)
    assert said in str(refused.value)


def test_everything_that_is_wrong_is_said_at_once():
    """One line each."""
    with pytest.raises(BadPolicy) as refused:
        parse("rules:\n- name: a\n  quorun: 2\n- quorum: 1\n")
    assert len(str(refused.value).splitlines()) == 2


@given(st.binary(max_size=200))
def test_whatever_the_file_holds_it_is_a_policy_or_refused(body):
    """No bytes end in another error."""
    with suppress(BadPolicy):
        parse_policy(body, "policy.yaml")


# The file.


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text("rules: [{name: two, quorum: 2}]")
    return file


def write(path, text):
    """Replace the file as Kubernetes does: another one in its place."""
    new = path.with_suffix(".new")
    new.write_text(text)
    os.replace(new, path)  # noqa: PTH105 - the atomic one


def test_a_change_of_the_file_holds_at_once(path):
    """The next question is asked by the new rules, without a restart."""
    policy = PolicyFile(path)
    assert policy.rule_for(approval()).quorum == 2
    write(path, "people: {rita: U0ALICE}\nrules: [{name: three, quorum: 3}]")
    assert policy.rule_for(approval()).quorum == 3
    assert policy.known_as("rita") == "U0ALICE"


def test_which_policy_holds_is_said(path):
    """The number of rules and the digest of the file; while a bad one is there, those of the rules that hold."""
    policy = PolicyFile(path)
    first = policy.summary
    assert re.fullmatch(r"1 rule, SHA-256 [0-9a-f]{12}", first)
    write(path, "rules: [")
    assert policy.summary == first
    write(path, "rules: []")
    assert re.fullmatch(r"0 rules, SHA-256 [0-9a-f]{12}", policy.summary)


def test_a_bad_file_leaves_the_rules_as_they_are_and_says_so(path):
    """Neither a typing error nor a lost file lets anybody decide who could not before; a mended one holds again."""
    policy = PolicyFile(path)
    write(path, "rules:\n- name: a\n  quorun: 3\n")
    assert policy.rule_for(approval()).name == "two"
    assert "the previous rules still apply" in policy.problem
    assert "policy.yaml:3: rules[0].quorun" in policy.problem
    path.unlink()
    assert policy.rule_for(approval()).name == "two"
    assert "can't be read" in policy.problem
    write(path, "rules: []")
    assert policy.problem == ""
    assert policy.rule_for(approval()) is None


@pytest.mark.parametrize("text", [None, "", "rules: 3", "x" * 1_000_001])
def test_without_a_policy_to_begin_with_the_bot_does_not_start(tmp_path, text):
    """A file that was named and can't be used is no reason to go on without rules."""
    path = tmp_path / "policy.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BadPolicy, match=r"policy\.yaml"):
        PolicyFile(path)


def test_the_step_is_matched_by_what_its_record_says(path):
    """Flow and step of the pathspec, and the run's tags."""
    write(path, "rules: [{name: prod, match: {flow: TrainFlow, step: deploy, tag: prod}}]")
    policy = PolicyFile(path)
    assert policy.rule_for(approval(tags=("prod",))).name == "prod"
    assert policy.rule_for(approval(tags=("test",))) is None
    assert policy.rule_for(approval(pathspec(flow="Other"), tags=("prod",))) is None


def test_a_rule_has_its_own_quiet_hours(path):
    """Where the rule that applies names none, or none applies, those of the file hold; without any there are none."""
    night, weekend = read_quiet("20:00-08:00"), read_quiet("weekends")
    rules = "rules: [{name: a, match: {step: deploy}, quiet_hours: weekends}, {name: b, match: {step: other}}]"
    write(path, f"quiet_hours: 20:00-08:00\n{rules}")
    policy = PolicyFile(path)
    asked = [policy.quiet_for(approval(pathspec(step=step))) for step in ("deploy", "other", "third")]
    assert asked == [weekend, night, night]
    write(path, rules)
    assert policy.quiet_for(approval(pathspec(step="third"))) == NEVER_QUIET


# The command.


def check(path, *arguments):
    return CliRunner().invoke(cli, ["policy", "check", str(path), *arguments])


def test_the_command_explains_which_rule_applies(path):
    """It names the rules before it and why they don't match, and what the one that does demands."""
    path.write_text(WHOLE)
    said = check(
        path, "--flow", "TrainFlow", "--step", "deploy", "--tag", "production", "--namespace", "prod-eu"
    ).output
    assert said.splitlines()[0] == "production: applies and requires"
    for line in (
        "at least 2 different people agree",
        "1 of @risk among them",
        "only @ml-leads, @risk decide",
        "nobody approves their own run",
        "nobody decides for others",
        "of guests and people from other workspaces, these may decide: dave@agency.example",
        "as many rejections as approvals are needed to reject",
        "an approval has a reason",
        "answers from command lines don't count",
        "it waits 8 h at most",
        "the bot asks in #prod-approvals",
    ):
        assert f"  - {line}" in said
    assert said.splitlines()[-1] == "Nobody is reminded during 20:00-08:00, weekends, in their own time zone."
    other = check(path, "--flow", "TrainFlow", "--step", "deploy")
    assert other.exit_code == 0
    assert "production: no, tag (none) is not prod*" in other.output
    assert "everything else: applies and requires\n  - nothing more than the step does" in other.output


def test_the_command_says_that_no_rule_applies(path):
    """Then the step alone holds."""
    path.write_text("rules: [{name: a, match: {flow: X}}]")
    said = check(path, "--flow", "Y", "--step", "deploy").output
    assert said == "a: no, flow Y is not X\nNo rule applies: the step's own arguments decide.\n"


def test_the_command_refuses_a_bad_file(path):
    """With the line and the key."""
    path.write_text("rules:\n- name: a\n  quorun: 2\n")
    refused = check(path, "--flow", "Y", "--step", "deploy")
    assert refused.exit_code == 1
    assert "quorun" in str(refused.exception)


@pytest.mark.parametrize(("match", "depends"), [('{flow: "*"}', False), ("{namespace: production}", True)])
def test_a_file_knows_whether_namespaces_matter(tmp_path, match, depends):
    """Only where a rule names namespaces does it matter where a run is."""
    file = tmp_path / "policy.yaml"
    file.write_text(f"rules:\n- name: first\n  match: {match}\n")
    assert PolicyFile(file).depends_on_namespace(approval()) is depends
