"""The plugin's settings as one value, read in one place."""

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache

from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.sealed import PublicKey, parse_keys


class BadSetting(HitlError, ValueError):
    """A setting has a value that it can't have."""


# Set by Metaflow in the containers that it starts: there the answer must be in before the container is.
_CONTAINERS = ("METAFLOW_KUBERNETES_WORKLOAD", "AWS_BATCH_JOB_ID")

# Metaflow fills it in by Kubernetes' downward API (metaflow 2.19, ``plugins/argo/argo_workflows.py``).
POD_NAMESPACE = "METAFLOW_KUBERNETES_POD_NAMESPACE"
MAX_WORKERS = "HITL_MAX_WORKERS"  # how many tasks at a time the run starts on this machine; its scheduler sets it
QUESTION_SHA256 = "METAFLOW_HITL_QUESTION_SHA256"  # of what the container asked that Argo ran before the gate


def in_container(environ: Mapping[str, str]) -> bool:
    """Whether this is a container that Metaflow started, with no packages but those that travelled."""
    return any(environ.get(name) for name in _CONTAINERS)


@dataclass(frozen=True, kw_only=True)
class FlowSettings:
    """What ``METAFLOW_HITL_*`` says, after the defaults that need no flow."""

    root: str | None
    leaves: bool  # whether a run on one machine ends at its gates
    named_notifiers: tuple[str, ...]  # in the configuration; empty without
    slack_bot_token: str | None
    slack_channel: str | None
    slack_api_url: str | None
    has_webhook: bool  # Slack's incoming one
    public_keys: tuple[PublicKey, ...]
    ui_url: str | None
    argo_namespace: str
    argo_ui_url: str | None
    argo_server_url: str | None
    argo_server_token: str | None
    argo_server_ca_file: str | None
    slack_secret: str | None
    notify_cpu: str
    notify_memory: str

    @property
    def webhook_alone(self) -> bool:
        """Whether "slack" can only mean the webhook: no token posts here, and no bot is known that would."""
        return self.has_webhook and not self.slack_bot_token and not self.public_keys

    def notifiers(self, named: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Return how this machine asks.

        Parameters
        ----------
        named : tuple of str
            What the step names.
        """
        alone = self.webhook_alone
        named = named or self.named_notifiers
        if not named:
            first = ("slack",) if self.slack_bot_token else ("slack_webhook",) if alone else ()
            return (*first, "terminal")
        if alone and "slack" in named and "slack_webhook" not in named:
            return (*named, "slack_webhook")  # a bot that is there all the same still posts the one with buttons
        return named


def read_settings() -> FlowSettings:
    """Read what Metaflow's configuration says, and the two variables that Slack's own tools know."""
    from metaflow import metaflow_config as conf  # noqa: PLC0415 - heavy, and not for who only imports the decorator

    token = conf.HITL_SLACK_BOT_TOKEN or os.environ.get("SLACK_BOT_TOKEN") or None
    named = (conf.HITL_NOTIFIER or "").split(",")
    return FlowSettings(
        root=conf.HITL_ROOT or None,
        leaves=_leaves(conf.HITL_LOCAL),
        named_notifiers=tuple(name.strip() for name in named if name.strip()),
        slack_bot_token=token,
        slack_channel=conf.HITL_SLACK_CHANNEL or None,
        slack_api_url=conf.HITL_SLACK_API_URL or None,
        has_webhook="METAFLOW_HITL_SLACK_WEBHOOK" in all_settings(),
        public_keys=parse_keys(conf.HITL_PUBLIC_KEYS or ""),
        ui_url=conf.HITL_UI_URL or None,
        # In a pod Metaflow's Kubernetes namespace is the pod's own.
        argo_namespace=conf.HITL_ARGO_NAMESPACE or conf.KUBERNETES_NAMESPACE or "argo",
        argo_ui_url=conf.HITL_ARGO_UI_URL or conf.ARGO_WORKFLOWS_UI_URL or None,
        argo_server_url=conf.HITL_ARGO_SERVER_URL or None,
        argo_server_token=conf.HITL_ARGO_SERVER_TOKEN or None,
        argo_server_ca_file=conf.HITL_ARGO_SERVER_CA_FILE or None,
        slack_secret=conf.HITL_SLACK_SECRET or None,
        notify_cpu=str(conf.HITL_NOTIFY_CPU),
        notify_memory=str(conf.HITL_NOTIFY_MEMORY),
    )


def _leaves(local: str | None) -> bool:
    if local not in {None, "", "wait", "leave"}:
        raise BadSetting(f"METAFLOW_HITL_LOCAL must be wait or leave, not {local!r}.")
    return local == "leave"


def all_settings() -> dict[str, str]:
    """Return all ``METAFLOW_HITL_*`` that are set, by their whole names: other packages' notifiers have their own."""
    from metaflow import metaflow_config as conf  # noqa: PLC0415 - as above
    from metaflow.metaflow_config_funcs import METAFLOW_CONFIG  # noqa: PLC0415

    ours = {f"METAFLOW_{name}": value for name, value in vars(conf).items() if name.startswith("HITL_")}
    found = {**(METAFLOW_CONFIG or {}), **ours, **os.environ}
    return {name: str(value) for name, value in found.items() if name.startswith("METAFLOW_HITL_") and value}


# Settings that nobody reads: a misspelt name would leave its default in force, unseen.

_PREFIX = "METAFLOW_HITL_"
OF_THE_BOT = frozenset(
    f"{_PREFIX}{name}"
    for name in (
        "ARGO_EVENTS_TOKEN",
        "ARGO_EVENTS_URL",
        "EVENTS_SECRET",
        "EVENTS_TYPES",
        "EVENTS_URL",
        "HOST",
        "LOG_FORMAT",
        "LOG_LEVEL",
        "MODE",
        "POLICY",
        "PORT",
        "SIGNING_KEY",
        "SLACK_APP_TOKEN",
        "SLACK_SIGNING_SECRET",
    )
)
"""What only the bot reads; a shell may well have both set up. A test holds this to the bot's own settings."""


def misspelt(given: Iterable[str], known: Collection[str], *, others: bool) -> list[str]:
    """Name the settings that nobody reads, a sentence each.

    Parameters
    ----------
    given : Iterable[str]
        Names that are set, such as those of the environment.
    known : Collection[str]
        Names that are read.
    others : bool
        Whether other packages' notifiers are installed: they may read names that are not known here, so that only a
        name close to a known one is taken for misspelt.
    """
    found: list[str] = []
    for name in sorted(name for name in given if name.startswith(_PREFIX) and name not in known):
        # The prefix would make any two names alike.
        near = get_close_matches(
            name.removeprefix(_PREFIX), [one.removeprefix(_PREFIX) for one in known], n=1, cutoff=0.8
        )
        if near:
            found.append(f"{name} is set, but there is no such setting. Did you mean {_PREFIX}{near[0]}?")
        elif not others:
            found.append(f"{name} is set, but there is no such setting. docs/settings.md lists all settings.")
    return found


def known_settings() -> frozenset[str]:
    """Return the names of all settings that this project reads."""
    from metaflow import metaflow_config as conf  # noqa: PLC0415 - heavy

    from metaflow_extensions.hitl.notifiers.registry import SETTINGS  # noqa: PLC0415 - not on import of metaflow

    ours = {f"METAFLOW_{name}" for name in vars(conf) if name.startswith("HITL_")}
    return frozenset({*ours, *SETTINGS, *OF_THE_BOT})


def misspelt_here() -> list[str]:
    """Look at the environment and at Metaflow's configuration."""
    from metaflow_extensions.hitl.notifiers.registry import has_others  # noqa: PLC0415 - not on import of metaflow

    return misspelt(all_settings(), known_settings(), others=has_others())


@lru_cache(maxsize=1)
def say_once(say: Callable[[str], object]) -> None:
    """Say it once in this process, however many gates a flow has."""
    for line in misspelt_here():
        say(line)
