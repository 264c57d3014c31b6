"""Reading ahead: in order, bounded, and never alive without its thread."""

import threading
import time
from typing import NamedTuple

import pytest

from ingest import ahead as ahead_module
from ingest.ahead import Ahead
from tests.services import wait_until


class Item(NamedTuple):
    number: int
    points: int


class Source:
    """Gives items as long as there are any; `fault` comes after them."""

    def __init__(self, items: list[Item], fault: Exception | None = None) -> None:
        self.items = items
        self.fault = fault

    def read(self) -> Item | None:
        if self.items:
            return self.items.pop(0)
        if self.fault is not None:
            raise self.fault
        time.sleep(0.005)
        return None


def test_items_come_in_order_and_as_many_as_make_a_group() -> None:
    """A group ends with the item that fills it; the thread reads no further than the next one."""
    source = Source([Item(number, 40) for number in range(20)])
    ahead = Ahead(source.read, 100, threading.Event())
    ahead.start()
    wait_until(lambda: len(source.items) == 17, 5, "what makes a group")
    time.sleep(0.05)
    assert len(source.items) == 17, "nobody has taken anything: no more is read"
    seen: list[int] = []
    while len(seen) < 20:
        group = ahead.take(1.0, 0.01)
        assert 1 <= len(group) <= 3
        seen += [item.number for item in group]
    assert seen == list(range(20))
    ahead.stop()


def test_items_without_points_are_bounded_too() -> None:
    """Heartbeats alone fill no memory while the store is away."""
    source = Source([Item(number, 0) for number in range(50)])
    ahead = Ahead(source.read, 10, threading.Event())
    ahead.start()
    wait_until(lambda: len(source.items) == 40, 5, "ten items")
    time.sleep(0.05)
    assert len(source.items) == 40
    ahead.stop()


def test_a_fault_of_the_thread_is_raised_after_what_it_had_read() -> None:
    """The worker settles what was read, then ends: it never waits for a thread that is dead."""
    ahead = Ahead(Source([Item(1, 1)], ZeroDivisionError("fault")).read, 100, threading.Event())
    ahead.start()
    assert ahead.take(1.0, 0.05) == [Item(1, 1)]
    with pytest.raises(ZeroDivisionError):
        ahead.take(5.0, 0.0)
    ahead.stop()


def test_nothing_comes_and_nobody_waits_longer_than_asked() -> None:
    """An empty group after the time for it."""
    ahead = Ahead(Source([]).read, 100, threading.Event())
    ahead.start()
    since_s = time.monotonic()
    assert ahead.take(0.1, 1.0) == []
    assert time.monotonic() - since_s < 0.9
    ahead.stop()


class Trickle:
    """Gives an item each 20 ms, so many of them."""

    def __init__(self, count: int) -> None:
        self.left = count

    def read(self) -> Item | None:
        time.sleep(0.02)
        if not self.left:
            return None
        self.left -= 1
        return Item(self.left, 400)


def test_in_a_flood_groups_grow() -> None:
    """After a large group more is waited for, as long as it comes; nobody waits for longer than a fifth of a second."""
    ahead = Ahead(Trickle(40).read, 5000, threading.Event())
    ahead.start()
    sizes: list[int] = []
    while sum(sizes) < 40:
        sizes.append(len(ahead.take(1.0, 0.005)))
    assert sizes[0] < 4 <= max(sizes), "alone, a batch is written at once"
    ahead.stop()


def test_a_silence_ends_the_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a large group nothing follows: what came is handed out long before the longest wait is over."""
    monkeypatch.setattr(ahead_module, "LINGER_PER_POINT_S", 1.0)
    monkeypatch.setattr(ahead_module, "LINGER_LONGEST_S", 30.0)
    ahead = Ahead(Source([Item(1, 4000), Item(2, 10)]).read, 4000, threading.Event())
    ahead.start()
    assert [item.number for item in ahead.take(1.0, 0.005)] == [1]
    since_s = time.monotonic()
    assert [item.number for item in ahead.take(1.0, 0.005)] == [2]
    assert time.monotonic() - since_s < 10
    ahead.stop()


def test_without_a_linger_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sets the time to nothing gets what is there, also after a large group."""
    monkeypatch.setattr(ahead_module, "LINGER_PER_POINT_S", 1.0)
    monkeypatch.setattr(ahead_module, "LINGER_LONGEST_S", 30.0)
    monkeypatch.setattr(ahead_module, "QUIET_S", 30.0)
    ahead = Ahead(Source([Item(1, 4000), Item(2, 10)]).read, 4000, threading.Event())
    ahead.start()
    since_s = time.monotonic()
    assert [ahead.take(1.0, 0.0)[0].number for _ in range(2)] == [1, 2]
    assert time.monotonic() - since_s < 10
    ahead.stop()
