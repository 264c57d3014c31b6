"""Files that must be whole or private, and secrets to put into them."""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path


def new_secret() -> str:
    """Return a secret of 256 random bits as 43 characters."""
    return secrets.token_urlsafe(32)


def write_whole(path: Path, content: bytes, mode: int = 0o600, owner: tuple[int, int] | None = None) -> None:
    """Write a file whole or not at all, with its owner and rights from its first moment on."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    write_private(part, content, mode, owner)
    part.replace(path)


def write_private(path: Path, content: bytes, mode: int = 0o600, owner: tuple[int, int] | None = None) -> None:
    """Write a new file that only its owner may read, unless told otherwise.

    Raises
    ------
    FileExistsError
        If it is there already.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), mode)
        if owner is not None:
            os.fchown(file.fileno(), *owner)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Let one command at a time change what is in a folder; the next one waits."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
