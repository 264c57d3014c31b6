"""SIGTERM as Ctrl-C: whoever is told to stop cleans up first."""

import signal
from typing import Any


def interrupt_on_signals() -> None:
    """Raise KeyboardInterrupt at the first SIGTERM or SIGINT; a second signal does not disturb the stopping."""

    def stop(_number: int, _frame: Any) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
