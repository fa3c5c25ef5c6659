"""What a person looks at and works with in their client: messages, forms, the Home tab."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .blocks import elements_of
from .control import TIMEOUT, Control
from .mentions import visible_text

Json = dict[str, Any]


class NotThere(Exception):
    """The message or view does not show what the person looks for; the text says what it shows."""


class NotConfirmed(Exception):
    """The button asks for confirmation; pass ``confirm`` with the label of the button to press in its dialog."""


class NotAcknowledged(Exception):
    """The app did not acknowledge in time: the person sees Slack's warning sign."""


@dataclass(frozen=True)
class Closed:
    """The form was accepted, and the view closed."""


@dataclass(frozen=True)
class Errors:
    """The form was refused.

    Attributes
    ----------
    by_label : dict
        {label of the field: text under it}.
    from_app : bool
        Whether the app refused it; the client itself refuses what is empty or has the wrong form.
    """

    by_label: dict[str, str]
    from_app: bool


@dataclass(frozen=True)
class Updated:
    """The view shows something else now, or another view lies on top of it."""

    view: "View"


@dataclass(frozen=True)
class Element:
    """An interactive element in a block."""

    block_id: str
    shape: Json

    @property
    def action_id(self) -> str:
        return str(self.shape["action_id"])

    @property
    def label(self) -> str:
        text = self.shape.get("text") or self.shape.get("placeholder") or {}
        return str(text.get("text", ""))


class Client:
    """What Slack shows one person."""

    def __init__(self, control: Control, user_id: str) -> None:
        self.control = control
        self.id = user_id

    def messages(self, channel: str) -> "list[Message]":
        """Return a channel as this person sees it, oldest first: ``#name`` or ID; ``@app`` is the direct messages."""
        return [Message(self, shape) for shape in self.control.messages(channel, self.id)]

    def ephemerals(self, channel: str) -> "list[Message]":
        """Return the messages that only this person sees."""
        return [one for one in self.messages(channel) if one.is_ephemeral]

    def views(self) -> "list[View]":
        """Return the modals that this person has open, the top one last."""
        return [View(self, shape) for shape in self._screen()["views"]]

    def view(self) -> "View | None":
        """Return the modal on top."""
        views = self.views()
        return views[-1] if views else None

    def home_now(self) -> "View | None":
        """Return the Home tab as it is now, without opening it."""
        home = self._screen()["home"]
        return View(self, home) if home else None

    def _screen(self) -> Json:
        return dict(self.control.get("screen", user=self.id))


class Surface(ABC):
    """Blocks that a person looks at: a message, a modal, the Home tab."""

    def __init__(self, client: Client, blocks: list[Json]) -> None:
        self.client = client
        self.blocks = blocks

    @property
    def elements(self) -> list[Element]:
        return [Element(block["block_id"], one) for block in self.blocks for one in elements_of(block)]

    @property
    def buttons(self) -> list[str]:
        """Labels of the buttons, in their order."""
        return [one.label for one in self.elements if one.shape["type"] == "button"]

    @property
    def menu(self) -> list[str]:
        """Labels of the overflow menus' entries."""
        menus = (one.shape for one in self.elements if one.shape["type"] == "overflow")
        return [option["text"]["text"] for shape in menus for option in shape["options"]]

    def element(self, wanted: str) -> tuple[Element, Any]:
        """Find a button by label, anything by action_id, a menu's entry by label; return it and the entry chosen."""
        for one in self.elements:
            if wanted in (one.label, one.action_id) and one.shape["type"] != "overflow":
                return one, None
            for option in one.shape.get("options") or []:
                if wanted in (option["text"]["text"], option["value"]):
                    return one, option["value"]
        raise NotThere(f"no {wanted!r} among {[*self.buttons, *self.menu]}; it shows: {self.shown}")

    @property
    def shown(self) -> str:
        return visible_text("", self.blocks)

    @property
    @abstractmethod
    def where(self) -> Json:
        """The fields by which the sandbox finds this surface."""


class Message(Surface):
    """A message as a person sees it."""

    def __init__(self, client: Client, shape: Json) -> None:
        super().__init__(client, shape["blocks"])
        self.shape = shape
        self.channel: str = shape["channel"]
        self.ts: str = shape["ts"]
        self.text: str = shape["text"]  # what the notification says
        self.plain: str = shape["plain"]  # all text that is seen
        self.mentions: list[str] = shape["mentions"]
        self.metadata: Json | None = shape["metadata"]
        self.versions: int = shape["versions"]
        self.is_ephemeral: bool = bool(shape["visible_to"])
        self.thread_ts: str = shape["thread_ts"]

    def __repr__(self) -> str:
        return f"<Message {self.ts} {self.plain!r}>"

    @property
    def where(self) -> Json:
        return {"channel": self.channel, "ts": self.ts}

    @property
    def thread(self) -> "list[Message]":
        """The replies to it, the oldest first."""
        everything = self.client.messages(self.channel)
        return [one for one in everything if one.thread_ts == self.ts and one.ts != self.ts]

    def refresh(self) -> "Message":
        """Return it as it is now; NotThere if it was deleted."""
        for one in self.client.messages(self.channel):
            if one.ts == self.ts:
                return one
        raise NotThere(f"message {self.ts} is gone")


@dataclass(frozen=True)
class Field:
    """A field of a form."""

    block_id: str
    label: str
    hint: str
    optional: bool
    element: Json = field(repr=False)


class View(Surface):
    """A modal, or the Home tab, as a person sees it; what is filled in is kept until it is submitted."""

    def __init__(self, client: Client, shape: Json) -> None:
        super().__init__(client, shape["blocks"])
        self.shape = shape
        self.id: str = shape["id"]
        self.callback_id: str = shape["callback_id"]
        self.values: Json = shape["state"]["values"]
        self.entries: Json = {}

    def __repr__(self) -> str:
        return f"<View {self.title!r} {self.shown!r}>"

    @property
    def title(self) -> str:
        return self._text("title")

    @property
    def submit_label(self) -> str:
        return self._text("submit")

    def _text(self, name: str) -> str:
        return str((self.shape.get(name) or {}).get("text", ""))

    @property
    def plain(self) -> str:
        """All visible text, including the title."""
        return f"{self.title}\n{self.shown}"

    @property
    def where(self) -> Json:
        return {"view": self.id, "entries": self.entries}

    @property
    def fields(self) -> list[Field]:
        return [
            Field(
                block_id=block["block_id"],
                label=block["label"]["text"],
                hint=(block.get("hint") or {}).get("text", ""),
                optional=bool(block.get("optional")),
                element=block["element"],
            )
            for block in self.blocks
            if block["type"] == "input"
        ]

    def field(self, wanted: str) -> Field:
        """Find a field by its label or block_id."""
        for one in self.fields:
            if wanted in (one.label, one.block_id):
                return one
        raise NotThere(f"no field {wanted!r} among {[one.label for one in self.fields]}")

    def fill(self, entries: Json) -> "View":
        """Enter values, {label or block_id: entry}: text, an option's label or value, an id, a date, a list, None."""
        for wanted, entry in entries.items():
            one = self.field(wanted)
            value = str(entry) if isinstance(entry, int | float) and not isinstance(entry, bool) else entry
            self.entries.setdefault(one.block_id, {})[one.element["action_id"]] = value
        return self

    def submit(self) -> Closed | Errors | Updated:
        """Press the submit button, and return what the person sees next.

        Raises
        ------
        NotAcknowledged
            The app did not answer in time, or its answer can't be shown.
        """
        control = self.client.control
        answer = control.post("acts/submit", {"user": self.client.id, "view": self.id, "entries": self.entries})
        if answer.get("error"):
            raise NotAcknowledged(f"{answer['error']} {answer.get('details', '')}".strip())
        if answer["errors"]:
            labels = {one.block_id: one.label for one in self.fields}
            by_label = {labels[block_id]: text for block_id, text in answer["errors"].items()}
            return Errors(by_label, from_app=answer["sent"])
        top = self.client.view()
        # A view that lay below and is seen again is no answer to this one.
        return Updated(top) if top is not None and self.id in (top.id, top.shape["previous_view_id"]) else Closed()

    def close(self) -> None:
        """Press the close button."""
        self.client.control.post("acts/close", {"user": self.client.id, "view": self.id})

    def refresh(self) -> "View | None":
        """Return it as it is now; None once it is closed."""
        return next((one for one in self.client.views() if one.id == self.id), None)

    def wait_for_update(self, wanted: "Callable[[View], bool]" = bool, timeout: float = TIMEOUT) -> "View":
        """Wait until the app has updated it as wanted."""

        def look() -> View | None:
            now = self.refresh()
            return now if now is not None and now.shape["hash"] != self.shape["hash"] and wanted(now) else None

        found: View = self.client.control.wait_until(look, timeout, f"an update of {self!r}")
        return found


def confirms(shape: Json, confirm: str) -> bool:
    """Return whether the person confirms; raise if the given label does not fit the dialog."""
    dialog = shape.get("confirm")
    if dialog is None:
        if confirm:
            raise NotConfirmed("the button does not ask first")
        return True
    yes = (dialog.get("confirm") or {}).get("text", "Yes")
    no = (dialog.get("deny") or {}).get("text", "No")
    if confirm not in (yes, no):
        raise NotConfirmed(f"it asks {dialog['title']['text']!r}: {yes!r} or {no!r}?")
    return bool(confirm == yes)
