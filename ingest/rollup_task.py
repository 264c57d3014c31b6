"""The roll-up job inside the worker's process: now and then, beside the flow of readings, never in its way."""

import logging
import threading
import time
from collections.abc import Callable

from ingest.errors import StoreError
from ingest.rollup import Rolling, RollUp
from ingest.store import TimeSeriesStore

_log = logging.getLogger(__name__)

FIRST_AFTER_S = 30.0
"""A worker that has just started has readings to store first [s]."""

REST_LIMIT_S = 5.0


class RollUpTask:
    """Runs :class:`ingest.rollup.RollUp` in a thread of its own.

    After each piece of work it rests for as long as the work took, so that a long catch-up leaves half of a processor,
    and the store's lock, to the readings. When the store is down it waits for the next turn: what it has to do stands
    in the store.

    Parameters
    ----------
    store : TimeSeriesStore
        Prepared before :meth:`start`.
    site : str
        Tag of its points.
    now_ms : Callable[[], int]
        Square time [ms].
    every_s : int
        Time between two runs [s of wall time]; 0: never, another worker does it.
    offset_s, late_s : int
        As :class:`ingest.rollup.RollUp` has them.
    """

    def __init__(
        self,
        store: TimeSeriesStore,
        site: str,
        now_ms: Callable[[], int],
        *,
        every_s: int,
        offset_s: int,
        late_s: int,
    ) -> None:
        self._now_ms = now_ms
        self._every_s = every_s
        self._stopping = threading.Event()
        self._job = RollUp(store, site, offset_s=offset_s, late_s=late_s, go_on=self._rest)
        self._thread: threading.Thread | None = None
        self.written = 0
        """Hourly and daily points written since the start."""
        self.until_ms: int | None = None
        """End of the hours that are rolled up without a gap, None before the first."""
        self.reason = ""
        """Why the last run ended early; empty when it did not."""

    def start(self) -> None:
        """Begin."""
        if self._every_s:
            self._thread = threading.Thread(target=self._run, name="rollup", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End after the piece in hand."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(30)

    def turn(self) -> None:
        """Run once. Whatever goes wrong is said in :attr:`reason` and tried again at the next turn."""
        started_s = time.monotonic()
        try:
            done = self._job.catch_up(self._now_ms())
        except StoreError as error:
            self._complain(str(error))
            return
        except Exception as error:  # noqa: BLE001 - a fault of ours must not end the thread for good
            self._complain(f"{type(error).__name__}: {error}", exc_info=True)
            return
        self.reason = ""
        self.written += done.hours + done.days
        self.until_ms = done.until_ms
        if done.hours or done.days or done.expired:
            _log.info("rolled up in %.1f s: %s", time.monotonic() - started_s, _words(done))

    def health(self) -> dict[str, int | float]:
        """Return what the health page shows. Roll-ups that wait are no fault of the flow of readings."""
        until_s = -1.0 if self.until_ms is None else self.until_ms / 1000
        return {"rollup_ok": int(not self.reason), "rolled_up_until_s": until_s}

    def _run(self) -> None:
        wait_s = min(FIRST_AFTER_S, self._every_s)
        while not self._stopping.wait(wait_s):
            self.turn()
            wait_s = self._every_s

    def _rest(self, took_s: float) -> bool:
        return not self._stopping.wait(min(took_s, REST_LIMIT_S))

    def _complain(self, reason: str, *, exc_info: bool = False) -> None:
        if reason != self.reason:
            _log.warning("roll-ups wait: %s", reason, exc_info=exc_info)
        self.reason = reason


def _words(done: Rolling) -> str:
    late = f"{done.late_hours} hours again, {done.expired} points expired"
    return f"{done.hours} hourly and {done.days} daily points, {late}"
