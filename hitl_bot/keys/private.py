"""Private keys: what the bot signs with, as text on one line each, the newest first."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hitl_bot.settings import SettingsError
from metaflow_extensions.hitl.approvals.sealed import InvalidKey, PublicKey

ALGORITHM = "hitl-ed25519-private"
_LINE = re.compile(rf"{ALGORITHM}:([0-9a-f]+):([A-Za-z0-9+/=]+)")


@dataclass(frozen=True)
class PrivateKey:
    """One Ed25519 key. Its text is a secret, so it is in no ``repr``."""

    seed: bytes  # 32

    @classmethod
    def new(cls) -> PrivateKey:
        """Make a key from the system's own source of randomness."""
        return cls(Ed25519PrivateKey.generate().private_bytes_raw())

    @cached_property
    def _key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    @cached_property
    def public_key(self) -> PublicKey:
        return PublicKey(self._key.public_key().public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """Return the signature, 64 bytes."""
        return self._key.sign(message)

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
