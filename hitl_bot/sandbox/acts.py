"""What a person does, and what follows: the payload goes to the app, its ack comes back to the person."""

from dataclasses import dataclass
from typing import Any

from . import limits
from .answers import UnknownOption, client_errors, state_of, with_entries
from .blocks import elements_of
from .delivery import Delivery, Envelope, EnvelopeKind, Receipt
from .mentions import escaped, mentions, typed
from .people import APP_ID, BOT_USER_ID, TEAM_DOMAIN, TEAM_ID, Channel, ChannelKind, Person, PersonKind
from .web_api.chat import content
from .web_api.method import Arguments, SlackError
from .web_api.views import checked_view, rewrite_view, show_view
from .workspace import Message, ResponseUrl, View, Workspace

# The payloads that a person's acts become.

Json = dict[str, Any]
VERIFICATION_TOKEN = "sandbox-verification"  # noqa: S105 - Slack's long deprecated field, which nobody should read


def common(person: Person) -> Json:
    """Return the fields that every interaction has."""
    return {
        "team": {"id": TEAM_ID, "domain": TEAM_DOMAIN},
        "user": {"id": person.id, "username": person.name, "name": person.name, "team_id": person.team_id},
        "api_app_id": APP_ID,
        "token": VERIFICATION_TOKEN,
        "enterprise": None,
        "is_enterprise_install": False,
    }


def grid(enterprise: str) -> Json:
    """Return the fields that an interaction also has in a workspace of an Enterprise Grid organisation."""
    named = {"enterprise_id": enterprise, "enterprise_name": "Organisation"}
    return {
        "enterprise": {"id": enterprise, "name": "Organisation"},
        "team": {"id": TEAM_ID, "domain": TEAM_DOMAIN, **named},
    }


def message_action(person: Person, channel: Channel, message: Message, action: Json) -> Json:
    """Return block_actions of an element in a message; for an ephemeral message, Slack leaves the message out."""
    ephemeral = bool(message.visible_to)
    container = {
        "type": "message",
        "message_ts": message.ts,
        "channel_id": channel.id,
        "is_ephemeral": ephemeral,
        **({"thread_ts": message.thread_ts} if message.thread_ts else {}),
    }
    return {
        **common(person),
        "type": "block_actions",
        "container": container,
        "channel": {"id": channel.id, "name": channel.name or "directmessage"},
        **({} if ephemeral else {"message": message.shape()}),
        "state": {"values": {}},
        "actions": [action],
    }


def view_action(person: Person, view: View, action: Json) -> Json:
    """Return block_actions of an element in a modal or the Home tab."""
    return {
        **common(person),
        "type": "block_actions",
        "container": {"type": "view", "view_id": view.id},
        "view": view.shape(),
        "actions": [action],
    }


def submission(person: Person, view: View, response_urls: list[Json]) -> Json:
    return {**common(person), "type": "view_submission", "view": view.shape(), "response_urls": response_urls}


def closed(person: Person, view: View, *, cleared: bool) -> Json:
    return {**common(person), "type": "view_closed", "view": view.shape(), "is_cleared": cleared}


def message_shortcut(person: Person, channel: Channel, message: Message, callback_id: str, action_ts: str) -> Json:
    return {
        **common(person),
        "type": "message_action",
        "callback_id": callback_id,
        "action_ts": action_ts,
        "channel": {"id": channel.id, "name": channel.name or "directmessage"},
        "message_ts": message.ts,
        "message": message.shape(),
    }


def command_payload(person: Person, channel: Channel, name: str, text: str) -> Json:
    """Return a slash command; all its values are text, because it is also sent as a form."""
    return {
        "token": VERIFICATION_TOKEN,
        "team_id": TEAM_ID,
        "team_domain": TEAM_DOMAIN,
        "channel_id": channel.id,
        "channel_name": channel.name or "directmessage",
        "user_id": person.id,
        "user_name": person.name,
        "command": name,
        "text": text,
        "api_app_id": APP_ID,
        "is_enterprise_install": "false",
    }


def event_payload(event: Json, event_id: str, now: float) -> Json:
    return {
        "type": "event_callback",
        "token": VERIFICATION_TOKEN,
        "team_id": TEAM_ID,
        "api_app_id": APP_ID,
        "event": event,
        "event_id": event_id,
        "event_time": int(now),
        "is_ext_shared_channel": False,
        "authorizations": [
            {
                "enterprise_id": None,
                "team_id": TEAM_ID,
                "user_id": "U0BOT",
                "is_bot": True,
                "is_enterprise_install": False,
            }
        ],
    }


# What the app says to one act alone: through its response_url, or with the ack of a slash command.


def use_response_url(workspace: Workspace, ticket: str, body: Json) -> None:
    """Carry out what the app posted to a response_url.

    Raises
    ------
    SlackError
        ``invalid_url``: there is no such address. ``expired_url``: after 30 minutes. ``used_url``: after five uses.
        Also any error for which a message can be refused.
    """
    address = workspace.response_urls.get(ticket)
    if address is None:
        raise SlackError("invalid_url")
    if workspace.clock.now() > address.expires:
        raise SlackError("expired_url")
    if address.uses >= limits.RESPONSE_URL_USES:
        raise SlackError("used_url")
    original = workspace.message(address.channel, address.message_ts) if address.message_ts else None
    if _is_true(body.get("delete_original")) and original is not None:
        workspace.delete(original, act=address.act)
    elif _is_true(body.get("replace_original")) and original is not None:
        _rewrite(workspace, original, body, address.act)
    else:
        answer(workspace, address, body)
    address.uses += 1


def answer(workspace: Workspace, address: ResponseUrl, body: Json) -> Message:
    """Post an answer to an act: to that person only, or into the channel."""
    text, blocks = content(workspace, Arguments(body))
    in_channel = body.get("response_type") == "in_channel"
    message = Message(
        channel=address.channel,
        ts=workspace.next_ts(),
        author=BOT_USER_ID,
        text=text,
        blocks=blocks,
        thread_ts=str(body.get("thread_ts") or ""),
        visible_to="" if in_channel else address.user,
        mentions=mentions(text, blocks),
        act=address.act,
    )
    workspace.post(message)
    return message


def _rewrite(workspace: Workspace, message: Message, body: Json, act: str) -> None:
    message.text, message.blocks = content(workspace, Arguments(body))
    message.mentions = list(dict.fromkeys([*message.mentions, *mentions(message.text, message.blocks)]))
    workspace.changed(message, act=act)


def _is_true(value: Any) -> bool:
    return value is True or str(value).lower() == "true"


# What a person does, and what becomes of it: the payload goes to the app, its ack comes back to the person.


class ImpossibleAct(Exception):
    """A Slack client would not let the person do that; the text says why."""


@dataclass(frozen=True)
class Submitted:
    """The result of submitting a form.

    Attributes
    ----------
    receipt : Receipt, optional
        None if the client itself refused and nothing was sent.
    errors : dict
        {block_id: text}, from the client or the app.
    """

    act: str
    receipt: Receipt | None
    errors: dict[str, str]


class Acts:
    """What people can do. Each act returns once the app has acknowledged it, or has failed to do so in time."""

    def __init__(self, workspace: Workspace, delivery: Delivery) -> None:
        self._workspace = workspace
        self._delivery = delivery

    def person(self, who: str) -> Person:
        """Find the person who acts; deactivated people and apps can't."""
        person = self._workspace.person(who)
        if person is None:
            raise ImpossibleAct(f"nobody is called {who!r}")
        if person.kind in {PersonKind.DEACTIVATED, PersonKind.BOT}:
            raise ImpossibleAct(f"{person.name} can't act: {person.kind.value}")
        return person

    async def click(self, who: str, where: Json, *, block_id: str, action_id: str, entry: Any) -> tuple[str, Receipt]:
        """Use an element of a message, a modal or the Home tab.

        Parameters
        ----------
        who : str
            Name or id of a person.
        where : dict
            ``{"channel": ..., "ts": ...}`` or ``{"view": view id}``; with a view also ``{"entries": ...}``,
            what has been entered in its other fields.
        block_id, action_id : str
            The element.
        entry : Any
            What is chosen or typed, as in `answers.with_entries`; None for a button.

        Returns
        -------
        str
            The act's id, which is the envelope's.
        Receipt
            How the app took it.
        """
        person = self.person(who)
        if "view" in where:
            return await self._click_in_view(person, where, block_id, action_id, entry)
        channel, message = self.visible_message(person, str(where.get("channel")), str(where.get("ts")))
        action = self._action(message.blocks, block_id, action_id, entry)
        payload = message_action(person, channel, message, action)
        envelope = self._interaction(person, payload)
        ticket = self._workspace.new_response_url(person.id, channel.id, envelope.id, message.ts)
        payload["response_url"] = f"{self._workspace.url}/actions/{ticket}"
        return envelope.id, await self._delivery.deliver(envelope)

    async def _click_in_view(
        self, person: Person, where: Json, block_id: str, action_id: str, entry: Any
    ) -> tuple[str, Receipt]:
        view = self._own_view(person, str(where["view"]))
        view.values = self._entered(view, where.get("entries") or {})
        action = self._action(view.definition["blocks"], block_id, action_id, entry)
        if action["type"] not in {"button", "overflow"}:
            view.values = self._entered(view, {block_id: {action_id: entry}})
        envelope = self._interaction(person, view_action(person, view, action))
        return envelope.id, await self._delivery.deliver(envelope)

    async def submit(self, who: str, view_id: str, entries: Json) -> Submitted:
        """Send a modal's form, and carry out what the app answers with its ack."""
        person = self.person(who)
        view = self._own_view(person, view_id)
        if view.definition.get("submit") is None:
            raise ImpossibleAct("this view has no submit button")
        view.values = self._entered(view, entries)
        if errors := client_errors(view.definition["blocks"], view.values):
            return Submitted("", None, errors)
        payload = submission(person, view, [])
        envelope = self._interaction(person, payload)
        envelope.accepts_response_payload = True
        payload["response_urls"] = self._chosen_channels(person, view, envelope.id)
        receipt = await self._delivery.deliver(envelope)
        if receipt.answer is None:
            return Submitted(envelope.id, receipt, {})
        return Submitted(envelope.id, receipt, self._answered(person, view, receipt.answer, envelope.id))

    def _answered(self, person: Person, view: View, answer: Json, act: str) -> dict[str, str]:
        """Carry out ``response_action``; return the errors it shows."""
        workspace, action = self._workspace, answer.get("response_action")
        if workspace.views.get(view.id) is not view:  # closed meanwhile
            return {}
        if action is None:
            workspace.close_views(person.id, [view.id], act=act)
        elif action == "clear":
            workspace.close_views(person.id, list(workspace.stacks[person.id]), act=act)
        elif action == "errors":
            return self._shown_errors(view, answer.get("errors") or {})
        elif action == "update":
            rewrite_view(workspace, view, checked_view(workspace, answer.get("view"), "modal", view), act)
        elif action == "push":
            show_view(workspace, person.id, checked_view(workspace, answer.get("view"), "modal"), view, act)
        else:
            raise SlackError.with_messages("invalid_arguments", [f"unknown response_action: {action}"])
        return {}

    @staticmethod
    def _shown_errors(view: View, errors: dict[str, str]) -> dict[str, str]:
        fields = {block["block_id"] for block in view.definition["blocks"] if block["type"] == "input"}
        if not errors or set(errors) - fields:
            # Slack shows errors under input blocks only; for any other block_id the person sees a failure.
            unknown = sorted(set(errors) - fields)
            raise SlackError.with_messages(
                "invalid_arguments", [f"errors are for input blocks only, not for: {unknown}"]
            )
        return errors

    async def close(self, who: str, view_id: str) -> None:
        """Close a modal with its close button or Esc; modals on top of it are closed first."""
        person = self.person(who)
        view = self._own_view(person, view_id)
        stack = self._workspace.stacks.get(person.id, [])
        clear = bool(view.definition.get("clear_on_close"))
        closing = list(stack) if clear else stack[stack.index(view.id) :]
        views = [self._workspace.views[one] for one in closing]
        self._workspace.close_views(person.id, closing)
        for one in views:
            if one.definition.get("notify_on_close"):
                payload = closed(person, one, cleared=clear)
                await self._delivery.deliver(Envelope(kind=EnvelopeKind.INTERACTIVE, payload=payload))

    async def command(self, who: str, channel_name: str, line: str) -> tuple[str, Receipt]:
        """Type a slash command into a channel's composer."""
        person, channel = self.person(who), self._channel(who, channel_name)
        name, _, text = line.strip().partition(" ")
        if name not in {command.command for command in self._workspace.app.commands}:
            raise ImpossibleAct(f"{name} is not a valid command")
        escape = any(one.should_escape for one in self._workspace.app.commands if one.command == name)
        said = typed(text.strip(), self._workspace.marked_names, names=escape)
        payload = command_payload(person, channel, name, said)
        if self._workspace.enterprise:
            payload |= {"enterprise_id": self._workspace.enterprise, "enterprise_name": "Organisation"}
        envelope = Envelope(kind=EnvelopeKind.COMMAND, payload=payload, accepts_response_payload=True)
        payload["trigger_id"] = self._workspace.new_trigger(person.id, envelope.id)
        ticket = self._workspace.new_response_url(person.id, channel.id, envelope.id)
        payload["response_url"] = f"{self._workspace.url}/commands/{ticket}"
        receipt = await self._delivery.deliver(envelope)
        if receipt.answer and (receipt.answer.get("text") or receipt.answer.get("blocks")):
            answer(self._workspace, ResponseUrl(person.id, channel.id, envelope.id, 0.0), receipt.answer)
        return envelope.id, receipt

    async def shortcut(self, who: str, channel_name: str, ts: str, callback_id: str) -> tuple[str, Receipt]:
        """Choose a shortcut from a message's menu."""
        person = self.person(who)
        channel, message = self.visible_message(person, channel_name, ts)
        if callback_id not in {one.callback_id for one in self._workspace.app.shortcuts}:
            raise ImpossibleAct(f"the app has no message shortcut {callback_id!r}")
        if message.visible_to:
            raise ImpossibleAct("an ephemeral message has no menu")
        payload = message_shortcut(person, channel, message, callback_id, self._workspace.next_ts())
        envelope = self._interaction(person, payload)
        ticket = self._workspace.new_response_url(person.id, channel.id, envelope.id)
        payload["response_url"] = f"{self._workspace.url}/app/{ticket}"
        return envelope.id, await self._delivery.deliver(envelope)

    async def open_home(self, who: str) -> tuple[str, Receipt | None]:
        """Open the app's Home tab; the app gets an event if it subscribed to it."""
        person = self.person(who)
        if "app_home_opened" not in self._workspace.app.events:
            return "", None
        event: Json = {
            "type": "app_home_opened",
            "user": person.id,
            "channel": self._workspace.direct_channel(person.id).id,
            "tab": "home",
            "event_ts": self._workspace.next_ts(),
        }
        if person.id in self._workspace.homes:
            event["view"] = self._workspace.homes[person.id].shape()
        payload = event_payload(event, self._workspace.next_id("Ev"), self._workspace.clock.now())
        envelope = Envelope(kind=EnvelopeKind.EVENT, payload=payload)
        return envelope.id, await self._delivery.deliver(envelope)

    def say(self, who: str, channel_name: str, text: str, thread_ts: str = "") -> Message:
        """Write a message. No event goes to the app: it does not listen to messages."""
        person, channel = self.person(who), self._channel(who, channel_name)
        ts = self._workspace.next_ts()
        message = Message(channel=channel.id, ts=ts, author=person.id, text=text, blocks=[], thread_ts=thread_ts)
        message.mentions = mentions(text, [])
        return self._workspace.post(message)

    def visible_message(self, person: Person, channel_name: str, ts: str) -> tuple[Channel, Message]:
        """Find a message that the person can see."""
        channel = self._channel(person.id, channel_name)
        message = self._workspace.message(channel.id, ts)
        if message is None or message.visible_to not in {"", person.id}:
            raise ImpossibleAct(f"{person.name} sees no message {ts} in {channel_name}")
        return channel, message

    def _channel(self, who: str, name: str) -> Channel:
        person = self.person(who)
        if name in {"@app", BOT_USER_ID}:
            return self._workspace.direct_channel(person.id)
        channel = self._workspace.channel(name)
        if channel is None or (channel.kind is not ChannelKind.PUBLIC and person.id not in channel.members):
            raise ImpossibleAct(f"{person.name} sees no channel {name}")
        return channel

    def _own_view(self, person: Person, view_id: str) -> View:
        home = self._workspace.homes.get(person.id)
        view = home if home is not None and home.id == view_id else self._workspace.views.get(view_id)
        if view is None or view.user != person.id:
            raise ImpossibleAct(f"{person.name} has no view {view_id} open")
        return view

    def _interaction(self, person: Person, payload: Json) -> Envelope:
        payload.update(escaped(payload))
        if self._workspace.enterprise:
            payload |= grid(self._workspace.enterprise)
        envelope = Envelope(kind=EnvelopeKind.INTERACTIVE, payload=payload)
        payload["trigger_id"] = self._workspace.new_trigger(person.id, envelope.id)
        return envelope

    @staticmethod
    def _entered(view: View, entries: Json) -> Json:
        try:
            values = with_entries(view.definition["blocks"], view.values, entries)
        except UnknownOption as error:
            raise ImpossibleAct(str(error)) from error
        for block_id, actions in values.items():
            for action_id, state in actions.items():
                if state != view.values.get(block_id, {}).get(action_id):
                    view.entered.add((block_id, action_id))
                    view.unsent.discard((block_id, action_id))
        return values

    def _action(self, blocks: list[Json], block_id: str, action_id: str, entry: Any) -> Json:
        found = [(block["block_id"], element) for block in blocks for element in elements_of(block)]
        # An update gives new IDs to blocks that have none of their own. It must not lose the click of somebody who
        # still has the message as it was, or who is being asked whether they are sure.
        redrawn = block_id not in {one["block_id"] for one in blocks}
        for its_block, element in found:
            if element["action_id"] == action_id and (redrawn or its_block == block_id):
                return self._shaped(element, its_block, entry)
        raise ImpossibleAct(f"there is no element {block_id}/{action_id} here")

    def _shaped(self, element: Json, block_id: str, entry: Any) -> Json:
        """Return an item of ``actions``: the element's ids and texts, and what was chosen."""
        action = {
            "type": element["type"],
            "block_id": block_id,
            "action_id": element["action_id"],
            "action_ts": self._workspace.next_ts(),
        }
        kept = ("text", "value", "style", "confirm", "url", "placeholder")
        action |= {name: element[name] for name in kept if element.get(name) is not None}
        if element["type"] == "button":
            return action
        try:
            return {**action, **state_of(element, entry)}
        except UnknownOption as error:
            raise ImpossibleAct(str(error)) from error

    def _chosen_channels(self, person: Person, view: View, act: str) -> list[Json]:
        """Return ``response_urls``: one for each channel chosen in a field with response_url_enabled."""
        found = []
        for block in view.definition["blocks"]:
            for element in elements_of(block):
                state = view.values.get(block["block_id"], {}).get(element["action_id"], {})
                channel = state.get("selected_conversation") or state.get("selected_channel")
                if element.get("response_url_enabled") and channel:
                    ticket = self._workspace.new_response_url(person.id, channel, act)
                    ids = {"block_id": block["block_id"], "action_id": element["action_id"], "channel_id": channel}
                    found.append({**ids, "response_url": f"{self._workspace.url}/app/{ticket}"})
        return found
