"""Setting up a store: what it holds, how long it keeps it, and what to change. The same steps for every kind."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, Protocol

import msgspec

from ingest.stores.embedded import EmbeddedStore
from ingest.stores.shelves import SHELVES, Shelf

Action = Literal["made", "kept", "extended", "shortened", "refused"]

DEFAULT_D: Final[Mapping[Shelf, int | None]] = {"raw": 90, "hourly": 5 * 365, "daily": 20 * 365}
"""How long each shelf is kept unless somebody says otherwise [days]."""


class Keeping(msgspec.Struct, frozen=True):
    """A shelf as a store holds it.

    Attributes
    ----------
    container : str
        Database, bucket, retention policy or file.
    days : int | None
        How long points are kept there [days], None for ever.
    """

    container: str
    days: int | None


class Step(msgspec.Struct, frozen=True):
    """What became of one shelf.

    Attributes
    ----------
    shelf : Shelf
        Which.
    container : str
        Where it stands.
    found_d : int | None
        How long it was kept before [days], None for ever or where it was made.
    days : int | None
        How long it is to be kept [days], None for ever.
    action : Action
        ``refused`` is a retention that would be shortened: points would be dropped.
    """

    shelf: Shelf
    container: str
    found_d: int | None
    days: int | None
    action: Action


class StoreAdmin(Protocol):
    """What setting up asks of each kind of store. Errors are those of the store port."""

    def found(self) -> dict[Shelf, Keeping]:
        """Return the shelves that are there."""

    def container(self, shelf: Shelf) -> str:
        """Return the name under which a shelf is made."""

    def make(self, shelf: Shelf, days: int | None) -> None:
        """Make a shelf that is not there; ``raw`` is made first."""

    def change(self, shelf: Shelf, days: int | None) -> None:
        """Keep a shelf that is there for another time."""

    def finish(self) -> list[str]:
        """Do what remains once all shelves are there, and return the names of what was made for it."""

    def close(self) -> None:
        """Release connections."""


def initialise(admin: StoreAdmin, wanted: Mapping[Shelf, int | None], *, shorten: bool = False) -> list[Step]:
    """Bring a store to the wanted retention. Doing it again changes nothing.

    Parameters
    ----------
    admin : StoreAdmin
        Of the store.
    wanted : Mapping[Shelf, int | None]
        Days for each shelf, None for ever.
    shorten : bool
        Also shorten a retention. Without it such a shelf is left as it is and comes back as ``refused``.

    Returns
    -------
    list[Step]
        One for each shelf.
    """
    found = admin.found()
    steps = []
    for shelf in SHELVES:
        held, days = found.get(shelf), wanted[shelf]
        if held is None:
            admin.make(shelf, days)
            steps.append(Step(shelf, admin.container(shelf), None, days, "made"))
            continue
        action = _action(held.days, days, shorten=shorten)
        if action in {"extended", "shortened"}:
            admin.change(shelf, days)
        steps.append(Step(shelf, held.container, held.days, days, action))
    return steps


def _action(found_d: int | None, days: int | None, *, shorten: bool) -> Action:
    if found_d == days:
        return "kept"
    if days is None or (found_d is not None and days > found_d):
        return "extended"
    return "shortened" if shorten else "refused"


class EmbeddedAdmin:
    """Sets up the embedded file: its retention is a table in it, which the roll-up job obeys."""

    def __init__(self, path: Path) -> None:
        self._store = EmbeddedStore(path)

    def found(self) -> dict[Shelf, Keeping]:
        """Return all shelves of a file that is there, none of one that is not."""
        if not self._store.path.exists():
            return {}
        self._store.prepare()
        kept_d = self._store.retention()
        return {shelf: Keeping(str(self._store.path), kept_d.get(shelf)) for shelf in SHELVES}

    def container(self, _shelf: Shelf) -> str:
        """Return the file."""
        return str(self._store.path)

    def make(self, shelf: Shelf, days: int | None) -> None:
        """Make the file where missing and note the retention of a shelf."""
        self._store.prepare()
        self._store.keep(shelf, days)

    def change(self, shelf: Shelf, days: int | None) -> None:
        """Note another retention."""
        self._store.keep(shelf, days)

    def finish(self) -> list[str]:
        """Nothing remains."""
        return []

    def close(self) -> None:
        """Close the file."""
        self._store.close()
