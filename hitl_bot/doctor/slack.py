"""Whether Slack lets the bot do its work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from hitl_bot.doctor.finding import Finding, bad, good, unknown
from hitl_bot.manifest import APP_TOKEN_SCOPE, HISTORY, SCOPES
from hitl_bot.settings import PREFIX, Mode, Settings, SettingsError, mode_of, needed
from hitl_bot.slack.client import SLACK_FAILED, slack_client
from metaflow_extensions.hitl.notifiers.slack.codes import Meaning, code_of, meaning_of, status_of

_PAGES, _PAGE = 20, 999  # of conversations.list, which documents a limit below 1,000
_NEW_TOKEN = "Install the app in the workspace and set {} to the bot token (xoxb-…) under OAuth & Permissions."  # noqa: S105 - no token
_PASTE = "Paste the output of `hitl-bot manifest` under App Manifest of the app, and install the app again."


def check_slack(settings: Settings) -> Iterator[Finding]:
    """Check the bot token, its scopes, what its mode needs, and the channel, each even if another is bad."""
    try:
        client = slack_client(needed(settings, "slack_bot_token"), settings.slack_api_url)
    except SettingsError as error:
        yield bad("bot token", *_sentences(error))
        client = None
    scopes: frozenset[str] | None = None
    if client is not None:
        try:
            answer = client.auth_test()
        except SLACK_FAILED as error:
            yield bad("bot token", f"Slack refuses it: {_code(error)}", _fix(error, _NEW_TOKEN.format(_BOT_TOKEN)))
            client = None
        else:
            yield good("bot token", f"{answer['user']} in {answer['team']} ({answer['url']})")
            scopes = _scopes(answer.headers)
    yield _check_scopes(scopes)
    yield _check_secret(settings) if mode_of(settings) is Mode.HTTP else _check_app_token(settings)
    yield unknown("channel", "needs the bot token") if client is None else _check_channel(client, settings)


_BOT_TOKEN = f"{PREFIX}SLACK_BOT_TOKEN"


def _check_scopes(granted: frozenset[str] | None) -> Finding:
    if granted is None:
        return unknown("scopes", "needs the bot token")
    missing = [scope for scope in SCOPES if scope.name not in granted]
    if missing and all(scope.name in HISTORY for scope in missing):
        return good("scopes", "all that are needed; without *:history a question may be asked twice")
    if missing:
        named = "; ".join(f"{scope.name} ({scope.why})" for scope in missing)
        return bad("scopes", f"missing: {named}", _PASTE)
    return good("scopes", f"all {len(SCOPES)} granted")


def _check_app_token(settings: Settings) -> Finding:
    try:
        token = needed(settings, "slack_app_token")
        slack_client(token, settings.slack_api_url).apps_connections_open(app_token=token)
    except SettingsError as error:
        return bad("app token", *_sentences(error))
    except SLACK_FAILED as error:
        make = (
            f"Make an app-level token with the scope {APP_TOKEN_SCOPE} under Basic Information, "
            f"set {PREFIX}SLACK_APP_TOKEN to it, and turn Socket Mode on."
        )
        return bad("app token", f"Slack opens no Socket Mode connection: {_code(error)}", _fix(error, make))
    return good("app token", "Slack opens Socket Mode connections")


def _check_secret(settings: Settings) -> Finding:
    try:
        needed(settings, "slack_signing_secret")
    except SettingsError as error:
        return bad("secret", *_sentences(error))
    return good("secret", "set; whether it belongs to the app is known only after Slack sends a request")


def _check_channel(client: WebClient, settings: Settings) -> Finding:
    wanted = settings.slack_channel
    if wanted is None:
        return unknown("channel", f"{PREFIX}SLACK_CHANNEL is not set, so every step must name its channel")
    elsewhere = f"set {PREFIX}SLACK_CHANNEL to another channel"
    try:
        channel = _find(client, wanted)
    except SLACK_FAILED as error:
        return bad("channel", f"Slack does not return {wanted}: {_code(error)}", _fix(error, _PASTE))
    if channel is None:
        return bad(
            "channel",
            f"the bot can't see a channel {wanted}",
            f"If it is private, type /invite and the bot's name there; otherwise correct the name, or {elsewhere}.",
        )
    name = f"#{channel['name']}"
    if channel.get("is_archived"):
        return bad("channel", f"{name} is archived", f"Unarchive it, or {elsewhere}.")
    if not channel.get("is_member"):
        return bad(
            "channel", f"the bot is not in {name}", f"Type /invite and the bot's name in {name}, or {elsewhere}."
        )
    return good("channel", f"the bot is in {name} ({channel['id']})")


def _find(client: WebClient, wanted: str) -> dict[str, Any] | None:
    if not wanted.startswith("#") and wanted[:1] in "CG" and wanted.isupper():
        try:
            found: dict[str, Any] = client.conversations_info(channel=wanted)["channel"]
        except SlackApiError as error:
            if meaning_of(error) is Meaning.ABSENT:
                return None
            raise
        return found
    cursor = ""
    for _ in range(_PAGES):
        page = client.conversations_list(types="public_channel,private_channel", limit=_PAGE, cursor=cursor)
        for channel in page["channels"]:
            if channel["name"] == wanted.lstrip("#"):
                return dict(channel)
        cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
        if not cursor:
            break
    return None


def _scopes(headers: dict[str, Any]) -> frozenset[str]:
    """Read the scopes of a token, which Slack names in a header of every answer."""
    value = next((value for name, value in headers.items() if name.lower() == "x-oauth-scopes"), "")
    listed = value if isinstance(value, str) else ",".join(value)
    return frozenset(scope.strip() for scope in listed.split(",") if scope.strip())


def _code(error: Exception) -> str:
    if isinstance(error, SlackApiError):
        return code_of(error) or f"HTTP {status_of(error)}"
    return f"no answer ({error})"


def _fix(error: Exception, otherwise: str) -> str:
    if code_of(error):
        return otherwise
    return f"Check the network path to {PREFIX}SLACK_API_URL: name resolution, proxy, firewall."


def _sentences(error: SettingsError) -> tuple[str, str]:
    what, _, fix = str(error).partition(". ")
    return what, fix
