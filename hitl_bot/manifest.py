"""The Slack app's manifest: everything that an operator would otherwise click together.

Source: docs.slack.dev/reference/app-manifest
"""

import json
from dataclasses import dataclass
from enum import Enum
from typing import Any

import click
import yaml

from metaflow_extensions.hitl.messages import controls

from .listeners.table import COMMAND, EVENTS


@dataclass(frozen=True, kw_only=True)
class Scope:
    """A permission of the bot token, and what needs it: methods of the Web API, or a feature in words."""

    name: str
    methods: tuple[str, ...] = ()
    why: str


# As docs.slack.dev/reference/scopes lists them for each method.
SCOPES = (
    Scope(
        name="chat:write",
        methods=("chat.postMessage", "chat.update", "chat.delete"),
        why="asks, and shows the answer in the same message",
    ),
    Scope(name="commands", why=COMMAND),
    Scope(
        name="users:read",
        methods=("users.info", "users.list"),
        why="who clicked: name, guest, deactivated, other workspace",
    ),
    Scope(
        name="users:read.email",
        methods=("users.lookupByEmail",),
        why="approvers that are named by email address (users.info then shows it)",
    ),
    Scope(name="usergroups:read", methods=("usergroups.list",), why="approvers that are named by user group"),
    Scope(
        name="channels:read",
        methods=("conversations.list", "conversations.info", "conversations.members"),
        why="finds a channel that is named instead of given by its id, and who is in it: its people answer",
    ),
    Scope(
        name="groups:read",
        methods=("conversations.list", "conversations.info", "conversations.members"),
        why="likewise, private channels",
    ),
    Scope(name="im:read", methods=("conversations.members",), why="whose direct message a question is in"),
    Scope(
        name="channels:history",
        methods=("conversations.history", "conversations.replies"),
        why="looks for a question that was posted before a connection broke, so that it is not asked twice",
    ),
    Scope(
        name="groups:history",
        methods=("conversations.history", "conversations.replies"),
        why="likewise, in private channels",
    ),
    Scope(name="im:write", methods=("conversations.open",), why="questions and answers as direct messages"),
    Scope(
        name="files:write",
        methods=("files.getUploadURLExternal", "files.completeUploadExternal"),
        why="pictures below a question with metrics; it can be left out",
    ),
    Scope(
        name="im:history",
        methods=("conversations.history", "conversations.replies"),
        why="as channels:history, in direct messages",
    ),
)
# These take any bot token, or need no more than the interaction that they answer.
WITHOUT_SCOPE = ("auth.test", "blocks.validate", "chat.getPermalink", "views.open", "views.publish", "views.update")
# The app-level token's own scope; it is chosen when that token is made, not in the manifest.
APP_TOKEN_SCOPE = "connections:write"  # noqa: S105 - a scope, no token


FILES = frozenset({"files:write"})
"""The scope that pictures need: without it a question has its table alone."""

HISTORY = frozenset({"channels:history", "groups:history", "im:history"})
"""Scopes that the bot can do without: they only keep it from asking twice where a connection broke."""


class Files(Enum):
    """Whether the app may upload pictures."""

    UPLOADED = "uploaded"
    NOT_UPLOADED = "not uploaded"


class HistoryAccess(Enum):
    """Whether the app may read what is written in its channels."""

    READ = "read"
    NOT_READ = "not read"


def app_manifest(
    request_url: str | None = None, history: HistoryAccess = HistoryAccess.READ, files: Files = Files.UPLOADED
) -> dict[str, Any]:
    """Build the manifest.

    Parameters
    ----------
    request_url : str, optional
        Where Slack sends interactions and commands over HTTP, such as ``https://hitl.example.com/slack/events``.
        Without one the app uses Socket Mode, and the bot needs no address.
    history : HistoryAccess
        Without it the bot can't look for a message before it posts: where Slack's answer is lost, a question may be
        asked twice, and a line in a thread told twice.
    files : Files
        Without them a question has no pictures.
    """
    left_out = (HISTORY if history is HistoryAccess.NOT_READ else frozenset()) | (
        FILES if files is Files.NOT_UPLOADED else frozenset()
    )
    scopes = [scope.name for scope in SCOPES if scope.name not in left_out]
    command: dict[str, Any] = {
        "command": COMMAND,
        "description": "Approvals that wait for an answer",
        "usage_hint": "list | show ID | approve ID | reject ID REASON | history | stats | help",
        "should_escape": True,
    }
    interactivity: dict[str, Any] = {"is_enabled": True}
    events: dict[str, Any] = {"bot_events": list(EVENTS)}
    if request_url is not None:
        events["request_url"] = command["url"] = interactivity["request_url"] = request_url
    return {
        "display_information": {
            "name": "HITL",
            "description": "A step of a flow waits until a person has said yes",
            "background_color": "#2c3e50",
        },
        "features": {
            "app_home": {
                "home_tab_enabled": True,
                "messages_tab_enabled": True,
                "messages_tab_read_only_enabled": True,
            },
            "bot_user": {"display_name": "hitl", "always_online": True},
            "slash_commands": [command],
            "shortcuts": [
                {
                    "name": "Why was this decided?",
                    "type": "message",
                    "callback_id": controls.WHY,
                    "description": "Shows who asked, who answered, and when",
                }
            ],
        },
        "oauth_config": {"scopes": {"bot": scopes}},
        "settings": {
            "event_subscriptions": events,
            "interactivity": interactivity,
            "org_deploy_enabled": False,
            "socket_mode_enabled": request_url is None,
            "token_rotation_enabled": False,
        },
    }


def as_yaml(manifest: dict[str, Any]) -> str:
    """Write a manifest as YAML, with the reason beside each scope."""
    text = yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True, width=120)
    for scope in SCOPES:
        text = text.replace(f"- {scope.name}\n", f"- {scope.name} # {scope.why}\n")
    return text


@click.command("manifest")
@click.option("--json", "as_json", is_flag=True, help="Write JSON instead of YAML.")
@click.option("--request-url", metavar="URL", help="Let Slack call this address (https://…) instead of Socket Mode.")
@click.option(
    "--without-history",
    "history",
    flag_value=HistoryAccess.NOT_READ,
    type=HistoryAccess,
    default=HistoryAccess.READ,
    help="Leave out the scopes *:history. Where Slack's answer is lost, a question may then be asked twice.",
)
@click.option(
    "--without-files",
    "files",
    flag_value=Files.NOT_UPLOADED,
    type=Files,
    default=Files.UPLOADED,
    help="Leave out the scope files:write. Questions then have no pictures.",
)
def command(*, as_json: bool, request_url: str | None, history: HistoryAccess, files: Files) -> None:
    """Print the manifest to paste at api.slack.com/apps, under "Create New App", "From a manifest"."""
    if request_url is not None and not request_url.startswith("https://"):
        raise click.BadParameter("Slack calls https:// addresses only.", param_hint="--request-url")
    manifest = app_manifest(request_url, history, files)
    click.echo(json.dumps(manifest, indent=2, ensure_ascii=False) if as_json else as_yaml(manifest), nl=as_json)
