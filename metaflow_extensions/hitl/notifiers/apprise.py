"""The question through Apprise, which reaches over a hundred services.

Source: github.com/caronc/apprise (2.2), ``apprise/apprise.py``.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from logging import getLogger
from typing import Any

from metaflow_extensions.hitl.approvals.errors import NotifierRefused, NotifierUnavailable
from metaflow_extensions.hitl.approvals.ports import Clock
from metaflow_extensions.hitl.approvals.record import Approval, Post
from metaflow_extensions.hitl.messages import plain

from .sent import Sent

NAME = "apprise"
SETTING = "METAFLOW_HITL_APPRISE_URLS"

_BETWEEN = re.compile(r"[\s,]+(?=[A-Za-z0-9]+://)")  # an address may hold a comma

log = getLogger(__name__)


class AppriseNotifier:
    """Sends each question once, to each address. Nothing follows after the answer.

    Parameters
    ----------
    urls : str
        Apprise's addresses, with blanks, commas or line breaks between them. They are secrets: of each, errors name
        its place and its scheme.
    clock : Clock
        The present.
    script : str
        The flow's file, as it is written after ``python``.

    Raises
    ------
    NotifierRefused
        Apprise is not installed, or does not understand an address.
    """

    def __init__(self, urls: str, *, clock: Clock, script: str = "flow.py") -> None:
        try:
            import apprise  # noqa: PLC0415 - an extra, and it takes half a second
        except ImportError as error:
            raise NotifierRefused(
                f'{SETTING} is set, but Apprise is not installed here: pip install "metaflow-hitl[apprise]"'
            ) from error
        asset = apprise.AppriseAsset(app_id="metaflow-hitl", app_desc="metaflow-hitl", interpret_emojis=False)
        self._text = apprise.NotifyFormat.TEXT
        self._services: list[tuple[str, Any]] = []
        for number, url in enumerate(_BETWEEN.split(urls.strip()), start=1):
            scheme = url.partition("://")[0] if "://" in url else ""
            name = f"{scheme}://… ({SETTING}, address {number})" if scheme.isalnum() else f"{SETTING}, address {number}"
            service = apprise.Apprise(asset=asset)
            with _unlogged():
                added = service.add(url)
            if not added:
                raise NotifierRefused(f"Apprise does not understand {name}. Correct it; `apprise --details` lists all.")
            self._services.append((name, service))
        self._script = script
        self._sent = Sent(NAME, clock)
        self._left_out: set[str] = set()

    def post(self, approval: Approval) -> Post:
        """Send the question.

        Raises
        ------
        NotifierUnavailable
            No service took it. One that fails while another takes it is logged instead: to try again would ask the
            other one twice.
        """
        sent = self._sent.find(approval)
        if sent is not None:
            return sent
        asked = plain.render(approval, script=self._script)
        failed = [name for name, service in self._services if not self._notify(service, asked)]
        if len(failed) == len(self._services):
            raise NotifierUnavailable(
                f"Apprise could not send to {', '.join(failed)}. The bot will retry. If this keeps happening, see what "
                'Apprise\'s own log says above, and try the address: apprise --body test "…"',
                cause="no service",
            )
        for name in set(failed) - self._left_out:
            self._left_out.add(name)
            log.error("Questions don't reach %s. Correct it, or see what Apprise's own log says above.", name)
        return self._sent.note(approval)

    def update(self, approval: Approval, post: Post) -> None:
        """Do nothing: most services can't change what was sent."""

    def _notify(self, service: Any, asked: plain.Plain) -> bool:
        # Several of the services take `@everyone` or `<!channel>` in a text for a wish to be carried out.
        body = "\n".join(
            [
                plain.inert(asked.message),
                "",
                *(f"{row.label}: {row.url or plain.inert(row.text)}" for row in asked.rows),
                *(f"{row.label}: {row.text}" for row in asked.commands),
            ]
        )
        return bool(service.notify(title=plain.inert(asked.title), body=body, body_format=self._text))


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep Apprise from logging an address that it does not understand: the secret in it may be right all the same."""

    def nothing(_: object) -> bool:
        return False

    logger = getLogger("apprise")
    logger.addFilter(nothing)
    try:
        yield
    finally:
        logger.removeFilter(nothing)
