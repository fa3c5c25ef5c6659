"""Whom in Slack the approvers are whose names an author wrote, when a question is posted."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from http.client import HTTPException
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from metaflow_extensions.hitl.approvals.bounded import BoundedCache
from metaflow_extensions.hitl.approvals.ports import Clock

from .codes import Meaning, meaning_of

_KEPT = timedelta(minutes=2)  # usergroups.list takes 20 calls a minute, users.lookupByEmail 50
_NAMES = 4_096
_LOOKED_UP = 20  # names of one question; more than a message shows
_USER = re.compile(r"[UW][A-Z0-9]{2,30}")
_GROUP_ID = re.compile(r"S[A-Z0-9]{2,30}")


@dataclass(frozen=True, kw_only=True)
class Names:
    """What was found.

    Attributes
    ----------
    ids : dict[str, str]
        Slack's ids of those named by handle or email address.
    nobody : tuple[str, ...]
        Those that match no one: a group that is gone or empty, an address or an id that Slack does not know.
    """

    ids: dict[str, str] = field(default_factory=dict)
    nobody: tuple[str, ...] = ()


class SlackNames:
    """Looks names up, each once in two minutes. What Slack does not tell is neither found nor missed. Threads share it.

    Parameters
    ----------
    client : WebClient
        With a bot token. Never asked twice: the question is worth more than the names in it.
    clock : Clock
        Ages what is cached.

    Notes
    -----
    Scopes: ``usergroups:read`` for groups, ``users:read`` for ids, ``users:read.email`` for addresses. Without one of
    them such names are shown as they are written.
    """

    def __init__(self, client: WebClient, clock: Clock) -> None:
        self._client = client
        self._held = BoundedCache[Mapping[str, str] | None](clock, keep=_KEPT, size=_NAMES)

    def look_up(self, written: Iterable[str]) -> Names:
        """Find out whom approvers, as they are named, stand for."""
        ids: dict[str, str] = {}
        nobody: list[str] = []
        for name in list(written)[:_LOOKED_UP]:
            known = self._known(name)
            if known is None:
                continue
            if name not in known:
                nobody.append(name)
            elif known[name] != name:
                ids[name] = known[name]
        return Names(ids=ids, nobody=tuple(nobody))

    def _known(self, name: str) -> Mapping[str, str] | None:
        """Return ids by name, without this name if it matches no one; None if nobody can say."""
        if name.startswith("@") or _GROUP_ID.fullmatch(name):
            return self._cached("groups", self._groups)
        if _USER.fullmatch(name):
            return self._cached(name, lambda: self._user(name, "users.info", user=name))
        if "@" in name:
            return self._cached(name, lambda: self._user(name, "users.lookupByEmail", email=name))
        return None  # a user of a machine, whom Slack does not know

    def _cached(self, key: str, fetch: Callable[[], Mapping[str, str]]) -> Mapping[str, str] | None:
        def found() -> Mapping[str, str] | None:
            try:
                return fetch()
            except (SlackClientError, HTTPException, OSError):
                return None

        return self._held.get(key, found)

    def _groups(self) -> Mapping[str, str]:
        """Return the ids of all groups that have somebody, by id and by handle."""
        try:
            found = self._client.api_call("usergroups.list", params={"include_users": True}).get("usergroups") or []
        except SlackApiError as error:
            if meaning_of(error) is Meaning.PLAN:
                return {}  # there are no groups, and can't be: nobody should wait for one
            raise
        there = [group for group in found if group.get("users") and not group.get("date_delete")]
        return {name: group["id"] for group in there for name in (group["id"], f"@{group['handle']}")}

    def _user(self, name: str, method: str, **arguments: str) -> Mapping[str, str]:
        try:
            user: dict[str, Any] = self._client.api_call(method, params=arguments)["user"]
        except SlackApiError as error:
            if meaning_of(error) is Meaning.ABSENT:
                return {}
            raise
        return {} if user.get("deleted") else {name: str(user["id"])}
