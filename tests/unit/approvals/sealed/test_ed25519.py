"""Ed25519 verification with the standard library: RFC 8032's own vectors, and what a strict check refuses."""

from __future__ import annotations

import random
import time

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from metaflow_extensions.hitl.approvals import sealed

ORDER = 2**252 + 27742317777372353535851937790883648493
# RFC 8032, section 7.1: public key, message, signature.
VECTORS = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    (
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ),
]
# The points whose order is 1, 2, 4 or 8, each in its canonical encoding, and encodings that are not canonical.
SMALL = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
]
NOT_CANONICAL = [
    "0100000000000000000000000000000000000000000000000000000000000080",  # x = 0 with a sign
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",  # y = p + 1
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",  # y = p
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
]


def signed(rng: random.Random) -> tuple[bytes, bytes, bytes]:
    key = Ed25519PrivateKey.from_private_bytes(rng.randbytes(32))
    message = rng.randbytes(rng.randrange(300))
    return key.public_key().public_bytes_raw(), key.sign(message), message


@pytest.mark.parametrize(("key", "message", "signature"), VECTORS)
def test_vectors_of_the_rfc_verify(key, message, signature):
    """The test vectors of RFC 8032 are valid, and with one bit changed anywhere they are not."""
    whole = bytes.fromhex(key), bytes.fromhex(signature), bytes.fromhex(message)
    assert sealed.is_valid(*whole)
    for part in (0, 1):
        for place in range(0, 8 * len(whole[part]), 37):
            changed = list(whole)
            flipped = bytearray(whole[part])
            flipped[place // 8] ^= 1 << place % 8
            changed[part] = bytes(flipped)
            assert not sealed.is_valid(*changed)
    assert not sealed.is_valid(whole[0], whole[1], whole[2] + b"\0")


def test_agrees_with_another_implementation():
    """On 150 random signatures, whole and damaged, it says what ``cryptography`` says."""
    rng = random.Random(8032)
    for number in range(150):
        key, signature, message = signed(rng)
        if number % 3:
            damaged = bytearray(signature)
            damaged[rng.randrange(64)] ^= 1 << rng.randrange(8)
            signature = bytes(damaged)
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
            expected = True
        except InvalidSignature:
            expected = False
        assert sealed.is_valid(key, signature, message) is expected


def test_a_signature_has_one_encoding():
    """S plus the order of the group would verify as well, so it is refused."""
    key, signature, message = signed(random.Random(1))
    larger = int.from_bytes(signature[32:], "little") + ORDER
    assert sealed.is_valid(key, signature, message)
    assert not sealed.is_valid(key, signature[:32] + larger.to_bytes(32, "little"), message)


@pytest.mark.parametrize("encoded", SMALL + NOT_CANONICAL)
def test_keys_for_which_everything_verifies_are_refused(encoded):
    """A point of small order, or one in another encoding than its own, is neither a key nor an R."""
    point = bytes.fromhex(encoded)
    assert not sealed.is_usable_key(point)
    # With such a key R = [S]B for S = 0 is a signature of every message, in a check that is less strict.
    for r in SMALL:
        assert not sealed.is_valid(point, bytes.fromhex(r) + bytes(32), b"anything")


@pytest.mark.parametrize("length", [0, 31, 33, 63, 65])
def test_other_lengths_are_refused(length):
    """A key has 32 bytes and a signature 64."""
    key, signature, message = signed(random.Random(2))
    assert not sealed.is_valid(bytes(length), signature, message)
    assert not sealed.is_valid(key, bytes(length), message)
    assert not sealed.is_usable_key(bytes(length))


def test_one_check_is_quick():
    """A check takes well under 100 ms of one core: the fastest of ten, so that a busy machine does not matter."""
    key, signature, message = signed(random.Random(3))
    took = []
    for _ in range(10):
        start = time.process_time()
        assert sealed.is_valid(key, signature, message)
        took.append(time.process_time() - start)
    assert min(took) < 0.1
