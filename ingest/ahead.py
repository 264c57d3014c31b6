"""Reads the next batches while the present ones are being stored.

Reading a batch takes about as long as its share of a write, and most of a write is waiting: done one after the other,
each waits for the other half of the time. So a thread reads ahead, about as much as goes into one write; all that
touches the stores and answers anybody stays in the thread of the worker.

A store takes a row of a large write for half of what it takes for one of a small write. So the more the last group had,
the longer the next one is waited for: a few readings are written at once, a flood gathers.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

LINGER_PER_POINT_S = 0.0001
LINGER_LONGEST_S = 0.2
"""So long a group is waited for, by the size of the one before [s]."""

QUIET_S = 0.05
"""Nothing came for so long: whoever sends has nothing more, or waits for answers [s]."""


class Item(Protocol):
    """Something that was read."""

    @property
    def points(self) -> int:
        """How many points it wants to write."""


T = TypeVar("T", bound=Item)


class Ahead(Generic[T]):
    """What was read and is not taken yet.

    Parameters
    ----------
    read : Callable[[], T | None]
        Waits for a while, and reads the next item; None when there is none.
    max_points : int
        Of one group, and of what waits for the next one. An item without points counts as one.
    stopping : threading.Event
        Ends the thread when set.
    """

    def __init__(self, read: Callable[[], T | None], max_points: int, stopping: threading.Event) -> None:
        self._read = read
        self._max_points = max_points
        self._stopping = stopping
        self._is_over = False
        self._items: deque[T] = deque()
        self._points = 0
        self._taken_points = 0  # of the last group
        self._changed = threading.Condition()
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="ahead", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def take(self, timeout_s: float, linger_s: float) -> list[T]:
        """Take a group, in order.

        Parameters
        ----------
        timeout_s : float
            How long to wait for the first item [s].
        linger_s : float
            How long to wait for more of them at least [s], as long as they come; after a large group longer. With 0
            nobody waits.

        Raises
        ------
        BaseException
            What ended the thread, once all that it had read is taken.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._fault is not None, timeout_s)
            if not self._items and self._fault is not None:
                raise self._fault
            if linger_s:
                linger_s = max(linger_s, min(LINGER_LONGEST_S, self._taken_points * LINGER_PER_POINT_S))
            until_s = time.monotonic() + linger_s
            while self._items and self._points < self._max_points and (left_s := until_s - time.monotonic()) > 0:
                if not self._changed.wait(min(left_s, QUIET_S)):
                    break
            group: list[T] = []
            points = 0
            while self._items and points < self._max_points:
                group.append(self._items.popleft())
                points += max(1, group[-1].points)
            self._points -= points
            self._taken_points = points
            self._changed.notify_all()
        return group

    def step(self) -> bool:
        """Read one item; whether there was one."""
        item = self._read()
        if item is None:
            return False
        with self._changed:
            self._items.append(item)
            self._points += max(1, item.points)
            self._changed.notify_all()
        return True

    def stop(self) -> None:
        """End the thread; what nobody took is nobody's: it comes again."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        self._thread.join(5.0)

    def _ends(self) -> bool:
        return self._is_over or self._stopping.is_set()

    def _run(self) -> None:
        try:
            while not self._ends():
                with self._changed:
                    has_room = self._changed.wait_for(lambda: self._points < self._max_points, 0.5)
                if has_room:
                    self.step()
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits for a group
            with self._changed:
                self._fault = error
                self._changed.notify_all()
