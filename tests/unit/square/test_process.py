"""What ends a service process."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from square.process import stop_on_signals


@pytest.fixture
def handlers() -> Iterator[None]:
    """Put the signal handlers of the test run back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_both_signals_ask_to_stop(number: signal.Signals) -> None:
    """A supervisor's SIGTERM and a person's Ctrl-C set the event, and nothing is raised."""
    stop = threading.Event()
    stop_on_signals(stop)
    os.kill(os.getpid(), number)
    assert stop.wait(5)


@pytest.mark.usefixtures("handlers")
def test_another_thread_than_the_main_one_is_left_alone() -> None:
    """A service that runs in a thread of a test or a tool starts without touching the signals."""
    before = signal.getsignal(signal.SIGTERM)
    failures: list[Exception] = []

    def call() -> None:
        try:
            stop_on_signals(threading.Event())
        except ValueError as error:
            failures.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join(5)
    assert failures == []
    assert signal.getsignal(signal.SIGTERM) is before
