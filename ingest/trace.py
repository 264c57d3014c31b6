"""When each reading reached the store, for measuring latency from end to end."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from ingest.readings import Reading
from square.errors import SettingsError

_log = logging.getLogger(__name__)


class Trace:
    """Appends a line ``device,boot,seq,wall_ns`` for every stored reading. A full disk ends the trace, not the worker.

    Parameters
    ----------
    path : Path | None
        The file; None makes every method do nothing.

    Raises
    ------
    SettingsError
        If the file cannot be opened.
    """

    def __init__(self, path: Path | None) -> None:
        self._file: TextIO | None = None
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="ascii")
        except OSError as error:
            raise SettingsError(
                f"trace_file {path} cannot be written ({error}): change it or leave it unset"
            ) from error

    def write(self, readings: Sequence[Reading]) -> None:
        """Append one line for each reading, all with the present wall time [ns]."""
        if self._file is None:
            return
        wall_ns = time.time_ns()
        try:
            lines = [f"{r.device},{r.boot},{r.seq},{wall_ns}\n" for r in readings]
            self._file.write("".join(lines))
            self._file.flush()
        except OSError as error:
            _log.warning("the trace file ends here: %s", error)
            self._file = None

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
