"""Train a model, and deploy it once a person has said yes.

python train_and_deploy.py run
python train_and_deploy.py run --version 6 --learning_rate 0.01
"""

from metaflow import FlowSpec, Parameter, current, hitl, step


def confusion_matrix(self):
    """Draw what the model takes for what, of 1,000 payments of each kind."""
    from matplotlib.figure import Figure

    kinds = ["honest", "fraud"]
    figure = Figure(figsize=(4.4, 2.2), layout="constrained")
    axes = figure.subplots()
    axes.imshow(self.confusion, cmap="Blues", vmin=0, vmax=1000, aspect="auto")
    axes.set(title=f"{self.model} v{self.version}", xlabel="predicted", ylabel="actual")
    axes.set_xticks([0, 1], kinds)
    axes.set_yticks([0, 1], kinds)
    for row, counts in enumerate(self.confusion):
        for column, count in enumerate(counts):
            axes.text(column, row, count, ha="center", va="center", color="white" if count > 500 else "black")
    return figure


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
        missed = round(1000 * (1 - self.accuracy) / 2)
        self.confusion = [[1000 - missed, missed], [missed, 1000 - missed]]
        print(f"Trained {self.model} v{self.version}: accuracy {self.accuracy:.1%}.")
        self.next(self.deploy)

    @hitl(
        message="Deploy {self.model} v{self.version}?",
        metrics={
            "accuracy": {"format": ".1%", "better": "higher", "warn_below": 0.9},
            "F1": {"value": "report.f1", "format": ".3f", "better": "higher"},
            "latency in ms": {"value": "report.latency_ms", "format": ".0f", "better": "lower", "warn_above": 50},
        },
        plots={"Confusion matrix": confusion_matrix},
        input_schema={
            "deploy_target": {"type": "choice", "choices": ["staging", "production"], "help": "Where it goes."},
            "traffic": {"type": "int", "min": 1, "max": 100, "default": 10, "help": "Percent of requests."},
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
