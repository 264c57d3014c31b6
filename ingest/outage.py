"""Patience with a store that is down: wait, try again, and be able to say since when."""

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

from ingest.errors import StoreRefused, StoreUnavailable

_log = logging.getLogger(__name__)

BACKOFF_MIN_S: Final = 0.2
BACKOFF_MAX_S: Final = 30.0
REFUSED_RETRY_S: Final = 30.0
"""Pause after a refusal: only a person can help, and looking now and then notices that one did."""

_DOUBLINGS: Final = 12
"""More would only grow a number that ``BACKOFF_MAX_S`` cuts anyway."""

T = TypeVar("T")


class Outage:
    """Calls a store until it answers, and knows what is wrong meanwhile.

    Parameters
    ----------
    name : str
        Of the store, as people know it.
    stopping : threading.Event
        Ends the waiting.
    rng : random.Random
        For the jitter.
    """

    def __init__(self, name: str, stopping: threading.Event, rng: random.Random) -> None:
        self.name = name
        self.reason = ""
        """What is wrong at the moment; empty when nothing is."""
        self._stopping = stopping
        self._rng = rng
        self._since_s = 0.0

    def persist(self, call: Callable[[], T], *, raise_refused: bool = False) -> T | None:
        """Call until it succeeds, with full-jitter backoff between 0.2 and 30 s.

        Parameters
        ----------
        call : Callable[[], T]
            Repeating it MUST be harmless; its result MUST NOT be None.
        raise_refused : bool
            Pass a refusal on instead of waiting for a person.

        Returns
        -------
        T | None
            None when asked to stop before it succeeded.
        """
        attempt = 0
        while not self._stopping.is_set():
            try:
                result = call()
            except StoreUnavailable as error:
                self._begin(str(error))
                pause_s = self._rng.uniform(0, min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2**attempt))
                pause_s = max(pause_s, min(error.retry_after_s or 0.0, BACKOFF_MAX_S))
            except StoreRefused as error:
                if raise_refused:
                    raise
                self._begin(f"refused, needs a person: {error}")
                pause_s = REFUSED_RETRY_S
            except Exception as error:  # noqa: BLE001 - nothing is acknowledged, and a person must see it
                self._begin(f"unexpected {type(error).__name__}: {error}", exc_info=True)
                pause_s = REFUSED_RETRY_S
            else:
                self._end()
                return result
            attempt = min(attempt + 1, _DOUBLINGS)
            self._stopping.wait(pause_s)
        return None

    def _begin(self, reason: str, *, exc_info: bool = False) -> None:
        if not self.reason:
            self._since_s = time.monotonic()
        _log.error("%s: %s", self.name, reason, exc_info=exc_info)
        self.reason = reason

    def _end(self) -> None:
        if self.reason:
            _log.warning("%s is back after %.0f s", self.name, time.monotonic() - self._since_s)
        self.reason = ""

    def __str__(self) -> str:
        if not self.reason:
            return ""
        return f"{self.name}, for {time.monotonic() - self._since_s:.0f} s: {self.reason}"
