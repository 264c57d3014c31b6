"""Check 9: the disk is full under the spool, under the store, under the dead letters."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from bench.endurance.fleet import Fleet
from bench.endurance.parts import NotHere, Part, Trouble, wait_for
from bench.endurance.repeats import start
from bench.endurance.stage import Stage

RECOVER_LIMIT_S = 30.0
PATIENCE_S = 12.0
"""How long InfluxDB gets to recover by itself [s]: ingest tries again after a few seconds."""


class SmallDisk:
    """A disk of a few MB in memory, to be filled to the last byte.

    Parameters
    ----------
    folder : Path
        Where it is mounted.
    size_kib : int
        Its size [KiB].
    """

    def __init__(self, folder: Path, size_kib: int) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size_kib}k", "tmpfs", str(folder)],
            check=False,
            capture_output=True,
            text=True,
        )
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


def full(stage: Stage) -> None:
    """Fill each disk in turn under a flow; no ack that is not true, no crash, recovery by itself, nothing lost."""
    if os.geteuid() != 0:
        raise NotHere("mounting small disks needs root")
    chain = stage.chain
    disks = {
        name: SmallDisk(stage.folder / f"disk-{name}", size)
        for name, size in (("spool", 40_000), ("store", 100_000), ("letters", 600))
    }
    for disk in disks.values():
        stage.defer(disk.unmount)
    chain.spool = disks["spool"].folder / "spool.sqlite3"
    chain.letters = disks["letters"].folder / "letters.sqlite3"
    _, port = chain.broker()
    influxd, store_port = chain.influxd(disks["store"].folder)
    gateway = chain.gateway(port, settings={"DISK_WARN_PCT": "15", "DISK_STOP_PCT": "5"})
    ingest = chain.ingest(port, store_port)
    start(gateway, ingest)
    stage.defer(chain.close)  # before the disks go
    pids = [gateway.pid, ingest.pid]
    fleet = stage.fleet(port, devices=50, resend_s=1.0)
    fleet.flow(300, 5)
    wait_for(lambda: ingest.counts().get("stored", 0) > 0, 60, "a flow")
    seconds = {
        "spool": _spool_full(stage, fleet, gateway, disks["spool"]),
        "store": _store_full(stage, fleet, (gateway, ingest, influxd), disks["store"]),
        "dead letters": _letters_full(stage, fleet, (gateway, ingest), disks["letters"]),
    }
    stage.settle(fleet, gateway)
    stage.reconcile(store_port)
    is_alive = pids == [gateway.pid, ingest.pid] and gateway.is_running and ingest.is_running
    stage.expect(is_alive, "gateway or ingest ended on a full disk")
    for what, took_s in seconds.items():
        stage.expect(took_s <= RECOVER_LIMIT_S, f"{what}: {took_s:.0f} s until all was well again")
    stage.note(
        "all well again after space came back: "
        + ", ".join(f"{what} {took_s:.1f} s" for what, took_s in seconds.items())
        + " (limit 30 s); neither gateway nor ingest ended"
    )


def _while_full(stage: Stage, is_seen: Callable[[], bool], what: str, disk: SmallDisk) -> float:
    """Fill a disk until somebody notices, keep it full a while; return when room came back [s]."""
    stage.say(f"the disk of the {what} is full")
    disk.fill()
    stage.fault()
    deadline_s = time.monotonic() + 40

    def seen() -> bool:
        disk.fill()  # what was freed meanwhile, too
        return is_seen() or time.monotonic() > deadline_s

    wait_for(seen, 60, f"the full disk of the {what} to be noticed")
    stage.expect(is_seen(), f"nobody noticed the full disk of the {what}")
    until_s = time.monotonic() + (3.0 if stage.scale == 1 else 1.0)
    while time.monotonic() < until_s:
        disk.fill()
        time.sleep(0.1)
    return time.monotonic()


def _spool_full(stage: Stage, fleet: Fleet, gateway: Part, disk: SmallDisk) -> float:
    fleet.flow(3_000, 20)
    _while_full(stage, lambda: "intake stopped" in gateway.reason(), "spool", disk)
    time.sleep(1.5)  # acks that were on their way
    acked = stage.ledger.acked_count
    time.sleep(1.0)
    stage.expect(
        stage.ledger.acked_count == acked,
        f"{stage.ledger.acked_count - acked} acks while the disk of the spool was full",
    )
    fleet.flow(300, 5)
    disk.relieve()
    started_s = time.monotonic()
    wait_for(
        lambda: "intake stopped" not in gateway.reason() and stage.ledger.acked_count > acked, 60, "intake to go on"
    )
    return time.monotonic() - started_s


def _store_full(stage: Stage, fleet: Fleet, services: tuple[Part, Part, Part], disk: SmallDisk) -> float:
    gateway, ingest, influxd = services
    fleet.flow(300, 5)
    _while_full(stage, lambda: ingest.counts().get("store_ok") == 0, "store", disk)
    settled = gateway.counts().get("settled_stored", 0)
    disk.relieve()
    started_s = time.monotonic()

    def is_well() -> bool:
        return ingest.counts().get("store_ok") == 1 and gateway.counts().get("settled_stored", 0) > settled

    with contextlib.suppress(Trouble):
        wait_for(is_well, PATIENCE_S, "the store to recover by itself")
    if not is_well():
        # its WAL is written through a buffer of Go that keeps its first error for ever
        influxd.stop()
        influxd.start()
        stage.note(
            "InfluxDB went on refusing writes although there was room again, until it was restarted; "
            "meanwhile the spool held everything"
        )
        wait_for(is_well, 60, "ingest to store again")
    return time.monotonic() - started_s


def _letters_full(stage: Stage, fleet: Fleet, services: tuple[Part, Part], disk: SmallDisk) -> float:
    gateway, ingest = services
    boot = 9
    number = 0

    def is_seen() -> bool:
        nonlocal number
        for _ in range(10):
            number += 1
            body = b'{"v":1,"boot":%d,"r":[{"seq":%d,"ts":%d,"state":"sad","pad":"%s"}]}'
            device = stage.chain.devices[number % 50]
            fleet.publish(device, "bin", body % (boot, number, int(stage.chain.clock.now_s()), b"x" * 3_000))
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
    stage.note(f"{number} unreadable readings sent to fill the dead letters")
    return took_s
