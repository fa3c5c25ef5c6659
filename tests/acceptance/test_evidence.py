"""Evidence in real `python flow.py run` processes: what changed since the last yes, and a yes by rule."""

from __future__ import annotations

import json
import subprocess

from metaflow_extensions.hitl.approvals.evidence.collected import Code
from tests.acceptance.test_readme import blocks
from tests.fixtures.flows import REPOSITORY, Process

MEASURED = """
accuracy = Parameter("accuracy", default=0.95)

@step
def start(self):
    self.report = {"f1": self.accuracy - 0.1, "loss": float("nan")}
    self.next(self.deploy)

@hitl(
    message="Deploy?",
    metrics={
        "accuracy": {"format": ".1%", "better": "higher"},
        "report.f1": None,
        "loss": {"value": "report.loss"},
        "doubled": {"value": lambda self: 2 * self.accuracy},
    },
    auto_approve="accuracy >= 0.95 and abs(delta.accuracy) < 0.02",
)
@card(type="blank")
@step
def deploy(self):
    current.card.append(Markdown("# The author's own"))
    print("RUNS", current.hitl.verdict, current.hitl.decided_by)
    self.next(self.end)

@step
def end(self):
    pass
"""


def committed(folder):
    """Put the flow under git, and return the commit."""
    (folder / ".gitignore").write_text("*\n!flow.py\n")
    who = ["-c", "user.name=alice", "-c", "user.email=alice@example.com"]
    for command in (["init", "-q"], ["add", "flow.py"], [*who, "commit", "-q", "-m", "The flow"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    said = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True)
    return said.stdout.strip()


def test_the_second_run_shows_what_changed_and_a_rule_may_approve_the_third(flow):
    """Asked the first time; compared the second; approved by rule the third, on record like any other decision."""
    measured = flow(MEASURED, above="from metaflow.cards import Markdown\n")
    commit = committed(measured.folder)
    first = measured.start("run")
    (asked,) = measured.wait_for_approvals()
    assert asked.question.evidence.code == Code(commit=commit, changed=False)
    assert first.wait_for_line("No earlier approval of this step was found")
    measured.approvals.approve(asked.id)
    assert first.wait() == 0, first.output

    with measured.file.open("a") as file:
        file.write("# a local change\n")
    second = measured.start("run", "--accuracy", "0.9")
    (asked,) = measured.wait_for_approvals()
    assert second.wait_for_line("90.0% (last approved 95.0%; −5.0 points, worse)")
    assert asked.question.evidence.code == Code(commit=commit, changed=True)
    assert second.wait_for_line(f"code {commit[:7]}, with local changes")
    assert second.wait_for_line("accuracy 0.95 → 0.9")
    shown = measured.hitl("show", asked.id).output
    assert "loss       is NaN" in shown
    assert "parameter  accuracy = 0.9" in shown
    assert "artifact   report " in shown
    assert "judged by rule" in shown
    measured.approvals.reject(asked.id, reason="worse")
    assert second.wait() != 0, second.output

    third = measured.start("run", "--accuracy", "0.96")
    assert third.wait() == 0, third.output
    assert third.wait_for_line("RUNS").endswith(
        "RUNS approved the rule accuracy >= 0.95 and abs(delta.accuracy) < 0.02"
    )
    assert measured.data("deploy")["hitl_decision"]["decided_by"].startswith("the rule accuracy >= 0.95")
    _lineage(measured)


LINEAGE = """
import json
from metaflow import Flow, namespace
from metaflow.cards import get_cards
namespace(None)
runs = {run.id: run for run in Flow("NAME")}
found = {tag: [run.id for run in Flow("NAME").runs(tag)] for tag in ("hitl:approved", "hitl:rejected")}
tags = sorted(tag for run in runs.values() for tag in run.user_tags if tag.startswith("hitl:approved-by:"))
cards = {run: sorted(one.type for one in get_cards(runs[run]["deploy"].task)) for run in runs}
pages = {run: get_cards(runs[run]["deploy"].task, type="hitl")[0].get() for run in runs}
facts = {run: {k: v for k, v in runs[run]["deploy"].task.metadata_dict.items() if k.startswith("hitl")} for run in runs}
print("DATA " + json.dumps({"found": found, "tags": tags, "cards": cards, "pages": pages, "facts": facts}))
"""


def _lineage(measured):
    """Hold what Metaflow's own client finds to what was decided: oldest run first approved, rejected, by rule."""
    (example,) = blocks(REPOSITORY / "docs" / "audit.md", "python")
    code = (example + LINEAGE).replace("TrainAndDeploy", measured.name).replace("NAME", measured.name)
    process = Process([measured.python, "-c", code], measured.folder, measured.environment)
    measured.processes.append(process)
    process.wait()
    # The page's example, on these runs: a rule approved the newest.
    assert process.lines[0].endswith("nobody")
    assert " the rule accuracy >= 0.95 " in process.lines[0]
    said = json.loads(process.wait_for_line("DATA ").removeprefix("DATA "))
    first, second, third = sorted(said["cards"], key=int)
    assert said["found"] == {"hitl:approved": [third, first], "hitl:rejected": [second]}
    assert said["tags"] == ["hitl:approved-by:alice", "hitl:approved-by:rule"]
    # Beside the author's own card, also where the step did not run.
    assert said["cards"] == {first: ["blank", "hitl"], second: ["hitl"], third: ["blank", "hitl"]}
    page = said["pages"][second]
    for shown in ("<h1>Deploy?</h1>", "Rejected by alice", "<blockquote>worse</blockquote>", "−5.0 points, worse"):
        assert shown in page
    assert "command line under an unconfirmed name; no one vouches for this" in page
    assert said["facts"][second] | {"hitl-approval": "", "hitl-decided-at": ""} == {
        "hitl-approval": "",
        "hitl-state": "rejected",
        "hitl-decided-by": "alice",
        "hitl-decided-at": "",
        "hitl-vouched-by": "nobody",
    }
