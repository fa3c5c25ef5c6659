"""The endpoint of the Web API: decodes a call, checks its token, faults and rate, and answers as Slack does."""

import json
import uuid
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from hitl_bot.sandbox.changes import Kind
from hitl_bot.sandbox.faults import Fault, Outcome
from hitl_bot.sandbox.workspace import Workspace

from . import METHODS
from .method import Arguments, Method, SlackError, Token, is_documented, missing_scope, unknown_arguments

Json = dict[str, Any]


@dataclass(frozen=True)
class Tokens:
    """The tokens that the app needs: ``xoxb-...`` for nearly everything, ``xapp-...`` for Socket Mode."""

    bot: str
    app: str


class Endpoint:
    """Serves ``/api/<method>``, with arguments in the query, as a form or as JSON."""

    def __init__(self, workspace: Workspace, tokens: Tokens) -> None:
        self._workspace = workspace
        self._tokens = tokens

    async def serve(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["method"]
        try:
            args = await _decode(request)
        except SlackError as error:
            return self._answer(name, {}, {"ok": False, "error": error.code})
        fault = self._workspace.pending_faults.take(name, args)
        if fault is not None and (struck := await self._strike(request, name, args, fault)) is not None:
            return struck
        answer = self._carry_out(request, name, args)
        if fault is not None and fault.outcome is Outcome.LOST:
            return self._cut(request, name, args, "lost")
        return answer

    def _carry_out(self, request: web.Request, name: str, args: Json) -> web.Response:
        method = METHODS.get(name)
        if method is None:
            return self._answer(name, args, {"ok": False, "error": "unknown_method", "req_method": name})
        for argument in unknown_arguments(name, args):
            self._workspace.deviations.append(f"{name} was called with {argument}, which Slack does not document")
        try:
            self._check_token(method, request, args)
            if wait := self._rate(method, args):
                return self._ratelimited(name, args, wait)
            return self._answer(name, args, {"ok": True, **method.run(self._workspace, Arguments(args))})
        except SlackError as error:
            if not is_documented(name, error.code):
                self._workspace.deviations.append(f"{name} answered {error.code}, which Slack does not document")
            return self._answer(name, args, {"ok": False, "error": error.code, **error.extra})

    def _check_token(self, method: Method, request: web.Request, args: Json) -> None:
        if method.token is Token.NONE:
            return
        token = request.headers.get("Authorization", "").removeprefix("Bearer ").strip() or str(args.get("token") or "")
        if not token:
            raise SlackError("not_authed")
        if token not in {self._tokens.bot, self._tokens.app}:
            raise SlackError("invalid_auth")
        if token != (self._tokens.bot if method.token is Token.BOT else self._tokens.app):
            raise SlackError("not_allowed_token_type")
        if method.scope and method.token is Token.BOT:
            missing_scope(self._workspace, method.scope)

    def _rate(self, method: Method, args: Json) -> int:
        channel = self._workspace.channel(str(args.get("channel", "")))
        where = channel.id if channel else str(args.get("channel", ""))
        return self._workspace.rates.check(method.name, method.tier, where, self._workspace.clock.now())

    async def _strike(self, request: web.Request, name: str, args: Json, fault: Fault) -> web.Response | None:
        """Apply a fault; return None if the call continues anyway."""
        if fault.outcome is Outcome.DELAY:
            await self._workspace.clock.sleep_until(self._workspace.clock.now() + fault.seconds)
        elif fault.outcome is Outcome.ERROR:
            return self._answer(name, args, {"ok": False, "error": fault.error})
        elif fault.outcome is Outcome.STATUS:
            self._log(name, args, f"http {fault.status}")
            return web.Response(status=fault.status, text="upstream connect error", content_type="text/plain")
        elif fault.outcome is Outcome.RATELIMITED:
            return self._ratelimited(name, args, max(1, int(fault.seconds)))
        elif fault.outcome is Outcome.REFUSED:
            return self._cut(request, name, args, "refused")
        return None

    def _cut(self, request: web.Request, name: str, args: Json, outcome: str) -> web.Response:
        self._log(name, args, outcome)
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    def _ratelimited(self, name: str, args: Json, wait: int) -> web.Response:
        return self._answer(name, args, {"ok": False, "error": "ratelimited"}, status=429, retry_after=wait)

    def _answer(self, name: str, args: Json, body: Json, *, status: int = 200, retry_after: int = 0) -> web.Response:
        self._log(name, args, "ok" if body["ok"] else body["error"])
        headers = {"x-oauth-scopes": ",".join(sorted(self._workspace.app.scopes)), "x-slack-req-id": uuid.uuid4().hex}
        if (method := METHODS.get(name)) is not None and method.scope:
            headers["x-accepted-oauth-scopes"] = method.scope
        if retry_after:
            headers["Retry-After"] = str(retry_after)
        return web.json_response(body, status=status, headers=headers)

    def _log(self, name: str, args: Json, outcome: str) -> None:
        self._workspace.calls.add(self._workspace.clock.now(), name, args, outcome)
        self._workspace.feed.add(Kind.CALLED, method=name)


async def _decode(request: web.Request) -> Json:
    args: Json = dict(request.query)
    if request.content_type == "application/json":
        try:
            body = json.loads(await request.text() or "{}")
        except ValueError:
            raise SlackError("invalid_json") from None
        if not isinstance(body, dict):
            raise SlackError("json_not_object")
        return {**args, **body}
    if request.content_type in {"application/x-www-form-urlencoded", "multipart/form-data"}:
        return {**args, **dict(await request.post())}
    if request.body_exists and await request.read():
        raise SlackError("invalid_post_type")
    return args
