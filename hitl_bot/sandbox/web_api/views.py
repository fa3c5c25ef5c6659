"""views.open, views.push, views.update, views.publish."""

from typing import Any

from hitl_bot.sandbox import limits
from hitl_bot.sandbox.answers import initial_values, kept_values
from hitl_bot.sandbox.blocks import complaints_about_view, is_view_too_large, name_everything
from hitl_bot.sandbox.changes import Kind
from hitl_bot.sandbox.faults import Tier
from hitl_bot.sandbox.people import PersonKind
from hitl_bot.sandbox.workspace import Trigger, View, Workspace

from .method import Arguments, Json, Method, SlackError


def open_(workspace: Workspace, args: Arguments) -> Json:
    """Open a modal. Slack puts it on top of what the person has open, as a root of its own stack."""
    definition = checked_view(workspace, args.decoded("view", "invalid_arguments"), "modal")
    trigger = _exchange(workspace, args)
    # A new root replaces what was open: two stacks at once do not exist in a client.
    workspace.close_views(trigger.user, list(workspace.stacks.get(trigger.user, [])))
    return {"view": show_view(workspace, trigger.user, definition, None, trigger.act).shape()}


def push(workspace: Workspace, args: Arguments) -> Json:
    """Put a modal on top of the person's open ones, three at most."""
    definition = checked_view(workspace, args.decoded("view", "invalid_arguments"), "modal")
    trigger = _exchange(workspace, args)
    top = workspace.top_view(trigger.user)
    if top is None:
        raise SlackError("not_found")
    if len(workspace.stacks[trigger.user]) >= limits.VIEW_STACK:
        raise SlackError("push_limit_reached")
    return {"view": show_view(workspace, trigger.user, definition, top, trigger.act).shape()}


def update(workspace: Workspace, args: Arguments) -> Json:
    """Update an open modal (or a Home tab) by its ID or external_id."""
    view = _find(workspace, args.text("view_id"), args.text("external_id"))
    definition = checked_view(workspace, args.decoded("view", "invalid_arguments"), view.definition["type"], view)
    _check_hash(args, view)
    rewrite_view(workspace, view, definition)
    return {"view": view.shape()}


def publish(workspace: Workspace, args: Arguments) -> Json:
    """Publish a person's Home tab."""
    person = workspace.people.get(args.required("user_id"))
    if person is None:
        raise SlackError.with_messages("invalid_arguments", ["no such user [json-pointer:/user_id]"])
    if person.kind in {PersonKind.DEACTIVATED, PersonKind.BOT}:
        raise SlackError("not_enabled")
    old = workspace.homes.get(person.id)
    definition = checked_view(workspace, args.decoded("view", "invalid_arguments"), "home", old)
    if old is not None:
        _check_hash(args, old)
        old.definition, old.hash = definition, workspace.next_hash()
        old.values = kept_values(definition["blocks"], old.values)
    view = old or workspace.new_view(person.id, definition, None, "")
    view.values = view.values or initial_values(definition["blocks"])
    workspace.homes[person.id] = view
    workspace.feed.add(Kind.HOME_PUBLISHED, user=person.id, view=view.id)
    return {"view": view.shape()}


def checked_view(workspace: Workspace, view: Any, kind: str, old: View | None = None) -> Json:
    """Return a view's definition, checked and with ids filled in; refuse what Slack refuses."""
    if view is None:
        raise SlackError.with_messages("invalid_arguments", ["missing required field: view"])
    if complaints := complaints_about_view(view):
        raise SlackError.with_messages("invalid_arguments", complaints)
    if view["type"] != kind:
        raise SlackError.with_messages("invalid_arguments", [f"must be of type {kind} [json-pointer:/view/type]"])
    if is_view_too_large(view):
        raise SlackError("view_too_large")
    external_id = view.get("external_id")
    others = [one for one in (*workspace.views.values(), *workspace.homes.values()) if one is not old]
    if external_id and any(one.definition.get("external_id") == external_id for one in others):
        raise SlackError("duplicate_external_id")
    name_everything(view["blocks"], workspace.numbers)
    return dict(view)


def show_view(workspace: Workspace, user: str, definition: Json, previous: View | None, act: str) -> View:
    view = workspace.new_view(user, definition, previous, act)
    view.values = initial_values(definition["blocks"])
    workspace.push_view(view)
    return view


def rewrite_view(workspace: Workspace, view: View, definition: Json, act: str = "") -> None:
    """Give a view a new definition; what the person entered is kept in fields that remain."""
    known = {(block_id, action) for block_id, actions in view.values.items() for action in actions}
    view.values = kept_values(definition["blocks"], view.values)
    named = {(block_id, action) for block_id, actions in view.values.items() for action in actions}
    view.entered &= named
    view.unsent = (known & named) - view.entered
    view.definition, view.hash = definition, workspace.next_hash()
    workspace.feed.add(Kind.VIEW_CHANGED, view=view.id, user=view.user, act=act)


def _exchange(workspace: Workspace, args: Arguments) -> Trigger:
    trigger = workspace.triggers.get(args.required("trigger_id"))
    if trigger is None:
        raise SlackError("invalid_trigger_id")
    if trigger.exchanged:
        raise SlackError("exchanged_trigger_id")
    if workspace.clock.now() > trigger.expires:
        raise SlackError("expired_trigger_id")
    trigger.exchanged = True
    return trigger


def _find(workspace: Workspace, view_id: str, external_id: str) -> View:
    if not (view_id or external_id):
        raise SlackError.with_messages("invalid_arguments", ["missing required field: view_id"])
    for view in (*workspace.views.values(), *workspace.homes.values()):
        if view.id == view_id or (external_id and view.definition.get("external_id") == external_id):
            return view
    raise SlackError("not_found")


def _check_hash(args: Arguments, view: View) -> None:
    if args.has("hash") and args.text("hash") != view.hash:
        raise SlackError("hash_conflict")


METHODS = (
    Method(name="views.open", run=open_, tier=Tier.FOUR),
    Method(name="views.push", run=push, tier=Tier.FOUR),
    Method(name="views.update", run=update, tier=Tier.FOUR),
    Method(name="views.publish", run=publish, tier=Tier.FOUR),
)
