"""The question as a Slack message that changes with the approval."""

import copy
import json
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from logging import getLogger
from threading import Lock
from typing import Any, Protocol

from slack_sdk import WebClient

from metaflow_extensions.hitl.approvals.bounded import BoundedMap
from metaflow_extensions.hitl.approvals.errors import NotifierError, NotifierRefused, NotifierUnavailable
from metaflow_extensions.hitl.approvals.evidence.pictures import Picture
from metaflow_extensions.hitl.approvals.ports import Clock
from metaflow_extensions.hitl.approvals.record import Approval, Post
from metaflow_extensions.hitl.messages import controls
from metaflow_extensions.hitl.messages.blocks import mrkdwn, section
from metaflow_extensions.hitl.messages.single import Rendered, brief, render

from .calls import Pace, SlackCalls, TooLong
from .codes import did_nothing
from .names import Names, SlackNames

# Which questions stand in a channel already, without reading the channel again for each of them.

# What another process posts within this time could be missed; who may still be posting is kept apart by far more: the
# sweeper comes ten seconds after whoever asked, and of several sweepers one posts.
_FRESH = timedelta(seconds=3)
_SPARE = timedelta(minutes=10)  # read further back than was asked for, so that a slightly older question needs no more
_CHANNELS = 256
_QUESTIONS = 10_000  # of one channel; with more it is read afresh


@dataclass
class _Channel:
    lock: Lock
    ts: dict[tuple[str, str], str] = field(default_factory=dict)  # by approval id and pathspec
    since: datetime | None = None  # how far back it was read; None: not at all
    newest: str = ""  # ts of the newest message that was read
    looked_at: datetime | None = None
    doubts: int = 0  # that there had been when it was looked at


class Postable(Protocol):
    """What a message asks about: an approval, or many gates at once."""

    @property
    def id(self) -> str: ...

    @property
    def pathspec(self) -> object: ...


class PostedBefore:
    """The questions of each channel by their messages' metadata. Threads may share it.

    Parameters
    ----------
    clock : Clock
        The present.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._channels: BoundedMap[str, _Channel] = BoundedMap(_CHANNELS)
        self._doubts = 0
        self._lock = Lock()

    def find(
        self,
        channel: str,
        approval: Postable,
        read: Callable[[str], Iterable[dict[str, Any]]],
        *,
        since: datetime,
        bot_id: Callable[[], str],
        as_of: datetime | None = None,
    ) -> str | None:
        """Return the ts of the message that asks a question, or None if there is none.

        Parameters
        ----------
        channel : str
            Its id.
        approval : Postable
            What is asked about.
        read : Callable[[str], Iterable[dict]]
            Reads all messages of the channel that are newer than a ts, with their metadata, newest first.
        since : datetime
            How far back the message may lie.
        bot_id : Callable[[], str]
            Of the bot, asked for only where a message looks like one of its own: any app can write the same metadata.
        as_of : datetime, optional
            A look before this moment does not do.
        """
        seen = self._of(channel)
        with seen.lock:
            if seen.since is None or since < seen.since or len(seen.ts) > _QUESTIONS:
                seen.ts, seen.since, seen.newest, seen.looked_at = {}, since - _SPARE, "", None
            now, doubts = self._clock(), self._doubts
            if seen.doubts != doubts or _is_old(seen.looked_at, now, as_of):
                # By Slack's own clock, by which nothing can be posted in the past.
                found = list(read(seen.newest or f"{seen.since.timestamp():.6f}"))
                for message in found:
                    key = _key_of(message)
                    if key is not None and message.get("bot_id") == bot_id():
                        seen.ts.setdefault(key, str(message["ts"]))
                seen.newest = max([seen.newest, *(str(message["ts"]) for message in found)])
                seen.looked_at, seen.doubts = now, doubts
            return seen.ts.get(_key(approval))

    def note(self, channel: str, approval: Postable, ts: str) -> None:
        """Remember what was just posted from here."""
        seen = self._of(channel)
        with seen.lock:
            seen.ts[_key(approval)] = ts

    def doubt(self) -> None:
        """Look again before the next answer: something may stand somewhere that nobody here knows of."""
        with self._lock:
            self._doubts += 1

    def _of(self, channel: str) -> _Channel:
        with self._lock:
            seen = self._channels.setdefault(channel, _Channel(Lock()))
            self._channels.touch(channel)
            return seen


def _is_old(looked_at: datetime | None, now: datetime, as_of: datetime | None) -> bool:
    if looked_at is None or (as_of is not None and looked_at <= as_of):
        return True
    return not timedelta(0) <= now - looked_at < _FRESH


def _key(approval: Postable) -> tuple[str, str]:
    return approval.id, str(approval.pathspec)


def _key_of(message: dict[str, Any]) -> tuple[str, str] | None:
    metadata = message.get("metadata") or {}
    payload = metadata.get("event_payload") or {}
    if metadata.get("event_type") != controls.EVENT_TYPE:
        return None
    return str(payload.get("approval_id")), str(payload.get("pathspec"))


# The question as a Slack message that changes with the approval.

NAME = "slack"

_SURELY_FIRST = timedelta(seconds=2)  # a second attempt at a younger question can only come from this process
_SKEW = timedelta(minutes=5)  # between the clock of who asked and Slack's
_TRIED = 4_096  # questions that are remembered as tried: far more than one process asks in two seconds

log = getLogger(__name__)


class _Batched(Postable, Protocol):
    """What can be asked about, and since when."""

    @property
    def requested_at(self) -> datetime: ...


class SlackNotifier:
    """Posts questions to Slack channels, and keeps the messages as the approvals stand.

    Parameters
    ----------
    client : WebClient
        With a bot token. Used without its retries: repeating chat.postMessage after a lost connection posts twice
        (slack_sdk's ``ConnectionErrorRetryHandler`` does so unasked).
    default_channel : str, optional
        Where to ask if the question names no channel: ``C…``, ``#name``, or ``U…`` for a direct message.
    clock : Clock
        The present.
    pace : Pace, optional
        Shared with everything else that calls with the same token. Default: one of its own.
    wait : Callable[[float], object]
        Called with seconds until a turn comes, or when Slack asks for patience; 10 at most for one call of Slack.

    Notes
    -----
    Scopes: ``chat:write``; to find a message again ``channels:history`` and ``groups:history``, for a channel that is
    named instead of given by its id ``channels:read`` and ``groups:read``, for direct messages ``im:write`` and
    ``im:history``. Without these six it still posts, and could post twice where a connection broke or a process died
    in the middle. Pictures need ``files:write``. Those that make mentions of approvers: see ``names``. Source:
    docs.slack.dev/reference/methods, "Required scopes" of each method called here.
    """

    updates = True

    def __init__(
        self,
        client: WebClient,
        *,
        default_channel: str | None,
        clock: Clock,
        pace: Pace | None = None,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        self._calls = SlackCalls(client, pace or Pace(), wait)
        self.default_channel = default_channel
        self.clock = clock
        self._tried: deque[str] = deque(maxlen=_TRIED)
        self._channel_ids: dict[str, str] = {}
        self._lock = Lock()
        self._asked = PostedBefore(clock)
        self._told: set[str] = set()
        self._bot_id: list[str] = []  # once it is known; shared with the one for bulk
        self._names = SlackNames(self._calls.client, clock)

    def for_bulk(self) -> "SlackNotifier":
        """Return one that knows what this one knows, and that never waits: what is too much for now is NotifierBusy.

        People come before it: it leaves room for their calls.
        """
        bulk = copy.copy(self)
        bulk._calls = self._calls.for_bulk()  # noqa: SLF001 - its own class
        return bulk

    def post(self, approval: Approval) -> Post:
        """Ask the question, or find the message that asks it already.

        Raises
        ------
        NotifierUnavailable, NotifierRefused
            As the port says; of the first kind NotifierBusy, before anything was done.
        """
        names = self.look_up(approval)
        message = render(approval, now=self.clock(), ids=names.ids, nobody=names.nobody)
        post = self.post_message(approval, message, approval.requirements.channel)
        return replace(post, ids=names.ids, nobody=names.nobody)

    def look_up(self, approval: Approval) -> Names:
        """Find out who in Slack the approvers are; what Slack does not tell is neither found nor missed."""
        requirements = approval.requirements
        return self._names.look_up(dict.fromkeys((*requirements.names, *requirements.deciders)))

    def post_message(self, asked: _Batched, message: Rendered, channel: str | None) -> Post:
        """Write a message that asks about something, or find the one that does; raises as ``post``."""
        channel = channel or self.default_channel
        if not channel:
            raise NotifierRefused(
                f"{asked.id} has no Slack channel to be asked in. Set METAFLOW_HITL_SLACK_CHANNEL, or "
                'name one in the step: @hitl(channel="#approvals").',
                cause="no channel",
            )
        # Before looking for the message: of hundreds that wait for their turn, each would look in vain.
        self._calls.take_turn("chat.postMessage", channel)
        found = None if self._is_first(asked) else self._find(asked, channel)
        where, ts = found or self._send(asked, message, channel)
        return Post(notifier=NAME, at=self.clock(), channel=where, ts=ts, url=self._permalink(where, ts))

    def update(self, approval: Approval, post: Post) -> None:
        """Show the approval as it is now in the message that asked."""
        if post.batch is not None:
            # It shows other gates, too, which only the bot knows: from here it would become a message about this one.
            raise NotifierUnavailable(f"The bot updates the message that {approval.id} shares with others.")
        self.show(render(approval, now=self.clock()), post)

    def find(self, approval: Approval) -> Post | None:
        """Return where a question stands that has ended, although its record names no message; None: nowhere."""
        found = self.find_alone(approval)
        if found is None and approval.question.batch:
            # It may be on a message with others, which only the bot finds.
            raise NotifierUnavailable(f"The bot looks for the message that {approval.id} may share with others.")
        return found

    def find_alone(self, approval: Approval) -> Post | None:
        """Return the message that shows this question and no other, by a look after it ended; raises as ``find``.

        Of one that is settled only the present counts: whoever looks again expects a message that came since.
        """
        since = ended_at(approval) if approval.settlement is None else self.clock()
        return self.find_message(approval, approval.requirements.channel, since=since)

    def find_message(self, asked: _Batched, channel: str | None, *, since: datetime) -> Post | None:
        """Return the message that asks about something, by a look at the channel after ``since``; None: there is none.

        Without the scopes to look, there is none either. Raises NotifierUnavailable.
        """
        channel = channel or self.default_channel
        found = self._find(asked, channel, as_of=since) if channel else None
        if found is None:
            return None
        where, ts = found
        return Post(notifier=NAME, at=self.clock(), channel=where, ts=ts, url=self._permalink(where, ts))

    def withdraw(self, post: Post) -> None:
        """Remove a message beside the one that the record names, or one without gates; raises as ``update``."""
        if post.channel is not None and post.ts is not None:
            self._calls.call("chat.delete", post.channel, {"channel": post.channel, "ts": post.ts})

    def show(self, message: Rendered, post: Post) -> None:
        """Rewrite a message; raises as ``update``."""
        if post.channel is None or post.ts is None:
            return
        # Both of them: with `text` alone Slack drops the blocks, with `blocks` alone the old text stays in searches.
        place = {"channel": post.channel, "ts": post.ts}
        try:
            self._calls.call("chat.update", post.channel, {**place, **_content(message)})
        except TooLong as error:
            self._tell(post.url or post.ts, error)
            self._calls.call_in_turn("chat.update", post.channel, {**place, **_content(brief(message))})

    # The thread below a message.

    def reply(self, post: Post, text: str, said: Collection[str] = ()) -> None:
        """Write below a message, in its thread.

        Parameters
        ----------
        post : Post
            Where the message stands.
        text : str
            mrkdwn of at most 3,000 characters; a mention in it notifies.
        said : Collection[str]
            What is said by it, in names for ``said_below``; at most 15 kB.

        Raises
        ------
        NotifierUnavailable, NotifierRefused, MessageUnreachable
            As for ``update``. Of a call whose answer was lost ``said_below`` tells whether it is there.
        """
        if post.channel is None or post.ts is None:
            return
        arguments = {
            "channel": post.channel,
            "thread_ts": post.ts,
            "text": text,
            "blocks": [section(mrkdwn(text))],
            "metadata": {"event_type": controls.SAID, "event_payload": {"said": sorted(said)}},
            "unfurl_links": False,
            "unfurl_media": False,
        }
        self._calls.call("chat.postMessage", post.channel, arguments)

    def said_below(self, post: Post) -> set[str]:
        """Return what stands below a message already, by the names that ``reply`` was given.

        Raises
        ------
        NotifierUnavailable, NotifierRefused
            It can't be known now, or the bot may not look.
        """
        look = {"channel": post.channel, "ts": post.ts, "include_all_metadata": True, "limit": 200}
        below = self._calls.pages("conversations.replies", "messages", str(post.channel), look)
        found = [
            one["metadata"]
            for one in below
            if (one.get("metadata") or {}).get("event_type") == controls.SAID and one.get("bot_id") == self._own_id()
        ]
        payloads = [one.get("event_payload") or {} for one in found]
        return {str(name) for payload in payloads for name in payload.get("said") or ()}

    def upload(self, pictures: Sequence[Picture]) -> list[dict[str, str]]:
        """Upload pictures, and return what ``attach`` shows; nobody sees them before.

        Raises
        ------
        NotifierUnavailable, NotifierRefused
            As for ``update``. A refusal is about every upload of this app, wherever it is to be shown.
        """
        uploaded = []
        for one in pictures:
            announced = {"filename": one.name, "length": len(one.png), "alt_txt": one.alt}
            where = self._calls.call("files.getUploadURLExternal", "", announced)
            self._calls.upload(str(where["upload_url"]), one.png)
            uploaded.append({"id": str(where["file_id"]), "title": one.title})
        return uploaded

    def attach(self, post: Post, uploaded: Sequence[dict[str, str]]) -> None:
        """Show pictures below a message, in its thread.

        Raises
        ------
        NotifierUnavailable, NotifierRefused
            As for ``update``. Where Slack's answer was lost they may be shown, so that is not raised: nothing is shown
            twice.
        """
        method, where = "files.completeUploadExternal", str(post.channel)
        # A form, in which Slack reads a list as JSON.
        files = {"files": json.dumps(uploaded), "channel_id": post.channel, "thread_ts": post.ts}
        self._calls.take_turn(method, where)
        try:
            self._calls.call_in_turn(method, where, files)
        except NotifierUnavailable as error:
            if did_nothing(error):
                raise
            log.info("%s may be without its pictures: %s", post.url or post.ts, error)

    # Writing a question, and finding it again.

    def _is_first(self, approval: _Batched) -> bool:
        """Whether nobody can have posted this yet, so that there is no need to look."""
        with self._lock:
            tried = approval.id in self._tried
            if not tried:
                self._tried.append(approval.id)
        return not tried and self.clock() - approval.requested_at < _SURELY_FIRST

    def _send(self, approval: _Batched, message: Rendered, channel: str) -> tuple[str, str]:
        place = {"channel": channel, "unfurl_links": False, "unfurl_media": False}
        try:
            try:
                sent = self._calls.call_in_turn("chat.postMessage", channel, {**place, **_content(message)})
            except TooLong as error:
                self._tell(approval.id, error)
                # In the same turn: in another one the whole message would be tried, and refused, before it again.
                sent = self._calls.call_in_turn("chat.postMessage", channel, {**place, **_content(brief(message))})
        except NotifierUnavailable:
            self._asked.doubt()  # it may stand all the same
            raise
        where, ts = str(sent["channel"]), str(sent["ts"])
        self._remember(channel, where)
        self._asked.note(where, approval, ts)
        return where, ts

    def _find(self, approval: _Batched, channel: str, *, as_of: datetime | None = None) -> tuple[str, str] | None:
        try:
            where = self._channel_id(channel)
            if where is None:
                return None

            def read(oldest: str) -> Iterator[dict[str, Any]]:
                look = {"channel": where, "oldest": oldest, "include_all_metadata": True, "limit": 200}
                return self._calls.pages("conversations.history", "messages", channel, look)

            ts = self._asked.find(
                where, approval, read, since=approval.requested_at - _SKEW, bot_id=self._own_id, as_of=as_of
            )
        except NotifierRefused:
            # The bot may not look. To ask twice is better than not at all, and posting says what else is wrong.
            return None
        return None if ts is None else (where, ts)

    def _own_id(self) -> str:
        """Return the bot's id, by which its messages are told from those of other apps."""
        if not self._bot_id:
            self._bot_id.append(str(self._calls.call("auth.test", "", {}).get("bot_id") or ""))
        return self._bot_id[0]

    def _remember(self, channel: str, where: str) -> None:
        with self._lock:
            if len(self._channel_ids) >= _CHANNELS:
                del self._channel_ids[next(iter(self._channel_ids))]
            self._channel_ids[channel] = where
        if channel != where:
            self._calls.merge(channel, where)

    def _channel_id(self, channel: str) -> str | None:
        """Return the id of a channel, or None if it can't be found; a direct message is found by its user's id."""
        if not channel.startswith("#") and channel[:1] in "CGD" and channel.isupper():
            return channel
        known = self._channel_ids.get(channel)
        if known is not None:
            return known
        if channel[:1] in "UW" and channel.isupper():
            where = str(self._calls.call("conversations.open", channel, {"users": channel})["channel"]["id"])
            self._remember(channel, where)
            return where
        look = {"types": "public_channel,private_channel", "exclude_archived": True, "limit": 999}
        for found in self._calls.pages("conversations.list", "channels", channel, look):
            if found.get("name") == channel.lstrip("#"):
                self._remember(channel, str(found["id"]))
                return str(found["id"])
        return None

    def _permalink(self, channel: str, ts: str) -> str | None:
        try:
            return str(
                self._calls.call("chat.getPermalink", channel, {"channel": channel, "message_ts": ts})["permalink"]
            )
        except NotifierError:
            return None  # a link is a comfort; the question stands

    def _tell(self, what: str, error: TooLong) -> None:
        """Tell the operator, once for each cause: the question is asked all the same."""
        if error.cause not in self._told:
            self._told.add(error.cause)
            log.error("%s and others are shown as a shorter message with the same buttons. %s", what, error)


def ended_at(approval: Approval) -> datetime:
    """Return when an approval was decided or closed; for one that is open, when it was asked."""
    ended = approval.closing or approval.decision
    return approval.requested_at if ended is None else ended.at


def _content(message: Rendered) -> dict[str, Any]:
    return {"text": message.text, "blocks": message.blocks, "metadata": message.metadata}
