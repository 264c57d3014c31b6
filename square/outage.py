"""Patience with something that is down: wait, try again, and be able to say since when.

Errors of every store and broker carry ``retryable`` and ``retry_after_s``; only these decide, so that one class
serves them all.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

_log = logging.getLogger(__name__)

BACKOFF_MIN_S: Final = 0.2
BACKOFF_MAX_S: Final = 30.0
REFUSED_RETRY_S: Final = 30.0
"""Pause after a refusal: only a person can help, and looking now and then notices that one did."""

_DOUBLINGS: Final = 12
"""More would only grow a number that ``BACKOFF_MAX_S`` cuts anyway."""

T = TypeVar("T")


class Outage:
    """Calls something until it answers, and knows what is wrong meanwhile.

    Parameters
    ----------
    name : str
        Of what is called, as people know it.
    stopping : threading.Event
        Ends the waiting.
    expects : type[Exception]
        Errors that are waited for. Others pass through. With the default an error of our own is waited for, too:
        right where ending the process would not save what is in hand.
    rng : random.Random | None
        For the jitter.
    """

    def __init__(
        self,
        name: str,
        stopping: threading.Event,
        *,
        expects: type[Exception] = Exception,
        rng: random.Random | None = None,
    ) -> None:
        self.name = name
        self.reason = ""
        """What is wrong at the moment; empty when nothing is."""
        self._stopping = stopping
        self._expects = expects
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries, no secret
        self._since_s = 0.0

    def persist(self, call: Callable[[], T], *, raise_refused: bool = False) -> T | None:
        """Call until it succeeds, with full-jitter backoff between 0.2 and 30 s.

        Parameters
        ----------
        call : Callable[[], T]
            Repeating it MUST be harmless; its result MUST NOT be None, see :meth:`complete`.
        raise_refused : bool
            Pass on an error that is not retryable, instead of looking every 30 s whether a person has helped.

        Returns
        -------
        T | None
            None when asked to stop before it succeeded.
        """
        attempt = 0
        while not self._stopping.is_set():
            try:
                result = call()
            except self._expects as error:
                is_retryable = getattr(error, "retryable", None)
                if is_retryable is False and raise_refused:
                    raise
                if is_retryable:
                    self._begin(str(error))
                    pause_s = self._rng.uniform(0, min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2**attempt))
                    asked_s: float = getattr(error, "retry_after_s", None) or 0.0
                    pause_s = max(pause_s, min(asked_s, BACKOFF_MAX_S))
                else:
                    is_ours = is_retryable is None
                    why = f"unexpected {type(error).__name__}" if is_ours else "refused, needs a person"
                    self._begin(f"{why}: {error}", exc_info=is_ours)
                    pause_s = REFUSED_RETRY_S
            else:
                self._end()
                return result
            attempt = min(attempt + 1, _DOUBLINGS)
            self._stopping.wait(pause_s)
        return None

    def complete(self, action: Callable[[], object], *, raise_refused: bool = False) -> bool:
        """Do as :meth:`persist` for a call whose result is of no interest; False when asked to stop before it."""

        def acted() -> bool:
            action()
            return True

        return self.persist(acted, raise_refused=raise_refused) is not None

    def _begin(self, reason: str, *, exc_info: bool = False) -> None:
        if not self.reason:
            self._since_s = time.monotonic()
        if reason != self.reason:
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
