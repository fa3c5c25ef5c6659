"""Evidence in real `python flow.py run` processes: what changed since the last yes, and a yes by rule."""

from __future__ import annotations

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
@step
def deploy(self):
    print("RUNS", current.hitl.verdict, current.hitl.decided_by)
    self.next(self.end)

@step
def end(self):
    pass
"""


def test_the_second_run_shows_what_changed_and_a_rule_may_approve_the_third(flow):
    """Asked the first time; compared the second; approved by rule the third, on record like any other decision."""
    measured = flow(MEASURED)
    first = measured.start("run")
    (asked,) = measured.wait_for_approvals()
    assert first.wait_for_line("No run of this step has been approved before")
    measured.hitl("approve", asked.id)
    assert first.wait() == 0, first.output

    second = measured.start("run", "--accuracy", "0.9")
    (asked,) = measured.wait_for_approvals()
    assert second.wait_for_line("90.0% (last approved 95.0%; −5.0 points, worse)")
    assert second.wait_for_line("accuracy 0.95 → 0.9")
    shown = measured.hitl("show", asked.id).output
    assert "loss       is NaN" in shown
    assert "parameter  accuracy = 0.9" in shown
    assert "artifact   report " in shown
    assert "judged by rule" in shown
    measured.hitl("reject", asked.id, "--reason", "worse")
    assert second.wait() != 0, second.output

    third = measured.start("run", "--accuracy", "0.96")
    assert third.wait() == 0, third.output
    assert third.wait_for_line("RUNS").endswith(
        "RUNS approved the rule accuracy >= 0.95 and abs(delta.accuracy) < 0.02"
    )
    assert measured.data("deploy")["hitl_decision"]["decided_by"].startswith("the rule accuracy >= 0.95")
