"""The bot's settings: from the environment, and below that from Metaflow's configuration file."""

import json
import os
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.notifiers.registry import SETTINGS

PREFIX = "METAFLOW_HITL_"
_BOT_TOKEN, _APP_TOKEN = "xoxb-", "xapp-"


class SettingsError(HitlError):
    """A setting is missing or can't be used. The message names the variable and how to set it."""


class Mode(str, Enum):
    """How Slack reaches the bot."""

    SOCKET = "socket"
    HTTP = "http"


class LogFormat(str, Enum):
    """How a line of the log is written."""

    CONSOLE = "console"
    JSON = "json"


class LogLevel(str, Enum):
    """The least that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Settings(BaseSettings):
    """What the operator says. Nothing is required here: each command asks for what it needs.

    Attributes
    ----------
    root : str, optional
        Where the records are, as the flows write them: ``s3://bucket/prefix`` or a path.
    slack_bot_token : SecretStr, optional
        ``xoxb-…``; without METAFLOW_HITL_SLACK_BOT_TOKEN, Slack's own name SLACK_BOT_TOKEN is read.
    slack_app_token : SecretStr, optional
        ``xapp-…``, for Socket Mode; likewise SLACK_APP_TOKEN.
    slack_signing_secret : SecretStr, optional
        What Slack signs its HTTP requests with; likewise SLACK_SIGNING_SECRET.
    mode : Mode, optional
        None leaves it to what is there: see ``mode_of``.
    host, port
        Where health and metrics are served, and in HTTP mode Slack's requests: 127.0.0.1 unless told, so that nobody
        else is; in a container 0.0.0.0. Port 0 picks a free one.
    slack_channel : str, optional
        Where the bot posts a question that names no channel and could not be posted by the run: ``#name`` or an id.
    slack_api_url : str
        Slack's Web API, with or without a slash at the end.
    more : Mapping[str, SecretStr]
        What goes before the environment in ``for_notifiers``, by whole names.
    argo_namespace : str
        Of a workflow whose record names none. Default: METAFLOW_KUBERNETES_NAMESPACE, then ``argo``.
    argo_server_url, argo_server_token, argo_server_ca_file : optional
        Argo's own server, its bearer token, and a PEM file to check its certificate against. Without a URL, workflows
        are resumed through the Kubernetes API.
    policy : Path, optional
        The operator's policy, a YAML file. Without one, what each step asks for holds.
    signing_key : SecretStr, optional
        The private keys that the bot signs its records with, or the path of the file they are in: the sealed mode.
    public_keys : str, optional
        Further public keys whose signatures count, such as those of another bot on the same records.
    events_url, events_secret, events_types : optional
        Where events are sent, the secrets that they are signed with (``whsec_…``, with blanks between several), and
        which of them, by their types. Default: all of them, once there is an address.
    argo_events_url, argo_events_token : optional
        The webhook of Argo Events that starts flows with ``@trigger``, and its bearer token.
    log_format : LogFormat
        For a person or for a machine.
    log_level : LogLevel
        Of the bot's own log and of Slack's libraries.
    """

    model_config = SettingsConfigDict(
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,  # an error must never show a token
        populate_by_name=True,
    )

    root: str | None = Field(default=None, validation_alias=f"{PREFIX}ROOT")
    slack_bot_token: SecretStr | None = Field(default=None, validation_alias=f"{PREFIX}SLACK_BOT_TOKEN")
    slack_app_token: SecretStr | None = Field(default=None, validation_alias=f"{PREFIX}SLACK_APP_TOKEN")
    slack_signing_secret: SecretStr | None = Field(default=None, validation_alias=f"{PREFIX}SLACK_SIGNING_SECRET")
    mode: Mode | None = Field(default=None, validation_alias=f"{PREFIX}MODE")
    host: str = Field(default="127.0.0.1", validation_alias=f"{PREFIX}HOST")
    port: int = Field(default=3000, ge=0, le=65_535, validation_alias=f"{PREFIX}PORT")
    slack_channel: str | None = Field(default=None, validation_alias=f"{PREFIX}SLACK_CHANNEL")
    slack_api_url: str = Field(default="https://slack.com/api/", validation_alias=f"{PREFIX}SLACK_API_URL")
    argo_namespace: str = Field(default="argo", validation_alias=f"{PREFIX}ARGO_NAMESPACE")
    argo_server_url: str | None = Field(default=None, validation_alias=f"{PREFIX}ARGO_SERVER_URL")
    argo_server_token: SecretStr | None = Field(default=None, validation_alias=f"{PREFIX}ARGO_SERVER_TOKEN")
    argo_server_ca_file: str | None = Field(default=None, validation_alias=f"{PREFIX}ARGO_SERVER_CA_FILE")
    policy: Path | None = Field(default=None, validation_alias=f"{PREFIX}POLICY")
    signing_key: SecretStr | None = Field(default=None, validation_alias=f"{PREFIX}SIGNING_KEY")
    public_keys: str | None = Field(default=None, validation_alias=f"{PREFIX}PUBLIC_KEYS")
    events_url: SecretStr | None = Field(default=None, validation_alias=f"{PREFIX}EVENTS_URL")
    events_secret: SecretStr | None = Field(default=None, validation_alias=f"{PREFIX}EVENTS_SECRET")
    events_types: str | None = Field(default=None, validation_alias=f"{PREFIX}EVENTS_TYPES")
    argo_events_url: str | None = Field(default=None, validation_alias=f"{PREFIX}ARGO_EVENTS_URL")
    argo_events_token: SecretStr | None = Field(default=None, validation_alias=f"{PREFIX}ARGO_EVENTS_TOKEN")
    more: Mapping[str, SecretStr] = Field(default_factory=dict, repr=False)
    log_format: LogFormat = Field(default=LogFormat.CONSOLE, validation_alias=f"{PREFIX}LOG_FORMAT")
    log_level: LogLevel = Field(default=LogLevel.INFO, validation_alias=f"{PREFIX}LOG_LEVEL")

    @field_validator("slack_bot_token")
    @classmethod
    def _is_bot_token(cls, token: SecretStr | None) -> SecretStr | None:
        return _beginning(token, _BOT_TOKEN, "the bot token", "OAuth & Permissions")

    @field_validator("slack_app_token")
    @classmethod
    def _is_app_token(cls, token: SecretStr | None) -> SecretStr | None:
        return _beginning(token, _APP_TOKEN, "the app-level token", "Basic Information")

    @field_validator("slack_signing_secret")
    @classmethod
    def _is_no_token(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and secret.get_secret_value().startswith(("xox", "xapp-")):
            raise ValueError("it must be the signing secret, which Slack shows under Basic Information, not a token")
        return secret

    @field_validator("slack_api_url")
    @classmethod
    def _is_address(cls, url: str) -> str:
        if not url.startswith(("https://", "http://")):
            raise ValueError("it must be an address such as https://slack.com/api/")
        return url.rstrip("/") + "/"

    @field_validator("argo_server_url")
    @classmethod
    def _is_server(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("https://", "http://")):
            raise ValueError("it must be an address such as https://argo-server.argo:2746")
        return url

    @field_validator("argo_server_ca_file")
    @classmethod
    def _is_file(cls, path: str | None) -> str | None:
        if path is not None and not Path(path).is_file():
            raise ValueError("it must be the path of a PEM file that exists")
        return path

    @field_validator("log_format", "log_level", "mode", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    def for_notifiers(self) -> dict[str, str]:
        """Return all ``METAFLOW_HITL_*`` that are set, by whole names: other packages' notifiers have their own."""
        settings = {name: value for name, value in os.environ.items() if name.startswith(PREFIX) and value}
        settings = {**{name: str(value) for name, value in _read_metaflow_config().items()}, **settings}
        settings |= {name: value.get_secret_value() for name, value in self.more.items()}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if value is not None and field.validation_alias is not None:
                text = value.get_secret_value() if isinstance(value, SecretStr) else value
                settings[str(field.validation_alias)] = str(text.value if isinstance(text, Enum) else text)
        return settings

    @property
    def s3_endpoint(self) -> str | None:
        """The S3 server that Metaflow is told to use; None if nothing says, or boto3 has a setting of its own."""
        if any(os.environ.get(name) for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")):
            return None
        name = "METAFLOW_S3_ENDPOINT_URL"
        return os.environ.get(name) or _load_metaflow_config().get(name) or None

    @classmethod
    def names(cls) -> frozenset[str]:
        """Return the variables that the bot reads, those of the built-in notifiers included."""
        ours = (field.validation_alias for field in cls.model_fields.values())
        return frozenset({*SETTINGS, *(str(name) for name in ours if name is not None)})

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library passes it by name
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, MetaflowConfig(settings_cls), SlacksOwnSettings(settings_cls)


class MetaflowConfig(PydanticBaseSettingsSource):
    """Metaflow's configuration file, so that one file serves the flows and the bot.

    ``$METAFLOW_HOME/config.json``, or ``config_<profile>.json`` with METAFLOW_PROFILE; METAFLOW_HOME is
    ``~/.metaflowconfig`` by default (metaflow 2.19, ``metaflow/metaflow_config_funcs.py``).
    """

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - the base's
        """Fulfil the base class; ``__call__`` reads the file as a whole."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        return _read_metaflow_config()


class SlacksOwnSettings(PydanticBaseSettingsSource):
    """The names that Slack's own tools know, for who has set those already."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - the base's
        """Fulfil the base class; ``__call__`` reads both."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        names = ("SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "SLACK_SIGNING_SECRET")
        return {f"{PREFIX}{name}": os.environ[name] for name in names if os.environ.get(name)}


def read_settings() -> Settings:
    """Read all settings.

    Raises
    ------
    SettingsError
        One can't be used. No value is shown, because it might be a token.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        lines = [f"{_variable(str(one['loc'][0]))}: {_reason(one)}" for one in error.errors(include_url=False)]
        raise SettingsError("\n".join(lines)) from None
    given = settings.for_notifiers()
    faults = {one.name: one.fault(given[one.name]) for one in SETTINGS.values() if one.fault and one.name in given}
    if any(faults.values()):
        raise SettingsError("\n".join(f"{name}: {fault}" for name, fault in faults.items() if fault))
    return settings


def mode_of(settings: Settings) -> Mode:
    """Return the mode that is set; else HTTP where there is a signing secret and no app-level token."""
    if settings.mode is not None:
        return settings.mode
    only_secret = settings.slack_signing_secret is not None and settings.slack_app_token is None
    return Mode.HTTP if only_secret else Mode.SOCKET


def needed(settings: Settings, field: str) -> str:
    """Return a setting that a command can't do without.

    Raises
    ------
    SettingsError
        It is not set. The message says how to set it.
    """
    value = getattr(settings, field)
    if value is None:
        raise SettingsError(f"{PREFIX}{field.upper()} is not set. {_HOW[field]}")
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


_HOW = {
    "root": "Set it to where the flows keep their records: s3://bucket/prefix or a path.",
    "slack_bot_token": "Set it to the bot token (xoxb-…) that Slack shows under OAuth & Permissions of the app; "
    "`hitl-bot manifest` prints what to create the app from.",
    "slack_app_token": "Set it to an app-level token (xapp-…) with the scope connections:write; "
    "Slack makes one under Basic Information of the app. (Only METAFLOW_HITL_MODE=http works without it.)",
    "slack_signing_secret": "Set it to the signing secret that Slack shows under Basic Information of the app.",
    "slack_channel": "Set it to the channel for questions that don't name one: #name or an ID.",
}


def _beginning(token: SecretStr | None, beginning: str, what: str, place: str) -> SecretStr | None:
    if token is not None and not token.get_secret_value().startswith(beginning):
        raise ValueError(f"it must be {what}, which begins with {beginning}; Slack shows it under {place} of the app")
    return token


def _variable(location: str) -> str:
    return location if location.isupper() else f"{PREFIX}{location.upper()}"


def _reason(error: Any) -> str:
    """Say what is wrong. pydantic's own words for our ValueErrors begin with its name for them."""
    return str(error["msg"]).removeprefix("Value error, ")


def _metaflow_config() -> Path:
    home = Path(os.environ.get("METAFLOW_HOME", "~/.metaflowconfig")).expanduser()
    profile = os.environ.get("METAFLOW_PROFILE")
    return home / (f"config_{profile}.json" if profile else "config.json")


def _read_metaflow_config() -> dict[str, Any]:
    """Return all ``METAFLOW_HITL_*`` of the file; where two say nothing, what follows from Metaflow's own settings."""
    config = _load_metaflow_config()
    found = {name: value for name, value in config.items() if name.startswith(PREFIX) and value not in (None, "")}
    if f"{PREFIX}ROOT" not in found and (datastore := config.get("METAFLOW_DATASTORE_SYSROOT_S3")):
        found[f"{PREFIX}ROOT"] = f"{str(datastore).rstrip('/')}/hitl"  # where flows put it by default
    namespace = os.environ.get("METAFLOW_KUBERNETES_NAMESPACE") or config.get("METAFLOW_KUBERNETES_NAMESPACE")
    if f"{PREFIX}ARGO_NAMESPACE" not in found and namespace:
        found[f"{PREFIX}ARGO_NAMESPACE"] = namespace  # where flows are deployed by default
    return found


def _load_metaflow_config() -> dict[str, Any]:
    path = _metaflow_config()
    try:
        config = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SettingsError(f"Metaflow's configuration {path} can't be read: {error}. Fix it or move it.") from error
    if not isinstance(config, dict):
        raise SettingsError(f"Metaflow's configuration {path} is not a JSON object. Fix it.")
    return config
