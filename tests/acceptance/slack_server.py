"""The local Slack as a process of its own that may be killed: started again, it has what it had, as Slack would."""

import pickle
import sys
from pathlib import Path
from threading import Event

from aiohttp import web

from hitl_bot.sandbox import Sandbox, server
from hitl_bot.sandbox.delivery import Delivery
from hitl_bot.sandbox.web_api.endpoint import Tokens
from hitl_bot.sandbox.workspace import Workspace

# All but what a connection or a test holds: log, faults, limits, tickets to connect by.
KEPT = (
    *("people", "groups", "channels", "messages", "views", "stacks", "homes"),
    *("triggers", "response_urls", "files", "numbers", "deviations", "_last_ts"),
)


def serve(port: int, file: Path) -> None:
    """Serve until killed. What was changed is in the file before its answer is on its way."""
    build = server.build

    def build_kept(workspace: Workspace, delivery: Delivery, tokens: Tokens) -> web.Application:
        if file.exists():
            workspace.feed.seq, kept = pickle.loads(file.read_bytes())  # noqa: S301 - its own
            vars(workspace).update(kept)
        written = [workspace.feed.seq]

        async def keep(_request: web.Request, _answer: web.StreamResponse) -> None:
            if workspace.feed.seq == written[0]:
                return
            written[0] = workspace.feed.seq
            half = file.with_suffix(".half")
            half.write_bytes(pickle.dumps((workspace.feed.seq, {name: vars(workspace)[name] for name in KEPT})))
            half.replace(file)

        app = build(workspace, delivery, tokens)
        app.on_response_prepare.append(keep)
        return app

    server.build = build_kept
    Sandbox(port=port).start()
    Event().wait()


if __name__ == "__main__":
    serve(int(sys.argv[1]), Path(sys.argv[2]))
