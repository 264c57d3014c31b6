"""ECDSA P-256 verification with SHA-256 (FIPS 186-5, SP 800-186). It only ever sees public values."""

P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
_G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
_FEED_MASK = 15


def _double(x, y, z):
    """Twice a point in Jacobian coordinates (a = -3); z = 0 is infinity, and stays it."""
    zz = z * z % P
    yy = y * y % P
    s = 4 * x * yy % P
    m = 3 * (x - zz) * (x + zz) % P
    x3 = (m * m - 2 * s) % P
    return x3, (m * (s - x3) - 8 * yy * yy) % P, 2 * y * z % P


def _add(x, y, z, point):
    """Jacobian point plus affine point; equal and opposite points are cases of their own."""
    if not z:
        return point[0], point[1], 1
    zz = z * z % P
    h = (point[0] * zz - x) % P
    r = (point[1] * zz * z - y) % P
    if not h:
        return (1, 1, 0) if r else _double(x, y, z)
    hh = h * h % P
    hhh = h * hh % P
    v = x * hh % P
    x3 = (r * r - hhh - 2 * v) % P
    return x3, (r * (v - x3) - y * hhh) % P, z * h % P


def _affine(x, y, z):
    if not z:
        return None
    inverse = pow(z, P - 2, P)
    square = inverse * inverse % P
    return x * square % P, y * square * inverse % P


def _on_curve(x, y):
    return x < P and y < P and (y * y - (x * x - 3) * x - _B) % P == 0


def verify(public, digest, signature, feed=None):
    """Whether `signature` (r||s) of the SHA-256 `digest` fits the key `public` (X||Y); `feed` is called as it goes."""
    if len(public) != 64 or len(digest) != 32 or len(signature) != 64:
        return False
    q = (int.from_bytes(public[:32], "big"), int.from_bytes(public[32:], "big"))
    r = int.from_bytes(signature[:32], "big")
    s = int.from_bytes(signature[32:], "big")
    if not 0 < r < N or not 0 < s < N or not _on_curve(q[0], q[1]):
        return False
    w = pow(s, N - 2, N)
    u = int.from_bytes(digest, "big") * w % N
    v = r * w % N
    # both products in one pass over the bits (Shamir): G, Q or their sum joins after each doubling
    both = _affine(*_add(_G[0], _G[1], 1, q))
    x, y, z = 1, 1, 0
    bit = 256
    while bit:
        bit -= 1
        x, y, z = _double(x, y, z)
        choice = (u >> bit & 1) | (v >> bit & 1) << 1
        point = (None, _G, q, both)[choice]
        if point:
            x, y, z = _add(x, y, z, point)
        if feed and not bit & _FEED_MASK:
            feed()
    point = _affine(x, y, z)
    return point is not None and point[0] % N == r
