"""Rows of the spool as the forwarder takes them, and those of the last commits in memory.

A row that has just been written goes up in the next moment. Reading it back from the file would cost half as much as
writing it did, and a change of the interpreter's lock for each row.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

ROWS_KEPT = 2000
"""Rows in memory, at most. What nobody has taken by then waits in the file for long."""

READING_COLUMNS = 9
"""Columns of a reading's row: all but topic and code."""


class Row(msgspec.Struct, frozen=True, gc=False):
    """A row on its way upstream; `body` is JSON, or the raw payload of poison."""

    id: int
    device: str
    kind: str
    boot: int
    seq: int | None
    ts_ms: int
    arrived_ms: int
    time: str
    body: bytes
    topic: str | None = None
    code: str | None = None


class Tail:
    """Readings of the last commits, each until it is taken once. A copy: the file has them all."""

    def __init__(self) -> None:
        self._rows: dict[int, Row] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, values: Sequence[Any]) -> None:
        """Keep rows that were committed.

        Parameters
        ----------
        values
            Their columns, one row after the other.
        """
        if len(values) > ROWS_KEPT * READING_COLUMNS:
            return
        if len(self._rows) * READING_COLUMNS + len(values) > ROWS_KEPT * READING_COLUMNS:
            self._rows.clear()
        for at in range(0, len(values), READING_COLUMNS):
            row = Row(*values[at : at + READING_COLUMNS])
            self._rows[row.id] = row

    def take(self, ids: Iterable[int]) -> tuple[list[Row], list[int]]:
        """Take rows out; return them, and the ids that are not here, both in the order of `ids`."""
        rows: list[Row] = []
        missing: list[int] = []
        pop = self._rows.pop
        for row_id in ids:
            row = pop(row_id, None)
            if row is not None:
                rows.append(row)
            else:
                missing.append(row_id)
        return rows, missing
