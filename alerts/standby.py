"""Several alert engines for one site: one decides, the others wait for its seat and take over within seconds.

Nothing is agreed between them. Whoever gets the seat opens the stores, reads back what was committed, takes over the
one session that the broker keeps for the engine of this site, and goes on where the last one stopped. Whoever loses it
lets go of all that before it does anything else: two engines on one session would throw each other off.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final, Protocol

from alerts.adapters.database import Database
from alerts.adapters.seat import Seat
from alerts.errors import DatabaseError, SeatLost
from square.health import Health
from square.outage import Outage
from square.process import EXIT_OK

_log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 1.0
"""How often a standby tries the seat [s]."""
DATABASE_NAME: Final = "relational store"


class Term(Protocol):
    """What decides while the seat is held."""

    def serve(self) -> int:
        """Work until stopped; raises :class:`SeatLost` when the seat is gone."""

    def health(self) -> Health:
        """Return what the health page shows."""


class Standby:
    """Waits for the seat, has somebody decide while it is held, and waits again when it was lost.

    Parameters
    ----------
    seat : Seat
        Of the site.
    open_store : Callable[[], Database]
        Opens the relational store; called with the seat, so that one process alone migrates it.
    term : Callable[[Database], AbstractContextManager[Term]]
        Makes what decides, and takes it down.
    service : str
        Name on the health page.
    stop : threading.Event
        Ends everything.
    """

    def __init__(
        self,
        seat: Seat,
        open_store: Callable[[], Database],
        term: Callable[[Database], AbstractContextManager[Term]],
        *,
        service: str,
        stop: threading.Event,
    ) -> None:
        self._seat = seat
        self._open_store = open_store
        self._term = term
        self._service = service
        self._stop = stop
        self._outage = Outage(DATABASE_NAME, stop, expects=DatabaseError)
        self._serving: Term | None = None
        self._is_elsewhere = False
        self._ever_asked = False
        self.seats_lost = 0

    def serve(self) -> int:
        """Decide whenever the seat is ours, until stopped, and return the exit code.

        Raises
        ------
        DatabaseRefused
            If the address or the credentials are wrong at the start.
        """
        while self._await_seat():
            try:
                code = self._decide()
            except SeatLost as error:
                self.seats_lost += 1
                _log.warning("%s: nothing is decided here until it is back", error)
            else:
                return code
            finally:
                self._serving = None
                self._seat.leave()
        self._seat.leave()
        return EXIT_OK

    def _await_seat(self) -> bool:
        """Return once the seat is ours; False when stopped before."""
        while not self._stop.is_set():
            is_ours = self._outage.persist(self._seat.take, raise_refused=not self._ever_asked)
            if is_ours is None:
                return False
            self._ever_asked = True
            if is_ours:
                if self._is_elsewhere:
                    _log.warning("the seat is free: this engine takes over")
                self._is_elsewhere = False
                return True
            if not self._is_elsewhere:
                _log.info("another alert engine decides for this site: standing by")
            self._is_elsewhere = True
            self._stop.wait(LOOK_EVERY_S)
        return False

    def _decide(self) -> int:
        def opened() -> Database:
            self._seat.check()
            return self._open_store()

        database = self._outage.persist(opened, raise_refused=True)
        if database is None:
            return EXIT_OK
        try:
            with self._term(database) as serving:
                self._serving = serving
                return serving.serve()
        finally:
            database.close()

    def health(self) -> Health:
        """Return what the health page shows. Called from another thread; only reads."""
        own: dict[str, int | float] = {"active": int(self._serving is not None), "seats_lost": self.seats_lost}
        if (serving := self._serving) is not None:
            health = serving.health()
            return Health(health.service, health.ok, health.reason, {**own, **health.counts})
        fault = str(self._outage)
        waits = "stands by: another alert engine decides for this site" if self._is_elsewhere else "starting"
        return Health(self._service, not fault, fault or waits, own)
