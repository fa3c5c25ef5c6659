"""``hitl-bot audit``: hold the records to their rules, and write them down for auditors."""

import csv
import json
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import wraps
from pathlib import Path
from typing import Any

import click

from metaflow_extensions.hitl.approvals.auditing import COLUMNS, audit_all, document, is_exported, row
from metaflow_extensions.hitl.approvals.duration import parse_duration
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.sealed import InvalidKey, PublicKey, Trust, parse_keys
from metaflow_extensions.hitl.messages import terminal as words
from metaflow_extensions.hitl.stores import open_store
from metaflow_extensions.hitl.stores.directory import CopiedStore

from .settings import Settings, SettingsError, needed, read_settings

# ``hitl-bot audit verify`` and ``hitl-bot audit export``.

NOT_WHOLE = 3
"""The exit status if a record is not intact. 1: it could not be checked; 2: the command needs other arguments."""


@click.group("audit")
def command() -> None:
    """Check all records, and write the decisions down for auditors. Nothing is changed."""


def _of_records(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say which records, and hand it the ledger and the moment to begin at."""

    @click.option("--since", metavar="SPAN|DATE", help="Only what was decided since: 30d, 12h, or 2026-01-31.")
    @click.option("--root", metavar="ROOT", help="Where the records are. Default: METAFLOW_HITL_ROOT.")
    @click.option("--copy-of", metavar="ROOT", help="What ROOT is a copy of; signatures name the place they are for.")
    @click.option(
        "--public-keys",
        metavar="KEYS|@FILE",
        help="Whose signatures count. Default: METAFLOW_HITL_PUBLIC_KEYS, and the keys of METAFLOW_HITL_SIGNING_KEY.",
    )
    @wraps(function)
    def with_ledger(
        *, since: str | None, root: str | None, copy_of: str | None, public_keys: str | None, **rest: Any
    ) -> None:
        settings = read_settings()
        store = open_store(root or needed(settings, "root"), s3_endpoint_url=settings.s3_endpoint)
        if copy_of is not None:
            store = CopiedStore(store, open_store(copy_of, s3_client=lambda: None).url)
        function(Ledger(store, _trust(settings, public_keys)), _moment(since), **rest)

    return with_ledger


@command.command("verify")
@click.option("--quiet", is_flag=True, help="Only show what is not intact.")
@_of_records
def verify(ledger: Ledger, since: datetime | None, *, quiet: bool) -> None:
    """Say for each record who vouches for its versions, and what is wrong with it.

    Ends with status 0 if all are intact, and with 3 if one is not.
    """
    records = faults = 0
    for found in audit_all(ledger, since):
        records += bool(found.versions)
        faults += len(found.faults)
        if not (quiet and found.is_intact):
            click.echo(words.audited(found))
    click.echo(words.summary(records, faults, sealed=ledger.trust.is_sealed))
    if faults:
        sys.exit(NOT_WHOLE)


@command.command("export")
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
@_of_records
def export(ledger: Ledger, since: datetime | None, *, form: str) -> None:
    """Write one line for each decision: question, evidence, people, input, reason, hashes.

    What can't be read has a line, too. Ends as `verify` does.
    """
    table = csv.writer(sys.stdout, lineterminator="\n")
    if form == "csv":
        table.writerow(COLUMNS)
    bad = False
    for found in audit_all(ledger, since):
        bad = bad or not found.is_intact
        if not is_exported(found, since):
            continue
        exported = document(found)
        if form == "csv":
            table.writerow(row(exported))
        else:
            click.echo(json.dumps(exported, ensure_ascii=False).encode("utf-8", "backslashreplace").decode())
    if bad:
        sys.exit(NOT_WHOLE)


def _trust(settings: Settings, public_keys: str | None) -> Trust:
    """Return whose signatures count. To check them, no private key is needed."""
    try:
        if public_keys is not None:
            return Trust.of(parse_keys(_given(public_keys)))
        keys = parse_keys(settings.public_keys or "")
    except InvalidKey as error:
        where = "--public-keys" if public_keys is not None else "METAFLOW_HITL_PUBLIC_KEYS"
        raise SettingsError(f"{where}: {error}") from None
    return Trust.of((*keys, *_own_keys(settings)))


def _given(public_keys: str) -> str:
    if not public_keys.startswith("@"):
        return public_keys
    try:
        return Path(public_keys[1:]).read_text("utf-8")
    except (OSError, UnicodeError) as error:
        raise InvalidKey(f"{public_keys[1:]} can't be read: {error}.") from error


def _own_keys(settings: Settings) -> tuple[PublicKey, ...]:
    if settings.signing_key is None:
        return ()
    from .keys import signing_keys  # noqa: PLC0415 - cryptography takes 30 ms to import

    return signing_keys(settings.signing_key.get_secret_value()).public_keys


def _moment(since: str | None) -> datetime | None:
    """Read ``--since``: a span of time up to now, or a date or time, in UTC unless it says otherwise."""
    if since is None:
        return None
    try:
        moment = datetime.fromisoformat(since.replace("Z", "+00:00"))
    except ValueError:
        return datetime.now(timezone.utc) - timedelta(seconds=parse_duration("--since", since))
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)
