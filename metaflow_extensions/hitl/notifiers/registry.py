"""Which notifiers there are, what sets each of them up, and which of its settings are secrets: a new one goes here."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from threading import Lock

from metaflow_extensions.hitl.approvals.errors import HitlError, NotifierError, NotifierRefused, NotifierUnavailable
from metaflow_extensions.hitl.approvals.ports import Clock, Notifier
from metaflow_extensions.hitl.approvals.record import Approval, Post

Build = Callable[[Mapping[str, str], Clock, str], Notifier]
"""Makes a notifier of all settings by their whole names, the clock, and the flow's file as it is typed."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One variable of a notifier.

    Attributes
    ----------
    name : str
        The whole name: ``METAFLOW_HITL_…``.
    secret : bool
        Whether it must not be shown, logged, or put into a workflow.
    fault : Callable[[str], str], optional
        Says what is accepted if a value can't be used, and nothing otherwise. What only the notifier can tell, it tells
        when it is used first.
    """

    name: str
    secret: bool = False
    fault: Callable[[str], str] | None = None


@dataclass(frozen=True, kw_only=True)
class NotifierKind:
    """One way to ask.

    Attributes
    ----------
    name : str
        That questions ask for it by.
    settings : tuple[Setting, ...]
        All that it reads. It is used where the first is set.
    build : Build, optional
        Without one, ``bootstrap`` and ``plugins/root.py`` build it from parts of their own.
    """

    name: str
    settings: tuple[Setting, ...] = ()
    build: Build | None = None

    @property
    def needed(self) -> str | None:
        """What has to be set for it to be used; None for one that always works."""
        return self.settings[0].name if self.settings else None


def _slack_webhook(settings: Mapping[str, str], clock: Clock, script: str) -> Notifier:
    from .slack.webhook import SETTING, SlackWebhookNotifier  # noqa: PLC0415 - lazy

    return SlackWebhookNotifier(settings[SETTING], clock=clock, script=script)


def _email(settings: Mapping[str, str], clock: Clock, script: str) -> Notifier:
    from .email import EmailNotifier, Mailbox  # noqa: PLC0415 - lazy

    return EmailNotifier(Mailbox.read(settings), clock=clock, script=script)


def _apprise(settings: Mapping[str, str], clock: Clock, script: str) -> Notifier:
    from .apprise import SETTING, AppriseNotifier  # noqa: PLC0415 - lazy

    return AppriseNotifier(settings[SETTING], clock=clock, script=script)


def _port(value: str) -> str:
    fits = value.isascii() and value.isdigit() and 0 < int(value) < 65_536  # noqa: PLR2004 - RFC 9293: 16 bits
    return "" if fits else "it must be a port from 1 to 65535, such as 587"


KINDS = (
    NotifierKind(
        name="slack",
        settings=(
            Setting(name="METAFLOW_HITL_SLACK_BOT_TOKEN", secret=True),
            Setting(name="METAFLOW_HITL_SLACK_CHANNEL"),
            Setting(name="METAFLOW_HITL_SLACK_API_URL"),
        ),
    ),
    NotifierKind(
        name="slack_webhook",
        settings=(Setting(name="METAFLOW_HITL_SLACK_WEBHOOK", secret=True),),
        build=_slack_webhook,
    ),
    NotifierKind(
        name="email",
        settings=(
            Setting(name="METAFLOW_HITL_SMTP_HOST"),
            Setting(name="METAFLOW_HITL_SMTP_PORT", fault=_port),
            Setting(name="METAFLOW_HITL_SMTP_USER"),
            Setting(name="METAFLOW_HITL_SMTP_PASSWORD", secret=True),
            Setting(name="METAFLOW_HITL_SMTP_FROM"),
            Setting(name="METAFLOW_HITL_EMAIL_TO"),
        ),
        build=_email,
    ),
    NotifierKind(name="apprise", settings=(Setting(name="METAFLOW_HITL_APPRISE_URLS", secret=True),), build=_apprise),
    NotifierKind(name="terminal"),
)
BUILT_IN = tuple(kind.name for kind in KINDS)
SETTINGS = {setting.name: setting for kind in KINDS for setting in kind.settings}
"""All settings of the built-in notifiers, by name."""

_OTHER_SECRETS = frozenset(  # of the bot
    {
        "METAFLOW_HITL_SLACK_SIGNING_SECRET",
        "METAFLOW_HITL_SIGNING_KEY",
        "METAFLOW_HITL_EVENTS_URL",
        "METAFLOW_HITL_EVENTS_SECRET",
    }
)


def is_secret(name: str) -> bool:
    """Whether a variable holds a secret. Of another package's settings a name that ends with TOKEN says so."""
    if not name.startswith("METAFLOW_HITL_"):
        return False
    known = SETTINGS.get(name)
    return known.secret if known is not None else name in _OTHER_SECRETS or name.endswith("TOKEN")


def needed_for(name: str) -> str | None:
    """Return what has to be set for a built-in notifier to be used; None for any other."""
    return next((kind.needed for kind in KINDS if kind.name == name), None)


# Building those notifiers that need nothing but settings, the ones of other packages included.

GROUP = "metaflow_hitl.notifiers"
"""The entry point group of other packages' notifiers.

Each is a function ``factory(settings) -> Notifier``. The settings are all ``METAFLOW_HITL_*`` that are set, by their
whole names. What its ``post`` returns is kept in the record; with a ``ts`` in it, ``update`` must be possible from
every machine that has the notifier.
"""


class UnknownNotifier(HitlError, ValueError):
    """A name that no notifier has."""


def check_names(wanted: Collection[str]) -> None:
    """Raise UnknownNotifier, with the names that there are, if one of these is none of them."""
    unknown = [name for name in wanted if name not in BUILT_IN]
    if not unknown:
        return
    others = _others()
    for name in unknown:
        if name not in others:
            there_are = ", ".join([*BUILT_IN, *sorted(others)])
            raise UnknownNotifier(f"There is no notifier {name!r}. Use one of {there_are}.")


def configured(settings: Mapping[str, str], *, clock: Clock, script: str = "flow.py") -> dict[str, Notifier]:
    """Return the webhook, email, Apprise and other packages' notifiers, as far as they are set up.

    Nothing is built before it is used, so a setting that can't be used stops that notifier and nothing else.

    Parameters
    ----------
    settings : Mapping[str, str]
        All ``METAFLOW_HITL_*`` that are set, by their whole names.
    clock : Clock
        The present.
    script : str
        The flow's file, as it is written after ``python``.
    """
    found: dict[str, Notifier] = {
        kind.name: OnDemand(partial(kind.build, settings, clock, script))
        for kind in KINDS
        if kind.build is not None and kind.needed is not None and settings.get(kind.needed)
    }
    found |= {name: Foreign(name, point, settings, clock) for name, point in _others().items()}
    return found


def has_others() -> bool:
    """Whether other packages' notifiers are installed."""
    return bool(_others())


def _others() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP) if point.name not in BUILT_IN}


class OnDemand:
    """A notifier that is built when it is needed first.

    Parameters
    ----------
    build : Callable[[], Notifier]
        Raises NotifierRefused if the settings can't be used; it is called again the next time.
    """

    def __init__(self, build: Callable[[], Notifier]) -> None:
        self._build = build
        self._lock = Lock()
        self._notifier: Notifier | None = None

    def post(self, approval: Approval) -> Post | None:
        """Ask the question."""
        return self._built().post(approval)

    def update(self, approval: Approval, post: Post) -> None:
        """Show the approval as it is now."""
        self._built().update(approval, post)

    def _built(self) -> Notifier:
        with self._lock:
            if self._notifier is None:
                self._notifier = self._build()
            return self._notifier


class Foreign:
    """Another package's notifier, kept to the port's promises.

    Parameters
    ----------
    name : str
        That questions ask for it by.
    point : EntryPoint
        Of its factory.
    settings : Mapping[str, str]
        For the factory.
    clock : Clock
        The present.
    """

    def __init__(self, name: str, point: EntryPoint, settings: Mapping[str, str], clock: Clock) -> None:
        self._name = name
        self._clock = clock
        self._point = point
        self._settings = settings
        self._inner = OnDemand(self._build)

    def post(self, approval: Approval) -> Post:
        """Ask the question; whatever it returns, the record shall know that it was asked."""
        try:
            post = self._inner.post(approval)
        except NotifierError:
            raise
        except Exception as error:  # not our code, and the other notifiers shall not suffer
            raise self._broken(error) from error
        return Post(notifier=self._name, at=self._clock()) if post is None else replace(post, notifier=self._name)

    def update(self, approval: Approval, post: Post) -> None:
        """Show the approval as it is now."""
        try:
            self._inner.update(approval, post)
        except NotifierError:
            raise
        except Exception as error:  # likewise
            raise self._broken(error) from error

    def _build(self) -> Notifier:
        try:
            notifier: Notifier = self._point.load()(self._settings)
        except NotifierError:
            raise
        except Exception as error:  # likewise; whatever it is, it can't be used before somebody fixes it
            raise NotifierRefused(
                f"The notifier {self._name} ({self._point.value}) can't be set up: {type(error).__name__}: {error}. "
                "Fix its settings or its package, or leave it out."
            ) from error
        return notifier

    def _broken(self, error: Exception) -> NotifierUnavailable:
        return NotifierUnavailable(
            f"The notifier {self._name} ({self._point.value}) failed: {type(error).__name__}: {error}. The bot will "
            "retry. If this keeps happening, tell its author, or leave it out.",
            cause=f"{self._name} {type(error).__name__}",
        )
