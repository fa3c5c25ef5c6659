"""``hitl-bot key``: make, show and replace the key that the bot signs with."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import click
import yaml

from hitl_bot.keys.private import PrivateKey, parse_private_keys, read_private_keys
from metaflow_extensions.hitl.approvals.sealed import InvalidKey

SECRET_KEY = "signing-key"  # noqa: S105 - the name of an entry, not its value
_FILE = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


@click.group("key")
def command() -> None:
    """Make, show and replace the key that the bot signs its records with."""


@command.command("new")
@_FILE
@click.option("--secret", metavar="NAME", help="Write FILE as a Kubernetes secret of this name.")
def new(file: Path, secret: str | None) -> None:
    """Write a new private key to FILE, for its owner's eyes only, and print the public key."""
    key = PrivateKey.new()
    text = _as_lines([key]) if secret is None else _as_secret(secret, [key])
    try:
        _write_new(file, text)
    except FileExistsError:
        raise InvalidKey(
            f"{file} exists, and an overwritten key can't be restored. Choose another file, or add a newer "
            f"key to this one with `hitl-bot key rotate {file}`."
        ) from None
    except OSError as error:
        raise InvalidKey(f"{file} can't be written: {error.strerror}.") from error
    _say_next(file, secret)
    click.echo(str(key.public_key))


@command.command("list")
@_FILE
def list_(file: Path) -> None:
    """Print the public keys of FILE, the newest first: what METAFLOW_HITL_PUBLIC_KEYS takes."""
    for key in read_private_keys(file):
        click.echo(str(key.public_key))


@command.command("rotate")
@_FILE
@click.option("--retire", metavar="ID", multiple=True, help="Remove this older key; may be repeated.")
def rotate(file: Path, retire: tuple[str, ...]) -> None:
    """Add a new key to FILE, in front of those that are there, and print all public keys.

    The bot signs for a flow with the newest key that the flow knows, so what is deployed or waits goes on with the
    older key. Once every flow has the new public key, remove the older one with --retire; that adds no new key.
    """
    keys = read_private_keys(file)
    unknown = [one for one in retire if one not in {key.public_key.id for key in keys}]
    if unknown:
        raise InvalidKey(f"{file} has no key {unknown[0]}. It has {', '.join(k.public_key.id for k in keys)}.")
    kept = tuple(key for key in keys if key.public_key.id not in retire)
    if not kept:
        raise InvalidKey(f"That would leave {file} without a key. Rotate first, then retire the older key.")
    kept = kept if retire else (PrivateKey.new(), *kept)
    _replace(file, kept)
    click.echo("Restart the bot, then give these public keys to the flows:", err=True)
    for key in kept:
        click.echo(str(key.public_key))


def _say_next(file: Path, secret: str | None) -> None:
    if secret is None:
        click.echo(f"The bot:   METAFLOW_HITL_SIGNING_KEY={file}", err=True)
    else:
        click.echo(f"The bot:   kubectl apply -f {file}", err=True)
    click.echo("The flows: METAFLOW_HITL_PUBLIC_KEYS=<the line below>", err=True)


def _as_lines(keys: Iterable[PrivateKey]) -> str:
    return "".join(f"{key.text}\n" for key in keys)


def _as_secret(name: str, keys: Iterable[PrivateKey]) -> str:
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "stringData": {SECRET_KEY: _as_lines(keys)},
    }
    return str(yaml.safe_dump(manifest, sort_keys=False))


def _write_new(file: Path, text: str) -> None:
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def _replace(file: Path, keys: tuple[PrivateKey, ...]) -> None:
    """Write the keys in the form that the file has, whole or not at all."""
    before = yaml.safe_load(file.read_text("utf-8"))
    secret = before.get("metadata", {}).get("name") if isinstance(before, dict) else None
    text = _as_secret(str(secret), keys) if secret else _as_lines(keys)
    if len(parse_private_keys(text, place=str(file))) != len(keys):
        raise InvalidKey(f"{file} is unchanged: its keys could not be written.")
    written = file.with_name(f".{file.name}.new")
    written.unlink(missing_ok=True)
    _write_new(written, text)
    written.replace(file)
