"""The sandbox's own API under /sandbox: acts of people, faults, settings, and everything that can be read.

`Control` and `Driver` speak it from another thread or process, and the page from a browser.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from aiohttp import web

from . import screen
from .acts import Acts, ImpossibleAct
from .changes import Kind
from .delivery import Delivery, Envelope, EnvelopeKind, Manner, Receipt
from .faults import DeliveryFault as Trouble, Enforcement, Fault, Outcome
from .people import Channel, ChannelKind, Group, Person, PersonKind
from .web_api.method import SlackError
from .workspace import Plan, Workspace

Json = dict[str, Any]
LONGEST_POLL = 60.0


class ControlApi:
    """Handlers of /sandbox/...; each answers with JSON, or with 400 and ``{"error": text}`` if it can't be done."""

    def __init__(self, workspace: Workspace, delivery: Delivery) -> None:
        self._workspace = workspace
        self._delivery = delivery
        self._acts = Acts(workspace, delivery)

    def routes(self) -> list[web.RouteDef]:
        posts: dict[str, Callable[[Json], Awaitable[Json]]] = {
            "acts/click": self._click,
            "acts/submit": self._submit,
            "acts/close": self._close,
            "acts/command": self._command,
            "acts/shortcut": self._shortcut,
            "acts/home": self._home,
            "acts/say": self._say,
            "faults": self._fault,
            "faults/clear": self._clear_faults,
            "faults/deliveries": self._delivery_fault,
            "clock": self._clock,
            "rates": self._rates,
            "connections/drop": self._drop,
            "delivery": self._choose_delivery,
            "triggers": self._new_trigger,
            "deliver": self._deliver,
            "redeliver": self._redeliver,
            "people": self._put_person,
            "groups": self._put_group,
            "channels": self._put_channel,
            "team": self._put_team,
        }
        return [
            *(web.post(f"/sandbox/{path}", _json_handler(act)) for path, act in posts.items()),
            web.get("/sandbox/state", self._state),
            web.get("/sandbox/screen", self._screen),
            web.get("/sandbox/messages", self._messages),
            web.get("/sandbox/changes", self._changes),
            web.get("/sandbox/stream", self._stream),
            web.get("/sandbox/calls", self._calls),
            web.get("/sandbox/rates", self._rate_counts),
            web.get("/sandbox/envelopes", self._envelopes),
            web.get("/sandbox/faults-and-time", self._faults_and_time),
        ]

    # Acts

    async def _click(self, body: Json) -> Json:
        act, receipt = await self._acts.click(
            body["user"],
            body["where"],
            block_id=body["block_id"],
            action_id=body["action_id"],
            entry=body.get("entry"),
        )
        return _acknowledged(act, receipt)

    async def _submit(self, body: Json) -> Json:
        seq = self._workspace.feed.seq
        try:
            submitted = await self._acts.submit(body["user"], body["view"], body.get("entries") or {})
        except SlackError as error:
            return {"error": error.code, "details": error.extra, "seq": seq}
        if submitted.receipt is None:
            return {"act": "", "errors": submitted.errors, "error": "", "sent": False}
        return {**_acknowledged(submitted.act, submitted.receipt), "errors": submitted.errors, "sent": True}

    async def _close(self, body: Json) -> Json:
        await self._acts.close(body["user"], body["view"])
        return {}

    async def _command(self, body: Json) -> Json:
        try:
            return _acknowledged(*await self._acts.command(body["user"], body["channel"], body["line"]))
        except SlackError as error:  # what came with the ack can't be shown
            return {"act": "", "error": error.code, "details": error.extra}

    async def _shortcut(self, body: Json) -> Json:
        return _acknowledged(*await self._acts.shortcut(body["user"], body["channel"], body["ts"], body["callback_id"]))

    async def _home(self, body: Json) -> Json:
        act, receipt = await self._acts.open_home(body["user"])
        return {"act": ""} if receipt is None else _acknowledged(act, receipt)

    async def _say(self, body: Json) -> Json:
        message = self._acts.say(body["user"], body["channel"], body["text"], body.get("thread_ts", ""))
        return screen.message_json(message)

    # Switches

    async def _fault(self, body: Json) -> Json:
        fault = Fault(**{**body, "outcome": Outcome(body["outcome"])})
        self._workspace.pending_faults.faults.append(fault)
        return self._switched(fault.shape())

    async def _clear_faults(self, _body: Json) -> Json:
        self._workspace.pending_faults.clear()
        return self._switched({})

    async def _delivery_fault(self, body: Json) -> Json:
        self._workspace.pending_faults.deliveries[Trouble(body["trouble"])] += int(body.get("times", 1))
        return self._switched(self._workspace.pending_faults.shape())

    async def _clock(self, body: Json) -> Json:
        if "set" in body:
            self._workspace.clock.set(float(body["set"]))
        self._workspace.clock.advance(float(body.get("advance", 0)))
        return self._switched({"now": self._workspace.clock.now()})

    async def _rates(self, body: Json) -> Json:
        self._workspace.rates.enforcement = Enforcement(body["enforcement"])
        return self._switched({})

    async def _drop(self, body: Json) -> Json:
        return {"dropped": await self._delivery.socket_mode.drop(Manner(body["manner"]))}

    async def _choose_delivery(self, body: Json) -> Json:
        """From now on, deliver to a request URL, or with "" over Socket Mode again."""
        self._delivery.request_url = str(body["request_url"])
        return self._switched({"signing_secret": self._delivery.signing_secret})

    async def _new_trigger(self, body: Json) -> Json:
        return {"trigger_id": self._workspace.new_trigger(self._acts.person(body["user"]).id, "")}

    async def _deliver(self, body: Json) -> Json:
        envelope = Envelope(kind=EnvelopeKind(body["kind"]), payload=body["payload"], accepts_response_payload=True)
        return _acknowledged(envelope.id, await self._delivery.deliver(envelope))

    async def _redeliver(self, body: Json) -> Json:
        envelope = self._delivery.log.find(body["envelope_id"])
        if envelope is None:
            raise ImpossibleAct(f"no envelope {body['envelope_id']}")
        return _acknowledged(envelope.id, await self._delivery.deliver_again(envelope))

    async def _put_person(self, body: Json) -> Json:
        """Add a person, or change some fields of an existing one."""
        known = self._workspace.people.get(body.get("id", "")) or self._workspace.person(body.get("name", ""))
        fields = {**body, **({"kind": PersonKind(body["kind"])} if "kind" in body else {})}
        person = replace(known, **fields) if known else Person(**fields)
        self._workspace.people[person.id] = person
        return self._switched(screen.person_json(person))

    async def _put_group(self, body: Json) -> Json:
        known = self._workspace.groups.get(body["id"])
        fields = {**body, **({"members": tuple(body["members"])} if "members" in body else {})}
        group = replace(known, **fields) if known else Group(**fields)
        self._workspace.groups[group.id] = group
        return self._switched({"id": group.id})

    async def _put_channel(self, body: Json) -> Json:
        known = self._workspace.channels.get(body["id"])
        fields = dict(body)
        if "members" in body:
            fields["members"] = frozenset(body["members"])
        if "kind" in body:
            fields["kind"] = ChannelKind(body["kind"])
        channel = replace(known, **fields) if known else Channel(**fields)
        self._workspace.channels[channel.id] = channel
        return self._switched(screen.channel_json(channel))

    async def _put_team(self, body: Json) -> Json:
        """Change the workspace: ``plan`` (``free`` has no user groups), ``enterprise`` (the id of an organisation)."""
        self._workspace.plan = Plan(body.get("plan", self._workspace.plan))
        self._workspace.enterprise = str(body.get("enterprise", self._workspace.enterprise))
        return self._switched({"plan": self._workspace.plan.value, "enterprise": self._workspace.enterprise})

    def _switched(self, answer: Json) -> Json:
        self._workspace.feed.add(Kind.SWITCHED)
        return answer

    # To look at

    async def _state(self, _request: web.Request) -> web.Response:
        return web.json_response({**screen.state(self._workspace), "connections": self._delivery.socket_mode.count})

    async def _screen(self, request: web.Request) -> web.Response:
        person = self._workspace.person(request.query.get("user", ""))
        if person is None:
            raise web.HTTPNotFound(text="nobody is called that")
        return web.json_response(
            {**screen.screen(self._workspace, person), "connections": self._delivery.socket_mode.count}
        )

    async def _messages(self, request: web.Request) -> web.Response:
        """Return a channel's messages, as one person sees them or (without ``user``) all."""
        who, where = request.query.get("user", ""), request.query.get("channel", "")
        person = self._workspace.person(who) if who else None
        direct = self._workspace.direct_channel(person.id) if where == "@app" and person else None
        channel = direct or self._workspace.channel(where)
        if channel is None:
            raise web.HTTPNotFound(text=f"no channel {where}")
        seq = self._workspace.feed.seq
        messages = screen.messages_json(self._workspace, channel.id, person)
        return web.json_response({"seq": seq, "channel": channel.id, "messages": messages})

    async def _changes(self, request: web.Request) -> web.Response:
        """Wait for changes after a number, at most that many seconds; answer with them and the last number."""
        after = int(request.query.get("after", "0"))
        timeout = min(float(request.query.get("timeout", "0")), LONGEST_POLL)
        changes = await self._workspace.feed.wait(after, timeout)
        seq = changes[-1].seq if changes else self._workspace.feed.seq
        return web.json_response({"seq": seq, "changes": [change.shape() for change in changes]})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: one for each batch of changes."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        seq = int(
            request.headers.get("Last-Event-ID", "") or request.query.get("after", "") or self._workspace.feed.seq
        )
        try:
            while True:
                changes = await self._workspace.feed.wait(seq, 15.0)
                seq = changes[-1].seq if changes else seq
                data = json.dumps([change.shape() for change in changes])
                await response.write(f"id: {seq}\ndata: {data}\n\n".encode() if changes else b": still here\n\n")
        except (ConnectionError, asyncio.CancelledError):
            return response

    async def _calls(self, request: web.Request) -> web.Response:
        calls = self._workspace.calls.select(request.query.get("method", ""), int(request.query.get("after", "0")))
        return web.json_response([call.shape() for call in calls])

    async def _rate_counts(self, _request: web.Request) -> web.Response:
        return web.json_response(self._workspace.rates.shape())

    async def _envelopes(self, _request: web.Request) -> web.Response:
        return web.json_response(self._delivery.log.shape())

    async def _faults_and_time(self, _request: web.Request) -> web.Response:
        return web.json_response(
            {
                **self._workspace.pending_faults.shape(),
                "seq": self._workspace.feed.seq,
                "now": self._workspace.clock.now(),
                "enforcement": self._workspace.rates.enforcement.value,
                "request_url": self._delivery.request_url,
                "connections": self._delivery.socket_mode.count,
            }
        )


def _acknowledged(act: str, receipt: Receipt) -> Json:
    return {"act": act, "error": receipt.error if receipt.answer is None else "", "answer": receipt.answer}


def _json_handler(act: Callable[[Json], Awaitable[Json]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        try:
            return web.json_response(await act(json.loads(await request.text() or "{}")))
        except (ImpossibleAct, KeyError, TypeError, ValueError) as error:
            text = f"missing: {error}" if isinstance(error, KeyError) else str(error)
            return web.json_response({"error": text}, status=400)

    return handle
