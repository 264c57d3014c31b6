"""Replays recorded data as if devices sent it: each with its own connection, in time order, at any speed.

The replay drives the square's clock: no process of the stack sees a time later than the newest reading on its way, and
the oldest one that the gateway has not acknowledged is never left far behind. Without a speed the application acks set
the pace: a bounded number of readings is on its way, the next follow when the gateway holds them.
"""

import asyncio
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from simulators.errors import ReplayError
from simulators.fleet import Fleet, NodeRunner
from simulators.node import Ledger, NodeIdentity, VirtualNode
from simulators.replay_map import MapDocument, load_map
from simulators.replay_rows import Recording, Rejected, first_lines, read_files
from simulators.replay_site import build_replay_site
from square.clock import ClockDriver
from square.endpoint import MqttEndpoint

__all__ = [
    "Recording",
    "ReplayProgress",
    "ReplayReport",
    "build_replay_site",
    "first_lines",
    "load_map",
    "read_files",
    "run_replay",
]

IN_FLIGHT_MAX = 2_000
RESEND_AFTER_S = 10.0
STALLED_AFTER_S = 120.0
"""Without any application ack for this long [wall s] the replay gives up."""
_YIELD_EVERY = 500


@dataclass(frozen=True)
class ReplayProgress:
    """How far a replay has come: rows handed to devices, acknowledged, of all; the square's time [s]."""

    sent: int
    acked: int
    total: int
    square_s: float


@dataclass(frozen=True)
class ReplayReport:
    """What became of the rows of a replay, up to the gateway's acknowledgement.

    Attributes
    ----------
    rows_in : int
        Data rows in the files; ``rows_in == len(rejected) + published``.
    rejected : tuple[Rejected, ...]
        Rows that could not be read, with file, line and reason.
    published, acked : int
        Readings that devices sent, and that the gateway holds.
    repeated : int
        Readings that were sent more than once.
    backward_steps : int
        Rows that stood after a later one in their file; they were sorted.
    devices : int
        Devices that sent.
    first_s, last_s : int
        Time of the first and last reading [s since 1970 UTC].
    wall_s : float
        How long it took.
    """

    rows_in: int
    rejected: tuple[Rejected, ...]
    published: int
    acked: int
    repeated: int
    backward_steps: int
    devices: int
    first_s: int
    last_s: int
    wall_s: float


class ReplayClock:
    """The square's time as the replay sets it, for this process and through the driver for all others.

    Parameters
    ----------
    driver
        Writes the shared clock file; None keeps the time to this process.
    now_s
        First moment [s since 1970 UTC]; the clock stands still.
    """

    def __init__(self, driver: ClockDriver | None, now_s: float) -> None:
        self._driver = driver
        self._anchor = (now_s, time.monotonic(), 0.0)
        self.set(now_s, 0.0)

    def now_s(self) -> float:
        """Square time [s since 1970 UTC]."""
        square_s, wall, speed = self._anchor
        return square_s + (time.monotonic() - wall) * speed

    def speed(self) -> float:
        """Square seconds per wall second."""
        return self._anchor[2]

    def set(self, now_s: float, speed: float) -> None:
        """Go on from `now_s` at `speed`, in every process."""
        self._anchor = (now_s, time.monotonic(), speed)
        if self._driver is not None:
            self._driver.set(now_s, speed)


class _Replay:
    """One run: hands rows to nodes as clock and acknowledgements allow."""

    def __init__(
        self,
        recording: Recording,
        fleet: Fleet,
        clock: ReplayClock,
        *,
        speed: float | None,
        max_lag_s: int,
        in_flight_max: int,
        progress: Callable[[ReplayProgress], None] | None,
        downstream_waiting: Callable[[], int] | None,
    ) -> None:
        self._recording = recording
        self._runners: Sequence[NodeRunner] = list(fleet.runners.values())
        self._by_device = fleet.runners
        self._fleet = fleet
        self._clock = clock
        self._speed = speed
        self._max_lag_s = max_lag_s
        self._in_flight_max = in_flight_max
        self._progress = progress
        self._downstream_waiting = downstream_waiting
        self._sent = 0
        self._last_ack = time.monotonic()
        self._acked_seen = 0
        self._reported_at = 0.0

    async def run(self) -> None:
        rows = self._recording.rows
        # Rows of one moment go together: a device then sends them in one message.
        at = 0
        while at < len(rows):
            ts_s = rows[at].ts_s
            await self._until_allowed(ts_s)
            await self._reach(ts_s)
            while at < len(rows) and rows[at].ts_s == ts_s and self._in_flight() < self._in_flight_max:
                row = rows[at]
                runner = self._by_device[row.device]
                runner.node.record(row.ts_s, row.fields)
                runner.changed.set()
                self._sent += 1
                at += 1
            if self._sent % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
        if self._speed is not None:
            self._clock.set(max(rows[-1].ts_s, self._clock.now_s()), 0.0)
        while self._in_flight():
            await self._wait()
        self._report(force=True)

    def _acked(self) -> int:
        return sum(runner.node.acked for runner in self._runners)

    def _in_flight(self) -> int:
        return sum(len(runner.node.queue) for runner in self._runners)

    def _oldest_s(self) -> int | None:
        return min((ts for r in self._runners if (ts := r.node.queue.head_ts()) is not None), default=None)

    async def _until_allowed(self, ts_s: int) -> None:
        """Wait until sending a row of this time keeps the flight bounded in number and in time."""
        held = False
        while (self._in_flight() >= self._in_flight_max) or (
            (oldest_s := self._oldest_s()) is not None and ts_s - oldest_s > self._max_lag_s
        ):
            if self._speed is not None and not held and (now_s := self._clock.now_s()) >= ts_s:
                self._clock.set(now_s, 0.0)  # the chain is slower than the wished speed: the square waits for it
                held = True
            await self._wait()
        if self._downstream_waiting is not None and ts_s - self._clock.now_s() > self._max_lag_s:
            # A long step of the clock: what is on its way behind the gateway is judged at its own time, not after it.
            while await asyncio.to_thread(self._downstream_waiting):
                await self._wait(idle=True)
        if held and self._speed is not None:
            self._clock.set(self._clock.now_s(), self._speed)

    async def _reach(self, ts_s: int) -> None:
        """Bring the square to the time of a row."""
        if self._speed is None:
            if ts_s > self._clock.now_s():
                self._clock.set(ts_s, 0.0)
            return
        if self._clock.speed() == 0.0:
            self._clock.set(self._clock.now_s(), self._speed)
        while (left_s := (ts_s - self._clock.now_s()) / self._speed) > 0:
            await asyncio.sleep(min(left_s, 0.5))
            self._last_ack = time.monotonic()  # nothing may be on its way: pacing is no stall
            self._report()

    async def _wait(self, *, idle: bool = False) -> None:
        """Wait a moment for acknowledgements; give up after a long silence."""
        await asyncio.sleep(0.01)
        acked = self._acked()
        if acked != self._acked_seen or idle:
            self._acked_seen, self._last_ack = acked, time.monotonic()
        self._fleet.check()
        self._report()
        if time.monotonic() - self._last_ack > STALLED_AFTER_S:
            counts = self._fleet.counts()
            raise ReplayError(
                f"no acknowledgement for {STALLED_AFTER_S:.0f} s after {acked} of {len(self._recording.rows)} readings "
                f"({counts.connected} of {len(self._runners)} devices connected, {counts.refused} refusals): "
                "look at the log of the gateway, then replay again"
            )

    def _report(self, *, force: bool = False) -> None:
        if self._progress is None or (not force and time.monotonic() - self._reported_at < 0.2):  # noqa: PLR2004
            return
        self._reported_at = time.monotonic()
        total = len(self._recording.rows)
        self._progress(ReplayProgress(self._sent, self._acked(), total, self._clock.now_s()))


def run_replay(
    doc: MapDocument,
    recording: Recording,
    *,
    broker_url: str,
    passwords: Mapping[str, str],
    driver: ClockDriver | None,
    site_id: str | None = None,
    ledger_file: Path | None = None,
    ca_file: Path | None = None,
    speed: float | None = None,
    in_flight_max: int = IN_FLIGHT_MAX,
    progress: Callable[[ReplayProgress], None] | None = None,
    downstream_waiting: Callable[[], int] | None = None,
) -> ReplayReport:
    """Send a recording and return when the gateway has acknowledged every reading. Blocks; no signal handling.

    Parameters
    ----------
    doc, recording
        Map and what `read_files` read with it.
    broker_url, passwords, ca_file
        The broker, the password of each device id (missing: no user name), the root certificate for TLS.
    driver
        The square's clock, at or before the first row; the replay is its only writer meanwhile.
    site_id
        Site of the topics; the map's own site when absent.
    ledger_file
        Where first publications are noted, see `simulators.node.Ledger`.
    speed
        Square seconds per wall second; None goes as fast as the chain takes it.
    in_flight_max
        Readings without application ack at any moment.
    progress
        Called about five times a second, from this thread.
    downstream_waiting
        Called (from another thread) before the clock makes a long step; the step waits while it returns more than 0.

    Raises
    ------
    ReplayError
        The chain stopped acknowledging.
    """
    if speed is not None and speed <= 0:
        raise ValueError(f"a replay needs a positive speed, not {speed}")
    site = site_id or doc.map.site.id
    if site is None:
        raise ValueError("the map takes an existing site: pass its id as site_id")
    started = time.monotonic()
    clock = ReplayClock(driver, recording.start_s)
    nodes = [
        VirtualNode(
            NodeIdentity(site, device, doc.map.kind, doc.map.site.interval_s),
            None,
            # The same recording gets the same identities and so the same points: a second replay changes nothing.
            boot=zlib.crc32(f"{recording.digest}/{device}".encode()),
            started_s=recording.start_s,
            queue_limit=in_flight_max + 1,
        )
        for device in recording.devices
    ]
    ledger = Ledger(ledger_file)

    async def main() -> Fleet:
        endpoint = MqttEndpoint.from_url(broker_url, ca_file=ca_file)
        fleet = Fleet(nodes, passwords, endpoint, clock, ledger, resend_after_s=RESEND_AFTER_S)
        fleet.start()
        replay = _Replay(
            recording,
            fleet,
            clock,
            speed=speed,
            max_lag_s=doc.map.clock.max_lag_s,
            in_flight_max=in_flight_max,
            progress=progress,
            downstream_waiting=downstream_waiting,
        )
        try:
            await replay.run()
        finally:
            await fleet.stop()
        return fleet

    try:
        counts = asyncio.run(main()).counts()
    finally:
        ledger.close()
    return ReplayReport(
        rows_in=recording.rows_in,
        rejected=tuple(recording.rejected),
        published=counts.published,
        acked=counts.acked,
        repeated=counts.repeated,
        backward_steps=recording.backward_steps,
        devices=len(nodes),
        first_s=recording.start_s,
        last_s=recording.end_s,
        wall_s=time.monotonic() - started,
    )
