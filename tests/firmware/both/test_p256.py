"""Signatures on both interpreters: an RFC example, and what must be refused."""

import binascii
import hashlib

from firmware.core import p256

# RFC 6979, appendix A.2.5: the key and the signature of "sample" with SHA-256
PUBLIC = binascii.unhexlify(
    "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
    "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
)
SIGNATURE = binascii.unhexlify(
    "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
    "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
)
DIGEST = hashlib.sha256(b"sample").digest()


def _number(value):
    return binascii.unhexlify("%064x" % value)


def test_the_rfc_example_is_accepted_and_the_watchdog_fed():
    """The published signature is good, and the callback comes often enough for a node that needs seconds."""
    fed = []
    assert p256.verify(PUBLIC, DIGEST, SIGNATURE, lambda: fed.append(1))
    assert len(fed) == 16


def test_a_flipped_bit_anywhere_is_refused():
    """One bit of the digest, of r, of s or of the key is enough."""
    for position in (0, 31, 32, 63):
        broken = bytearray(SIGNATURE)
        broken[position] ^= 1
        assert not p256.verify(PUBLIC, DIGEST, broken)
        broken = bytearray(PUBLIC)
        broken[position] ^= 1
        assert not p256.verify(broken, DIGEST, SIGNATURE)
    for position in (0, 31):
        broken = bytearray(DIGEST)
        broken[position] ^= 128
        assert not p256.verify(PUBLIC, broken, SIGNATURE)


def test_numbers_out_of_range_are_refused():
    """Both numbers lie in 1..n-1; zero would make every message good, and r + n is the same signature twice."""
    r, s = SIGNATURE[:32], SIGNATURE[32:]
    for wrong in (0, p256.N, p256.N + 1, (1 << 256) - 1):
        assert not p256.verify(PUBLIC, DIGEST, _number(wrong) + s)
        assert not p256.verify(PUBLIC, DIGEST, r + _number(wrong))
    assert not p256.verify(PUBLIC, DIGEST, bytes(64))


def test_keys_that_are_no_points_are_refused():
    """Zero, a coordinate of the field's size and a point of another curve are no keys."""
    x, y = PUBLIC[:32], PUBLIC[32:]
    for key in (bytes(64), b"\xff" * 64, _number(p256.P) + y, x + _number(p256.P), y + x):
        assert not p256.verify(key, DIGEST, SIGNATURE)


def test_wrong_lengths_are_refused():
    """A short or long key, digest or signature is no error of the caller but a refusal."""
    for cut in (0, 63):
        assert not p256.verify(PUBLIC[:cut], DIGEST, SIGNATURE)
        assert not p256.verify(PUBLIC, DIGEST, SIGNATURE[:cut])
    assert not p256.verify(PUBLIC + b"\0", DIGEST, SIGNATURE)
    assert not p256.verify(PUBLIC, DIGEST[:31], SIGNATURE)
    assert not p256.verify(PUBLIC, DIGEST, SIGNATURE + b"\0")
