"""From the click that submits the form to the first line that the gated step prints, through everything real.

The local Slack, the bot with its sweeper, and ``python train_and_deploy.py run``, for each measurement anew.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from urllib.parse import unquote

from benchmarks.places import record, s3_place
from benchmarks.rows import Row
from hitl_bot.demo.stage import CHANNEL, Stage, set_stage
from hitl_bot.sandbox.driver import Closed, Driver, View
from tests.fixtures.s3 import S3

ROUNDS = 5
POLLS = (1, 5, 30)  # seconds
OTHERS = (10, 2_000)  # records in the bucket besides
_PATIENCE = 120.0
_FLOW = Path(__file__).parents[1] / "hitl_bot" / "demo" / "flows" / "train_and_deploy.py"
_FIRST_LINE = "Deploying to"


@dataclass(frozen=True, kw_only=True)
class Answered:
    """One run that was answered: milliseconds to the first line, and requests of S3 on the way."""

    took: float
    asked: int


def measure() -> Iterator[Row]:
    """Answer a run on the directory store and on S3; count what S3 is asked on the way."""
    for seconds in POLLS:
        yield Row.of(f"answer to its notice by a poll every {seconds} s", _polled(seconds), "ms")
    yield Row.of("click to first line, directory", [_answer(None).took for _ in range(ROUNDS)], "ms")
    for others in OTHERS:
        with s3_place() as place:
            record(place.store(), others)
            answers = [_answer(place) for _ in range(ROUNDS)]
        yield Row.of(f"click to first line, S3, {others:,} other records", [one.took for one in answers], "ms")
        asked = [one.asked for one in answers]
        yield Row.of(f"S3 requests on the way, {others:,} other records", asked, "requests")


def _polled(seconds: int) -> list[float]:
    """Let twenty threads, each at its own moment, look for a file every so often: a poll by hand, and nothing else."""
    begin, noticed = Event(), []
    with tempfile.TemporaryDirectory(prefix="hitl-bench-") as folder:
        answer = Path(folder) / "answer"

        def poll(phase: float) -> None:
            begin.wait()
            time.sleep(phase)
            while not answer.exists():
                time.sleep(seconds)
            noticed.append(time.perf_counter())

        threads = [Thread(target=poll, args=(seconds * number / 20,)) for number in range(20)]
        for thread in threads:
            thread.start()
        begin.set()
        time.sleep(seconds)
        answered = time.perf_counter()
        answer.touch()
        for thread in threads:
            thread.join()
    return [(at - answered) * 1000 for at in noticed]


def _answer(place: S3 | None) -> Answered:
    printed: list[float] = []

    def note(line: str) -> None:
        if _FIRST_LINE in line:
            printed.append(time.perf_counter())

    root = place.root if place else ""
    with tempfile.TemporaryDirectory(prefix="hitl-bench-") as folder:
        with set_stage(_FLOW, Path(folder), 0, note, root=root) as stage:
            form = _form(stage)
            # On S3 the gate looks once a second: people answer at any moment between two looks.
            time.sleep(random.uniform(1, 2))  # noqa: S311 - chance, and no secret
            before = len(_log(place))
            clicked = time.perf_counter()
            answer = form.submit()
            if not isinstance(answer, Closed) or stage.run.wait(_PATIENCE) != 0:
                raise RuntimeError("\n".join([str(answer), *stage.run.lines]))
        asked = _on_the_way(_log(place)[before:]) if place else 0
    return Answered(took=(printed[0] - clicked) * 1000, asked=asked)


def _form(stage: Stage) -> View:
    bob = Driver(stage.url).as_("bob")
    question = bob.wait_for_message(CHANNEL, lambda message: "Deploy" in message.plain, timeout=_PATIENCE)
    return bob.open(question, "Approve…").fill({"Deploy target": "staging"})


def _log(place: S3 | None) -> list[str]:
    return place.access_log.read_text().splitlines() if place and place.access_log else []


def _on_the_way(log: list[str]) -> int:
    """Count the requests about the answered approval, until the gate has read the decision.

    A look that came too early (404) is no part of the way, and neither is the sweeper's look at all that changed.
    """
    about: list[str] = []
    # Amazon S3 server access log format: …, operation, key, the request's address, status, …
    for words in (line.split() for line in log):
        operation, address, status = words[7], unquote(words[9]), words[10]
        if "hitl/approvals/" in address and status == "200":
            about.append(f"{operation} {address}")
    decided = next(place for place, one in enumerate(about) if "PutObject" in one)
    record_of_it = about[decided].split("/approvals/")[1]
    if not any("GetObject" in one and one.endswith(record_of_it) for one in about[decided:]):
        raise RuntimeError(f"the gate did not read {record_of_it}: {about}")
    return decided + 2
