"""Waiting for what is down, by what its error says and not by whose error it is."""

import logging
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

from square import outage
from square.outage import Outage


class TroubleError(Exception):
    """Stands in for the error of any store."""

    def __init__(self, message: str, *, retryable: bool = True, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after_s = retry_after_s


class Stop(threading.Event):
    """Notes the pauses instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout or 0.0)
        return self.is_set()


def failing(*errors: Exception) -> Callable[[], str]:
    """Return a call that raises each error once and then succeeds."""
    script = list(errors)

    def call() -> str:
        if script:
            raise script.pop(0)
        return "done"

    return call


def waiting(**values: Any) -> tuple[Outage, Stop]:
    stop = Stop()
    return Outage("store", stop, rng=random.Random(1), **values), stop


def test_a_retryable_error_is_waited_for_with_growing_jittered_pauses() -> None:
    """Pauses lie below a bound that doubles up to 30 s; the result of the success comes back."""
    held, stop = waiting()
    assert held.persist(failing(*[TroubleError("down")] * 20)) == "done"
    bounds = [min(outage.BACKOFF_MAX_S, outage.BACKOFF_MIN_S * 2**n) for n in range(20)]
    assert all(pause <= bound for pause, bound in zip(stop.pauses, bounds, strict=True))
    assert max(stop.pauses) > 10
    assert len(set(stop.pauses)) == 20, "full jitter: no two alike"
    assert held.reason == str(held) == ""


def test_the_servers_own_pause_is_kept_up_to_half_a_minute() -> None:
    """A server that names a pause gets at least that, and cannot make us wait for an hour."""
    held, stop = waiting()
    held.persist(failing(TroubleError("busy", retry_after_s=7.0), TroubleError("busy", retry_after_s=3600.0)))
    assert stop.pauses == [7.0, 30.0]


def test_a_refusal_waits_for_a_person_or_is_passed_on() -> None:
    """The caller chooses: at the start the operator hears it at once, later it is looked at every 30 s."""
    held, stop = waiting()
    assert held.complete(failing(TroubleError("401", retryable=False)))
    assert stop.pauses == [outage.REFUSED_RETRY_S]
    with pytest.raises(TroubleError):
        held.persist(failing(TroubleError("401", retryable=False)), raise_refused=True)


def test_only_expected_errors_are_waited_for() -> None:
    """A fault of our own passes through where it is not expected, and is waited for where it is."""
    held, _ = waiting(expects=TroubleError)
    with pytest.raises(ZeroDivisionError):
        held.persist(failing(ZeroDivisionError()))
    patient, stop = waiting()
    assert patient.persist(failing(ZeroDivisionError()), raise_refused=True) == "done"
    assert stop.pauses == [outage.REFUSED_RETRY_S]


def test_a_stop_ends_the_waiting() -> None:
    """Asked to stop, nothing is called any more and nothing is reported as done."""
    held, stop = waiting()
    calls = []

    def call() -> None:
        calls.append(1)
        stop.set()
        raise TroubleError("down")

    assert not held.complete(call)
    assert held.persist(failing()) is None
    assert calls == [1]
    assert "down" in str(held)


def test_the_same_reason_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """An outage of a night is two lines and not a thousand: what is wrong, and that it is over."""
    held, _ = waiting()
    with caplog.at_level(logging.WARNING):
        held.persist(failing(*[TroubleError("down")] * 50))
    assert [record.getMessage() for record in caplog.records] == ["store: down", "store is back after 0 s"]
