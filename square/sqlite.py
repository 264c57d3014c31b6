"""The one way in which Resik's own SQLite files are written."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def transaction(connection: sqlite3.Connection, commit: Callable[[], object] | None = None) -> Iterator[None]:
    """Run a block as one transaction: all of it or nothing.

    The write lock is taken at the start, so that a block never fails half way because it had to wait for it.

    Parameters
    ----------
    connection
        Opened with ``isolation_level=None``.
    commit
        Called instead of ``COMMIT``, for whoever watches commits.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        if commit is None:
            connection.execute("COMMIT")
        else:
            commit()
    except BaseException:
        if connection.in_transaction:  # SQLite rolls back by itself on some errors, as on a full disk
            connection.execute("ROLLBACK")
        raise
