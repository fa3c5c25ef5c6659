"""Flows of every shape that Metaflow compiles for Argo Workflows, with gates wherever one can stand."""

from __future__ import annotations

IMPORTS = """
from metaflow import FlowSpec, Parameter, catch, environment, exit_hook, kubernetes, project, resources, retry
from metaflow import schedule, secrets, step, timeout, trigger
"""

SHAPES = {
    "linear": """
        class Linear(FlowSpec):
            alpha = Parameter("alpha", default="0.5")

            @hitl(message="Start with {self.alpha}?", timeout="2h")
            @step
            def start(self):
                self.next(self.deploy_it)

            @hitl(timeout="30m", on_timeout="approve")
            @step
            def deploy_it(self):
                self.next(self.watch)

            @hitl(timeout="30m", on_timeout="notify")
            @step
            def watch(self):
                self.next(self.ungated)

            @step
            def ungated(self):
                self.next(self.end)

            @hitl(timeout=None)
            @step
            def end(self):
                pass
        """,
    "decorated": """
        class Decorated(FlowSpec):
            @step
            def start(self):
                self.next(self.retried)

            @retry(times=3, minutes_between_retries=1)
            @hitl
            @step
            def retried(self):
                self.next(self.caught)

            @catch(var="problem")
            @hitl
            @step
            def caught(self):
                self.next(self.timed)

            @hitl
            @timeout(seconds=90)
            @step
            def timed(self):
                self.next(self.heavy)

            @hitl
            @resources(gpu=2, cpu=16, memory=64000)
            @kubernetes(
                node_selector={"pool": "batch", "gpu-type": "a100", "node.kubernetes.io/instance-type": "p4d"},
                tolerations=[
                    {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
                    {"key": "batch", "operator": "Exists", "effect": "NoSchedule"},
                ],
                use_tmpfs=True,
                tmpfs_size=4000,
                shared_memory=512,
                persistent_volume_claims={"models": "/models"},
                extended_resources={"vendor.example/fpga": "1"},
                port=8080,
                qos="guaranteed",
                service_account="worker",
                secrets=["warehouse"],
                image_pull_secrets=["registry"],
            )
            @step
            def heavy(self):
                self.next(self.secret)

            @secrets(sources=["inline-secrets"])
            @environment(vars={"REGION": "eu", "METAFLOW_HITL_SLACK_BOT_TOKEN": "xoxb-1-careless",
                               "METAFLOW_HITL_SMTP_PASSWORD": "a-8-careless"})
            @hitl
            @step
            def secret(self):
                self.next(self.end)

            @step
            def end(self):
                pass
        """,
    "foreach": """
        class Foreach(FlowSpec):
            @hitl
            @step
            def start(self):
                self.items = [1, 2]
                self.next(self.outer, foreach="items")

            @hitl(message="Outer {self.input}?")
            @step
            def outer(self):
                self.parts = [3, 4]
                self.next(self.inner, foreach="parts")

            @hitl(message="Inner {self.input}?")
            @step
            def inner(self):
                self.next(self.inner_last)

            @hitl
            @step
            def inner_last(self):
                self.next(self.inner_join)

            @hitl(message="{inputs}")
            @step
            def inner_join(self, inputs):
                self.next(self.outer_join)

            @hitl
            @step
            def outer_join(self, inputs):
                self.next(self.end)

            @step
            def end(self):
                pass
        """,
    "branches": """
        class Branches(FlowSpec):
            @step
            def start(self):
                self.next(self.left, self.right)

            @hitl
            @step
            def left(self):
                self.next(self.join)

            @hitl
            @step
            def right(self):
                self.next(self.join)

            @hitl
            @step
            def join(self, inputs):
                self.next(self.end)

            @step
            def end(self):
                pass
        """,
    "conditional": """
        class Conditional(FlowSpec):
            @step
            def start(self):
                self.size = "small"
                self.next({"small": self.small, "large": self.large}, condition="size")

            @hitl
            @step
            def small(self):
                self.next(self.meet)

            @hitl
            @step
            def large(self):
                self.next(self.meet)

            @hitl
            @step
            def meet(self):
                self.next(self.end)

            @step
            def end(self):
                pass
        """,
    "recursion": """
        class Recursion(FlowSpec):
            @step
            def start(self):
                self.count = 0
                self.next(self.turn)

            @hitl(message="Turn {self.count}?")
            @step
            def turn(self):
                self.count += 1
                self.again = "yes" if self.count < 3 else "no"
                self.next({"yes": self.turn, "no": self.end}, condition="again")

            @step
            def end(self):
                pass
        """,
    "triggered": """
        def reported(run):
            print("reported")

        @exit_hook(on_error=[reported], on_success=[reported])
        @project(name="fraud")
        @schedule(daily=True)
        @trigger(event="data_arrived")
        class Triggered(FlowSpec):
            @step
            def start(self):
                self.next(self.deploy)

            @hitl
            @step
            def deploy(self):
                self.next(self.end)

            @step
            def end(self):
                pass
        """,
    "ungated": """
        class Ungated(FlowSpec):
            alpha = Parameter("alpha", default="0.5")

            @retry(times=2)
            @step
            def start(self):
                self.next(self.end)

            @step
            def end(self):
                pass
        """,
}


def chain(gates: int, more: str = "") -> str:
    """Return a flow with so many gated steps in a row. ``more`` is another decorator of each; its {} is a number."""
    names = [f"step_{number:03}" for number in range(gates)]
    lines = ["class Chain(FlowSpec):", "    @step", "    def start(self):", f"        self.next(self.{names[0]})"]
    for number, (name, following) in enumerate(zip(names, [*names[1:], "end"], strict=True)):
        lines += ["    @hitl", f"    {more.format(number + 1)}", "    @step"]
        lines += [f"    def {name}(self):", f"        self.next(self.{following})"]
    return "\n".join([*lines, "    @step", "    def end(self):", "        pass"])
