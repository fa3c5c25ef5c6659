"""What Slack's error codes mean for an operator, in words; what they mean for the bot is in ``codes``.

Source of the codes: docs.slack.dev/reference/methods/chat.postMessage and .../chat.update, section "Errors".
"""

from __future__ import annotations

_ELSEWHERE = 'or ask in another channel: @hitl(channel="#approvals") in the step, METAFLOW_HITL_SLACK_CHANNEL for all'
_REINSTALL = (
    "Install the app again, put its bot token (xoxb-…) into METAFLOW_HITL_SLACK_BOT_TOKEN, and run `hitl-bot doctor`."
)
_DEFECT = (
    "This is a defect of metaflow-hitl: report it with this line. The question can be answered on the command line."
)
_NO_UPLOADS = (
    "The workspace does not take the pictures that go with a question, so questions are asked without them. Ask an "
    "admin to allow the bot's uploads, or leave out the scope: `hitl-bot manifest --without-files`."
)

_ADVICE = {
    "channel_not_found": (
        "There is no channel {channel} that the bot can see. If it is private, invite the bot there: /invite with the "
        f"bot's name; correct the name, {_ELSEWHERE}."
    ),
    "not_in_channel": (
        "The bot is not in {channel}. Invite the bot to {channel}: type /invite and the bot's name there, "
        f"{_ELSEWHERE}."
    ),
    "is_archived": f"{{channel}} is archived. Unarchive it, {_ELSEWHERE}.",
    "restricted_action": f"{{channel}} lets only some people post. Ask an admin to allow the bot, {_ELSEWHERE}.",
    "invalid_auth": f"Slack rejects the bot token. {_REINSTALL}",
    "not_authed": f"There is no bot token. {_REINSTALL}",
    "token_revoked": f"The bot token was revoked. {_REINSTALL}",
    "token_expired": f"The bot token has expired. {_REINSTALL}",
    "account_inactive": f"The bot was removed from the workspace. {_REINSTALL}",
    "not_allowed_token_type": f"This is not a bot token. {_REINSTALL}",
    "missing_scope": (
        "The bot lacks the scope {needed} for {method}. Add it under OAuth & Permissions, or paste the output of "
        "`hitl-bot manifest` into the app's manifest; then install the app again."
    ),
    "org_login_required": "The workspace is moving to another organisation. Try again when it has.",
    "ekm_access_denied": "The workspace's admins have closed it with Enterprise Key Management. Ask them.",
    "message_not_found": "The message in {channel} is gone, so it can't show the answer. The answer counts anyway.",
    "thread_not_found": "The message in {channel} is gone, and its thread with it. The record has what it would "
    "have shown.",
    "cant_update_message": (
        "The message in {channel} was posted with another bot's token, so it can't show the answer. "
        "It counts all the same; use one token for the flows and the bot."
    ),
    "edit_window_closed": (
        "The workspace does not allow messages of this age to be edited, so the one in {channel} can't show the "
        "answer. "
        "The answer counts anyway."
    ),
    "msg_too_long": f"Slack says that the message is too long. {_DEFECT}",
    "msg_blocks_too_long": f"Slack says that the message is too long. {_DEFECT}",
    "invalid_blocks": f"Slack does not accept the message's blocks. {_DEFECT}",
    "invalid_blocks_format": f"Slack does not accept the message's blocks. {_DEFECT}",
    "invalid_arguments": f"Slack does not accept what {{method}} was called with. {_DEFECT}",
    "file_uploads_disabled": _NO_UPLOADS,
    "file_uploads_except_images_disabled": _NO_UPLOADS,
    "file_upload_size_restricted": _NO_UPLOADS,
    "file_type_not_allowed": _NO_UPLOADS,
    "storage_limit_reached": _NO_UPLOADS,
    "no_text": f"Slack says that the message is empty. {_DEFECT}",
}


def passing(code: str, *, method: str) -> str:
    """Say of a failure that may go away by itself what to do if it does not."""
    return (
        f"Slack failed at {method} ({code}). The bot will retry. If this keeps happening, see slack-status.com "
        "and check "
        "whether a proxy answers in place of Slack."
    )


def advice(code: str, *, method: str, channel: str, needed: str = "") -> str:
    """Say what happened and what to do about it; of an unknown code at least the code."""
    words = _ADVICE.get(code, "Slack refused {method} for {channel}. Run `hitl-bot doctor` to see what is wrong.")
    said = words.format(channel=channel, method=method, needed=needed or "it needs")
    return f"{said} (Slack: {code})"
