"""Keys of bots: what a flow believes, and how a key is written on one line."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.sealed import ed25519

ALGORITHM = "hitl-ed25519"
_ID_LENGTH = 16  # hex digits: 64 bits tell an operator's handful of keys apart
_SEPARATORS = re.compile(r"[\s,]+")


class InvalidKey(HitlError):
    """A key can't be used."""


@dataclass(frozen=True)
class PublicKey:
    """A bot's public key. Its id follows from its bytes, so that a known id can't be put on another key."""

    raw: bytes  # 32, as RFC 8032 encodes them

    @property
    def id(self) -> str:
        return hashlib.sha256(self.raw).hexdigest()[:_ID_LENGTH]

    @classmethod
    def parse(cls, line: str) -> PublicKey:
        """Read ``hitl-ed25519:<id>:<base64>``.

        Raises
        ------
        InvalidKey
            It is something else, or the id is not that of the key.
        """
        algorithm, _, rest = line.strip().partition(":")
        key_id, _, text = rest.partition(":")
        if algorithm != ALGORITHM or not text:
            raise InvalidKey(
                f"{_shown(line)} is not a public key. Write {ALGORITHM}:<id>:<base64>, as `hitl-bot key list` does."
            )
        try:
            raw = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidKey(f"The public key {_shown(key_id)} is not base64. Copy the whole line again.") from error
        if not ed25519.is_usable_key(raw):
            raise InvalidKey(f"The public key {_shown(key_id)} is not an Ed25519 key. Copy the whole line again.")
        key = cls(raw)
        if key.id != key_id:
            raise InvalidKey(
                f"The public key {_shown(key_id)} has the id {key.id}, so one of the two was changed. "
                "Copy the whole line again from `hitl-bot key list`."
            )
        return key

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether the signature over the message was made with the private key of this public key."""
        return ed25519.is_valid(self.raw, signature, message)

    def __str__(self) -> str:
        return f"{ALGORITHM}:{self.id}:{base64.b64encode(self.raw).decode()}"


def parse_keys(text: str) -> tuple[PublicKey, ...]:
    """Read several public keys, with blanks, commas or line ends between them; raise InvalidKey."""
    return tuple(PublicKey.parse(line) for line in _SEPARATORS.split(text) if line)


def _shown(text: str) -> str:
    """Show a part of what may well be a private key by mistake."""
    text = text.strip()
    return repr(text if len(text) <= _ID_LENGTH else f"{text[:12]}…")
