"""Everything that the bot can build, held to Slack's own check: blocks.validate, which shows nothing to anybody."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from hitl_bot.doctor.finding import Finding, bad, good, unknown
from hitl_bot.doctor.prove.gallery import Exhibit, exhibits
from hitl_bot.slack.client import SLACK_FAILED
from metaflow_extensions.hitl.notifiers.slack.codes import Meaning, code_of, meaning_of

_METHOD = "blocks.validate"
_REPORT = "This is a defect of metaflow-hitl: report it with these lines. The bot posts a shorter message where it can."
_MOST = 100_000  # characters of an argument


def check_blocks(client: WebClient, now: datetime) -> Iterator[Finding]:
    """Send every message, view and Home; report each that Slack would refuse, and how many it would take."""
    taken, untried = 0, 0
    for exhibit in exhibits(now):
        body = json.dumps(exhibit.body, ensure_ascii=False)
        if len(body) > _MOST:
            untried += 1  # views may have 250 kB
            continue
        try:
            client.api_call(_METHOD, params={exhibit.kind.value: body})
        except SLACK_FAILED as error:
            if meaning_of(error) is not Meaning.DEFECT:
                yield unknown("blocks", f"Slack is not checking blocks right now ({code_of(error) or error})")
                return
            yield bad("blocks", f"Slack would refuse {_named(exhibit, error)}", _REPORT)
        else:
            taken += 1
    more = f"; {untried} are too large for {_METHOD}" if untried else ""
    yield good("blocks", f"Slack would take {taken} messages, views and Homes{more}")


def _named(exhibit: Exhibit, error: Exception) -> str:
    metadata = error.response.get("response_metadata") if isinstance(error, SlackApiError) else None
    said = "; ".join(map(str, (metadata or {}).get("messages") or ())) or code_of(error)
    return f"the {exhibit.kind.value} “{exhibit.name}”: {said}"
