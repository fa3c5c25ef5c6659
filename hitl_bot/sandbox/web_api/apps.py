"""api.test, auth.test, apps.connections.open."""

from hitl_bot.sandbox.faults import Tier
from hitl_bot.sandbox.people import APP_ID, BOT_ID, BOT_USER_ID, TEAM_DOMAIN, TEAM_ID
from hitl_bot.sandbox.workspace import Workspace

from .method import Arguments, Json, Method, SlackError, Token


def api_test(_workspace: Workspace, args: Arguments) -> Json:
    given = {name: value for name, value in args.given.items() if name != "token"}
    if args.has("error"):
        raise SlackError(args.text("error"), args=given)
    return {"args": given} if given else {}


def auth_test(workspace: Workspace, _args: Arguments) -> Json:
    return {
        "url": f"{workspace.url}/",
        "team": "Sandbox",
        "user": workspace.people[BOT_USER_ID].name,
        "team_id": TEAM_ID,
        "user_id": BOT_USER_ID,
        "bot_id": BOT_ID,
        "app_id": APP_ID,
        "is_enterprise_install": False,
        **({"enterprise_id": workspace.enterprise} if workspace.enterprise else {}),
        "domain": TEAM_DOMAIN,
    }


def connections_open(workspace: Workspace, _args: Arguments) -> Json:
    """Return an address for one Socket Mode connection."""
    return {"url": f"{workspace.url.replace('http', 'ws', 1)}/link/?ticket={workspace.new_ticket()}&app_id={APP_ID}"}


METHODS = (
    Method(name="api.test", run=api_test, tier=Tier.NONE, token=Token.NONE),
    Method(name="auth.test", run=auth_test, tier=Tier.NONE),
    Method(name="apps.connections.open", run=connections_open, tier=Tier.THREE, token=Token.APP),
)
