"""When people are asked again: pure rules. Nothing after the answer, nothing while people sleep."""

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone, tzinfo

from .question import OnTimeout
from .record import Approval, ReminderKind, State

SHORTEST = timedelta(minutes=1)  # between two reminders
LAST_CALL = timedelta(hours=1)  # before the deadline, or a tenth of the timeout if that is less
_SATURDAY = 5
_QUIET = re.compile(r"(?:(\d\d?):(\d\d) *- *(\d\d?):(\d\d))?[, ]*(weekends)?")
_DAYS = 8  # however many nights and weekends meet, somebody is awake within so many


@dataclass(frozen=True, kw_only=True)
class Quiet:
    """When nobody is reminded.

    Attributes
    ----------
    begins, ends : time
        Of each day, by the clock on the wall; the same: at no time of the day. ``ends`` may be before ``begins``.
    weekends : tuple[int, ...]
        Days on which it is quiet all day, as ``date.weekday`` counts: 5 and 6 are Saturday and Sunday.
    zones : tuple[tzinfo, ...]
        Of those who are asked, one at least. It is quiet while it is so for all of them.
    """

    begins: time = time(0)
    ends: time = time(0)
    weekends: tuple[int, ...] = ()
    zones: tuple[tzinfo, ...] = (timezone.utc,)

    def holds(self, moment: datetime) -> bool:
        """Whether it is quiet for everybody."""
        return all(self.holds_in(zone, moment) for zone in self.zones)

    def holds_in(self, zone: tzinfo, moment: datetime) -> bool:
        """Whether it is quiet in one zone."""
        local = moment.astimezone(zone)
        if local.weekday() in self.weekends:
            return True
        now = local.time()
        if self.begins <= self.ends:
            return self.begins <= now < self.ends
        return now >= self.begins or now < self.ends

    def after(self, moment: datetime) -> datetime | None:
        """Return the first moment from this one on at which it is not quiet; None if that never comes."""
        if not self.holds(moment):
            return moment
        return next((edge for edge in self._edges(moment) if edge > moment and not self.holds(edge)), None)

    def before(self, moment: datetime) -> datetime | None:
        """Return the last moment up to this one at which it is not quiet; None if there is none for a week."""
        if not self.holds(moment):
            return moment
        instants = (edge - timedelta(seconds=1) for edge in reversed(self._edges(moment)))
        return next((one for one in instants if one < moment and not self.holds(one)), None)

    def _edges(self, moment: datetime) -> list[datetime]:
        """Return all moments around this one at which it may begin or end to be quiet somewhere."""
        edges: set[datetime] = set()
        for zone in self.zones:
            today = moment.astimezone(zone).date()
            for days in range(-_DAYS, _DAYS + 1):
                day = today + timedelta(days=days)
                edges |= {_at(day, hour, zone) for hour in (time(0), self.begins, self.ends)}
        return sorted(edges)


NEVER_QUIET = Quiet()
NEVER = "never"
WEEKEND = (_SATURDAY, _SATURDAY + 1)


def read_quiet(text: str) -> Quiet:
    """Read ``20:00-08:00``, ``weekends`` or both, such as ``20:00-08:00, weekends``, or ``never``.

    Raises
    ------
    ValueError
        It is something else.
    """
    if text.strip() == NEVER:
        return NEVER_QUIET
    match = _QUIET.fullmatch(text.strip())
    if match is None or not text.strip():
        raise ValueError("it must be hours such as 20:00-08:00, the word weekends, both separated by a comma, or never")
    days = WEEKEND if match[5] else ()
    if match[1] is None:
        return Quiet(weekends=days)
    return Quiet(begins=time(int(match[1]), int(match[2])), ends=time(int(match[3]), int(match[4])), weekends=days)


@dataclass(frozen=True, kw_only=True)
class Due:
    """Which reminder comes next, and when."""

    kind: ReminderKind
    at: datetime


def next_reminder(approval: Approval, quiet: Quiet) -> Due | None:
    """Say when people are asked again about an approval, if nobody answers before.

    A period begins with the reminder before, so that a bot that was down catches up with one and not with all of them.

    Parameters
    ----------
    approval : Approval
        As it stands.
    quiet : Quiet
        A reminder that would come then comes when it is over. The last call comes before it begins, if it would not
        end before the deadline.

    Returns
    -------
    Due, optional
        None: nobody is asked again. Never at the deadline that decides, or behind it.
    """
    question = approval.question
    if approval.state is not State.PENDING or not (question.remind_every or question.escalate_after):
        return None
    dues: list[Due] = []
    newest = max((one.at for one in approval.reminders), default=approval.requested_at)
    if question.remind_every:
        period = max(timedelta(seconds=question.remind_every), SHORTEST)
        dues += _due(ReminderKind.REMINDER, quiet.after(newest + period))
    if question.escalate_after and approval.reminded(ReminderKind.ESCALATION) is None:
        then = approval.requested_at + timedelta(seconds=question.escalate_after)
        dues += _due(ReminderKind.ESCALATION, quiet.after(then))
    if approval.deadline is not None:
        if approval.reminded(ReminderKind.LAST_CALL) is None:
            dues += _due(ReminderKind.LAST_CALL, _last_call(approval, approval.deadline, quiet))
        if question.on_timeout is not OnTimeout.NOTIFY:
            dues = [one for one in dues if one.at < approval.deadline]
    return min(dues, key=lambda one: one.at, default=None)


def _due(kind: ReminderKind, at: datetime | None) -> list[Due]:
    return [] if at is None else [Due(kind=kind, at=at)]


def _last_call(approval: Approval, deadline: datetime, quiet: Quiet) -> datetime | None:
    planned = deadline - min(LAST_CALL, (deadline - approval.requested_at) / 10)
    at = quiet.after(planned)
    if at is not None and at < deadline:
        return at
    earlier = quiet.before(planned)
    return earlier if earlier is not None and earlier > approval.requested_at else None


def _at(day: date, hour: time, zone: tzinfo) -> datetime:
    return datetime.combine(day, hour, tzinfo=zone).astimezone(timezone.utc)
