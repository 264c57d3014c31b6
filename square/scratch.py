"""Folders for a while: gone with whoever made them, at the latest when the next one is made."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

LOCK: Final = ".held"
"""A file in each such folder that its maker keeps locked: the lock ends with the process, however that ends."""


@contextlib.contextmanager
def scratch_folder(prefix: str) -> Iterator[Path]:
    """Give a new folder and remove it afterwards; also remove those that a maker who was killed has left.

    Parameters
    ----------
    prefix
        How the names of all folders for this purpose begin.
    """
    _sweep(prefix)
    folder, lock = _held(prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _held(prefix: str) -> tuple[Path, int]:
    """Return a new folder and its lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix))
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / LOCK).exists():
            return folder, lock
        os.close(lock)  # somebody who swept was faster than our lock


def _sweep(prefix: str) -> None:
    """Remove the folders whose lock nobody holds."""
    for file in Path(tempfile.gettempdir()).glob(f"{prefix}*/{LOCK}"):
        with contextlib.suppress(OSError):  # of somebody else, or in use, or gone meanwhile
            lock = os.open(file, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(file.parent, ignore_errors=True)
            finally:
                os.close(lock)
