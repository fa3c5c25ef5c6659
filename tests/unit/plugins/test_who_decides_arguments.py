"""What a step may say about who decides, and when others are asked."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import pytest

from metaflow_extensions.hitl.approvals.duration import BadDuration
from metaflow_extensions.hitl.approvals.question import Need

with warnings.catch_warnings():
    # The plugin loads Metaflow, whose own copy of yaml warns where another one is installed.
    warnings.simplefilter("ignore")
    from metaflow_extensions.hitl.plugins.arguments import BadArgument, read_arguments
    from metaflow_extensions.hitl.plugins.hitl_decorator import HitlDecorator
    from metaflow_extensions.hitl.plugins.message import parameter_options, run_again


def read(**arguments):
    return read_arguments({**HitlDecorator.defaults, **arguments}).question


def test_by_default_one_person_decides_and_nobody_is_reminded():
    """Nothing new is asked of a step that says nothing."""
    ask = read()
    assert (ask.approvers, ask.needs, ask.quorum) == ((), (), 1)
    assert (ask.allow_self_approval, ask.allow_changes, ask.batch) == (True, False, None)
    assert (ask.remind_every, ask.escalate_after, ask.escalate_to) == (None, None, ())


def test_a_quorum_of_each_group():
    """Each group is a need of its own, and all of them are approvers."""
    ask = read(approvers=[{"group": "@ml-leads", "quorum": 2}, {"group": " @risk "}])
    assert ask.needs == (Need(of=("@ml-leads",), quorum=2), Need(of=("@risk",), quorum=1))
    assert ask.approvers == ("@ml-leads", "@risk")


def test_times_are_written_as_the_timeout_is():
    """Seconds come out."""
    ask = read(remind_every="4h", escalate_after="8h", escalate_to="@ml-oncall")
    assert (ask.remind_every, ask.escalate_after, ask.escalate_to) == (14_400, 28_800, ("@ml-oncall",))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"quorum": 0}, "`quorum` .*, not 0"),
        ({"quorum": True}, "`quorum` .*, not True"),
        ({"quorum": "2"}, "`quorum` .*, not '2'"),
        ({"quorum": 21}, "1 to 20"),
        ({"quorum": 3, "approvers": ["U0ALICE", "bob@example.com"]}, "can never be met by 2 approvers"),
        ({"approvers": [{"group": "bob@example.com", "quorum": 2}]}, "can never be met by 1 approvers"),
        ({"approvers": [{"group": "@risk", "quorun": 1}]}, "quorun"),
        ({"approvers": [{"group": ""}]}, "Use only names, or a quorum for each group"),
        ({"approvers": ["@risk", {"group": "@ml-leads"}]}, "(it has '@risk')"),
        ({"approvers": "ml-leads"}, "nobody can be 'ml-leads'. Name a group with an @"),
        ({"approvers": ["alice@example.com, bob@example.com"]}, "is not one email address"),
        ({"approvers": ["alice@example.com bob@example.com"]}, "is not one email address"),
        ({"approvers": ["alice@example.com@bob"]}, "is not one email address"),
        ({"approvers": ["bo\u212a@example.com"]}, "in ASCII letters"),
        ({"approvers": ["u0bob"]}, "IDs are in uppercase letters: write 'U0BOB'"),
        ({"approvers": [{"group": "s0mlleads"}]}, "IDs are in uppercase letters: write 'S0MLLEADS'"),
        ({"approvers": "@ML-Leads"}, "lowercase letters: write '@ml-leads'"),
        ({"approvers": "@ml-leads, @risk"}, "is not one handle"),
        ({"approvers": ["@"]}, "is not one handle"),
        ({"escalate_after": "8h", "escalate_to": "oncall"}, "escalate_to: nobody can be 'oncall'"),
        ({"allow_self_approval": "no"}, "`allow_self_approval` .*, not 'no'"),
        ({"allow_changes": 1}, "`allow_changes` .*, not 1"),
        ({"batch": "yes"}, "`batch` .*, not 'yes'"),
        ({"escalate_after": "8h"}, "go together"),
        ({"escalate_to": "@ml-oncall"}, "go together"),
    ],
)
def test_what_can_not_be_meant_is_refused_by_name(arguments, named):
    """The error names the argument and what it takes, when the flow is loaded."""
    with pytest.raises(BadArgument, match=named):
        read(**arguments)


@pytest.mark.parametrize("name", ["remind_every", "escalate_after"])
def test_a_span_that_is_none_is_refused(name):
    """As for the timeout, with the accepted forms."""
    with pytest.raises(BadDuration, match=name):
        read(**{"escalate_after": "8h", "escalate_to": "@ml-oncall", name: "soon"})


def parameter(name, **more):
    """A parameter as a flow lists it: the attribute's name, and the object that knows its name on a command line."""
    return name.replace("-", "_"), SimpleNamespace(name=name, **more)


class Flow:
    """A flow with the parameters of one run."""

    alpha = 0.5
    model_name = "two words; rm -rf"
    table = {"a": 1}  # noqa: RUF012 - as a flow has it
    long = "x" * 300
    missing = None
    config = "configuration"

    def _get_parameters(self):
        yield from map(parameter, ("alpha", "model-name", "table", "long", "missing"))
        yield parameter("config", IS_CONFIG_PARAMETER=True)


def test_the_command_that_runs_again_has_the_parameters_of_this_run():
    """Values are quoted for a shell; what is no plain value, or too long to read, is left to the reader."""
    assert run_again(Flow(), parameter_options(Flow()), "my flow.py", "run") == (
        "python 'my flow.py' run --alpha 0.5 --model-name 'two words; rm -rf' --table ... --long ..."
    )


def test_a_command_that_nobody_would_read_is_left_short():
    """Hundreds of parameters don't make a message that nobody can post."""

    class Large(Flow):
        def _get_parameters(self):
            return [parameter("alpha" + "x" * number) for number in range(300)]

        def __getattr__(self, name):
            return "v" * 100

    said = run_again(Large(), parameter_options(Large()), "flow.py", "argo-workflows trigger")
    assert said == "python flow.py argo-workflows trigger ..."
