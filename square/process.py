"""The life of a service process: what ends it, and what its exit code says to the supervisor."""

import signal
import threading
from typing import Final

EXIT_OK: Final = 0
"""Stopped because somebody asked."""
EXIT_FAULT: Final = 1
"""A fault, or something that is away: a supervisor should start the process again."""
EXIT_SETTINGS: Final = 2
"""A person must change a setting, a file or a credential first: starting again does not help."""


def stop_on_signals(stop: threading.Event) -> None:
    """Set ``stop`` on SIGTERM and SIGINT.

    Only the main thread of a process may handle signals; called from another one this does nothing, and whoever
    started that thread sets ``stop``.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
