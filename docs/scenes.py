"""Moments of the pages that a single run does not come to, in a Slack whose clock stands still.

The bot and the messages are the real ones; the questions are asked as flows ask them, and nothing waits for an answer.
"""  # noqa: INP001 - a script beside the documents, no package

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any

from pydantic import SecretStr

from hitl_bot.bootstrap import Bot, bootstrap
from hitl_bot.manifest import app_manifest
from hitl_bot.sandbox import Sandbox
from hitl_bot.sandbox.driver import Driver, Message, Person
from hitl_bot.settings import Settings
from metaflow_extensions.hitl.approvals.evidence.collected import Evidence, Metric
from metaflow_extensions.hitl.approvals.question import Question, Shard
from metaflow_extensions.hitl.approvals.record import Approval, EngineKind, Gate, Origin, Pathspec, Person as Somebody
from metaflow_extensions.hitl.approvals.schema import normalise
from metaflow_extensions.hitl.engines.fake import FakeEngine
from metaflow_extensions.hitl.engines.local import LocalEngine
from metaflow_extensions.hitl.messages.markdown import parse, plain
from metaflow_extensions.hitl.notifiers.slack.calls import Pace
from metaflow_extensions.hitl.stores import MemoryStore

CHANNEL = "#ml-approvals"
MORNING = datetime(2026, 11, 23, 9, 30, tzinfo=timezone.utc)
INPUT = normalise({"traffic": {"type": "int", "min": 1, "max": 100, "default": 10}})
POLICY = """
email_domain: example.com
rules:
  - name: production
    match: {step: [release, deploy]}
    quorum: 2
    self_approval: refused
    longest_timeout: 8h
"""


OWED = {"What is owed": "Compare it with last year's, by country.", "Due date": "2026-11-27"}


@dataclass
class Clock:
    """The bot's and the sandbox's, moved by hand."""

    now: datetime = MORNING

    def __call__(self) -> datetime:
        return self.now


class Cluster(FakeEngine):
    """Knows who started each workflow, as Argo does: whom the run names."""

    def started_by(self, approval: Approval) -> tuple[Somebody, ...]:
        return (approval.requester,)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A Slack with a bot, and people who can be played."""

    url: str
    people: Driver
    bot: Bot
    clock: Clock

    def ask(self, message: str, pathspec: str, *, by: str = "alice", **parts: Any) -> Approval:
        """Ask as a workflow on Argo does, or a run on one machine; ``pathspec`` is ``flow/run/step/task``."""
        flow, run, step, task = pathspec.split("/")
        asked = Question(message=message, notifiers=("slack",), **{"timeout": 86_400, **parts})
        gate = Gate(engine=EngineKind.LOCAL)
        if run.startswith("argo-"):
            gate = Gate(engine=EngineKind.ARGO, namespace="metaflow", workflow=run.removeprefix("argo-"))
        place = Pathspec(flow=flow, run=run, step=step, task=task)
        return self.bot.cases.ask(place, asked, gate, Somebody(id=by, name=by, origin=Origin.CLAIM)).approval

    def message(self, who: Person, asked: Approval) -> Message:
        return who.wait_for_message(CHANNEL, lambda one: asked.id in one.plain)

    def forward(self, minutes: float) -> None:
        """Let time pass, and let the sweeper do what is due."""
        for part in (minutes * 60, 2):
            self.clock.now += timedelta(seconds=part)
            self.people.control.set_clock(self.clock.now.timestamp())
            self.bot.sweeper.tick()


@contextmanager
def scene(folder: Path) -> Iterator[Scene]:
    """Start a Slack and a bot with the policy above, on a Monday morning, and end them again."""
    policy, clock = folder / "policy.yaml", Clock()
    policy.write_text(POLICY)
    with Sandbox(manifest=app_manifest()) as sandbox:
        people = Driver(sandbox.url)
        people.control.set_clock(MORNING.timestamp())
        settings = Settings(
            root="memory",
            slack_bot_token=SecretStr(sandbox.bot_token),
            slack_app_token=SecretStr(sandbox.app_token),
            slack_api_url=sandbox.api_url,
            slack_channel=CHANNEL,
            port=0,
            policy=policy,
        )
        store = MemoryStore()
        bot = bootstrap(
            settings,
            store=store,
            clock=clock,
            engines={EngineKind.LOCAL: LocalEngine(store, clock), EngineKind.ARGO: Cluster()},
            pace=Pace(count(step=60).__next__),
        )
        bot.transport.open(Event())
        try:
            yield Scene(url=sandbox.url, people=people, bot=bot, clock=clock)
        finally:
            bot.stop(5)


def voting(play: Scene) -> str:
    """One of two has approved; return what the message is about."""
    bob = play.people.as_("bob")
    asked = play.ask(
        "Release pricing v12 to everybody?",
        "Pricing/argo-pricing-4kq8z/release/t-1",
        approvers=("@ml-leads", "@risk"),
        schema=INPUT,
    )
    play.forward(12)
    bob.open(play.message(bob, asked), "Approve…").fill({"Traffic": "25"}).submit()
    play.message(bob, asked)
    play.forward(1)
    return "Release pricing v12"


def changes(play: Scene) -> str:
    """Carol wants changes; return what the message is about."""
    carol = play.people.as_("carol")
    asked = play.ask(
        "Train fraud v8 on all of 2026?",
        "TrainFraud/argo-trainfraud-x7k2p/train/t-1",
        approvers=("@ml-leads",),
        allow_changes=True,
        run_again="python train_fraud.py argo-workflows trigger --alpha 0.3 --rows 12400",
    )
    play.forward(7)
    view = carol.open(play.message(carol, asked), "Request changes…")
    view.fill({"What must change": "Leave out the rows without a country, and a lower alpha"}).submit()
    play.message(carol, asked)
    play.forward(1)
    return "Train fraud v8"


def delegation(play: Scene) -> str:
    """Alice decides for carol; return what the message is about."""
    alice, carol = play.people.as_("alice"), play.people.as_("carol")
    carol.command("/hitl delegate @alice until 2026-12-24")
    asked = play.ask("Retrain churn on October?", "Churn/argo-churn-9d2mw/retrain/t-1", by="rita", approvers=("@risk",))
    play.forward(3)
    alice.click(play.message(alice, asked), "Approve", confirm="Approve")
    play.forward(1)
    return "Retrain churn"


def markdown(play: Scene) -> str:
    """Ask with a message of the author's, with a table and buttons that lead elsewhere; return what it is about."""
    written = (
        "Deploy fraud v7?\nIt is **better than v6** in every region:\n\n"
        "| region | v6 | v7 |\n|---|---|---|\n| Europe | 91.2% | 94.0% |\n| America | 90.4% | 92.7% |\n"
        "| Asia | 88.9% | 89.6% |\n\n"
        "- trained on `transactions-2026-10`\n- reviewed in [the notebook](https://notebooks.example.com/fraud-v7)\n"
    )
    play.ask(
        plain(parse(written)),
        "TrainFraud/argo-trainfraud-n8r3t/publish/t-1",
        markdown=written,
        links={"Model card": "https://models.example.com/TrainFraud/n8r3t"},
        approvers=("@ml-leads",),
    )
    play.forward(1)
    return "Deploy fraud v7"


def unattended(play: Scene) -> str:
    """The machine of a run went to sleep; return what the question is about."""
    asked = play.ask(
        "Publish 1,204 forecasts?",
        "Forecast/1795826573417483/publish/3",
        approvers=("@ml-leads",),
        resume="python forecast.py resume --origin-run-id 1795826573417483",
    )
    play.forward(9)
    entry = play.bot.cases.ledger.read(asked.id)
    play.bot.cases.note_attendance(entry, play.clock.now - timedelta(minutes=4))
    return "Publish 1,204 forecasts"


def choice(play: Scene) -> str:
    """A person chooses which branch a run takes; return what the question is about."""
    targets = {"target": {"type": "choice", "choices": ["staging", "production"], "buttons": True}}
    play.ask("Where does churn v3 go?", "ChooseTheWay/1795826573417484/choose/2", schema=normalise(targets))
    play.forward(1)
    return "Where does churn v3 go"


def form(play: Scene) -> str:
    """Ask with a list, objects in an object and choices that have titles; return what the question is about."""
    regions = [{"const": "eu", "title": "Europe"}, {"const": "us", "title": "America"}]
    pool = {
        "type": "object",
        "properties": {
            "region": {"oneOf": regions},
            "pods": {"type": "integer", "minimum": 1, "maximum": 9, "default": 2},
        },
        "required": ["region"],
    }
    schema = {
        "type": "object",
        "properties": {
            "pool": pool,
            "teams": {"type": "array", "items": {"enum": ["risk", "billing", "support"]}, "minItems": 1},
            "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 5, "default": ["canary", "second try"]},
        },
        "required": ["pool"],
    }
    play.ask("Roll out pricing v13?", "Rollout/argo-rollout-q8w2e/start/t-1", schema=normalise(schema))
    play.forward(1)
    return "Roll out pricing v13"


def in_advance(play: Scene) -> str:
    """Bob has approved all of sixty regions, of which some have asked; return what the message is about."""
    bob, carol = play.people.as_("bob"), play.people.as_("carol")

    def ask(numbers: range) -> list[Approval]:
        return [
            play.ask(
                f"Deploy to region {number + 1}?",
                f"Rollout/1795826573417485/region/{number}",
                batch=True,
                shard=Shard(place=(number,), value=f"region {number + 1}", counts=(60,)),
            )
            for number in numbers
        ]

    ask(range(5))
    play.forward(1)
    message = bob.wait_for_message(CHANNEL, lambda one: "Approve all 60" in one.buttons)
    bob.click(message, "Approve all 60", confirm="Approve all 60")
    bob.wait_for_ephemeral(CHANNEL)
    play.forward(1)
    carol.wait_for_message(CHANNEL, lambda one: "Take back" in one.buttons)
    return "shards are answered"


def twenty_runs(play: Scene) -> None:
    """Fill everybody's Home tab with twenty runs of one step, which differ in a metric and in a parameter."""
    for number in range(20):
        accuracy, alpha = 0.9 + 0.002 * number, round(0.05 * (1 + number % 4), 2)
        play.ask(
            "Score all customers with fraud?",
            f"TrainFraud/{1795826573417500 + number}/score/4",
            by=("alice", "bob", "rita")[number % 3],
            tags=("nightly",) if number % 2 else (),
            evidence=Evidence(
                metrics=(Metric(name="accuracy", value=accuracy, format=".1%"),), parameters={"alpha": str(alpha)}
            ),
        )
    play.forward(1)


def inbox(play: Scene) -> None:
    """Fill alice's Home tab: with what waits for her and for carol, and what she asked."""
    play.ask("Drop 12,400 rows without a country?", "Clean/argo-clean-p5v7c/drop/t-1", by="rita", timeout=3_600)
    play.ask(
        "Send the October report to 31 customers?", "Report/argo-report-b2x9f/send/t-1", by="rita", approvers=("@risk",)
    )
    play.ask(
        "Deploy fraud v7?  Accuracy 94.0%", "TrainFraud/argo-trainfraud-n8r3t/deploy/t-1", approvers=("@ml-leads",)
    )
    play.forward(4)


def owing(play: Scene) -> str:
    """Ask bob for an approval with which somebody may owe something; return what the message is about."""
    play.ask(
        "Roll out churn v5?  Accuracy 91.3%",
        "Churn/argo-churn-h3w8d/rollout/t-1",
        approvers=("@ml-leads",),
        obligations=True,
    )
    play.forward(2)
    return "Roll out churn v5"


def reminder(play: Scene) -> str:
    """Let the day come on which carol owes something with an approval of bob's; return what her message is about."""
    about = owing(play)
    bob, carol = play.people.as_("bob"), play.people.as_("carol")
    view = bob.open(bob.wait_for_message(CHANNEL, lambda one: about in one.plain), "Approve…")
    view.fill({**OWED, "Owner": "U0CAROL"}).submit()
    play.forward(1)
    play.forward(4 * 24 * 60 + 6 * 60)
    carol.wait_for_message(carol.id, lambda one: "What you owe" in one.plain, timeout=30)
    return "What you owe"


def batch(play: Scene) -> str:
    """Six of twenty shards have asked on one message, and two of them are answered; return what it is about."""
    bob = play.people.as_("bob")
    regions = ("Austria", "Belgium", "Chile", "Denmark", "Estonia", "France")
    asked = [
        play.ask(
            f"Deploy to {region}?",
            f"Rollout/argo-rollout-t6j4s/region/t-{number}",
            batch=True,
            shard=Shard(place=(number,), value=region, counts=(20,)),
        )
        for number, region in enumerate(regions)
    ]
    play.forward(1)
    for one, verb in zip(asked, ("approve {}", "reject {} no capacity there yet"), strict=False):
        bob.command("/hitl " + verb.format(one.id))
    play.forward(1)
    play.forward(1)
    return "shards wait"
