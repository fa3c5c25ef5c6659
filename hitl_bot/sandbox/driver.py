"""Acts as people: reads what they would see, and clicks, types and submits as they would.

    people = Driver("http://127.0.0.1:8765")
    bob = people.as_("bob")
    message = bob.wait_for_message("#ml-approvals", lambda one: "Deploy" in one.text)
    view = bob.open(message, "Approve…")
    view.fill({"Deploy target": "staging"})
    view.submit()

Everything waits on the sandbox's changes, with a timeout in real seconds; nothing sleeps.
"""

from collections.abc import Callable
from typing import Any

from .control import TIMEOUT, Control, NothingHappened
from .surfaces import (
    Client,
    Closed,
    Element,
    Errors,
    Field,
    Message,
    NotAcknowledged,
    NotConfirmed,
    NotThere,
    Updated,
    View,
    confirms,
)

__all__ = [
    "Closed",
    "Control",
    "Driver",
    "Element",
    "Errors",
    "Field",
    "Message",
    "NotAcknowledged",
    "NotConfirmed",
    "NotThere",
    "NothingHappened",
    "Person",
    "Updated",
    "View",
]

Json = dict[str, Any]


class Driver:
    """All people of one sandbox, and (as ``control``) its control API."""

    def __init__(self, url: str) -> None:
        self.control = Control(url)

    def as_(self, name: str) -> "Person":
        """Return somebody by name or id."""
        for person in self.control.state()["people"]:
            if name in (person["name"], person["id"]):
                return Person(self.control, person["id"], person["name"])
        raise NotThere(f"nobody is called {name!r}")


class Person(Client):
    """One person at their client."""

    def __init__(self, control: Control, user_id: str, name: str) -> None:
        super().__init__(control, user_id)
        self.name = name

    def __repr__(self) -> str:
        return f"<{self.name}>"

    # Waiting

    def home(self, timeout: float = TIMEOUT) -> View:
        """Open the app's Home tab, and return it once the app has published it in response."""
        seq = self.control.seq
        self.control.post("acts/home", {"user": self.id})
        wanted = {"kind": "home_published", "user": self.id}
        if self._change(wanted, seq, timeout) is None and self._screen()["home"] is None:
            raise NothingHappened(f"the app published no Home tab within {timeout:g} s")
        return View(self, self._screen()["home"])

    def wait_for_message(
        self,
        channel: str,
        wanted: Callable[[Message], bool] = bool,
        timeout: float = TIMEOUT,
        after: Message | None = None,
    ) -> Message:
        """Return the newest wanted message of a channel, as soon as there is one.

        Parameters
        ----------
        channel : str
            As in `messages`.
        wanted : callable
            Returns whether a message is the wanted one.
        timeout : float
            Real seconds.
        after : Message, optional
            Only messages later than this one.
        """

        def look() -> Message | None:
            seen = [one for one in self.messages(channel) if after is None or one.ts > after.ts]
            return next((one for one in reversed(seen) if wanted(one)), None)

        try:
            found: Message = self.control.wait_until(look, timeout)
        except NothingHappened:
            there = [one.plain for one in self.messages(channel)]
            raise NothingHappened(f"no such message in {channel} within {timeout:g} s; there is: {there}") from None
        return found

    def wait_for_update(
        self, message: Message, wanted: Callable[[Message], bool] = bool, timeout: float = TIMEOUT
    ) -> Message:
        """Return a message once it has been updated since it was last read, and is as wanted."""

        def look() -> Message | None:
            now = message.refresh()
            return now if now.versions > message.versions and wanted(now) else None

        try:
            found: Message = self.control.wait_until(look, timeout)
        except NothingHappened:
            raise NothingHappened(f"no such update within {timeout:g} s; it shows: {message.refresh().plain}") from None
        return found

    def wait_for_ephemeral(
        self, channel: str, wanted: Callable[[Message], bool] = bool, timeout: float = TIMEOUT
    ) -> Message:
        """Return the wanted message that only this person sees, as soon as there is one."""
        return self.wait_for_message(channel, lambda one: one.is_ephemeral and wanted(one), timeout)

    def wait_for_view(self, wanted: Callable[[View], bool] = bool, timeout: float = TIMEOUT) -> View:
        """Return the modal on top, as soon as it is the wanted one."""

        def look() -> View | None:
            top = self.view()
            return top if top is not None and wanted(top) else None

        found: View = self.control.wait_until(look, timeout, "a view")
        return found

    # What they do

    def click(
        self, surface: Message | View, wanted: str, *, confirm: str = "", timeout: float = TIMEOUT
    ) -> View | None:
        """Use a button or a menu's entry, and return the view that opens, or None if something else happens.

        It returns with the first effect that is known to come from this click: a view opened with its trigger_id, its
        response_url used, the message or view updated, something shown to this person only.

        Parameters
        ----------
        surface : Message or View
            Where it is.
        wanted : str
            The label of a button or of a menu's entry, or an action_id.
        confirm : str
            If the button asks for confirmation: the label of the button to press in its dialog.
        timeout : float
            Real seconds to wait for an effect after the ack; with 0 none is waited for.

        Raises
        ------
        NotThere
            There is no such button.
        NotConfirmed
            The button asks first, and `confirm` is neither label of its dialog; or it doesn't ask, and it was given.
        NotAcknowledged
            The app did not acknowledge in time.
        NothingHappened
            It acknowledged, and had no effect in time.
        """
        element, entry = surface.element(wanted)
        if not confirms(element.shape, confirm):
            return None
        return self.choose(surface, element, entry, timeout=timeout)

    def open(self, surface: Message | View, wanted: str, *, confirm: str = "", timeout: float = TIMEOUT) -> View:
        """Click, and return the view that opens; NothingHappened if none does. Other effects are not waited for."""
        element, entry = surface.element(wanted)
        if not confirms(element.shape, confirm):
            raise NotConfirmed(f"{confirm!r} declines")
        seq = self.control.seq
        act = self._click(surface, element, entry)
        change = self.control.wait_for_change(
            lambda one: one["kind"] == "view_opened" and one["act"] == act, seq, timeout
        )
        if change is None:
            raise NothingHappened(f"{wanted!r} opened no view within {timeout:g} s")
        return self.wait_for_view(lambda one: one.id == change["view"])

    def choose(self, surface: Message | View, element: Element, entry: Any, *, timeout: float = TIMEOUT) -> View | None:
        """Choose or type something in an element that acts at once; everything else is as for `click`."""
        seq = self.control.seq
        act = self._click(surface, element, entry)
        return self._effect(act, surface.where, seq, timeout)

    def _click(self, surface: Message | View, element: Element, entry: Any) -> str:
        body = {"user": self.id, "where": surface.where, "block_id": element.block_id, "action_id": element.action_id}
        return self._acknowledged(self.control.post("acts/click", {**body, "entry": entry}))

    def command(self, line: str, channel: str = "#ml-approvals", timeout: float = TIMEOUT) -> list[Message]:
        """Type a slash command, and return its answers so far once there is one; [] if it opened a view instead."""
        seq = self.control.seq
        body = {"user": self.id, "channel": channel, "line": line}
        act = self._acknowledged(self.control.post("acts/command", body))

        def answers(change: Json) -> bool:
            to_me = change["kind"] == "message_posted" and change["user"] == self.id
            return change["kind"] in {"message_posted", "view_opened"} and (change["act"] == act or to_me)

        if self.control.wait_for_change(answers, seq, timeout) is None:
            raise NothingHappened(f"no answer to {line!r} within {timeout:g} s")
        posted = {one["ts"] for one in self._changes_after(seq) if answers(one) and one["ts"]}
        return [one for one in self.messages(channel) if one.ts in posted]

    def shortcut(self, message: Message, callback_id: str, timeout: float = TIMEOUT) -> View | None:
        """Choose a shortcut from a message's menu; returns like `click`."""
        seq = self.control.seq
        body = {"user": self.id, "channel": message.channel, "ts": message.ts, "callback_id": callback_id}
        act = self._acknowledged(self.control.post("acts/shortcut", body))
        return self._effect(act, message.where, seq, timeout)

    def say(self, channel: str, text: str, thread: Message | None = None) -> Message:
        """Write a message into a channel."""
        body = {"user": self.id, "channel": channel, "text": text, "thread_ts": thread.ts if thread else ""}
        return Message(self, self.control.post("acts/say", body))

    # Behind them

    def _effect(self, act: str, where: Json, seq: int, timeout: float) -> View | None:
        def is_effect(change: Json) -> bool:
            kind = change["kind"]
            mine = change["act"] == act and kind.startswith(("message", "view"))
            same_message = kind in {"message_changed", "message_deleted"} and change["ts"] == where.get("ts")
            same_view = kind in {"view_changed", "view_closed"} and change["view"] == where.get("view")
            to_me = kind in {"message_posted", "home_published"} and change["user"] == self.id
            return mine or same_message or same_view or to_me

        if not timeout:
            return None
        change = self.control.wait_for_change(is_effect, seq, timeout)
        if change is None:
            raise NothingHappened(f"it had no effect within {timeout:g} s")
        if change["kind"] != "view_opened":
            return None
        return next((one for one in self.views() if one.id == change["view"]), None)

    def _acknowledged(self, answer: Json) -> str:
        if answer["error"]:
            raise NotAcknowledged(f"{answer['error']} {answer.get('details', '')}".strip())
        return str(answer["act"])

    def _change(self, wanted: Json, seq: int, timeout: float) -> Json | None:
        def matches(change: Json) -> bool:
            return all(change[name] == value for name, value in wanted.items())

        return self.control.wait_for_change(matches, seq, timeout)

    def _changes_after(self, seq: int) -> list[Json]:
        return list(self.control.get("changes", after=seq)["changes"])
