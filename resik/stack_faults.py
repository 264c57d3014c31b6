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
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from resik.process import Child
from resik.stack_hop import Hop
from simulators.faults import KINDS, MOMENTS, Fault, FaultScript
from square.clock import ClockDriver

_log = logging.getLogger(__name__)

TARGETS = ("broker", "gateway", "uplink", "store", "disk", "clock")
LOCK_PERIOD_S = 10.0
"""An embedded store that refuses a share of the writes is locked for this share of each such time [wall s]."""
LOCK_WITHIN_S = 0.5
HTTP_STORES = frozenset({"influx1", "influx1+http", "influx2", "influx2+http"})
"""Schemes of stores that are asked over HTTP without TLS: a hop can stand before them."""
_STORE_PORT = 8086


class Actor(ABC):
    """One kind of fault, as something that begins, lasts and ends."""

    @abstractmethod
    def begin(self, strength: float) -> None:
        """Let it happen."""

    def look(self) -> None:  # noqa: B027 - most have nothing to do
        """Do what has to be done again and again while it lasts."""

    def end(self) -> None:  # noqa: B027 - a moment has no end
        """Let everything be as before."""


class Dead(Actor):
    """A process is killed, and stays dead."""

    def __init__(self, child: Child) -> None:
        self._child = child

    def begin(self, strength: float) -> None:  # noqa: ARG002 - dead is dead
        """Kill it."""
        self._child.hold()

    def end(self) -> None:
        """Start it again."""
        self._child.release()


class NoSpace(Actor):
    """Processes cannot write a byte more to any file (getrlimit(2), RLIMIT_FSIZE), as on a full disk."""

    def __init__(self, children: Callable[[], list[Child]]) -> None:
        self._children = children

    def _limit(self, soft: int | None) -> None:
        """Set the limit of each process that lives; None for our own, which they had from us."""
        ours, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        for child in self._children():
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


class Cut(Actor):
    """A line lets nothing through."""

    def __init__(self, hop: Hop) -> None:
        self._hop = hop

    def begin(self, strength: float) -> None:  # noqa: ARG002 - cut is cut
        """Cut it."""
        self._hop.cut()

    def end(self) -> None:
        """Mend it."""
        self._hop.mend()


class Slow(Actor):
    """A line lets everything through, later by so many square seconds."""

    def __init__(self, hop: Hop, speed: Callable[[], float]) -> None:
        self._hop = hop
        self._speed = speed

    def begin(self, strength: float) -> None:
        """Slow it."""
        self._hop.slow(strength / max(1.0, self._speed()))

    def end(self) -> None:
        """Let it be fast."""
        self._hop.slow(0.0)


class Unreachable(Actor):
    """A store behind a hop hangs up on everybody."""

    def __init__(self, hop: Hop) -> None:
        self._hop = hop

    def begin(self, strength: float) -> None:  # noqa: ARG002 - down is down
        """Hang up."""
        self._hop.take_down()

    def end(self) -> None:
        """Answer again."""
        self._hop.bring_up()


class Refusing(Actor):
    """A store behind a hop refuses a share of the requests."""

    def __init__(self, hop: Hop) -> None:
        self._hop = hop

    def begin(self, strength: float) -> None:
        """Refuse."""
        self._hop.refuse(strength)

    def end(self) -> None:
        """Take all again."""
        self._hop.refuse(0.0)


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


class Jump(Actor):
    """The square's clock is set, once."""

    def __init__(self, jump: Callable[[float], None]) -> None:
        self._jump = jump

    def begin(self, strength: float) -> None:
        """Set it forward by so many seconds, or back."""
        self._jump(strength)


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
        is_struck = bool(script.of("uplink")) and broker_port is not None
        self.uplink = Hop("127.0.0.1", broker_port) if is_struck and broker_port is not None else None
        self.store = _hop_for_store(store_url) if script.of("store") else None
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
        ("gateway", "down"): Dead(children["gateway"]),
        ("gateway", "full-disk"): NoSpace(lambda: [children["gateway"]]),
        ("disk", "full"): NoSpace(lambda: ours),
    }
    if "broker" in children:
        actors["broker", "down"] = Dead(children["broker"])
    if ways.uplink is not None:
        actors["uplink", "cut"] = Cut(ways.uplink)
        actors["uplink", "slow"] = Slow(ways.uplink, clock.speed if clock is not None else lambda: 1.0)
    if ways.store is not None:
        actors["store", "down"], actors["store", "rejects"] = Unreachable(ways.store), Refusing(ways.store)
    elif ways.store_url.startswith("sqlite:"):
        actors["store", "down"], actors["store", "rejects"] = Locked(points), Locked(points)
    if clock is not None:
        actors["clock", "jump"] = Jump(lambda by_s: clock.set(clock.now_s() + by_s, clock.speed()))
    return actors


def _hop_for_store(store_url: str) -> Hop | None:
    """Return a hop, not opened yet, to a store over plain HTTP; None for another one."""
    parts = urlsplit(store_url)
    if parts.scheme not in HTTP_STORES or parts.hostname is None:
        return None
    return Hop(parts.hostname, parts.port or _STORE_PORT)


def _through(hop: Hop, url: str) -> str:
    """Return a URL that leads over a hop."""
    parts = urlsplit(url)
    user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    return urlunsplit(parts._replace(netloc=f"{user}127.0.0.1:{hop.port}"))
