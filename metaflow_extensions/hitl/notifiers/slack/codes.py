"""What Slack's error codes mean: the one table of them, by method.

Nothing else in this project judges a code. Source: the section "Errors" of each method's page below
docs.slack.dev/reference/methods; ``hitl_bot/sandbox/web_api/reference.json`` holds the codes as data, and a test holds
this table to it: every documented error of every method in use has a line here.
"""

from enum import Enum
from typing import Any
from urllib.parse import urlsplit

from slack_sdk.errors import SlackApiError

from metaflow_extensions.hitl.approvals.errors import NotifierError


class Meaning(Enum):
    """What becomes of a call that Slack refused."""

    FINAL = "final"
    """What the call was about is gone, or can no longer be changed. Trying again would not help."""
    PASSING = "passing"
    """It may work soon. So may what nobody knows yet: a new code must not end anything."""
    OPERATOR = "operator"
    """It works once somebody fixes token, scopes, membership or settings. Said once, tried less and less often."""
    TOO_LONG = "too long"
    """Slack doesn't accept this content. A shorter message is tried; if that fails too, it is a defect of ours."""
    DEFECT = "defect"
    """The call itself is wrong: a defect of ours. A later release may do better, so it is treated as an operator's."""
    PLAN = "plan"
    """The workspace's plan does not have this. Only another plan brings it, so nobody should wait for it."""
    ABSENT = "absent"
    """An answer rather than a failure: there is no such person, group, channel or message."""
    OUTDATED = "outdated"
    """The person's screen has moved on: they closed or replaced the view, or the click is too old. Nothing is lost."""


_COMMON = {
    # Of Slack itself, or of the way there.
    "accesslimited": Meaning.PASSING,
    "fatal_error": Meaning.PASSING,  # may have done its work nevertheless: the message is looked for before posting
    "internal_error": Meaning.PASSING,
    "rate_limited": Meaning.PASSING,
    "ratelimited": Meaning.PASSING,
    "request_timeout": Meaning.PASSING,
    "service_unavailable": Meaning.PASSING,
    "team_added_to_org": Meaning.PASSING,
    "org_login_required": Meaning.PASSING,  # while the workspace moves to another organisation
    # Of the token, the app and the workspace.
    "access_denied": Meaning.OPERATOR,
    "account_inactive": Meaning.OPERATOR,
    "app_access_restricted": Meaning.OPERATOR,
    "ekm_access_denied": Meaning.OPERATOR,
    "enterprise_is_restricted": Meaning.OPERATOR,
    "forbidden_team": Meaning.OPERATOR,
    "invalid_auth": Meaning.OPERATOR,
    "missing_scope": Meaning.OPERATOR,
    "no_permission": Meaning.OPERATOR,
    "not_allowed_token_type": Meaning.OPERATOR,
    "not_authed": Meaning.OPERATOR,
    "plan_upgrade_required": Meaning.PLAN,
    "team_access_not_granted": Meaning.OPERATOR,
    "team_not_found": Meaning.OPERATOR,
    "token_expired": Meaning.OPERATOR,
    "token_revoked": Meaning.OPERATOR,
    "two_factor_setup_required": Meaning.OPERATOR,
    # Of the call.
    "deprecated_endpoint": Meaning.DEFECT,
    "insecure_request": Meaning.DEFECT,
    "invalid_arg_name": Meaning.DEFECT,
    "invalid_arguments": Meaning.DEFECT,
    "invalid_array_arg": Meaning.DEFECT,
    "invalid_charset": Meaning.DEFECT,
    "invalid_form_data": Meaning.DEFECT,
    "invalid_json": Meaning.DEFECT,
    "invalid_post_type": Meaning.DEFECT,
    "is_bot": Meaning.DEFECT,
    "json_not_object": Meaning.DEFECT,
    "method_deprecated": Meaning.DEFECT,
    "missing_args": Meaning.DEFECT,
    "missing_argument": Meaning.DEFECT,
    "missing_post_type": Meaning.DEFECT,
    "unknown_method": Meaning.DEFECT,
}

_CHANNEL = {
    "channel_is_limited_access": Meaning.OPERATOR,
    "channel_not_found": Meaning.OPERATOR,  # private, and the bot was removed: /invite brings it back
    "is_archived": Meaning.OPERATOR,  # somebody may unarchive it
    "method_not_supported_for_channel_type": Meaning.OPERATOR,
    "not_in_channel": Meaning.OPERATOR,
}

_WRITING = _CHANNEL | {
    "as_user_not_supported": Meaning.DEFECT,
    "attachment_payload_limit_exceeded": Meaning.DEFECT,
    "invalid_attachments": Meaning.DEFECT,
    "invalid_blocks": Meaning.TOO_LONG,
    "invalid_blocks_format": Meaning.DEFECT,
    "invalid_metadata_format": Meaning.DEFECT,
    "invalid_metadata_schema": Meaning.DEFECT,
    "markdown_text_conflict": Meaning.DEFECT,
    "message_limit_exceeded": Meaning.PASSING,
    "messages_tab_disabled": Meaning.OPERATOR,
    "metadata_must_be_sent_from_app": Meaning.OPERATOR,
    "metadata_too_large": Meaning.DEFECT,
    "msg_blocks_too_long": Meaning.TOO_LONG,
    "msg_too_long": Meaning.TOO_LONG,
    "no_text": Meaning.DEFECT,
    "posting_to_channel_denied": Meaning.OPERATOR,
    "restricted_action": Meaning.OPERATOR,
    "slack_connect_canvas_sharing_blocked": Meaning.OPERATOR,
    "slack_connect_file_link_sharing_blocked": Meaning.OPERATOR,
    "slack_connect_lists_sharing_blocked": Meaning.OPERATOR,
    "too_many_attachments": Meaning.DEFECT,
}

_READING = _CHANNEL | {
    "invalid_cursor": Meaning.PASSING,  # pages are read from the first one again
    "invalid_limit": Meaning.DEFECT,
    "invalid_metadata_filter_keys": Meaning.DEFECT,
    "invalid_ts_latest": Meaning.DEFECT,
    "invalid_ts_oldest": Meaning.DEFECT,
    "invalid_types": Meaning.DEFECT,
    "limit_required": Meaning.DEFECT,
    "list_record_comment_fetch_failed": Meaning.PASSING,
    "fetch_members_failed": Meaning.PASSING,
}

_VIEWS = {
    "duplicate_external_id": Meaning.DEFECT,
    "exchanged_trigger_id": Meaning.OUTDATED,
    "expired_trigger_id": Meaning.OUTDATED,
    "hash_conflict": Meaning.OUTDATED,
    "invalid_trigger_id": Meaning.OUTDATED,
    "not_found": Meaning.OUTDATED,
    "view_too_large": Meaning.DEFECT,
}

_FILES_IN_A_MESSAGE = dict.fromkeys(
    # Our messages carry no files yet; one that Slack holds back may pass without it.
    (
        "blocked_file_type",
        "file_deleted",
        "file_is_deleted",
        "file_not_found",
        "file_share_limit_reached",
        "max_file_sharing_exceeded",
        "missing_file_data",
        "slack_connect_blocked_file_type",
        "slack_connect_clip_sharing_blocked",
        "slack_connect_file_upload_sharing_blocked",
        "unable_to_share_files",
    ),
    Meaning.TOO_LONG,
)

_POSTING = {
    **_WRITING,
    **_FILES_IN_A_MESSAGE,
    "cannot_reply_to_message": Meaning.FINAL,  # only replies bring it: no thread can be below this message
    "draft_already_deleted": Meaning.DEFECT,
    "draft_already_sent": Meaning.DEFECT,
    "draft_has_conflict": Meaning.DEFECT,
    "draft_not_found": Meaning.DEFECT,
    "duplicate_channel_not_found": Meaning.OPERATOR,
    "duplicate_message_not_found": Meaning.PASSING,
    "message_not_found": Meaning.FINAL,  # not documented for it, and seen where the parent of a thread is gone
    "restricted_action_non_threadable_channel": Meaning.OPERATOR,
    "restricted_action_read_only_channel": Meaning.OPERATOR,
    "restricted_action_thread_locked": Meaning.OPERATOR,
    "restricted_action_thread_only_channel": Meaning.OPERATOR,
    "send_on_behalf_not_allowed": Meaning.DEFECT,
    "thread_not_found": Meaning.FINAL,  # likewise
    "too_many_contact_cards": Meaning.DEFECT,
}

_UPLOADING = {
    "file_type_not_allowed": Meaning.OPERATOR,
    "file_uploads_except_images_disabled": Meaning.OPERATOR,
}

_BY_METHOD: dict[str, dict[str, Meaning]] = {
    "apps.connections.open": {},
    "auth.test": {},
    "blocks.validate": {
        "invalid_blocks": Meaning.DEFECT,
        "invalid_message": Meaning.DEFECT,
        "invalid_view": Meaning.DEFECT,
    },
    "chat.delete": {
        **_CHANNEL,
        "cant_delete_message": Meaning.FINAL,
        "message_not_found": Meaning.FINAL,
    },
    "chat.getPermalink": {**_CHANNEL, "message_not_found": Meaning.FINAL},
    "chat.postMessage": _POSTING,
    "chat.update": {
        **_WRITING,
        **_FILES_IN_A_MESSAGE,
        "block_mismatch": Meaning.TOO_LONG,
        "cant_broadcast_message": Meaning.DEFECT,
        "cant_update_message": Meaning.FINAL,  # another app's: who wrote a message never changes
        "edit_window_closed": Meaning.FINAL,  # a message only gets older
        "external_channel_migrating": Meaning.PASSING,
        "is_inactive": Meaning.OPERATOR,  # its channel is archived or frozen; somebody may bring it back
        "message_not_found": Meaning.FINAL,
        "no_dual_broadcast_content_update": Meaning.DEFECT,
        "streaming_state_conflict": Meaning.PASSING,
        "update_failed": Meaning.PASSING,
    },
    "conversations.history": _READING,
    "conversations.info": {**_CHANNEL, "channel_not_found": Meaning.ABSENT},
    "conversations.list": _READING,
    "conversations.members": _READING,
    "conversations.open": {
        **_CHANNEL,
        "invalid_user_combination": Meaning.OPERATOR,
        "not_enough_users": Meaning.DEFECT,
        "too_many_users": Meaning.DEFECT,
        "user_disabled": Meaning.OPERATOR,
        "user_not_found": Meaning.OPERATOR,
        "user_not_visible": Meaning.OPERATOR,
        "users_list_not_supplied": Meaning.DEFECT,
    },
    "conversations.replies": {**_READING, "thread_not_found": Meaning.FINAL},
    "files.completeUploadExternal": {
        **_CHANNEL,
        **_UPLOADING,
        "channels_limit_exceeded": Meaning.DEFECT,
        "file_not_found": Meaning.PASSING,  # it is uploaded once more
        "file_update_failed": Meaning.PASSING,
        "invalid_blocks": Meaning.DEFECT,
        "invalid_channel": Meaning.OPERATOR,
        "posting_to_channel_denied": Meaning.OPERATOR,
    },
    "files.getUploadURLExternal": {
        **_UPLOADING,
        "alt_txt_too_large": Meaning.DEFECT,
        "file_upload_size_restricted": Meaning.OPERATOR,
        "file_uploads_disabled": Meaning.OPERATOR,
        "snippet_too_large": Meaning.DEFECT,
        "storage_limit_reached": Meaning.OPERATOR,
        "unknown_snippet_type": Meaning.DEFECT,
        "unknown_subtype": Meaning.DEFECT,
    },
    "usergroups.list": {
        "invalid_cursor": Meaning.PASSING,
        "invalid_team": Meaning.OPERATOR,
        "users_not_found": Meaning.PASSING,
    },
    "users.info": {
        "too_many_users": Meaning.DEFECT,
        "user_not_found": Meaning.ABSENT,
        "user_not_visible": Meaning.ABSENT,
    },
    "users.list": {"invalid_cursor": Meaning.PASSING, "limit_required": Meaning.DEFECT},
    "users.lookupByEmail": {"users_not_found": Meaning.ABSENT},
    "views.open": _VIEWS,
    "views.publish": {
        **_VIEWS,
        "missing_profile_id": Meaning.OPERATOR,
        "not_enabled": Meaning.OPERATOR,
        "not_implemented": Meaning.OPERATOR,
    },
    "views.update": _VIEWS,
}
METHODS = frozenset(_BY_METHOD)
"""The methods of the Web API that this project calls."""

_BUSY = frozenset({"rate_limited", "ratelimited"})
_SERVER_ERROR, _TOO_MANY = 500, 429  # HTTP


def meaning(method: str, code: str, status: int = 200) -> Meaning:
    """Return what a code means that a method answered.

    Parameters
    ----------
    method : str
        Of the Web API.
    code : str
        Slack's. Words with blanks come from slack_sdk: the answer was not JSON, so not Slack's.
    status : int
        Of HTTP.
    """
    if status >= _SERVER_ERROR or not code or " " in code:
        return Meaning.PASSING
    return _BY_METHOD.get(method, {}).get(code) or _COMMON.get(code, Meaning.PASSING)


def is_decided(method: str, code: str) -> bool:
    """Whether a code has a line here, be it the method's own or one for all."""
    return code in _BY_METHOD.get(method, {}) or code in _COMMON


def is_busy(error: SlackApiError) -> bool:
    """Whether Slack asks to wait: too much was asked of it."""
    return status_of(error) == _TOO_MANY or code_of(error) in _BUSY


def did_nothing(error: NotifierError) -> bool:
    """Whether a call that may work soon certainly did nothing: what Slack does not answer, it may have done."""
    return error.cause.split(" ")[0] in _BUSY | {"file_not_found"}


def pause_of(error: SlackApiError) -> float:
    """Return for how many seconds Slack wants to be left alone; 1 where it names no number."""
    headers = {name.lower(): value for name, value in (getattr(error.response, "headers", None) or {}).items()}
    try:
        return max(1.0, float(headers.get("retry-after", 1)))
    except ValueError:
        return 1.0


def meaning_of(error: Exception) -> Meaning:
    """Return what a failed call means; what is not Slack's answer passes."""
    if not isinstance(error, SlackApiError):
        return Meaning.PASSING
    return meaning(method_of(error), code_of(error), status_of(error))


def code_of(error: Exception) -> str:
    """Return Slack's code; empty if what failed is not Slack's answer."""
    data: Any = getattr(getattr(error, "response", None), "data", None)
    return str(data.get("error") or "") if isinstance(data, dict) else ""


def status_of(error: Exception) -> int:
    """Return the HTTP status of an answer; 0 without one."""
    return int(getattr(getattr(error, "response", None), "status_code", 0) or 0)


def method_of(error: SlackApiError) -> str:
    """Return the method that was called."""
    address = str(getattr(error.response, "api_url", ""))
    return urlsplit(address).path.rsplit("/", 1)[-1]


# What Slack's error codes mean for an operator, in words; what they mean for the bot is in ``codes``.

_ELSEWHERE = 'or ask in another channel: @hitl(channel="#approvals") in the step, METAFLOW_HITL_SLACK_CHANNEL for all'
_REINSTALL = (
    "Install the app again, put its bot token (xoxb-…) into METAFLOW_HITL_SLACK_BOT_TOKEN, and run `hitl-bot doctor`."
)
_DEFECT = (
    "This is a defect of metaflow-hitl: report it with this line. The question can be answered on the command line."
)
_NO_UPLOADS = (
    "The workspace does not accept the pictures that go with a question, so questions are asked without them. Ask an "
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
