"""``hitl-bot serve``."""

from __future__ import annotations

import os
import signal
from threading import Event

import click
import structlog

from hitl_bot.bootstrap import bootstrap
from hitl_bot.logs import set_up_logs
from hitl_bot.settings import read_settings

_IN_FLIGHT = 8.0  # seconds; Kubernetes is asked for more before it kills

log = structlog.get_logger("hitl_bot")


@click.command("serve")
def command() -> None:
    """Connect to Slack through Socket Mode, answer people, and finish what is open."""
    settings = read_settings()
    set_up_logs(settings.log_format, settings.log_level)
    stopping = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    bot = bootstrap(settings)
    try:
        bot.start(stopping)
        log.info("serving", store=bot.cases.ledger.store.url, slack=settings.slack_api_url)
        stopping.wait()
        log.info("stopping")
    finally:
        finished = bot.stop(_IN_FLIGHT)
    if not finished:
        # A call to Slack or to the store hangs. Python would wait for its thread without end; every effect can be the
        # last before a crash, so the next sweeper finishes it.
        log.warning("left to the next sweeper")
        os._exit(0)
