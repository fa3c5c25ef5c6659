"""files.getUploadURLExternal, files.completeUploadExternal; between them the bytes go to the upload URL."""

from typing import Any

from hitl_bot.sandbox.faults import Tier
from hitl_bot.sandbox.people import BOT_USER_ID, TEAM_ID
from hitl_bot.sandbox.workspace import Message, UploadedFile, Workspace

from .chat import writable_channel
from .method import Arguments, Json, Method, SlackError


def get_upload_url(workspace: Workspace, args: Arguments) -> Json:
    filename, length = args.required("filename"), args.number("length", 0)
    if length < 1:
        raise SlackError.with_messages("invalid_arguments", ["must be more than 0 [json-pointer:/length]"])
    file_id = workspace.next_id("F")
    alt_text = args.text("alt_txt")
    workspace.files[file_id] = UploadedFile(file_id, filename, length, alt_text=alt_text)
    return {"upload_url": f"{workspace.url}/upload/v1/{file_id}", "file_id": file_id}


def complete_upload(workspace: Workspace, args: Arguments) -> Json:
    """Finish uploads and, with a channel, post them there."""
    wanted: Any = args.decoded("files", "invalid_arguments")
    if not isinstance(wanted, list) or not wanted:
        raise SlackError.with_messages("invalid_arguments", ["missing required field: files"])
    files = []
    for one in wanted:
        file = workspace.files.get(one.get("id", "") if isinstance(one, dict) else "")
        if file is None or file.content is None:
            raise SlackError("file_not_found")
        file.title = one.get("title") or file.filename
        file.shared = True
        files.append(file)
    for which in filter(None, [args.text("channel_id"), *args.text("channels").split(",")]):
        try:
            channel = writable_channel(workspace, which)
        except SlackError as error:
            raise SlackError("posting_to_channel_denied" if error.code == "is_archived" else error.code) from None
        blocks = [_image(workspace, file) for file in files if is_picture(file.filename)]
        text = args.text("initial_comment") or ", ".join(file.title for file in files)
        workspace.post(
            Message(
                channel=channel.id,
                ts=workspace.next_ts(),
                author=BOT_USER_ID,
                text=text,
                blocks=blocks,
                thread_ts=args.text("thread_ts"),
            )
        )
    return {"files": [_shape(workspace, file) for file in files]}


def is_picture(filename: str) -> bool:
    return filename.lower().rsplit(".", 1)[-1] in {"png", "jpg", "jpeg", "gif", "webp"}


def _image(workspace: Workspace, file: UploadedFile) -> Json:
    return {
        "type": "image",
        "block_id": f"b{next(workspace.numbers):04x}",
        "slack_file": {"id": file.id},
        "alt_text": file.alt_text or file.title,
        "title": {"type": "plain_text", "text": file.title, "emoji": True},
    }


def _shape(workspace: Workspace, file: UploadedFile) -> Json:
    return {
        "id": file.id,
        "title": file.title,
        "name": file.filename,
        "size": file.length,
        "user": BOT_USER_ID,
        "user_team": TEAM_ID,
        "alt_txt": file.alt_text,
        "url_private": f"{workspace.url}/files/{file.id}",
        "permalink": f"{workspace.url}/files/{file.id}",
    }


METHODS = (
    Method(name="files.getUploadURLExternal", run=get_upload_url, tier=Tier.FOUR, scope="files:write"),
    Method(name="files.completeUploadExternal", run=complete_upload, tier=Tier.FOUR, scope="files:write"),
)
