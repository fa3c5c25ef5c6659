"""Whose signatures count, and what signs: nobody's in the open mode, a bot's in the sealed mode."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from metaflow_extensions.hitl.approvals.errors import CorruptRecord, NotVouchedFor
from metaflow_extensions.hitl.approvals.sealed.keys import PublicKey

_SIGNATURE = re.compile(rb',\n "signature": "([A-Za-z0-9+/]{86}==)"\n\}')
_LENGTH = len(',\n "signature": ""\n}') + 88


class Signer(Protocol):
    """A bot's private keys: the newest, and those before it that flows may still trust."""

    @property
    def public_keys(self) -> tuple[PublicKey, ...]:
        """What its signatures are checked with, the newest first."""
        ...

    def sign(self, key_id: str, message: bytes) -> bytes:
        """Return the 64 bytes of a signature."""
        ...


@dataclass(frozen=True, kw_only=True)
class Trust:
    """What counts here.

    Attributes
    ----------
    keys : Mapping[str, PublicKey]
        By id: whose signatures count. Without any this is the open mode, and every record counts.
    signer : Signer, optional
        What signs here. In the sealed mode only a bot has one, and only a bot writes records.
    """

    keys: Mapping[str, PublicKey] = field(default_factory=dict[str, PublicKey])
    signer: Signer | None = None

    @classmethod
    def of(cls, keys: Iterable[PublicKey], signer: Signer | None = None) -> Trust:
        """Trust these keys, and those of the signer."""
        trusted = (*keys, *(signer.public_keys if signer else ()))
        return cls(keys={key.id: key for key in trusted}, signer=signer)

    @property
    def is_sealed(self) -> bool:
        """Whether only what a bot's key signed counts."""
        return bool(self.keys)

    @property
    def writes(self) -> bool:
        """Whether records are written here: by everybody in the open mode, by the bot in the sealed mode."""
        return self.signer is not None or not self.keys

    def key_for(self, wanted: Collection[str]) -> str | None:
        """Return the id of the newest key to sign with that is among those wanted; None if there is none."""
        own = self.signer.public_keys if self.signer else ()
        return next((key.id for key in own if key.id in wanted), None)

    @property
    def newest_key(self) -> str | None:
        """The id of the key that signs what no earlier key began; None where nothing signs."""
        return self.signer.public_keys[0].id if self.signer else None

    def sign(self, kind: str, key_id: str | None, text: bytes) -> bytes:
        """Put the signature over a JSON object, as ``json.dumps`` with ``indent=1`` writes it, at its end.

        Parameters
        ----------
        kind : str
            Of object. What is signed as one kind never counts as another.
        key_id : str, optional
            Of the key to sign with; the object names it. Without a signer nothing is added.
        """
        if self.signer is None or key_id is None:
            return text
        signature = base64.b64encode(self.signer.sign(key_id, _signed(kind, text)))
        return b'%b,\n "signature": "%b"\n}' % (text.removesuffix(b"\n}"), signature)

    def check(self, key: str, kind: str, key_id: object, body: bytes) -> str | None:
        """Return the id of the key that vouches for an object; None in the open mode, where nobody does.

        Parameters
        ----------
        key : str
            Of the object in the store.
        kind : str
            As for ``sign``.
        key_id : object
            What the object says about its key; any JSON.
        body : bytes
            As ``sign`` returned it.

        Raises
        ------
        NotVouchedFor
            No key that is trusted here signed it.
        """
        if not self.is_sealed:
            return None
        if not isinstance(key_id, str):
            raise NotVouchedFor(key, "no bot signed it")
        public_key = self.keys.get(key_id)
        if public_key is None:
            raise NotVouchedFor(key, f"its key {key_id[:40]!r} is not trusted here")
        match = _SIGNATURE.fullmatch(body[-_LENGTH:])
        if match is None or not public_key.verifies(_raw(key, match[1]), _signed(kind, body[:-_LENGTH] + b"\n}")):
            raise NotVouchedFor(key, f"its signature is not that of the key {key_id}")
        return key_id


OPEN = Trust()


def _signed(kind: str, text: bytes) -> bytes:
    return b"metaflow-hitl %b\n%b" % (kind.encode(), text)


def _raw(key: str, text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise CorruptRecord(key, "its signature is not base64") from error
