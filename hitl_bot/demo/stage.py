"""Sets the scene: the sandbox, the bot and the run, each the real thing, in a folder of their own."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

from pydantic import SecretStr

from hitl_bot.bootstrap import bootstrap
from hitl_bot.keys import PrivateKey
from hitl_bot.sandbox import Sandbox
from hitl_bot.sandbox.driver import Closed, Driver, Errors, Message
from hitl_bot.sandbox.surfaces import NotThere
from hitl_bot.settings import Settings

CHANNEL = "#ml-approvals"
REQUESTER = "alice"
EMAIL_DOMAIN = "example.com"  # of everybody in the local Slack
_STOP = 5.0  # seconds for the bot to finish what is in flight


class Run:
    """A Metaflow run as a process of its own; its output is handed on line by line."""

    def __init__(
        self, command: list[str], folder: Path, environment: dict[str, str], say: Callable[[str], None]
    ) -> None:
        self.lines: list[str] = []
        self._say = say
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # so that its tasks, each a process of its own, can be ended with it
        )
        self._reader = Thread(target=self._read, name="run", daemon=True)
        self._reader.start()

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code; raise subprocess.TimeoutExpired after so many seconds."""
        code = self._process.wait(timeout)
        self._reader.join()
        return code

    def stop(self) -> None:
        """End the run with all its tasks if it still goes on, as Ctrl-C would."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP)
        # Whatever did not end by itself must not wait for an answer on its own.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(_STOP)

    def _read(self) -> None:
        stdout = self._process.stdout
        if stdout is None:
            return
        with stdout:
            for line in stdout:
                self.lines.append(line.rstrip("\n"))
                self._say(self.lines[-1])


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What runs, and where to look at it."""

    url: str
    run: Run
    flow: Path
    exports: Mapping[str, str]  # that another terminal needs for the commands of the run
    start: Callable[..., Run]  # another run, with these arguments; ended with the stage

    def next_run(self, *arguments: str) -> "Stage":
        """Start another run of the flow, where the one before has ended."""
        return replace(self, run=self.start(*arguments))


@dataclass(frozen=True, kw_only=True)
class LocalSlack:
    """A local Slack with a bot in it, and where the records are.

    Attributes
    ----------
    url : str
        Of the page.
    records : str
        As METAFLOW_HITL_ROOT names it.
    public_key : str
        Of the bot.
    """

    url: str
    records: str
    public_key: str

    @property
    def exports(self) -> dict[str, str]:
        """What a flow has to find in its environment to be asked about here."""
        return {
            "METAFLOW_HITL_ROOT": self.records,
            # The run needs no token: it proposes the question, and only the bot posts what it signed.
            "METAFLOW_HITL_PUBLIC_KEYS": self.public_key,
            "METAFLOW_HITL_NOTIFIER": "slack,terminal",
            "METAFLOW_HITL_SLACK_CHANNEL": CHANNEL,
            "METAFLOW_USER": REQUESTER,  # somebody whom the local Slack knows
        }


@contextmanager
def local_slack(records: str, port: int) -> Iterator[LocalSlack]:
    """Start the sandbox and the bot, and end them again.

    Parameters
    ----------
    records : str
        Where the records are: a folder, or s3://bucket/prefix.
    port : int
        Of the sandbox's page on loopback; 0 picks a free one.
    """
    key = PrivateKey.new()
    with Sandbox(port=port) as sandbox, TemporaryDirectory(prefix="hitl-policy-") as folder:
        # Whoever types a command is asked in the local Slack whether that was them.
        policy = Path(folder) / "policy.yaml"
        policy.write_text(f"email_domain: {EMAIL_DOMAIN}\nrules: []\n", encoding="utf-8")
        bot = bootstrap(
            Settings(
                root=records,
                slack_bot_token=SecretStr(sandbox.bot_token),
                slack_app_token=SecretStr(sandbox.app_token),
                slack_channel=CHANNEL,
                slack_api_url=sandbox.api_url,
                signing_key=SecretStr(key.text),
                policy=policy,
                port=0,
            )
        )
        try:
            bot.start(Event())
            yield LocalSlack(url=sandbox.url, records=records, public_key=str(key.public_key))
        finally:
            bot.stop(_STOP)


@contextmanager
def set_stage(
    flow: Path, folder: Path, port: int, say: Callable[[str], None], *, root: str = "", arguments: Sequence[str] = ()
) -> Iterator[Stage]:
    """Start the sandbox, the bot and a run, and end them again.

    Parameters
    ----------
    flow : Path
        The flow's file.
    folder : Path
        Where the run and the records live.
    port : int
        Of the sandbox's page on loopback; 0 picks a free one.
    say : Callable[[str], None]
        Told each line of the run.
    root : str
        Where the records live instead, as METAFLOW_HITL_ROOT would say it.
    arguments : Sequence[str]
        Of the run.
    """
    with local_slack(root or str(folder / "hitl"), port) as slack:
        exports = {**_metaflow_in(folder), **slack.exports}
        with ExitStack() as runs:

            def start(*arguments: str) -> Run:
                run = Run([sys.executable, str(flow), "run", *arguments], folder, _environment(exports), say)
                runs.callback(run.stop)
                return run

            yield Stage(url=slack.url, run=start(*arguments), flow=flow, exports=exports, start=start)


def _metaflow_in(folder: Path) -> dict[str, str]:
    return {
        "METAFLOW_HOME": str(folder / "no-configuration"),
        "METAFLOW_DEFAULT_DATASTORE": "local",
        "METAFLOW_DEFAULT_METADATA": "local",
        "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(folder),
    }


def _environment(exports: Mapping[str, str]) -> dict[str, str]:
    # What the shell says about other Metaflow and Slack set-ups must not lead the demo anywhere else.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("METAFLOW_", "SLACK_"))}
    return {**kept, **exports, "PYTHONUNBUFFERED": "1"}


def shell_exports(exports: Mapping[str, str]) -> list[str]:
    """Write variables as lines that a POSIX shell takes."""
    return [f"export {name}={shlex.quote(value)}" for name, value in exports.items()]


def in_another_terminal(flow: Path, exports: Mapping[str, str]) -> list[str]:
    """Write what makes the commands that a run prints work in another terminal, for a POSIX shell."""
    programs = Path(sys.executable).parent
    return [
        f"cd {shlex.quote(str(flow.parent))}",
        f"export PATH={shlex.quote(str(programs))}:$PATH",
        *shell_exports(exports),
    ]


# The clicks of the demo, played over the sandbox's sockets by nobody at all.

_PATIENCE = 120.0  # seconds; a cold laptop takes 20 for the run to come to its gate


_SHOWN = 2  # pictures


class WentWrong(Exception):
    """The demo did not go as it should; the message says where."""


EARLIER = ("--version", "6", "--learning_rate", "0.01")
"""The arguments of the demo's first run, which the second is compared with."""


def approve_earlier(stage: Stage) -> None:
    """Approve the first run as carol, unless somebody at the page is faster, and wait for its end."""
    carol = Driver(stage.url).as_("carol")
    question = carol.wait_for_message(CHANNEL, lambda message: "Deploy fraud v6" in message.plain, timeout=_PATIENCE)
    with suppress(NotThere):  # the button went with somebody else's answer
        carol.open(question, "Approve…").fill({"Deploy target": "production", "Traffic": "100"}).submit()
    stage.run.wait(_PATIENCE)


def play(stage: Stage, say: Callable[[str], None]) -> None:
    """Ask for the list, approve with a mistake and without, and hold the run to its end.

    Raises
    ------
    WentWrong
        Something else happened than a person would see.
    """
    bob = Driver(stage.url).as_("bob")
    question = bob.wait_for_message(CHANNEL, lambda message: "Deploy fraud v7" in message.plain, timeout=_PATIENCE)
    say(f"The channel shows: {question.text}")
    _expect("+1.2 points, better" in question.plain, f"no change since the first run is shown: {question.plain}")
    say("Its table shows what changed since the first run.")
    bob.control.wait_until(lambda: _pictures(question) >= _SHOWN, _PATIENCE, "the pictures in the thread")
    say("Its thread has a picture of that, and the run's own confusion matrix.")
    answers = bob.command("/hitl list", CHANNEL)
    _expect(any("Deploy" in answer.plain for answer in answers), "/hitl list does not show the question")
    say("/hitl list shows it.")
    form = bob.open(question, "Approve…")
    refused = form.fill({"Deploy target": "staging", "Traffic": "1000"}).submit()
    _expect(isinstance(refused, Errors), f"1000 percent of the traffic was accepted: {refused}")
    say("1000 percent of the traffic is refused, under the field.")
    done = form.fill({"Traffic": "25", "Notes": "canary first"}).submit()
    _expect(isinstance(done, Closed), f"the form did not close: {done}")
    answered = bob.wait_for_update(question, lambda message: not message.buttons and "Approved" in message.plain)
    say(f"The message now says: {answered.text}")
    code = stage.run.wait(_PATIENCE)
    _expect(code == 0, f"the run ended with exit code {code}")
    _expect(any("Deploying to staging with 25%" in line for line in stage.run.lines), "the step did not see the input")
    say("The step ran with what bob entered.")


def _pictures(question: Message) -> int:
    return sum(block["type"] == "image" for reply in question.thread for block in reply.blocks)


def _expect(fact: bool, otherwise: str) -> None:  # noqa: FBT001 - an assertion that python -O keeps
    if not fact:
        raise WentWrong(otherwise)
