"""The bot's private keys, and ``hitl-bot key``."""

import base64
import binascii
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import click
import yaml

from metaflow_extensions.hitl.approvals.sealed import OPEN, InvalidKey, PublicKey, Trust, parse_keys

from .settings import Settings, SettingsError

# Private keys: what the bot signs with, as text on one line each, the newest first.

ALGORITHM = "hitl-ed25519-private"
_LINE = re.compile(rf"{ALGORITHM}:([0-9a-f]+):([A-Za-z0-9+/=]+)")


@dataclass(frozen=True)
class PrivateKey:
    """One Ed25519 key. Its text is a secret, so it is in no ``repr``."""

    seed: bytes  # 32

    @classmethod
    def new(cls) -> "PrivateKey":
        """Make a key from the system's own source of randomness."""
        return cls(secrets.token_bytes(32))  # RFC 8032, section 5.1.5

    @cached_property
    def _key(self) -> Any:
        # Not at the top: a bot in the open mode would keep its 5 MB for nothing.
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - see above

        return Ed25519PrivateKey.from_private_bytes(self.seed)

    @cached_property
    def public_key(self) -> PublicKey:
        return PublicKey(self._key.public_key().public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """Return the signature, 64 bytes."""
        signature: bytes = self._key.sign(message)
        return signature

    @property
    def text(self) -> str:
        """``hitl-ed25519-private:<id>:<base64>``; keep it secret."""
        return f"{ALGORITHM}:{self.public_key.id}:{base64.b64encode(self.seed).decode()}"

    def __repr__(self) -> str:
        return f"PrivateKey({self.public_key.id})"


class SigningKeys:
    """The bot's keys as a ``Signer``.

    Parameters
    ----------
    keys : Iterable[PrivateKey]
        The newest first; at least one.
    """

    def __init__(self, keys: Iterable[PrivateKey]) -> None:
        self._keys = {key.public_key.id: key for key in keys}

    @property
    def public_keys(self) -> tuple[PublicKey, ...]:
        return tuple(key.public_key for key in self._keys.values())

    def sign(self, key_id: str, message: bytes) -> bytes:
        return self._keys[key_id].sign(message)


def parse_private_keys(text: str, *, place: str) -> tuple[PrivateKey, ...]:
    """Find all private keys in a text: a file with a line each, or a Kubernetes secret. The newest comes first.

    Parameters
    ----------
    place : str
        Where the text is from, for the error, which never shows the text.

    Raises
    ------
    InvalidKey
        There is none, or one was changed.
    """
    keys = []
    for key_id, encoded in _LINE.findall(text):
        try:
            seed = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            seed = b""
        if len(seed) != 32 or (key := PrivateKey(seed)).public_key.id != key_id:  # noqa: PLR2004 - RFC 8032, section 5.1.5
            raise InvalidKey(f"The private key {key_id[:16]} in {place} is damaged. Restore it, or create a new one.")
        keys.append(key)
    if not keys:
        raise InvalidKey(f"There is no private key in {place}. Create one with `hitl-bot key new FILE`.")
    return tuple(keys)


def signing_keys(setting: str) -> SigningKeys:
    """Read METAFLOW_HITL_SIGNING_KEY: the key itself, or the path of the file it is in.

    Raises
    ------
    SettingsError
        It is neither. The message shows no key.
    """
    name = "METAFLOW_HITL_SIGNING_KEY"
    try:
        if ALGORITHM in setting:
            return SigningKeys(parse_private_keys(setting, place=name))
        return SigningKeys(read_private_keys(Path(setting.strip()).expanduser()))
    except InvalidKey as error:
        raise SettingsError(f"{name}: {error}") from None


def trust_of(settings: Settings) -> Trust:
    """Return whose signatures count for this bot, and what it signs with: the sealed mode, or the open one.

    Raises
    ------
    SettingsError
        A key can't be used, or there are public keys and none to sign with.
    """
    try:
        public_keys = parse_keys(settings.public_keys or "")
    except InvalidKey as error:
        raise SettingsError(f"METAFLOW_HITL_PUBLIC_KEYS: {error}") from None
    if settings.signing_key is not None:
        return Trust.of(public_keys, signing_keys(settings.signing_key.get_secret_value()))
    if public_keys:
        raise SettingsError(
            "METAFLOW_HITL_PUBLIC_KEYS is set and METAFLOW_HITL_SIGNING_KEY is not: flows that know these keys trust "
            "only a bot that signs. Set it to the private key, or to the file that `hitl-bot key new FILE` wrote."
        )
    return OPEN


def read_private_keys(file: Path) -> tuple[PrivateKey, ...]:
    """Read the keys of a file; raise InvalidKey."""
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "it is not text"
        # The value might be a damaged key in place of a path.
        raise InvalidKey(
            f"The file with the private key can't be read: {why}. Create one with `hitl-bot key new FILE`."
        ) from None
    return parse_private_keys(text, place=str(file))


# ``hitl-bot key``: make, show and replace the key that the bot signs with.

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


@command.command("webhook")
def webhook() -> None:
    """Print a new secret that events are signed with: what METAFLOW_HITL_EVENTS_SECRET takes."""
    click.echo(f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}")


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
    is_secret = _replace(file, kept)
    click.echo("Restart the bot with it:" if is_secret else "Restart the bot.", err=True)
    if is_secret:
        _say_how_to_apply(file)
    click.echo("Then give these public keys to the flows:", err=True)
    for key in kept:
        click.echo(str(key.public_key))


def _say_next(file: Path, secret: str | None) -> None:
    if secret is None:
        click.echo(f"The bot:   METAFLOW_HITL_SIGNING_KEY={file}", err=True)
    else:
        click.echo("The bot, in its namespace:", err=True)
        _say_how_to_apply(file)
    click.echo("The flows: METAFLOW_HITL_PUBLIC_KEYS=<the line below>", err=True)


def _say_how_to_apply(file: Path) -> None:
    """A pod reads a secret when it starts."""
    click.echo(f"  kubectl apply -f {file}", err=True)
    click.echo("  kubectl rollout restart deployment/hitl-bot  # if it runs already", err=True)


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


def _replace(file: Path, keys: tuple[PrivateKey, ...]) -> bool:
    """Write the keys in the form that the file has, whole or not at all; return whether that is a Kubernetes secret."""
    before = yaml.safe_load(file.read_text("utf-8"))
    secret = before.get("metadata", {}).get("name") if isinstance(before, dict) else None
    text = _as_secret(str(secret), keys) if secret else _as_lines(keys)
    if len(parse_private_keys(text, place=str(file))) != len(keys):
        raise InvalidKey(f"{file} is unchanged: its keys could not be written.")
    written = file.with_name(f".{file.name}.new")
    written.unlink(missing_ok=True)
    _write_new(written, text)
    written.replace(file)
    return bool(secret)
