"""``python -m benchmarks.apps KIND MODE``: an app at a local Slack, in a process of its own, to be measured.

KIND is ``empty`` (a Bolt app that acknowledges everything and does nothing else) or ``ours`` (the bot); MODE is
``socket`` or ``http``. The place is in the environment, as the bot reads it. Prints ``ready`` when Slack can reach it.
"""

from __future__ import annotations

import os
import re
import resource
import sys
from threading import Event, Thread
from typing import Any

PORT = "BENCH_PORT"
PATH = "/slack/events"


def main() -> None:
    kind, mode = sys.argv[1:]
    for name in ("greenlet", "rich"):  # structlog imports them where they are: with the development tools alone
        sys.modules[name] = None  # type: ignore[assignment] # what Python documents for "can't be imported"
    if kind == "empty":
        _empty(mode)
    else:
        _ours()
    print("ready", flush=True)
    for line in sys.stdin:  # until the measuring process closes it
        if line.strip() == "memory":
            print(_memory(), flush=True)


def _memory() -> float:
    """Return megabytes of memory in use; the peak where the system does not tell."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - procfs
            return int(re.search(r"VmRSS:\s+(\d+) kB", status.read())[1]) / 1024  # type: ignore[index] # Linux has it
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _empty(mode: str) -> None:
    # Each kind imports its own: what the other needs would count as its memory.
    from slack_bolt import App  # noqa: PLC0415
    from slack_bolt.adapter.socket_mode import SocketModeHandler  # noqa: PLC0415
    from slack_sdk import WebClient  # noqa: PLC0415

    client = WebClient(os.environ["METAFLOW_HITL_SLACK_BOT_TOKEN"], base_url=os.environ["METAFLOW_HITL_SLACK_API_URL"])
    app = App(client=client, signing_secret=os.environ["METAFLOW_HITL_SLACK_SIGNING_SECRET"])

    @app.action(re.compile(".*"))
    def acknowledge(ack: Any) -> None:
        ack()

    if mode == "socket":
        SocketModeHandler(app, os.environ["METAFLOW_HITL_SLACK_APP_TOKEN"]).connect()  # type: ignore[no-untyped-call]
        return
    import uvicorn  # noqa: PLC0415
    from slack_bolt.adapter.starlette import SlackRequestHandler  # noqa: PLC0415
    from starlette.applications import Starlette  # noqa: PLC0415
    from starlette.routing import Route  # noqa: PLC0415

    handler = SlackRequestHandler(app)
    routes = [Route(PATH, handler.handle, methods=["POST"])]
    config = uvicorn.Config(Starlette(routes=routes), port=int(os.environ[PORT]), log_level="error")
    Thread(target=uvicorn.Server(config).run, daemon=True).start()


def _ours() -> None:
    from hitl_bot.bootstrap import bootstrap  # noqa: PLC0415
    from hitl_bot.settings import LogFormat, LogLevel, read_settings  # noqa: PLC0415
    from hitl_bot.telemetry.logs import set_up_logs  # noqa: PLC0415

    set_up_logs(LogFormat.CONSOLE, LogLevel.ERROR)
    bootstrap(read_settings()).start(Event())


if __name__ == "__main__":
    main()
