"""Train a model, and deploy it once a person has said yes.

python train_and_deploy.py run
"""

import random

from metaflow import FlowSpec, Parameter, current, hitl, step


class TrainAndDeploy(FlowSpec):
    model = Parameter("model", default="fraud", help="The name of the model.")

    @step
    def start(self):
        self.next(self.train)

    @step
    def train(self):
        self.version = 7
        self.accuracy = 0.94 + random.Random(self.version).random() / 1000
        print(f"Trained {self.model} v{self.version}: accuracy {self.accuracy:.1%}.")
        self.next(self.deploy)

    @hitl(
        message="Deploy {self.model} v{self.version}?  Accuracy {self.accuracy:.1%}",
        input_schema={
            "deploy_target": {"type": "choice", "choices": ["staging", "production"], "help": "Where it goes."},
            "traffic": {"type": "int", "min": 1, "max": 100, "default": 10, "help": "Per cent of requests, 1 to 100."},
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
