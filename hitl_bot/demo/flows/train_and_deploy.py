"""Train a model, and deploy it once a person has said yes.

python train_and_deploy.py run
python train_and_deploy.py run --version 6 --learning_rate 0.01
"""

from metaflow import FlowSpec, Parameter, current, hitl, step


class TrainAndDeploy(FlowSpec):
    model = Parameter("model", default="fraud", help="The name of the model.")
    version = Parameter("version", default=7, help="The version of the model.")
    learning_rate = Parameter("learning_rate", default=0.003, help="A lower one takes longer, and learns more.")

    @step
    def start(self):
        self.next(self.train)

    @step
    def train(self):
        self.accuracy = 0.945 - 1.7 * self.learning_rate
        self.report = {"f1": 0.9 - 2 * self.learning_rate, "latency_ms": 42 - 400 * self.learning_rate}
        print(f"Trained {self.model} v{self.version}: accuracy {self.accuracy:.1%}.")
        self.next(self.deploy)

    @hitl(
        message="Deploy {self.model} v{self.version}?",
        metrics={
            "accuracy": {"format": ".1%", "better": "higher", "warn_below": 0.9},
            "F1": {"value": "report.f1", "format": ".3f", "better": "higher"},
            "latency in ms": {"value": "report.latency_ms", "format": ".0f", "better": "lower", "warn_above": 50},
        },
        input_schema={
            "deploy_target": {"type": "choice", "choices": ["staging", "production"], "help": "Where it goes."},
            "traffic": {"type": "int", "min": 1, "max": 100, "default": 10, "help": "Percent of requests, 1 to 100."},
            "notes": {"type": "text", "optional": True},
        },
        timeout="24h",
    )
    @step
    def deploy(self):
        answer = self.hitl_input
        print(f"Deploying to {answer['deploy_target']} with {answer['traffic']}% of the traffic.")
        print(f"Approved by {current.hitl.decided_by} at {current.hitl.decided_at:%H:%M:%S} UTC.")
        self.next(self.end)

    @step
    def end(self):
        print(f"{self.model} v{self.version} is live.")


if __name__ == "__main__":
    TrainAndDeploy()
