"""Faults of a running stack: what a fault script says of broker, gateway, uplink, store, disk and clock, done to it.

Truthfully: processes are killed and stay dead, lines are cut between them, disks take no byte more. What a script says
of nodes and crews is the simulator's affair.
"""

import contextlib
import logging
import resource
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from ingest.stores import plain_http_address
from resik.process import Child
from resik.stack_hop import Hop
from simulators.faults import KINDS, MOMENTS, Fault, FaultScript
from square.clock import ClockDriver

_log = logging.getLogger(__name__)

TARGETS = ("broker", "gateway", "uplink", "store", "disk", "clock")
LOCK_PERIOD_S = 10.0
"""An embedded store that refuses a share of the writes is locked for this share of each such time [wall s]."""
LOCK_WITHIN_S = 0.5


class Actor(ABC):
    """One kind of fault, as something that begins, lasts and ends."""

    @abstractmethod
    def begin(self, strength: float) -> None:
        """Let it happen."""

    def look(self) -> None:  # noqa: B027 - most have nothing to do
        """Do what has to be done again and again while it lasts."""

    def end(self) -> None:  # noqa: B027 - a moment has no end
        """Let everything be as before."""


class Switch(Actor):
    """What one call begins, given the strength, and another one ends."""

    def __init__(self, on: Callable[[float], None], off: Callable[[], None] | None = None) -> None:
        self._on = on
        self._off = off

    def begin(self, strength: float) -> None:
        """Switch it on."""
        self._on(strength)

    def end(self) -> None:
        """Switch it off; a moment has no end."""
        if self._off is not None:
            self._off()


def dead(child: Child) -> Actor:
    """Return the death of a process: it is killed, and stays dead until it is started again."""
    return Switch(lambda _strength: child.hold(), child.release)


class NoSpace(Actor):
    """Processes cannot write a byte more to any file (getrlimit(2), RLIMIT_FSIZE), as on a full disk."""

    def __init__(self, children: Sequence[Child]) -> None:
        self._children = children

    def _limit(self, soft: int | None) -> None:
        """Set the limit of each process that lives; None for our own, which they had from us."""
        ours, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        for child in self._children:
            pid = child.pid
            if pid is not None:
                with contextlib.suppress(OSError):  # it has just ended
                    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
                    resource.prlimit(pid, resource.RLIMIT_FSIZE, (ours if soft is None else soft, hard))

    def begin(self, strength: float) -> None:  # noqa: ARG002 - full is full
        """Take the space."""
        self._limit(0)

    def look(self) -> None:
        """Take it from those that were started meanwhile, too, and whatever another fault gave back."""
        self._limit(0)

    def end(self) -> None:
        """Give it back."""
        self._limit(None)


class Locked(Actor):
    """The file of the embedded store is locked: nobody writes to it, for a share of the time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._share = 1.0
        self._begun_s = 0.0
        self._lock: sqlite3.Connection | None = None

    def begin(self, strength: float) -> None:
        """Lock it."""
        self._share, self._begun_s = strength, time.monotonic()
        self.look()

    def look(self) -> None:
        """Lock and unlock as the share says; a writer that is faster is waited for, a little."""
        is_due = (time.monotonic() - self._begun_s) % LOCK_PERIOD_S < self._share * LOCK_PERIOD_S
        if is_due and self._lock is None and self._path.exists():
            connection = sqlite3.connect(self._path, timeout=LOCK_WITHIN_S, isolation_level=None)
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                connection.close()
                _log.debug("%s could not be locked yet: %s", self._path, error)
            else:
                self._lock = connection
        elif not is_due:
            self.end()

    def end(self) -> None:
        """Unlock it."""
        if self._lock is not None:
            with contextlib.suppress(sqlite3.Error):
                self._lock.execute("ROLLBACK")
            self._lock.close()
            self._lock = None


Actors = Mapping[tuple[str, str], Actor]
"""By target and kind, as in `simulators.faults.KINDS`."""


class StackFaults:
    """Begins and ends what a script says, by the square's time.

    Parameters
    ----------
    script
        It may grow while the stack runs.
    actors
        What can be done to this stack; the rest is told once and left out.
    """

    def __init__(self, script: FaultScript, actors: Actors) -> None:
        self.begun = 0
        """Faults of the stack that have begun so far."""
        self._script = script
        self._actors = actors
        self._acting: dict[tuple[str, str], Fault] = {}
        self._past: set[Fault] = set()
        self._told: set[tuple[str, str]] = set()
        self._looked_s: float | None = None
        self._is_healed = False

    @property
    def acting(self) -> tuple[Fault, ...]:
        """What acts at the moment."""
        return tuple(self._acting.values())

    def look(self, now_s: float) -> None:
        """Let begin and end what is due at this square time; call it a few times a second."""
        if self._is_healed:
            return
        due = {
            (fault.target_kind, fault.kind): fault
            for fault in self._script.faults
            if fault.target_kind in TARGETS and fault.kind not in MOMENTS and fault.is_active(now_s)
        }
        for key in [key for key in self._acting if key not in due]:
            self._end(key)
        for key, fault in due.items():
            if key not in self._acting:
                self._begin(key, fault)
        for key in self._acting:
            self._actors[key].look()
        self._take_moments(now_s)
        self._looked_s = now_s

    def _take_moments(self, now_s: float) -> None:
        """Do what is a moment, once; a clock that was set back does not bring it again."""
        after_s = self._looked_s
        if after_s is None:
            return
        for change in self._script.changes_between(after_s, now_s):
            fault = change.fault
            if change.begins and fault.target_kind in TARGETS and fault.kind in MOMENTS and fault not in self._past:
                self._past.add(fault)
                self._begin((fault.target_kind, fault.kind), fault)
                self._acting.pop((fault.target_kind, fault.kind), None)

    def _begin(self, key: tuple[str, str], fault: Fault) -> None:
        actor = self._actors.get(key)
        if actor is None:
            if key not in self._told:
                self._told.add(key)
                _log.warning("the fault %s %s cannot be done to this stack and is left out", *key)
            return
        _log.warning("fault begins: %s %s (%s)", *key, KINDS[key[0]][key[1]].about)
        self._acting[key] = fault
        self.begun += 1
        actor.begin(fault.strength)

    def _end(self, key: tuple[str, str]) -> None:
        del self._acting[key]
        self._actors[key].end()
        _log.warning("fault ends: %s %s", *key)

    def heal(self) -> None:
        """End everything that acts, and begin nothing more."""
        self._is_healed = True
        for key in list(self._acting):
            self._end(key)


class Ways:
    """Hops in the ways between the processes of a stack, where a script strikes these ways.

    Parameters
    ----------
    script
        What strikes.
    broker_port
        Loopback port of the stack's own broker; None where it has none.
    store_url
        Time-series store.
    """

    def __init__(self, script: FaultScript, broker_port: int | None, store_url: str) -> None:
        self.uplink = Hop("127.0.0.1", broker_port) if broker_port is not None and script.of("uplink") else None
        address = plain_http_address(store_url) if script.of("store") else None
        self.store = None if address is None else Hop(*address)
        self._store_url = store_url

    @property
    def uplink_url(self) -> str | None:
        """Where the gateway sends to; None where it does as ever."""
        return None if self.uplink is None else f"mqtt://127.0.0.1:{self.uplink.port}"

    @property
    def store_url(self) -> str:
        """Where the services find the store."""
        return self._store_url if self.store is None else _through(self.store, self._store_url)

    def _hops(self) -> tuple[Hop, ...]:
        return tuple(hop for hop in (self.uplink, self.store) if hop is not None)

    def open(self) -> None:
        """Begin to pass on."""
        for hop in self._hops():
            hop.open()

    def close(self) -> None:
        """Stop passing on."""
        for hop in self._hops():
            hop.close()


def actors_of(ways: Ways, children: Mapping[str, Child], points: Path, clock: ClockDriver | None) -> Actors:
    """Return what can be done to a stack.

    Parameters
    ----------
    ways
        The hops of the stack.
    children
        Its processes by name; the broker only if it is the stack's own.
    points
        File of the embedded store; not there with another one.
    clock
        The square's time, None in real time.
    """
    ours = [child for name, child in children.items() if name != "simulator"]
    actors: dict[tuple[str, str], Actor] = {
        ("gateway", "down"): dead(children["gateway"]),
        ("gateway", "full-disk"): NoSpace([children["gateway"]]),
        ("disk", "full"): NoSpace(ours),
    }
    if "broker" in children:
        actors["broker", "down"] = dead(children["broker"])
    if (uplink := ways.uplink) is not None:
        speed = clock.speed if clock is not None else lambda: 1.0
        actors["uplink", "cut"] = Switch(lambda _strength: uplink.cut(), uplink.mend)
        actors["uplink", "slow"] = Switch(  # by so many square seconds
            lambda delay_s: uplink.slow(delay_s / max(1.0, speed())), lambda: uplink.slow(0.0)
        )
    if (store := ways.store) is not None:
        actors["store", "down"] = Switch(lambda _strength: store.take_down(), store.bring_up)
        actors["store", "rejects"] = Switch(store.refuse, lambda: store.refuse(0.0))
    elif ways.store_url.startswith("sqlite:"):
        actors["store", "down"], actors["store", "rejects"] = Locked(points), Locked(points)
    if clock is not None:
        actors["clock", "jump"] = Switch(lambda by_s: clock.set(clock.now_s() + by_s, clock.speed()))
    return actors


def _through(hop: Hop, url: str) -> str:
    """Return a URL that leads over a hop."""
    parts = urlsplit(url)
    user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    return urlunsplit(parts._replace(netloc=f"{user}127.0.0.1:{hop.port}"))
