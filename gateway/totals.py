"""What went through a spool file since it began, kept in the file itself.

Each figure is changed in the transaction of the rows that it counts, so it is exact after a kill as well. Two equations
hold at every moment, over any number of restarts; the second is checked against the rows that really lie there::

    offered = duplicates + let_go + spooled
    spooled + replayed = stored + dead + rows that wait
"""

import sqlite3

import msgspec


class Totals(msgspec.Struct):
    """Since the spool file began.

    Attributes
    ----------
    offered
        Readings, signs of presence and poison that devices sent, repeats included.
    duplicates, let_go, spooled
        What became of them: known already; poison beyond a device's share; written.
    stored, dead
        Rows that ingest took over, into the time-series store or as dead letters.
    replayed
        Rows that `resik gateway resend` made wait again after they were stored.
    """

    offered: int = 0
    duplicates: int = 0
    let_go: int = 0
    spooled: int = 0
    stored: int = 0
    dead: int = 0
    replayed: int = 0

    def plus(self, connection: sqlite3.Connection, **more: int) -> "Totals":
        """Add to the figures in the file, inside the caller's transaction; return what they are once it commits."""
        changes = {name: count for name, count in more.items() if count}
        if changes:
            terms = ", ".join(f"{name} = {name} + ?" for name in changes)
            connection.execute(f"UPDATE totals SET {terms}", list(changes.values()))  # noqa: S608 - our own names
        return msgspec.structs.replace(self, **{name: getattr(self, name) + n for name, n in changes.items()})


def load_totals(connection: sqlite3.Connection) -> Totals:
    """Read the figures of a spool file."""
    names = ", ".join(Totals.__struct_fields__)
    return Totals(*connection.execute(f"SELECT {names} FROM totals").fetchone())  # noqa: S608 - our own names
