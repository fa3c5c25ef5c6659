"""What a check found."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from hitl_bot.clock import WRONG_FROM, CheckedClock, SlackTime, listening, utc_now
from hitl_bot.cluster import argo_engine
from hitl_bot.events import Destination, NotDelivered, destinations_of
from hitl_bot.keys import trust_of
from hitl_bot.manifest import APP_TOKEN_SCOPE, FILES, HISTORY, SCOPES
from hitl_bot.policy.file import NO_POLICY, BadPolicy, PolicyFile
from hitl_bot.settings import PREFIX, Mode, Settings, SettingsError, mode_of, needed
from hitl_bot.slack.client import SLACK_FAILED, slack_client
from metaflow_extensions.hitl.approvals import bucket_map
from metaflow_extensions.hitl.approvals.errors import EngineUnavailable, StoreError
from metaflow_extensions.hitl.approvals.ports import Clock
from metaflow_extensions.hitl.engines.kubernetes import NoCluster
from metaflow_extensions.hitl.notifiers.slack.codes import Meaning, code_of, meaning_of, status_of
from metaflow_extensions.hitl.stores import open_store

# What a check found.


class Health(str, Enum):
    """How a check ended."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"  # it could not be checked, because of something bad before it or because it is not set


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the doctor's report.

    Attributes
    ----------
    check : str
        What was looked at, in a word or two.
    health : Health
        How it is.
    detail : str
        What was seen.
    fix : str
        What to do about it; empty unless it is bad.
    """

    check: str
    health: Health
    detail: str
    fix: str = ""


def good(check: str, detail: str) -> Finding:
    """Report what is as it should be."""
    return Finding(check=check, health=Health.GOOD, detail=detail)


def bad(check: str, detail: str, fix: str) -> Finding:
    """Report what must be fixed."""
    return Finding(check=check, health=Health.BAD, detail=detail, fix=fix)


def unknown(check: str, detail: str) -> Finding:
    """Report what could not be looked at."""
    return Finding(check=check, health=Health.UNKNOWN, detail=detail)


# Who vouches for the records.


def check_keys(settings: Settings) -> Finding:
    """Say what the bot signs with, or that nobody vouches for what it records."""
    try:
        trust = trust_of(settings)
    except SettingsError as error:
        return bad(
            "keys", str(error), "Create a key with `hitl-bot key new FILE`, or unset both settings for the open mode."
        )
    if trust.signer is None:
        return unknown(
            "keys",
            "open mode: no one vouches for answers, and anyone who can write to the store can answer",
        )
    newest, *older = trust.signer.public_keys
    also = f"; also holds {', '.join(key.id for key in older)}" if older else ""
    return good("keys", f"sealed mode: signs with key {newest.id}{also}. Flows need METAFLOW_HITL_PUBLIC_KEYS={newest}")


# Whether the operator's policy can be used, and which it is.


def check_policy(settings: Settings) -> Finding:
    """Read the policy as the bot does when it starts."""
    if settings.policy is None:
        return good("policy", NO_POLICY)
    try:
        return good("policy", PolicyFile(settings.policy).summary)
    except BadPolicy as error:
        return bad("policy", str(error), f"Correct the file, or {PREFIX}POLICY: the bot doesn't start with it.")


# Whether records can be kept.


def check_store(settings: Settings) -> Finding:
    """Write a probe, and prove that the store refuses to overwrite it."""
    try:
        root = needed(settings, "root")
    except SettingsError as error:
        what, _, fix = str(error).partition(". ")
        return bad("store", what, fix)
    try:
        store = open_store(root, s3_endpoint_url=settings.s3_endpoint)
        store.check()
    except StoreError as error:
        return bad("store", str(error), f"Fix it, or set {PREFIX}ROOT to another place, here and for the flows.")
    return good("store", f"{store.url} creates each key only once")


_LOOKS = 2  # at each of those that are asked for the time, which the clock needs to believe them


def check_clock(settings: Settings, *, system: Clock = utc_now) -> Finding:
    """Compare the machine's clock with the times at which Slack and the store answer."""
    clock = CheckedClock(system)
    with suppress(SettingsError, *SLACK_FAILED):
        client = slack_client(needed(settings, "slack_bot_token"), settings.slack_api_url, SlackTime(clock))
        for _ in range(_LOOKS):
            client.auth_test()
    with suppress(SettingsError, StoreError):
        store = open_store(needed(settings, "root"), s3_client=lambda: _listening_client(settings, clock))
        for _ in range(_LOOKS):
            list(store.list(bucket_map.OPEN.root, limit=1))
    if not clock.sources:
        return unknown("clock", "neither Slack nor the store said what time it is")
    who = " and ".join(clock.sources)
    if not clock.ahead:
        return good("clock", f"within {WRONG_FROM:.0f} s of {who}")
    off = f"{abs(clock.ahead):.0f} s {'behind' if clock.ahead > 0 else 'ahead of'} {who}"
    return bad("clock", f"this machine's clock is {off}", "Set it, by NTP for example. The bot uses theirs meanwhile.")


def _listening_client(settings: Settings, clock: CheckedClock) -> Any:
    from metaflow_extensions.hitl.stores.s3 import s3_client  # noqa: PLC0415 - boto3 takes a second to import

    return listening(s3_client(settings.s3_endpoint), clock)


# Whether workflows on Argo can be resumed from here.


def check_events(settings: Settings) -> Iterator[Finding]:
    """Send a ``hitl.ping`` to each place; nothing is said if events go nowhere."""
    try:
        destinations = destinations_of(settings, settings.root or "doctor")
    except SettingsError as error:
        yield bad("events", str(error), "Correct the setting; docs/events.md has an example.")
        return
    yield from map(_ping, destinations)


def _ping(destination: Destination) -> Finding:
    try:
        destination.ping(datetime.now(timezone.utc))
    except NotDelivered as error:
        return bad(
            "events",
            f"A hitl.ping was not taken: {error}",
            "Correct the address and the secret, or let the receiver answer a hitl.ping with a status from 200 to 299.",
        )
    return good("events", f"{destination.where} took a hitl.ping, and gets: {', '.join(destination.types)}")


def check_cluster(settings: Settings) -> Iterator[Finding]:
    """Look for the cluster, for Argo in it, and for the rights to resume a workflow. Nothing is changed."""
    try:
        engine = argo_engine(settings, lambda: datetime.now(timezone.utc), connections=1)
    except NoCluster as error:
        yield unknown("cluster", f"{error} Workflows on Argo can't be resumed from here; runs without Argo still work")
        return
    try:
        yield good("cluster", f"{engine.version()}: {engine}")
    except EngineUnavailable as error:
        fix = f"Check the kubeconfig or service account, or {PREFIX}ARGO_SERVER_URL and _TOKEN, and the network path."
        yield bad("cluster", str(error), fix)
        return
    try:
        yield good("workflows", engine.check_access())
    except EngineUnavailable as error:
        elsewhere = f"If the workflows are not in namespace {settings.argo_namespace}, set {PREFIX}ARGO_NAMESPACE"
        yield bad("workflows", str(error), f"{elsewhere}; otherwise ask an operator to fix it.")
    try:
        version = engine.argo_version()
    except EngineUnavailable:
        version = None
    if version is None:
        yield unknown("argo", f"its version is only known through argo-server ({PREFIX}ARGO_SERVER_URL)")
    else:
        slow = "; a step starts 10 s after the answer, or after the controller's DEFAULT_REQUEUE_TIME"
        yield good("argo", f"{version}{slow if version.startswith('v4') else ''}")


# Whether Slack lets the bot do its work.

_PAGES, _PAGE = 20, 999  # of conversations.list, which documents a limit below 1,000
_NEW_TOKEN = "Install the app in the workspace and set {} to the bot token (xoxb-…) under OAuth & Permissions."  # noqa: S105 - no token
_PASTE = "Paste the output of `hitl-bot manifest` under App Manifest of the app, and install the app again."


def check_slack(settings: Settings) -> Iterator[Finding]:
    """Check the bot token, its scopes, user groups, what its mode needs, and the channel, each by itself."""
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
    if client is not None:
        yield from _check_groups(client, settings)
    yield _check_secret(settings) if mode_of(settings) is Mode.HTTP else _check_app_token(settings)
    yield unknown("channel", "needs the bot token") if client is None else _check_channel(client, settings)


_BOT_TOKEN = f"{PREFIX}SLACK_BOT_TOKEN"


def _check_scopes(granted: frozenset[str] | None) -> Finding:
    if granted is None:
        return unknown("scopes", "needs the bot token")
    missing = [scope for scope in SCOPES if scope.name not in granted]
    if missing and all(scope.name in HISTORY | FILES for scope in missing):
        without = {name for scope in missing for name in ({"*:history"} if scope.name in HISTORY else FILES)}
        costs = {"*:history": "a question may be asked twice", "files:write": "questions have no pictures"}
        said = "; ".join(f"without {name} {costs[name]}" for name in sorted(without))
        return good("scopes", f"all that are needed; {said}")
    if missing:
        named = "; ".join(f"{scope.name} ({scope.why})" for scope in missing)
        return bad("scopes", f"missing: {named}", _PASTE)
    return good("scopes", f"all {len(SCOPES)} granted")


def _check_groups(client: WebClient, settings: Settings) -> Iterator[Finding]:
    """Say so where the workspace has no user groups, or none that the policy names: nobody can answer for them."""
    named = _policy_groups(settings)
    try:
        known = client.usergroups_list()["usergroups"]
    except SLACK_FAILED as error:
        if meaning_of(error) is not Meaning.PLAN:
            return
        detail = "Slack's free plan has no user groups, so @ml-leads and the like match nobody: name people instead"
        if named:
            detail = f"Slack's free plan has no user groups, so nobody can be in {_in_rules(named)}"
            yield bad("groups", detail, f"Name people in the policy: by {_BY}.")
        else:
            yield unknown("groups", detail)
        return
    there = {name for one in known if not one.get("date_delete") for name in (one["id"], f"@{one['handle']}")}
    if gone := {name: rule for name, rule in named.items() if name not in there}:
        detail = f"the workspace has no user group {_in_rules(gone)}, so nobody can be in it"
        yield bad("groups", detail, f"Correct the policy, or make the group in Slack; people can be named by {_BY}.")


_BY = "email address or member ID"


def _policy_groups(settings: Settings) -> dict[str, str]:
    """Return each group that the policy names with a rule that does; none from a file that is not a policy."""
    if settings.policy is None:
        return {}
    try:
        return PolicyFile(settings.policy).groups
    except BadPolicy:
        return {}  # reported by check_policy


def _in_rules(groups: dict[str, str]) -> str:
    return " or ".join(f"{name} (rule {rule} of the policy)" for name, rule in groups.items())


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
