"""The payloads that a person's acts become.

Source: docs.slack.dev/reference/interaction-payloads, docs.slack.dev/interactivity/implementing-slash-commands,
docs.slack.dev/reference/events/app_home_opened
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hitl_bot.sandbox.people import APP_ID, TEAM_DOMAIN, TEAM_ID, Channel, Person

if TYPE_CHECKING:
    from hitl_bot.sandbox.workspace import Message, View

Json = dict[str, Any]
VERIFICATION_TOKEN = "sandbox-verification"  # noqa: S105 - Slack's long deprecated field, which nobody should read


def common(person: Person) -> Json:
    """Return what every interaction carries."""
    return {
        "team": {"id": TEAM_ID, "domain": TEAM_DOMAIN},
        "user": {"id": person.id, "username": person.name, "name": person.name, "team_id": person.team_id},
        "api_app_id": APP_ID,
        "token": VERIFICATION_TOKEN,
        "enterprise": None,
        "is_enterprise_install": False,
    }


def grid(enterprise: str) -> Json:
    """Return what an interaction carries besides where the workspace belongs to an Enterprise Grid organisation."""
    named = {"enterprise_id": enterprise, "enterprise_name": "Organisation"}
    return {
        "enterprise": {"id": enterprise, "name": "Organisation"},
        "team": {"id": TEAM_ID, "domain": TEAM_DOMAIN, **named},
    }


def message_action(person: Person, channel: Channel, message: Message, action: Json) -> Json:
    """Return block_actions of an element in a message; of an ephemeral one Slack sends no message along."""
    ephemeral = bool(message.visible_to)
    container = {
        "type": "message",
        "message_ts": message.ts,
        "channel_id": channel.id,
        "is_ephemeral": ephemeral,
        **({"thread_ts": message.thread_ts} if message.thread_ts else {}),
    }
    return {
        **common(person),
        "type": "block_actions",
        "container": container,
        "channel": {"id": channel.id, "name": channel.name or "directmessage"},
        **({} if ephemeral else {"message": message.shape()}),
        "state": {"values": {}},
        "actions": [action],
    }


def view_action(person: Person, view: View, action: Json) -> Json:
    """Return block_actions of an element in a modal or the Home tab."""
    return {
        **common(person),
        "type": "block_actions",
        "container": {"type": "view", "view_id": view.id},
        "view": view.shape(),
        "actions": [action],
    }


def submission(person: Person, view: View, response_urls: list[Json]) -> Json:
    return {**common(person), "type": "view_submission", "view": view.shape(), "response_urls": response_urls}


def closed(person: Person, view: View, *, cleared: bool) -> Json:
    return {**common(person), "type": "view_closed", "view": view.shape(), "is_cleared": cleared}


def message_shortcut(person: Person, channel: Channel, message: Message, callback_id: str, action_ts: str) -> Json:
    return {
        **common(person),
        "type": "message_action",
        "callback_id": callback_id,
        "action_ts": action_ts,
        "channel": {"id": channel.id, "name": channel.name or "directmessage"},
        "message_ts": message.ts,
        "message": message.shape(),
    }


def command(person: Person, channel: Channel, name: str, text: str) -> Json:
    """Return a slash command; all its values are text, as it also travels as a form."""
    return {
        "token": VERIFICATION_TOKEN,
        "team_id": TEAM_ID,
        "team_domain": TEAM_DOMAIN,
        "channel_id": channel.id,
        "channel_name": channel.name or "directmessage",
        "user_id": person.id,
        "user_name": person.name,
        "command": name,
        "text": text,
        "api_app_id": APP_ID,
        "is_enterprise_install": "false",
    }


def event(event: Json, event_id: str, now: float) -> Json:
    return {
        "type": "event_callback",
        "token": VERIFICATION_TOKEN,
        "team_id": TEAM_ID,
        "api_app_id": APP_ID,
        "event": event,
        "event_id": event_id,
        "event_time": int(now),
        "is_ext_shared_channel": False,
        "authorizations": [
            {
                "enterprise_id": None,
                "team_id": TEAM_ID,
                "user_id": "U0BOT",
                "is_bot": True,
                "is_enterprise_install": False,
            }
        ],
    }
