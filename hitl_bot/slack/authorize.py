"""Whose request it is, without asking Slack: the bot serves one workspace with one token."""

from __future__ import annotations

from collections.abc import Callable

from slack_bolt import BoltContext
from slack_bolt.authorization import AuthorizeResult

NOT_HERE = (
    "This app is installed for a whole organization, but it works only when installed in a single workspace. "
    "Nothing was decided. Ask an admin to install it in this workspace."
)


def authorizer(bot_token: str) -> Callable[..., AuthorizeResult | None]:
    """Return what Bolt asks for each request.

    Bolt's own asks Slack once (``auth.test``), and the first person who clicks waits for that: where it is slow or
    limited their click is lost, and a slash command tells them to install the app again. Whether the token is good
    shows with the first call, and in `hitl-bot doctor`.
    """

    def authorize(
        context: BoltContext, enterprise_id: str | None, team_id: str | None, user_id: str | None
    ) -> AuthorizeResult | None:
        if context.is_enterprise_install:
            return None  # records, people and channels are those of one workspace
        return AuthorizeResult(enterprise_id=enterprise_id, team_id=team_id, user_id=user_id, bot_token=bot_token)

    return authorize
