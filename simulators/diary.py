"""The truth of a live square, written down while it happens, so that what Resik believed can be scored."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from simulators.contest.errors import LogError
from simulators.contest.truth import Head, NodeFault, TruthLine, filled, line_of, read_head, taken_out
from square.errors import SettingsError

_log = logging.getLogger(__name__)

EVERY_MS: Final = 300_000
"""Between two lines of fills [ms of the square]: half the report interval of a bin, 3 MB for a day at x30."""


class Diary:
    """A truth log that goes on where the last start ended.

    A line is handed to the kernel whole, so a kill tears none. A disk that is full ends the diary and not the square.

    Parameters
    ----------
    path
        The file; begun with `head` and `faults` when it is new or empty.
    head
        What square this is.
    faults
        Node faults of its scenario.

    Raises
    ------
    SettingsError
        The file is not the truth of this square, or cannot be written.
    """

    def __init__(self, path: Path, head: Head, faults: Iterable[NodeFault] = ()) -> None:
        self.path = path
        self._next_ms = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            is_new = not path.exists() or path.stat().st_size == 0
            if not is_new and read_head(path) != head:
                raise SettingsError(f"truth_file: {path} is the truth of another square or plan: move it away")
            self._file = path.open("ab", buffering=0)
        except LogError as error:
            raise SettingsError(f"truth_file: {error.where}: {error.what}: move it away") from error
        except OSError as error:
            raise SettingsError(f"truth_file: {path} cannot be written: {error.strerror}") from error
        if is_new:
            self._write(head)
            for fault in faults:
                self._write(fault)

    def fill(self, at_ms: int, fill_pct: Sequence[float]) -> None:
        """Take the true fill of all bins; kept every `EVERY_MS`."""
        if at_ms < self._next_ms <= at_ms + EVERY_MS:  # a clock that was set back begins anew
            return
        self._next_ms = at_ms // EVERY_MS * EVERY_MS + EVERY_MS
        self._write(filled(at_ms, fill_pct))

    def emptied(self, at_ms: int, asset_id: str, before_pct: float) -> None:
        """Take a bin that is taken out."""
        self._write(taken_out(at_ms, asset_id, before_pct))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, entry: TruthLine) -> None:
        if self._file.closed:
            return
        try:
            self._file.write(line_of(entry))
        except OSError as error:
            _log.warning("the truth is not written any more: %s: %s", self.path, error.strerror)
            self._file.close()
