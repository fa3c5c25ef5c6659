"""What may stand in the policy file."""

from collections.abc import Callable, Mapping
from enum import Enum
from fnmatch import fnmatchcase
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from metaflow_extensions.hitl.approvals.deciding.permission import is_group, problem_with
from metaflow_extensions.hitl.approvals.duration import in_words, parse_duration
from metaflow_extensions.hitl.approvals.question import Automatic, Need, OnVeto, PolicyRule
from metaflow_extensions.hitl.approvals.reminding import NEVER, read_quiet

_MOST = 20  # people who must agree, as in the decorator

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
People = Annotated[int, Field(ge=1, le=_MOST, strict=True)]


def _as_list(value: Any) -> Any:
    """Take one name for a list of one. An empty list is refused: nobody can tell whether it means all or none."""
    return _not_empty([value] if isinstance(value, str) else value)


def _not_empty(value: Any) -> Any:
    if isinstance(value, (list, tuple)) and not value:
        raise ValueError("this list is empty: name at least one, or leave out the key")
    return value


def _can_be_somebody(name: str) -> str:
    if problem := problem_with(name):
        raise ValueError(problem)
    return name


def _is_quiet(text: str) -> str:
    read_quiet(text)
    return text


Names = Annotated[tuple[Name, ...], BeforeValidator(_as_list)]
Somebody = Annotated[Name, AfterValidator(_can_be_somebody)]  # as an approver is named
Somebodies = Annotated[tuple[Somebody, ...], BeforeValidator(_as_list)]
Hours = Annotated[Name, AfterValidator(_is_quiet)]


class Word(str, Enum):
    """What a rule says about a way to decide."""

    ALLOWED = "allowed"
    REFUSED = "refused"


class Reason(str, Enum):
    """Whether an approval needs a reason; a rejection always does."""

    OPTIONAL = "optional"
    REQUIRED = "required"


class Offer(str, Enum):
    """Whether approving asks for an obligation, and whether it takes one."""

    NONE = "none"
    OFFERED = "offered"
    REQUIRED = "required"


class Naming(str, Enum):
    """Whether a step has to name its approvers."""

    OPTIONAL = "optional"
    REQUIRED = "required"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Subject(_Strict):
    """What a rule is matched against."""

    flow: str
    step: str
    tags: tuple[str, ...] = ()
    namespace: str = ""  # of Kubernetes; a run without a cluster has none


class Match(_Strict):
    """Globs; all that are given must match, and of a list one. Case counts. Nothing given matches everything."""

    flow: Names = ("*",)
    step: Names = ("*",)
    tag: Names | None = None
    namespace: Names | None = None

    def misses(self, subject: Subject) -> str:
        """Say what does not match; empty if everything does."""
        for what, globs, values in (
            ("flow", self.flow, (subject.flow,)),
            ("step", self.step, (subject.step,)),
            ("tag", self.tag, subject.tags),
            ("namespace", self.namespace, (subject.namespace,)),
        ):
            if globs is not None and not any(fnmatchcase(value, glob) for value in values for glob in globs):
                return f"{what} {' or '.join(values) or '(none)'} is not {' or '.join(globs)}"
        return ""


class Approvers(_Strict):
    """A group, and how many of it have to agree."""

    group: Somebody
    quorum: People = 1


class RuleOfFile(_Strict):
    """One rule. Whatever it leaves out it does not demand."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80)]
    match: Match = Match()
    quorum: People = 1
    approvers: Annotated[tuple[Approvers, ...], BeforeValidator(_not_empty)] = ()
    named_approvers: Naming = Naming.OPTIONAL
    deciders: Somebodies = ()
    reason: Reason = Reason.OPTIONAL
    longest_timeout: int | None = None
    channel: Name | None = None
    command_line: Word = Word.ALLOWED
    self_approval: Word = Word.ALLOWED
    delegation: Word = Word.ALLOWED
    in_advance: Word = Word.ALLOWED
    approval_by_timeout: Word | None = None
    automatic_approval: Automatic | None = None
    continue_on_reject: Word = Word.ALLOWED
    claimed_requester: Word = Word.REFUSED
    outsiders: Somebodies = ()
    on_veto: OnVeto = OnVeto.REJECT
    obligations: Offer = Offer.NONE
    quiet_hours: Hours | None = None

    @field_validator("longest_timeout", mode="before")
    @classmethod
    def _seconds(cls, value: object) -> int | None:
        return None if value is None else parse_duration("longest_timeout", value)

    @property
    def demands(self) -> PolicyRule:
        """What the domain makes of it."""
        # Where people are asked for, the clock is none of them, unless the operator says so.
        names = bool(self.approvers) or bool(self.deciders) or self.named_approvers is Naming.REQUIRED
        says_something = self.reason is Reason.REQUIRED or self.obligations is Offer.REQUIRED
        asks_people = self.quorum > 1 or names or says_something
        by_timeout = self.approval_by_timeout or (Word.REFUSED if asks_people else Word.ALLOWED)
        automatic = self.automatic_approval or (Automatic.REFUSED if asks_people else Automatic.ALLOWED)
        return PolicyRule(
            name=self.name,
            needs=tuple(Need(of=(one.group,), quorum=one.quorum) for one in self.approvers),
            quorum=self.quorum,
            deciders=self.deciders,
            reason_required=self.reason is Reason.REQUIRED,
            longest_timeout=self.longest_timeout,
            channel=self.channel,
            command_line_counts=self.command_line is Word.ALLOWED,
            timeout_approves=by_timeout is Word.ALLOWED,
            automatic=automatic,
            self_approval_allowed=self.self_approval is Word.ALLOWED,
            delegation_allowed=self.delegation is Word.ALLOWED,
            in_advance_allowed=self.in_advance is Word.ALLOWED,
            outsiders=self.outsiders,
            on_veto=self.on_veto,
            continue_allowed=self.continue_on_reject is Word.ALLOWED,
            named_approvers=self.named_approvers is Naming.REQUIRED,
            obligations_offered=self.obligations is not Offer.NONE,
            obligation_required=self.obligations is Offer.REQUIRED,
            claimed_requester_counts=self.claimed_requester is Word.ALLOWED,
        )


# What each key demands, in words: empty where it demands nothing. In the order in which it is said.

_AUTOMATIC = {
    Automatic.ALLOWED: "",
    Automatic.SHADOW: "conditions over metrics only record what they would approve",
    Automatic.REFUSED: "no condition over metrics approves",
}
_OBLIGATIONS = {
    Offer.NONE: "",
    Offer.OFFERED: "approving offers to record an obligation, which is optional",
    Offer.REQUIRED: "an approval has an obligation, with an owner and a due date",
}
_WORDS: Mapping[str, Callable[[RuleOfFile], str]] = {
    "quorum": lambda rule: f"at least {rule.quorum} different people agree" if rule.quorum > 1 else "",
    "approvers": lambda rule: _each_of(rule.approvers) and f"{_each_of(rule.approvers)} among them",
    "named_approvers": lambda rule: "the step names its approvers" if rule.named_approvers is Naming.REQUIRED else "",
    "deciders": lambda rule: f"only {', '.join(rule.deciders)} decide" if rule.deciders else "",
    "self_approval": lambda rule: "nobody approves their own run" if rule.self_approval is Word.REFUSED else "",
    "claimed_requester": lambda rule: (
        "a local run's own word on who started it counts" if rule.claimed_requester is Word.ALLOWED else ""
    ),
    "delegation": lambda rule: "nobody decides for others" if rule.delegation is Word.REFUSED else "",
    "outsiders": lambda rule: (
        f"of guests and people from other workspaces, these may decide: {', '.join(rule.outsiders)}"
        if rule.outsiders
        else ""
    ),
    "on_veto": lambda rule: (
        "as many rejections as approvals are needed to reject" if rule.on_veto is OnVeto.COUNT else ""
    ),
    "reason": lambda rule: "an approval has a reason" if rule.reason is Reason.REQUIRED else "",
    "command_line": lambda rule: "answers from command lines don't count" if rule.command_line is Word.REFUSED else "",
    "in_advance": lambda rule: (
        "nobody answers for shards that have not asked yet" if rule.in_advance is Word.REFUSED else ""
    ),
    "approval_by_timeout": lambda rule: "" if rule.demands.timeout_approves else "no deadline approves",
    "automatic_approval": lambda rule: _AUTOMATIC[rule.demands.automatic],
    "continue_on_reject": lambda rule: "a rejection ends the run" if rule.continue_on_reject is Word.REFUSED else "",
    "longest_timeout": lambda rule: (
        "" if rule.longest_timeout is None else f"it waits {in_words(rule.longest_timeout)} at most"
    ),
    "channel": lambda rule: "" if rule.channel is None else f"the bot asks in {rule.channel}",
    "obligations": lambda rule: _OBLIGATIONS[rule.obligations],
}


def demanded(rule: RuleOfFile) -> list[str]:
    """Say what a rule demands, a line a key."""
    said = [words for say in _WORDS.values() if (words := say(rule))]
    return said or ["nothing more than the step does"]


def _each_of(approvers: tuple[Approvers, ...]) -> str:
    return ", ".join(f"{one.quorum} of {one.group}" for one in approvers)


class PolicyOfFile(_Strict):
    """A whole file. ``rules`` is never left out: an empty file, as a failed copy leaves one, is not a policy."""

    rules: tuple[RuleOfFile, ...]
    people: dict[Name, Name] = Field(default_factory=dict)
    email_domain: Name | None = None
    quiet_hours: Hours = NEVER

    @model_validator(mode="after")
    def _names_differ(self) -> "PolicyOfFile":
        names = [rule.name for rule in self.rules]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two rules are called {twice!r}; rename one, because messages name the rule that applies")
        return self

    def rule_of(self, subject: Subject) -> RuleOfFile | None:
        """Return the first rule that matches."""
        return next((rule for rule in self.rules if not rule.match.misses(subject)), None)

    @property
    def groups(self) -> dict[str, str]:
        """Each user group that the file names, and the first rule that does."""
        return {
            name: rule.name
            for rule in reversed(self.rules)
            for name in (*(one.group for one in rule.approvers), *rule.deciders, *rule.outsiders)
            if is_group(name)
        }

    def quiet_hours_of(self, subject: Subject) -> str:
        """Return when nobody is reminded: as the rule that applies says, or else as the file says of all."""
        rule = self.rule_of(subject)
        return (rule.quiet_hours if rule is not None else None) or self.quiet_hours

    def known_as(self, user: str) -> str | None:
        """Return the email address or Slack id of a user of a machine, if the file says it."""
        if user in self.people:
            return self.people[user]
        return f"{user}@{self.email_domain}" if self.email_domain and "@" not in user else None
