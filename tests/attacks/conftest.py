"""A bucket that an attacker may write, a bot at the local Slack, and a gate: in the open mode and in the sealed one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import pytest

from hitl_bot.bootstrap import Bot, bootstrap
from hitl_bot.keys import PrivateKey
from hitl_bot.manifest import app_manifest
from hitl_bot.sandbox import Sandbox
from hitl_bot.settings import Settings
from metaflow_extensions.hitl.approvals.codec import Version, encode
from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.question import Question
from metaflow_extensions.hitl.approvals.record import Approval, EngineKind, Pathspec
from metaflow_extensions.hitl.approvals.sealed import OPEN, Trust
from metaflow_extensions.hitl.approvals.use_cases import UseCases
from metaflow_extensions.hitl.approvals.waiting import wait_for_bot
from metaflow_extensions.hitl.engines.local import LocalEngine
from metaflow_extensions.hitl.notifiers.slack.calls import Pace
from metaflow_extensions.hitl.stores import DirectoryStore
from tests.fixtures.approvals import REQUESTER, Directory, HandClock, any_input, gate, pathspec, question
from tests.fixtures.attempts import Attempts
from tests.fixtures.slack import connect

CHANNEL = "#ml-approvals"
STRICT = """
people: {rita: alice@example.com}
rules:
- name: production
  approvers: [{group: "@ml-leads", quorum: 1}]
  quorum: 2
  command_line: refused
  approval_by_timeout: refused
  self_approval: refused
"""


@dataclass(kw_only=True)
class Bucket:
    """One bucket, and everybody who uses it.

    Attributes
    ----------
    bot : Bot
        At the local Slack; its sweeper works when a test says so.
    run : UseCases
        A run of a flow, with the public key in the sealed mode.
    attacker : Ledger
        Whoever may write the bucket: any key, with any bytes, and no bot's private key.
    """

    bot: Bot
    run: UseCases
    attacker: Ledger
    clock: HandClock
    folder: Path
    attempts: Attempts

    @property
    def is_sealed(self) -> bool:
        return self.run.ledger.trust.is_sealed

    def ask(self, asked: Question | None = None, *, task: str = "42") -> Approval:
        """Ask as a run does, and let the bot take over and post the question."""
        self.propose(asked, task=task)
        self.sweep()
        return self.bot.cases.ledger.read(pathspec(task=task).approval_id).approval

    def propose(self, asked: Question | None = None, *, task: str = "42") -> Approval:
        asked = asked or question()
        asked = replace(asked, notifiers=("slack",), channel=CHANNEL)
        return self.run.ask(pathspec(task=task), asked, gate(), REQUESTER).approval

    def sweep(self) -> None:
        """Let the bot do all that there is to do."""
        for _ in range(3):
            self.bot.sweeper.tick()
            self.clock.forward(12)

    def forge(self, approval: Approval, *, after: int, event: str = "decided") -> None:
        """Write the next version as a bot of the open mode would, with the right hash of the version before."""
        before = self.attacker.read_version(approval.id, after) if after else None
        version = Version(
            number=after + 1,
            previous=before.digest if before else None,
            event=event,
            at=self.clock(),
            approval=approval,
        )
        self.attacker.store.create(f"approvals/{approval.id}/{after + 1:05d}.json", encode(version))

    def newest(self, approval: Approval) -> tuple[int, Approval]:
        """Return the newest version as whoever reads the bucket sees it."""
        entry = self.attacker.read(approval.id)
        return entry.number, entry.approval

    def opens(self, where: Pathspec | None = None) -> bool:
        """Whether the gate in a pod lets its step run now."""
        try:
            self.run.open_gate(where or pathspec())
        except HitlError:
            return self.attempts.tried(opened=False)
        return self.attempts.tried(opened=True)

    def lets_run(self, asked: Approval) -> bool:
        """Whether a run on the machine that launched it goes on: it waits until it may, or never may."""
        if not self.is_sealed:
            return self.opens(asked.pathspec)
        try:
            wait_for_bot(
                self.run,
                asked,
                poll_interval=60,
                sleep=self.clock.forward,
                on_trouble=lambda _: None,
                on_posted=lambda _: None,
                on_unheard=lambda _: None,
            )
        except HitlError:
            return self.attempts.tried(opened=False)
        return self.attempts.tried(opened=True)

    def remove(self, key: str) -> None:
        (self.folder / key).unlink()


@pytest.fixture
def policy() -> str | None:
    """The operator's policy, as text; None in most tests."""
    return None


@pytest.fixture
def more_settings() -> dict[str, object]:
    """What else the bot is told."""
    return {}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(manifest=app_manifest()) as running:
        yield running


@pytest.fixture
def bucket(
    is_sealed: bool,  # noqa: FBT001 - a fixture's name
    policy: str | None,
    more_settings: dict[str, object],
    sandbox: Sandbox,
    tmp_path: Path,
    attempts: Attempts,
) -> Iterator[Bucket]:
    """Everybody at work."""
    key = PrivateKey.new()
    settings = Settings(
        root=str(tmp_path / "hitl"),
        slack_bot_token=sandbox.bot_token,
        slack_app_token=sandbox.app_token,
        slack_api_url=sandbox.api_url,
        slack_channel=CHANNEL,
        signing_key=key.text if is_sealed else None,
        port=0,
    )
    settings = settings.model_copy(update=more_settings)
    if policy is not None:
        (tmp_path / "policy.yaml").write_text(policy)
        settings = settings.model_copy(update={"policy": tmp_path / "policy.yaml"})
    store, clock = DirectoryStore(tmp_path / "hitl"), HandClock()
    bot = bootstrap(settings, store=store, clock=clock, pace=Pace(count(step=60).__next__))
    connect(bot)
    run = UseCases(
        Ledger(store, Trust.of([key.public_key]) if is_sealed else OPEN),
        engines={EngineKind.LOCAL: LocalEngine()},
        notifiers={},
        people=Directory(),
        check_input=any_input,
        clock=clock,
        batched={"slack"},
    )
    bucket = Bucket(bot=bot, run=run, attacker=Ledger(store), clock=clock, folder=tmp_path / "hitl", attempts=attempts)
    yield bucket
    assert bot.stop(60), "something of the bot did not end"
