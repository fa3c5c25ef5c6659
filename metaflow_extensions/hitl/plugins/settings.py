"""The plugin's settings as one value, read in one place."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What ``METAFLOW_HITL_*`` says, after the defaults that need no flow."""

    root: str | None
    notifiers: tuple[str, ...]
    slack_bot_token: str | None
    slack_channel: str | None
    slack_api_url: str | None
    ui_url: str | None


def read_settings() -> Settings:
    """Read what Metaflow's configuration says, and the two variables that Slack's own tools know."""
    from metaflow import metaflow_config as conf  # noqa: PLC0415 - heavy, and not for who only imports the decorator

    token = conf.HITL_SLACK_BOT_TOKEN or os.environ.get("SLACK_BOT_TOKEN") or None
    named = tuple(name.strip() for name in (conf.HITL_NOTIFIER or "").split(",") if name.strip())
    return Settings(
        root=conf.HITL_ROOT or None,
        notifiers=named or (("slack", "terminal") if token else ("terminal",)),
        slack_bot_token=token,
        slack_channel=conf.HITL_SLACK_CHANNEL or None,
        slack_api_url=conf.HITL_SLACK_API_URL or None,
        ui_url=conf.HITL_UI_URL or None,
    )
