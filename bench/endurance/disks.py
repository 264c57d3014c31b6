"""Check 9: the disk is full under the spool, under the store, under the dead letters, under the alert engine's store.

As root a small disk in memory is filled to the last byte. Without root the kernel refuses every write of one process to
a file (RLIMIT_FSIZE), which gateway and ingest see as a disk that takes nothing; InfluxDB would end by that, so for its
part root is needed.
"""

import contextlib
import os
import resource
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from bench.endurance.fleet import Fleet
from bench.endurance.parts import NotHere, Part, Trouble, readings_judged, start_all, wait_for
from bench.endurance.stage import Stage

RECOVER_LIMIT_S = 30.0
PATIENCE_S = 12.0
"""How long InfluxDB gets to recover by itself [s]: ingest tries again after a few seconds."""
NOTICE_WITHIN_S = 60.0


class Disk(Protocol):
    """Something that can be full."""

    def fill(self) -> None:
        """Leave no room; again when some was freed meanwhile."""

    def relieve(self) -> None:
        """Give the room back."""


class SmallDisk:
    """A disk of some MB in memory.

    Parameters
    ----------
    folder : Path
        Where it is mounted.
    size_kib : int
        Its size [KiB].
    """

    def __init__(self, folder: Path, size_kib: int) -> None:
        if os.geteuid() != 0:
            raise NotHere("mounting a small disk needs root")
        folder.mkdir(parents=True)
        self.folder = folder
        words = ["mount", "-t", "tmpfs", "-o", f"size={size_kib}k", "tmpfs", str(folder)]
        mounted = subprocess.run(words, check=False, capture_output=True, text=True)
        if mounted.returncode:
            raise NotHere(f"this machine does not let us mount a small disk: {mounted.stderr.strip()}")

    def fill(self) -> None:
        """Leave no byte free."""
        with (self.folder / "ballast").open("ab", buffering=0) as file:
            for size in (65_536, 4_096, 512, 1):
                try:
                    while file.write(b"\0" * size):
                        pass
                except OSError:
                    continue

    def relieve(self) -> None:
        """Give the room back."""
        (self.folder / "ballast").unlink(missing_ok=True)

    def unmount(self) -> None:
        """Take the disk away."""
        subprocess.run(["umount", "-l", str(self.folder)], check=False)


class NoWrites:
    """A process to which the kernel refuses every write to a file, for as long as it is full."""

    def __init__(self, part: Callable[[], Part]) -> None:
        self._part = part

    def fill(self) -> None:
        """Refuse."""
        self._limit(1)

    def relieve(self) -> None:
        """Allow."""
        self._limit(resource.RLIM_INFINITY)

    def _limit(self, size: int) -> None:
        pid = self._part().pid
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size if size == 1 else hard, hard))


def _disk_under(stage: Stage, name: str, size_kib: int, part: Callable[[], Part]) -> tuple[Disk, Path]:
    """Return what can be full, and the folder for the files on it."""
    folder = stage.folder / f"disk-{name}"
    try:
        disk = SmallDisk(folder, size_kib)
    except NotHere as lack:
        folder.mkdir(exist_ok=True)
        stage.note(f"{lack}: instead the kernel refused every write of the process")
        return NoWrites(part), folder
    stage.defer(disk.unmount)
    return disk, folder


def _serve(stage: Stage, data: Path | None = None) -> tuple[Fleet, Part, Part, Part, int]:
    """Start the chain and a flow; return devices, gateway, ingest, InfluxDB and its port."""
    chain = stage.chain
    _, port = chain.broker()
    influxd, store_port = chain.influxd(data)
    gateway = chain.gateway(port, settings={"DISK_WARN_PCT": "15", "DISK_STOP_PCT": "5"})
    ingest = chain.ingest(port, store_port)
    start_all(gateway, ingest)
    stage.defer(chain.close)  # before the disks go
    fleet = stage.fleet(port, devices=50, resend_s=1.0)
    fleet.flow(300, 5)
    wait_for(lambda: ingest.counts().get("stored", 0) > 0, 60, "a flow")
    return fleet, gateway, ingest, influxd, store_port


def _conclude(stage: Stage, fleet: Fleet, services: tuple[Part, Part], store_port: int, took_s: float) -> None:
    """Hold the store against the ledger and judge how long it took."""
    gateway, ingest = services
    stage.settle(fleet, gateway)
    stage.reconcile(store_port)
    stage.expect(gateway.is_running and ingest.is_running, "gateway or ingest ended on a full disk")
    stage.expect(took_s <= RECOVER_LIMIT_S, f"{took_s:.0f} s until all was well again")
    stage.note(
        f"all well {took_s:.1f} s after there was room again (limit {RECOVER_LIMIT_S:g} s); no process of ours ended"
    )


def _while_full(stage: Stage, is_seen: Callable[[], bool], what: str, disk: Disk) -> None:
    """Fill a disk until somebody notices, and keep it full for a while."""
    stage.say(f"the disk of the {what} is full")
    stage.fault()

    def seen() -> bool:
        disk.fill()
        return is_seen()

    wait_for(seen, NOTICE_WITHIN_S, f"the full disk of the {what} to be noticed")
    until_s = time.monotonic() + (3.0 if stage.scale == 1 else 1.0)
    while time.monotonic() < until_s:
        disk.fill()
        time.sleep(0.1)


def spool_full(stage: Stage) -> None:
    """Fill the disk of the spool: no ack while it is full."""
    part: list[Part] = []
    disk, folder = _disk_under(stage, "spool", 40_000, lambda: part[0])
    stage.chain.spool = folder / "spool.sqlite3"
    fleet, gateway, ingest, _, store_port = _serve(stage)
    part.append(gateway)
    pids = gateway.pid, ingest.pid
    fleet.flow(3_000, 20)
    _while_full(stage, lambda: "intake stopped" in gateway.reason(), "spool", disk)
    time.sleep(1.5)  # acks that were on their way
    acked = stage.ledger.acked_count
    time.sleep(1.0)
    early = stage.ledger.acked_count - acked
    stage.expect(not early, f"{early} acks while the disk of the spool was full")
    fleet.flow(300, 5)
    disk.relieve()
    started_s = time.monotonic()
    wait_for(
        lambda: "intake stopped" not in gateway.reason() and stage.ledger.acked_count > acked, 60, "intake to go on"
    )
    stage.expect(pids == (gateway.pid, ingest.pid), "a process was started again")
    _conclude(stage, fleet, (gateway, ingest), store_port, time.monotonic() - started_s)


def store_full(stage: Stage) -> None:
    """Fill the disk of InfluxDB: ingest waits, the spool holds."""
    disk = SmallDisk(stage.folder / "disk-store", 100_000)
    stage.defer(disk.unmount)
    fleet, gateway, ingest, influxd, store_port = _serve(stage, disk.folder)
    _while_full(stage, lambda: ingest.counts().get("store_ok") == 0, "store", disk)
    settled = gateway.counts().get("settled_stored", 0)
    disk.relieve()
    started_s = time.monotonic()

    def is_well() -> bool:
        return ingest.counts().get("store_ok") == 1 and gateway.counts().get("settled_stored", 0) > settled

    with contextlib.suppress(Trouble):
        patience_s = PATIENCE_S if stage.scale == 1 else PATIENCE_S / 4
        wait_for(is_well, patience_s, "the store to recover by itself")
    if not is_well():
        # its WAL is written through a buffer of Go that keeps its first error for ever
        influxd.stop()
        influxd.start()
        started_s = time.monotonic()
        stage.note(
            "InfluxDB went on refusing writes although there was room again, until it was restarted, from when on is "
            "counted; meanwhile the spool held everything"
        )
        wait_for(is_well, 60, "ingest to store again")
    _conclude(stage, fleet, (gateway, ingest), store_port, time.monotonic() - started_s)


def letters_full(stage: Stage) -> None:
    """Fill the disk of the dead letters: what cannot be stored is not acknowledged, and what can be waits behind it."""
    part: list[Part] = []
    disk, folder = _disk_under(stage, "letters", 600, lambda: part[0])
    stage.chain.letters = folder / "letters.sqlite3"
    fleet, gateway, ingest, _, store_port = _serve(stage)
    part.append(ingest)
    number = 0

    def is_seen() -> bool:
        nonlocal number
        now_s = int(stage.chain.clock.now_s())
        for _ in range(10):
            number += 1
            body = b'{"v":1,"boot":9,"r":[{"seq":%d,"ts":%d,"state":"sad","pad":"%s"}]}' % (number, now_s, b"x" * 3_000)
            fleet.publish(stage.chain.devices[number % 50], "bin", body)
        return ingest.counts().get("dead_letters_ok") == 0

    _while_full(stage, is_seen, "dead letters", disk)
    settled = gateway.counts().get("settled_dead", 0)
    disk.relieve()
    started_s = time.monotonic()
    wait_for(
        lambda: ingest.counts().get("dead_letters_ok") == 1 and gateway.counts().get("settled_dead", 0) > settled,
        60,
        "dead letters to be taken again",
    )
    took_s = time.monotonic() - started_s
    stage.settle(fleet, gateway)
    dead = int(gateway.counts().get("settled_dead", 0))
    stage.expect(dead == number, f"{dead} of {number} unreadable readings are among the dead letters")
    stage.note(f"{number} unreadable readings filled it; all of them are dead letters now")
    _conclude(stage, fleet, (gateway, ingest), store_port, took_s)


def alerts_full(stage: Stage) -> None:
    """Fill the disk of the relational store: the engine decides nothing and misses nothing; readings are stored on."""
    chain = stage.chain
    part: list[Part] = []
    disk, folder = _disk_under(stage, "alerts", 24_000, lambda: part[0])
    chain.board = folder / "alerts.sqlite3"
    _, port = chain.broker()
    _, store_port = chain.influxd()
    gateway, ingest, alerts = chain.gateway(port), chain.ingest(port, store_port), chain.alerts(port, store_port)
    stage.defer(chain.close)  # before the disks go
    start_all(gateway, ingest, alerts)
    part.append(alerts)
    pids = gateway.pid, ingest.pid, alerts.pid
    fleet = stage.fleet(port, devices=200, resend_s=1.0)
    fleet.flow(300, 5)

    wait_for(lambda: readings_judged(alerts) > 0, 60, "a decision")
    fleet.flow(1_000, 5)  # what its log of changes holds already is written over before it grows
    _while_full(stage, lambda: "alerts.sqlite3" in alerts.reason(), "alert engine", disk)
    decided, stored = readings_judged(alerts), ingest.counts().get("stored", 0)
    wait_for(lambda: ingest.counts().get("stored", 0) > stored, 30, "readings to be stored meanwhile")
    stage.expect(readings_judged(alerts) == decided, "the engine decided something on a full disk")
    fleet.flow(0)
    disk.relieve()
    started_s = time.monotonic()
    wait_for(lambda: alerts.is_well() and readings_judged(alerts) > decided, 60, "the engine to go on")
    took_s = time.monotonic() - started_s
    stage.settle(fleet, gateway)
    made = stage.ledger.count
    wait_for(lambda: readings_judged(alerts) >= made, 90, "the engine to judge every reading")
    judged = readings_judged(alerts)
    stage.expect(judged == made, f"the engine judged {judged:,} readings, {made:,} were made")
    stage.expect(pids == (gateway.pid, ingest.pid, alerts.pid), "a process was started again")
    stage.expect(alerts.is_running, "the alert engine ended on a full disk")
    stage.note(f"{made:,} readings judged, each once; readings were stored while nothing was decided")
    _conclude(stage, fleet, (gateway, ingest), store_port, took_s)
