"""Single keys from a terminal, without Enter."""

import os
import select
import sys
import termios
import tty
from types import TracebackType
from typing import Any, Self

_ESCAPE = b"\x1b"
_INTRODUCERS = (b"[", b"O")
_FINAL_LOW, _FINAL_HIGH = b"@", b"~"
"""A control sequence ends with a byte of this range (ECMA-48)."""


class Keys:
    """Reads keys while it is entered, and leaves the terminal as it was.

    Without a terminal there are no keys: waiting only waits.
    """

    def __init__(self) -> None:
        self._fd: int | None = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
        self._before: list[Any] | None = None

    def __enter__(self) -> Self:
        """Read key by key, unseen."""
        if self._fd is not None:
            self._before = termios.tcgetattr(self._fd)
            tty.setcbreak(self._fd)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the terminal back."""
        if self._fd is not None and self._before is not None:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)

    def wait(self, within_s: float) -> str | None:
        """Return the next key, None when none came in time; keys that send a sequence (arrows) count as none.

        Raises
        ------
        EOFError
            If the terminal is gone.
        """
        if self._fd is None:
            select.select([], [], [], within_s)
            return None
        if not select.select([self._fd], [], [], within_s)[0]:
            return None
        first = os.read(self._fd, 1)
        if not first:
            raise EOFError
        if first == _ESCAPE and self._is_sequence():
            return None
        return first.decode("latin-1")

    def _is_sequence(self) -> bool:
        """Take what belongs to an Escape that is the beginning of something, and nothing behind it."""
        second = self._next()
        if second in _INTRODUCERS:
            while (byte := self._next()) and not _FINAL_LOW <= byte <= _FINAL_HIGH:
                pass
        return bool(second)

    def _next(self) -> bytes:
        """Return the next byte if it is there already."""
        assert self._fd is not None
        return os.read(self._fd, 1) if select.select([self._fd], [], [], 0)[0] else b""
