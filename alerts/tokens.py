"""Secret links of crew members."""

import hashlib
import secrets


def new_token() -> str:
    """Return a fresh secret link token: 256 random bits, URL-safe."""
    return secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    """Return what is stored of a token.

    Plain SHA-256, on purpose: a password hash is slow because people choose guessable passwords. A token is
    256 random bits, so nobody can try them all, and each request of a phone must be looked up by index.
    """
    return hashlib.sha256(token.encode()).hexdigest()
