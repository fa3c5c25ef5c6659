"""The app as its manifest describes it: scopes, slash commands, shortcuts, events.

Source: docs.slack.dev/reference/app-manifest
"""

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

DEFAULT_MANIFEST: Json = {
    "display_information": {"name": "HITL"},
    "features": {
        "app_home": {"home_tab_enabled": True, "messages_tab_enabled": True},
        "bot_user": {"display_name": "hitl", "always_online": True},
        "slash_commands": [
            {
                "command": "/hitl",
                "description": "Approvals that wait",
                "usage_hint": "list | show ID | approve ID | help",
                "should_escape": True,
            }
        ],
        "shortcuts": [
            {"name": "Why was this decided?", "type": "message", "callback_id": "why", "description": "Shows the trail"}
        ],
    },
    "oauth_config": {
        "scopes": {
            "bot": [
                "channels:history",
                "channels:read",
                "chat:write",
                "commands",
                "files:write",
                "groups:history",
                "groups:read",
                "im:history",
                "im:read",
                "im:write",
                "usergroups:read",
                "users:read",
                "users:read.email",
            ]
        }
    },
    "settings": {
        "event_subscriptions": {"bot_events": ["app_home_opened"]},
        "interactivity": {"is_enabled": True},
        "socket_mode_enabled": True,
    },
}


@dataclass(frozen=True, kw_only=True)
class SlashCommand:
    """A command that the composer offers."""

    command: str
    description: str
    usage_hint: str
    should_escape: bool


@dataclass(frozen=True, kw_only=True)
class Shortcut:
    """An entry of a message's menu."""

    name: str
    callback_id: str


@dataclass(frozen=True, kw_only=True)
class AppManifest:
    """The parts of a manifest that the sandbox uses."""

    name: str
    scopes: frozenset[str]
    commands: tuple[SlashCommand, ...]
    shortcuts: tuple[Shortcut, ...]
    events: frozenset[str]

    @classmethod
    def parse(cls, manifest: Json) -> "AppManifest":
        """Read a manifest as it is pasted when a Slack app is created."""
        features = manifest.get("features", {})
        subscriptions = manifest.get("settings", {}).get("event_subscriptions", {})
        return cls(
            name=manifest.get("display_information", {}).get("name", "App"),
            scopes=frozenset(manifest.get("oauth_config", {}).get("scopes", {}).get("bot", ())),
            commands=tuple(
                SlashCommand(
                    command=one["command"],
                    description=one.get("description", ""),
                    usage_hint=one.get("usage_hint", ""),
                    should_escape=bool(one.get("should_escape")),
                )
                for one in features.get("slash_commands", ())
            ),
            shortcuts=tuple(
                Shortcut(name=one["name"], callback_id=one["callback_id"])
                for one in features.get("shortcuts", ())
                if one.get("type") == "message"
            ),
            events=frozenset(subscriptions.get("bot_events", ())),
        )
