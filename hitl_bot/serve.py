"""``hitl-bot serve``."""

import os
import signal
import sys
from threading import Event, Thread

import click
import structlog

from .bootstrap import bootstrap
from .settings import Mode, mode_of, read_settings
from .telemetry.logs import set_up_logs

_IN_FLIGHT = 8.0  # seconds; Kubernetes is asked for more before it kills
_LOOK = 0.5  # seconds between two looks whether a signal came

log = structlog.get_logger("hitl_bot")


@click.command("serve")
@click.option(
    "--mode",
    type=click.Choice([mode.value for mode in Mode]),
    help="How Slack reaches the bot: the bot connects to it, or it calls the bot. Default: METAFLOW_HITL_MODE, "
    "else http where there is a signing secret and no app-level token.",
)
def command(mode: str | None) -> None:
    """Answer people in Slack, and finish what is open.

    Health (/healthz, /readyz) and metrics (/metrics) are served at METAFLOW_HITL_HOST and _PORT, 127.0.0.1:3000 by
    default; with --mode http also Slack's requests, at /slack/events.
    """
    settings = read_settings()
    if mode is not None:
        settings = settings.model_copy(update={"mode": Mode(mode)})
    set_up_logs(settings.log_format, settings.log_level)
    stopping = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        # A handler runs in the middle of whatever the main thread does, which may hold the lock of this very event.
        signal.signal(number, lambda *_: Thread(target=stopping.set, daemon=True).start())
    bot = bootstrap(settings)
    try:
        bot.start(stopping)
        log.info(
            "serving",
            mode=mode_of(settings).value,
            address=bot.web.url,
            store=bot.cases.ledger.store.url,
            slack=settings.slack_api_url,
            policy=bot.policy(),
        )
        while not stopping.wait(_LOOK):
            pass  # the kernel may hand a signal to another thread: its handler runs when this one wakes
        log.info("stopping")
    finally:
        finished = bot.stop(_IN_FLIGHT)
    if not finished:
        # A call to Slack or to the store hangs. Every effect can be the last before a crash, so the next sweeper
        # finishes it.
        log.warning("left to the next sweeper")
    # Python would wait for every thread without end, also for one of a library that hangs.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
