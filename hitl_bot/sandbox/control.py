"""Controls a sandbox, and reads its logs, from any thread or process.

It uses plain urllib without a proxy: the sandbox is on loopback, whatever the environment says.
"""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]
TIMEOUT = 60.0  # seconds; what happens comes far sooner, but on a busy machine
_LOOK_EVERY = 0.2  # seconds
ANSWER_TIMEOUT = 90.0  # longer than anything the sandbox lets a caller wait for


class SandboxRefused(Exception):
    """The sandbox could not do that; the text says why."""


class NothingHappened(Exception):
    """What was expected did not happen in time; the text says what happened instead."""


class Control:
    """The control API of one sandbox.

    Parameters
    ----------
    url : str
        The sandbox's address, such as ``http://127.0.0.1:8765``.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    # Faults and time.

    def fault(
        self,
        method: str,
        *,
        error: str = "",
        status: int = 0,
        delay: float = 0,
        times: int = 1,
        where: Json | None = None,
    ) -> None:
        """Make the next calls of a method fail.

        Parameters
        ----------
        method : str
            Its name, or a pattern such as ``chat.*``. For ``response_url`` the connection breaks, whatever the fault.
        error : str
            Answer with this error code.
        status : int
            Answer with this HTTP status, without JSON.
        delay : float
            Delay the call by that many seconds of the sandbox's clock, then carry it out.
        times : int
            How many calls.
        where : dict, optional
            Only calls with these arguments, e.g. ``{"channel": "C0APPROVALS"}``.
        """
        outcome = "error" if error else "status" if status else "delay"
        fault = {"error": error, "seconds": delay, **({"status": status} if status else {})}
        self._fault(method, outcome, times, where, **fault)

    def ratelimit(self, method: str, *, retry_after: int, times: int = 1, where: Json | None = None) -> None:
        """Answer the next calls with 429 and Retry-After in seconds."""
        self._fault(method, "ratelimited", times, where, seconds=retry_after)

    def refuse(self, method: str, *, times: int = 1, where: Json | None = None) -> None:
        """Break the connection of the next calls before anything is done."""
        self._fault(method, "refused", times, where)

    def lose_answer(self, method: str, *, times: int = 1, where: Json | None = None) -> None:
        """Carry out the next calls, and break the connection before the answer."""
        self._fault(method, "lost", times, where)

    def _fault(self, method: str, outcome: str, times: int, where: Json | None, **more: Any) -> None:
        self.post("faults", {"method": method, "outcome": outcome, "times": times, "where": where or {}, **more})

    def deliver_twice(self, times: int = 1) -> None:
        """Deliver each of the next envelopes twice."""
        self.post("faults/deliveries", {"trouble": "twice", "times": times})

    def ignore_acks(self, times: int = 1) -> None:
        """Ignore the acks of the next envelopes."""
        self.post("faults/deliveries", {"trouble": "unheard", "times": times})

    def clear_faults(self) -> None:
        self.post("faults/clear", {})

    def drop_connections(self) -> int:
        """Cut the app's Socket Mode connections without a warning; return how many there were."""
        return int(self.post("connections/drop", {"manner": "abrupt"})["dropped"])

    def refresh_connections(self) -> int:
        """Ask the app to connect again, as Slack does every few hours, and close; return how many there were."""
        return int(self.post("connections/drop", {"manner": "polite"})["dropped"])

    def ask_to_reconnect(self) -> int:
        """Say that the connections will be closed soon, and leave them open; return how many there are."""
        return int(self.post("connections/drop", {"manner": "announced"})["dropped"])

    def enforce_rates(self) -> None:
        """From now on, answer 429 to calls over Slack's rate limits; they are always counted."""
        self.post("rates", {"enforcement": "enforced"})

    def count_rates_only(self) -> None:
        self.post("rates", {"enforcement": "counted"})

    # Time

    def advance(self, seconds: float) -> None:
        """Move the sandbox's clock forward."""
        self.post("clock", {"advance": seconds})

    def set_clock(self, instant: float) -> None:
        """Set the sandbox's clock, in seconds since 1970."""
        self.post("clock", {"set": instant})

    def now(self) -> float:
        return float(self.get("faults-and-time")["now"])

    # People and places

    def put_person(self, **fields: Any) -> None:
        """Add somebody (all fields of `people.Person`), or change those named by ``id`` or ``name``."""
        self.post("people", fields)

    def put_group(self, **fields: Any) -> None:
        """Add a user group (``id``, ``handle``, ``name``, ``members``), or change: ``id="S0RISK", disabled=True``."""
        self.post("groups", fields)

    def put_channel(self, **fields: Any) -> None:
        """Add a channel (``id``, ``name``, ``members``, ``kind``), or change one: ``id="C0OLD", archived=False``."""
        self.post("channels", fields)

    def put_team(self, **fields: Any) -> None:
        """Change the workspace: ``plan="free"`` has no user groups, ``enterprise="E0ORG"`` is on Enterprise Grid."""
        self.post("team", fields)

    # Delivery

    def deliver_to(self, request_url: str) -> str:
        """From now on, deliver by signed HTTP to an address ("": Socket Mode again); return the signing secret."""
        return str(self.post("delivery", {"request_url": request_url})["signing_secret"])

    def deliver(self, kind: str, payload: Json) -> Json:
        """Deliver any payload, even a forged one: ``kind`` is ``interactive``, ``slash_commands`` or ``events_api``.

        A payload to start from is in `envelopes`, and `new_trigger` returns a valid trigger_id.

        Returns
        -------
        dict
            ``act`` (the envelope's id), ``error`` ("" if acknowledged), ``answer`` (what came with the ack).
        """
        return self.post("deliver", {"kind": kind, "payload": payload})

    def new_trigger(self, user: str) -> str:
        """Return a trigger_id such as an act of that person would have."""
        return str(self.post("triggers", {"user": user})["trigger_id"])

    def redeliver(self, envelope_id: str) -> Json:
        """Deliver an envelope once more, as a retry."""
        return self.post("redeliver", {"envelope_id": envelope_id})

    # Records

    def state(self) -> Json:
        """Return everything: people, channels with messages, views, homes, the number of connections."""
        return dict(self.get("state"))

    def calls(self, method: str = "") -> list[Json]:
        """Return the Web API calls: ``seq``, ``at``, ``method``, ``args``, ``outcome``."""
        return list(self.get("calls", method=method))

    def rates(self) -> list[Json]:
        """Return by method and channel: ``calls``, ``exceeded``, ``peak_second``, ``peak_minute``, ``tier``."""
        return list(self.get("rates"))

    def exceeded_rates(self) -> list[Json]:
        """Return those of `rates` where Slack would have answered 429."""
        return [count for count in self.rates() if count["exceeded"]]

    def envelopes(self) -> list[Json]:
        """Return what was delivered: ``envelope_id``, ``type``, ``attempts``, ``acknowledged``, ``answer``, payload."""
        return list(self.get("envelopes"))

    def messages(self, channel: str, user: str = "") -> list[Json]:
        """Return a channel's messages, as one person sees them or all, with ``plain`` and ``mentions``."""
        return list(self.get("messages", channel=channel, user=user)["messages"])

    # Waiting

    def wait_until(self, look: Callable[[], Any], timeout: float = TIMEOUT, what: str = "") -> Any:
        """Look now, after every change and five times a second, and return the first truthy result.

        What is looked at may be elsewhere, such as an approval's record, which no change of the sandbox tells of.

        Raises
        ------
        NothingHappened
            There was none within that many real seconds.
        """
        deadline = time.monotonic() + timeout
        seq = self.seq
        while not (found := look()):
            left = deadline - time.monotonic()
            if left <= 0:
                raise NothingHappened(f"waited {timeout:g} s for {what or 'a change'}")
            seq = int(self.get("changes", after=seq, timeout=round(min(left, _LOOK_EVERY), 3))["seq"])
        return found

    def wait_for_change(self, wanted: Callable[[Json], bool], after: int, timeout: float) -> Json | None:
        """Return the first wanted change after a number; None if none comes within that many real seconds."""
        deadline = time.monotonic() + timeout
        while True:
            left = max(0.0, deadline - time.monotonic())
            news = self.get("changes", after=after, timeout=round(left, 3))
            for change in news["changes"]:
                if wanted(change):
                    return dict(change)
            if left == 0:
                return None
            after = news["seq"]

    def wait_for_connection(self, count: int = 1, timeout: float = TIMEOUT) -> None:
        """Return once the app has that many Socket Mode connections."""
        self.wait_until(lambda: self.get("faults-and-time")["connections"] >= count, timeout, f"{count} connection(s)")

    def wait_for_calls(self, method: str, count: int = 1, timeout: float = TIMEOUT) -> list[Json]:
        """Return the calls of a method once there are that many."""
        found: list[Json] = self.wait_until(
            lambda: calls if len(calls := self.calls(method)) >= count else None, timeout, f"{count} x {method}"
        )
        return found

    @property
    def seq(self) -> int:
        """The number of the latest change."""
        return int(self.get("faults-and-time")["seq"])

    # Transport

    def get(self, path: str, **query: Any) -> Any:
        given = urllib.parse.urlencode({name: value for name, value in query.items() if value != ""})
        return self._request(urllib.request.Request(f"{self.url}/sandbox/{path}?{given}"))  # noqa: S310 - http to loopback

    def post(self, path: str, body: Json) -> Json:
        data = json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/sandbox/{path}", data=data)  # noqa: S310
        request.add_header("Content-Type", "application/json")
        return dict(self._request(request))

    def _request(self, request: urllib.request.Request) -> Any:
        try:
            with self._opener.open(request, timeout=ANSWER_TIMEOUT) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode()
            raise SandboxRefused(_reason(text)) from None


def _reason(text: str) -> str:
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text
