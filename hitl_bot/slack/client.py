"""Clients of Slack's Web API that never wait for long, and that honour NO_PROXY."""

import time
from collections.abc import Callable, Mapping
from http.client import HTTPException
from threading import Lock
from typing import Any, Protocol
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

from slack_bolt import BoltContext, Respond
from slack_bolt.authorization import AuthorizeResult
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web import SlackResponse
from slack_sdk.webhook import WebhookClient, WebhookResponse

from metaflow_extensions.hitl import __version__
from metaflow_extensions.hitl.notifiers.slack.codes import Meaning, code_of, meaning_of, status_of

# Whose request it is, without asking Slack: the bot serves one workspace with one token.

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


# Turns at a method of Slack's Web API, within the calls a minute that Slack allows.


class NoTurn(Exception):
    """The next turn comes too late for its caller."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the next turn comes in {seconds:.0f} s")
        self.seconds = seconds


class Turns:
    """A token bucket. Threads share it.

    Parameters
    ----------
    a_minute : int
        Calls a minute, in the long run.
    burst : int
        Calls that need not wait after a quiet minute. Both together stay below Slack's limit.
    patience : float
        Seconds that one call may wait.
    monotonic, sleep
        The clock, and how to wait.
    """

    def __init__(
        self,
        *,
        a_minute: int,
        burst: int,
        patience: float = 5.0,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._refill = a_minute / 60
        self._burst = float(burst)
        self._patience = patience
        self._monotonic = monotonic
        self._sleep = sleep
        self._lock = Lock()
        self._tokens = self._burst
        self._seen = monotonic()

    def wait(self) -> None:
        """Wait for a turn.

        Raises
        ------
        NoTurn
            It comes later than this may wait. No turn was taken.
        """
        with self._lock:
            now = self._monotonic()
            self._tokens = min(self._burst, self._tokens + max(0.0, now - self._seen) * self._refill)
            self._seen = now
            wait = max(0.0, (1 - self._tokens) / self._refill)
            if wait > self._patience:
                raise NoTurn(wait)
            self._tokens -= 1  # below 0 it is promised to those who wait
        if wait:
            self._sleep(wait)


# Clients of Slack's Web API that never wait for long, and that honour NO_PROXY.

USER_AGENT = f"metaflow-hitl/{__version__}"
TIMEOUT = 8  # seconds for one call: within the 10 in which a stopping bot has to be gone
SLACK_FAILED = (SlackClientError, OSError, HTTPException)
"""What a call to Slack may raise: an answer that is an error, no answer, or half of one."""


class _HasProxy(Protocol):
    proxy: str | None


class CallObserver:
    """Told of every call to Slack. This one notes nothing."""

    def answered(self, headers: Mapping[str, Any]) -> None:
        """Slack did what was asked; these headers came with its answer."""

    def failed(self, method: str, kind: str, *, answered: bool) -> None:
        """A call failed: Slack's error code, or what was raised. Without an answer Slack may be out of reach."""


def slack_client(token: str, api_url: str, observer: CallObserver | None = None) -> WebClient:
    """Build a client without retries of its own: a message that is posted again after a lost answer is there twice.

    Parameters
    ----------
    token, api_url : str
        Of the bot, and of Slack's Web API.
    observer : CallObserver, optional
        Told of each call.
    """
    client = _ObservedClient(
        observer or CallObserver(),
        token=token,
        base_url=api_url,
        timeout=TIMEOUT,
        retry_handlers=[],
        user_agent_prefix=USER_AGENT,
    )
    honour_no_proxy(client, api_url)
    return client


class _ObservedClient(WebClient):
    """A client whose calls are observed. What it raises, it still raises."""

    def __init__(self, observer: CallObserver, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._observer = observer

    def api_call(self, api_method: str, **arguments: Any) -> SlackResponse:
        """Call a method; every other method of the client ends here."""
        try:
            response = super().api_call(api_method, **arguments)
        except SLACK_FAILED as error:
            self._observer.failed(api_method, _kind(error), answered=bool(code_of(error)))
            raise
        self._observer.answered(response.headers or {})
        return response


def _kind(error: Exception) -> str:
    if not isinstance(error, SlackApiError):
        return type(error).__name__
    return code_of(error) or f"http_{status_of(error)}"


def honour_no_proxy(client: _HasProxy, url: str) -> None:
    """Take the proxy from a client that may not use it for this address.

    slack_sdk (3.47, ``proxy_env_variable_loader.py``) reads HTTPS_PROXY and HTTP_PROXY and passes over NO_PROXY.
    """
    host = urlsplit(url).hostname or ""
    if host in {"localhost", "127.0.0.1", "::1"} or proxy_bypass(host):
        client.proxy = None


def replace_view(client: WebClient, view_id: str, view: dict[str, Any], **more: Any) -> None:
    """Replace an open view. If the person has closed it, or it shows something else by now, there is nothing to say."""
    try:
        client.views_update(view_id=view_id, view=view, **more)
    except SlackApiError as error:
        if meaning_of(error) is not Meaning.OUTDATED:
            raise


class DirectRespond(Respond):
    """Bolt's ``respond``, which honours NO_PROXY."""

    def __call__(self, text: Any = "", **message: Any) -> WebhookResponse:  # type: ignore[override]
        """Answer through the ``response_url``, with a whole message or with its parts by name."""
        if self.response_url is None:
            raise ValueError("There is no response_url to answer to.")
        client = WebhookClient(self.response_url, timeout=TIMEOUT, retry_handlers=[])
        honour_no_proxy(client, self.response_url)
        try:
            return client.send_dict({"text": text, **message})
        except SLACK_FAILED:
            # Only the person who acted sees it: twice is better than not at all.
            return client.send_dict({"text": text, **message})
