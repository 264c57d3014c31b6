"""Signatures against an independent implementation, and the cases on which published implementations failed."""

import hashlib
import random

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from firmware.core import p256


def _bytes(*values: int) -> bytes:
    return b"".join(value.to_bytes(32, "big") for value in values)


def _point(key: ec.EllipticCurvePrivateKey) -> bytes:
    numbers = key.public_key().public_numbers()
    return _bytes(numbers.x, numbers.y)


def _oracle(public: bytes, digest: bytes, signature: bytes) -> bool:
    numbers = ec.EllipticCurvePublicNumbers(
        int.from_bytes(public[:32], "big"), int.from_bytes(public[32:], "big"), ec.SECP256R1()
    )
    der = utils.encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    try:
        numbers.public_key().verify(der, digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
    except (InvalidSignature, ValueError):
        return False
    return True


def _sign(secret: int, digest: bytes, nonce: int) -> bytes:
    """Sign with a chosen nonce, as no honest signer does."""
    r = ec.derive_private_key(nonce, ec.SECP256R1()).public_key().public_numbers().x % p256.N
    s = pow(nonce, -1, p256.N) * (int.from_bytes(digest, "big") + r * secret) % p256.N
    return _bytes(r, s)


@pytest.mark.parametrize("seed", range(8))
def test_agrees_with_the_oracle(seed):
    """300 random cases, a third of them good, get the same verdict from both implementations."""
    rng = random.Random(seed)
    good = 0
    for case in range(40):
        secret = rng.randrange(1, p256.N)
        digest = rng.randbytes(32)
        public = _point(ec.derive_private_key(secret, ec.SECP256R1()))
        signature = bytearray(_sign(secret, digest, rng.randrange(1, p256.N)))
        if case % 3 == 1:
            signature[rng.randrange(64)] ^= 1 << rng.randrange(8)
        elif case % 3 == 2:
            signature = bytearray(rng.randbytes(64))
        verdict = p256.verify(public, digest, bytes(signature))
        assert verdict == _oracle(public, digest, bytes(signature))
        good += verdict
    assert good >= 13


EDGE_SECRETS = {
    "Q = G": 1,
    "Q = -G: the sum of both is infinity": p256.N - 1,
    "Q = 2G": 2,
    "Q = -2G": p256.N - 2,
    "Q = G/2: 2Q = G": (p256.N + 1) // 2,
}


@pytest.mark.parametrize("secret", EDGE_SECRETS.values(), ids=EDGE_SECRETS)
@pytest.mark.parametrize("nonce", [1, 2, 3, p256.N - 1, p256.N - 2, 1 << 255])
@pytest.mark.parametrize("digest", [b"\0" * 32, b"\xff" * 32, _bytes(1), _bytes(p256.N), _bytes(p256.N - 1)])
def test_meeting_points(secret, nonce, digest):
    """Keys, nonces and digests that make equal or opposite points meet inside the sum are judged rightly."""
    public = _point(ec.derive_private_key(secret, ec.SECP256R1()))
    signature = _sign(secret, digest, nonce)
    assert p256.verify(public, digest, signature) == _oracle(public, digest, signature)
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    assert p256.verify(public, digest, signature) is (s != 0)
    assert p256.verify(public, digest, _bytes(r, (-s) % p256.N)) is (
        s != 0
    )  # the mirrored s is as good, by the standard
    assert not p256.verify(public, digest, _bytes(r, (s + 1) % p256.N))


def test_a_sum_at_infinity_is_refused():
    """u*G + v*Q = infinity has no x to compare: digest = -r * secret makes it so."""
    secret, r, s = 7, 12345, 99
    digest = _bytes(-r * secret % p256.N)
    public = _point(ec.derive_private_key(secret, ec.SECP256R1()))
    assert not p256.verify(public, digest, _bytes(r, s))


def test_r_is_compared_modulo_n():
    """An x between n and p counts as x - n: such points are rare, so one is searched from above."""
    for x in range(p256.P - 1, p256.P - 200, -1):
        square = (x * x * x - 3 * x + p256._B) % p256.P
        y = pow(square, (p256.P + 1) // 4, p256.P)
        if y * y % p256.P == square:
            break
    # With digest 0 the sum is v*Q, and r/s = v. Choosing s = r makes v = 1: the sum is Q itself, whose x is r + n.
    public, r = _bytes(x, y), x - p256.N
    assert r > 0
    assert p256.verify(public, bytes(32), _bytes(r, r))
    assert _oracle(public, bytes(32), _bytes(r, r))
    assert not p256.verify(public, bytes(32), _bytes(r + 1, r))


def test_a_signature_of_the_library_is_accepted():
    """What the release tool's library signs, a node accepts."""
    key = ec.generate_private_key(ec.SECP256R1())
    r, s = utils.decode_dss_signature(key.sign(b"a manifest", ec.ECDSA(hashes.SHA256())))
    assert p256.verify(_point(key), hashlib.sha256(b"a manifest").digest(), _bytes(r, s))
