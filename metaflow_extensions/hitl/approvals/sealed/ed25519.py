"""Ed25519 verification (RFC 8032, section 5.1.7) with the standard library alone.

A pod has no compiled cryptography, and a gate checks one signature: that takes some 2 ms here. Only public values are
handled, so nothing has to take constant time. Signing needs a secret and is left to the bot's ``cryptography``.

The check is strict, so that one signature has one encoding and a key can't be one for which everything verifies: the
scalar and both points are canonical, and neither the key nor R is a point of small order.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TypeAlias

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
