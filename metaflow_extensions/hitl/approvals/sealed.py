"""The sealed mode: a bot's key vouches for what counts, and everything else is only proposed."""

import base64
import binascii
import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Protocol, TypeAlias

from .errors import CorruptRecord, HitlError, NotVouchedFor

# Keys of bots: what a flow believes, and how a key is written on one line.

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
    def parse(cls, line: str) -> "PublicKey":
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
        if not is_usable_key(raw):
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
        return is_valid(self.raw, signature, message)

    def __str__(self) -> str:
        return f"{ALGORITHM}:{self.id}:{base64.b64encode(self.raw).decode()}"


def parse_keys(text: str) -> tuple[PublicKey, ...]:
    """Read several public keys, with blanks, commas or line ends between them; raise InvalidKey."""
    return tuple(PublicKey.parse(line) for line in _SEPARATORS.split(text) if line)


def _shown(text: str) -> str:
    """Show a part of what may well be a private key by mistake."""
    text = text.strip()
    return repr(text if len(text) <= _ID_LENGTH else f"{text[:12]}…")


# Ed25519 verification (RFC 8032, section 5.1.7) with the standard library alone.

KEY_LENGTH = 32  # bytes
SIGNATURE_LENGTH = 64

_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_TWO_D = 2 * _D % _P
_ROOT_OF_MINUS_ONE = pow(2, (_P - 1) // 4, _P)
_WINDOW = 4  # bits of a scalar that are added at once

# Extended homogeneous coordinates (X, Y, Z, T): x = X/Z, y = Y/Z, x*y = T/Z.
_Point: TypeAlias = tuple[int, int, int, int]
_NEUTRAL: _Point = (0, 1, 1, 0)


def is_valid(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the signature over the message was made with the private key of this public key."""
    if len(public_key) != KEY_LENGTH or len(signature) != SIGNATURE_LENGTH:
        return False
    encoded_r, s = signature[:32], int.from_bytes(signature[32:], "little")
    if s >= _ORDER:
        return False  # the same signature in another encoding
    key, r = _decode(public_key), _decode(encoded_r)
    if key is None or r is None or _is_of_small_order(key) or _is_of_small_order(r):
        return False
    digest = hashlib.sha512(encoded_r + public_key + message).digest()
    k = int.from_bytes(digest, "little") % _ORDER
    # R = [S]B - [k]A, compared without the cofactor.
    return _equal(_sum_of_multiples(s, _base_multiples(), k, _multiples(_negative(key))), r)


def is_usable_key(public_key: bytes) -> bool:
    """Whether these bytes encode a point that can be a public key."""
    if len(public_key) != KEY_LENGTH:
        return False
    point = _decode(public_key)
    return point is not None and not _is_of_small_order(point)


def _decode(encoded: bytes) -> _Point | None:
    """Read a point (RFC 8032, section 5.1.3); None if this is not the one encoding of a point of the curve."""
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= _P:
        return None
    # x squared is u/v, and its root is (u/v)^((p+3)/8), or that times the root of -1.
    u, v = (y * y - 1) % _P, (_D * y * y + 1) % _P
    x = u * pow(v, 3, _P) * pow(u * pow(v, 7, _P), (_P - 5) // 8, _P) % _P
    if (v * x * x - u) % _P:
        x = x * _ROOT_OF_MINUS_ONE % _P
        if (v * x * x - u) % _P:
            return None
    if x == 0 and sign:
        return None
    if x & 1 != sign:
        x = _P - x
    return (x, y, 1, x * y % _P)


def _add(one: _Point, other: _Point) -> _Point:
    x1, y1, z1, t1 = one
    x2, y2, z2, t2 = other
    a = (y1 - x1) * (y2 - x2) % _P
    b = (y1 + x1) * (y2 + x2) % _P
    c = t1 * _TWO_D * t2 % _P
    d = 2 * z1 * z2 % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _double(point: _Point) -> _Point:
    x, y, z, _ = point
    a, b = x * x % _P, y * y % _P
    h = a + b
    e = h - (x + y) * (x + y)
    g = a - b
    f = 2 * z * z + g
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _negative(point: _Point) -> _Point:
    x, y, z, t = point
    return (_P - x, y, z, _P - t)


def _equal(one: _Point, other: _Point) -> bool:
    x1, y1, z1, _ = one
    x2, y2, z2, _ = other
    return (x1 * z2 - x2 * z1) % _P == 0 and (y1 * z2 - y2 * z1) % _P == 0


def _is_of_small_order(point: _Point) -> bool:
    """Whether eight times the point is the neutral element."""
    return _equal(_double(_double(_double(point))), _NEUTRAL)


def _multiples(point: _Point) -> tuple[_Point, ...]:
    """Return 0 to 15 times the point."""
    multiples = [_NEUTRAL, point]
    while len(multiples) < 1 << _WINDOW:
        multiples.append(_add(multiples[-1], point))
    return tuple(multiples)


@cache
def _base_multiples() -> tuple[_Point, ...]:
    base = _decode(bytes([0x58]) + bytes([0x66]) * 31)
    if base is None:
        raise ArithmeticError("the base point of Ed25519 is a point of its curve")
    return _multiples(base)


def _sum_of_multiples(s: int, of_one: tuple[_Point, ...], k: int, of_other: tuple[_Point, ...]) -> _Point:
    """Return s times one point plus k times another, four bits of both scalars at a time."""
    total = _NEUTRAL
    for shift in range(252, -1, -_WINDOW):
        for _ in range(_WINDOW):
            total = _double(total)
        total = _add(total, of_one[s >> shift & 15])
        total = _add(total, of_other[k >> shift & 15])
    return total


# Whose signatures count, and what signs: nobody's in the open mode, a bot's in the sealed mode.

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
    def of(cls, keys: Iterable[PublicKey], signer: Signer | None = None) -> "Trust":
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
