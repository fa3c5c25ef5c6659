"""Which notifiers there are, what sets each of them up, and which of its settings are secrets: a new one goes here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from metaflow_extensions.hitl.approvals.ports import Clock, Notifier

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
    from metaflow_extensions.hitl.notifiers.slack.webhook import SETTING, SlackWebhookNotifier  # noqa: PLC0415 - lazy

    return SlackWebhookNotifier(settings[SETTING], clock=clock, script=script)


def _email(settings: Mapping[str, str], clock: Clock, script: str) -> Notifier:
    from metaflow_extensions.hitl.notifiers.email import EmailNotifier, Mailbox  # noqa: PLC0415 - lazy

    return EmailNotifier(Mailbox.read(settings), clock=clock, script=script)


def _apprise(settings: Mapping[str, str], clock: Clock, script: str) -> Notifier:
    from metaflow_extensions.hitl.notifiers.apprise import SETTING, AppriseNotifier  # noqa: PLC0415 - lazy

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
