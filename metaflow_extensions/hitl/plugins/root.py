"""The plugin's composition root: the one place that reads settings and builds adapters."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable
from datetime import datetime, timezone, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metaflow_extensions.hitl import __version__
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.ports import Notifier, Store
from metaflow_extensions.hitl.approvals.record import EngineKind, Origin, Person
from metaflow_extensions.hitl.approvals.sealed import Trust
from metaflow_extensions.hitl.approvals.use_cases import UseCases
from metaflow_extensions.hitl.engines.local import LocalEngine
from metaflow_extensions.hitl.slack import ClaimedPeople
from metaflow_extensions.hitl.stores import open_store

from .argo.engine import OwnRights
from .settings import FlowSettings, all_settings, read_settings

if TYPE_CHECKING:
    from slack_sdk import WebClient  # 60 ms, and only with a token


def utc_now() -> datetime:
    return datetime.now(timezone.utc)


def root_of(datastore_type: str, datastore_root: str | None) -> str:
    """Say where the records of a flow are."""
    configured = read_settings().root
    if configured:
        return configured
    if datastore_type in {"s3", "local"}:
        return f"{(datastore_root or '').rstrip('/')}/hitl"
    from metaflow.exception import MetaflowException  # noqa: PLC0415 - only to fail

    raise MetaflowException(
        f"@hitl keeps its records on S3 or in a directory, but the datastore is {datastore_type}. "
        "Set METAFLOW_HITL_ROOT to s3://bucket/prefix or to a path."
    )


def build_store(datastore_type: str, datastore_root: str | None) -> Store:
    return open_store(root_of(datastore_type, datastore_root), s3_client=_metaflow_s3_client)


def _metaflow_s3_client() -> Any:
    # Metaflow's own client knows its endpoint, its role and its way to credentials. boto3 takes 100 ms to import.
    from metaflow.plugins.datatools.s3.s3util import get_s3_client  # noqa: PLC0415

    client, _ = get_s3_client()
    return client


def build_use_cases(store: Store, write: Callable[[str], None]) -> UseCases:
    """Build everything that asks, waits and decides on this machine."""
    return UseCases(
        Ledger(store, Trust.of(read_settings().public_keys)),
        engines={EngineKind.LOCAL: LocalEngine(store, utc_now), EngineKind.ARGO: OwnRights(read_settings(), utc_now)},
        notifiers=build_notifiers(write),
        people=ClaimedPeople(),
        check_input=_check_input,
        clock=utc_now,
        batched={"slack"},
    )


def slack_client(settings: FlowSettings) -> WebClient:
    """Build a client with this machine's bot token."""
    from slack_sdk import WebClient  # noqa: PLC0415 - 60 ms, and only with a token

    return WebClient(
        token=settings.slack_bot_token,
        base_url=settings.slack_api_url or WebClient.BASE_URL,
        user_agent_prefix=f"metaflow-hitl/{__version__}",
    )


def build_notifiers(write: Callable[[str], None]) -> dict[str, Notifier]:
    """Build what asks from this machine, by name."""
    settings = read_settings()
    from metaflow_extensions.hitl.notifiers.terminal import TerminalNotifier  # noqa: PLC0415 - not on import

    notifiers: dict[str, Notifier] = {"terminal": TerminalNotifier(write, script=script(), zone=local_zone())}
    if settings.slack_bot_token:
        from metaflow_extensions.hitl.notifiers.slack.notifier import SlackNotifier  # noqa: PLC0415 - needs slack_sdk

        notifiers["slack"] = SlackNotifier(
            slack_client(settings), default_channel=settings.slack_channel, clock=utc_now
        )
    from metaflow_extensions.hitl.notifiers.registry import configured  # noqa: PLC0415 - not on import

    return {**notifiers, **configured(all_settings(), clock=utc_now, script=script())}


def _check_input(schema: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    from metaflow_extensions.hitl.inputs import validate  # noqa: PLC0415 - jsonschema takes 100 ms, and pods have none

    return validate(schema, values)


def script() -> str:
    """Return the flow's file as the person here would type it."""
    return Path(sys.argv[0]).name


def local_zone() -> tzinfo:
    """Return the time zone of this machine."""
    return datetime.now(timezone.utc).astimezone().tzinfo or timezone.utc


def local_person() -> Person:
    """Who sits at this machine, by Metaflow's own rule: METAFLOW_USER, then the name of the login."""
    from metaflow.util import get_username  # noqa: PLC0415 - heavy

    name = get_username() or getpass.getuser()
    return Person(id=name, name=name, origin=Origin.CLAIM)
