"""users.info, users.lookupByEmail, users.list, usergroups.list, usergroups.users.list."""

from hitl_bot.sandbox.faults import Tier
from hitl_bot.sandbox.people import Group, Person, PersonKind
from hitl_bot.sandbox.workspace import Plan, Workspace

from .method import Arguments, Json, Method, SlackError, page_of


def info(workspace: Workspace, args: Arguments) -> Json:
    person = workspace.people.get(args.required("user", "user_not_found"))
    if person is None:
        raise SlackError("user_not_found")
    return {"user": _shape(workspace, person)}


def lookup_by_email(workspace: Workspace, args: Arguments) -> Json:
    """Find a member of this workspace by address; as in Slack, not one who is deactivated or hides the address."""
    email = args.required("email", "users_not_found").casefold()
    for person in workspace.people.values():
        elsewhere = person.kind in {PersonKind.DEACTIVATED, PersonKind.STRANGER}
        if person.email is not None and person.email.casefold() == email and not elsewhere:
            return {"user": _shape(workspace, person)}
    raise SlackError("users_not_found")


def list_(workspace: Workspace, args: Arguments) -> Json:
    page, metadata = page_of(args, list(workspace.people.values()), 1000)
    now = int(workspace.clock.now())
    members = [_shape(workspace, person) for person in page]
    return {"members": members, "cache_ts": now, "response_metadata": metadata}


def _check_plan(workspace: Workspace) -> None:
    if workspace.plan is Plan.FREE:
        raise SlackError("plan_upgrade_required")


def groups_list(workspace: Workspace, args: Arguments) -> Json:
    _check_plan(workspace)
    groups = [one for one in workspace.groups.values() if args.truth("include_disabled") or not one.disabled]
    with_users = args.truth("include_users")
    return {"usergroups": [one.shape(_members(workspace, one) if with_users else None) for one in groups]}


def groups_users_list(workspace: Workspace, args: Arguments) -> Json:
    _check_plan(workspace)
    group = workspace.groups.get(args.required("usergroup", "no_such_subteam"))
    if group is None or (group.disabled and not args.truth("include_disabled")):
        raise SlackError("no_such_subteam")
    return {"users": _members(workspace, group)}


def _members(workspace: Workspace, group: Group) -> list[str]:
    """Return a group's members; deactivated people are removed from their groups."""
    people = (workspace.people.get(user) for user in group.members)
    return [person.id for person in people if person and person.kind is not PersonKind.DEACTIVATED]


def _shape(workspace: Workspace, person: Person) -> Json:
    shape = person.shape()
    if "users:read.email" not in workspace.app.scopes:
        shape["profile"].pop("email", None)
    return shape


METHODS = (
    Method(name="users.info", run=info, tier=Tier.FOUR, scope="users:read"),
    Method(name="users.lookupByEmail", run=lookup_by_email, tier=Tier.THREE, scope="users:read.email"),
    Method(name="users.list", run=list_, tier=Tier.TWO, scope="users:read"),
    Method(name="usergroups.list", run=groups_list, tier=Tier.TWO, scope="usergroups:read"),
    Method(name="usergroups.users.list", run=groups_users_list, tier=Tier.TWO, scope="usergroups:read"),
)
