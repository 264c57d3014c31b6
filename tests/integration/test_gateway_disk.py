"""A full disk under the spool: no ack while full, no crash, recovery by itself, nothing acked lost."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware import wire
from gateway.disk import DiskWatch
from gateway.errors import SpoolError, SpoolFull
from gateway.messages import UpMessage, read_message
from gateway.spool import Spool
from tests.integration.gateway_process import Fleet, GatewayProcess, Ingest, closing_all, start_broker, wait_settled
from tests.services import wait_until
from tests.unit.gateway.fakes import mark_of
from tests.unit.gateway.old_spools import WAITING, old_file

pytestmark = pytest.mark.service

NOW_MS = 1_795_488_752_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a disk of 1.5 MB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root: run this test as root")
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(folder)], check=False, capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"this machine does not let us mount a tmpfs: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def ballast(folder: Path) -> Path:
    """Fill the disk to the last byte."""
    path = folder / "ballast"
    with path.open("wb", buffering=0) as file:
        for size in (65_536, 4_096, 512, 1):
            try:
                while file.write(b"\0" * size):
                    pass
            except OSError:
                continue
    return path


def message(start: int) -> UpMessage:
    """Return a message with 64 readings from `start`."""
    readings = [{"seq": seq, "ts": 1_795_488_752, "distance_mm": 700} for seq in range(start, start + 64)]
    return read_message("resik/alun-alun/rsk-b001/up/bin", wire.encode_up(7, readings).encode(), NOW_MS)


def test_sqlite_full_is_a_retryable_error_and_nothing_is_lost(small_disk: Path) -> None:
    """Without the low-disk mark in the way: SQLite's own refusal rolls back whole, and space heals it."""
    spool = Spool(small_disk / "s.sqlite3", now_ms=NOW_MS, disk=DiskWatch(small_disk, 0.0, 0.0))
    promised = 0
    for start in range(1, 641, 64):
        promised = spool.put([message(start)]).acks[0].upto
    filler = ballast(small_disk)
    refusal: SpoolError | None = None
    while refusal is None and promised < 60_000:  # pages that are free inside the file are used up first
        try:
            promised = spool.put([message(promised + 1)]).acks[0].upto
        except SpoolError as error:
            refusal = error
    assert refusal is not None
    assert refusal.retryable
    assert isinstance(refusal, SpoolFull) or "does not take writes" in str(refusal)
    assert promised >= 640
    assert mark_of(spool, "rsk-b001", 7) == (promised, [])
    assert spool.waiting == promised
    filler.unlink()
    assert spool.put([message(promised + 1)]).acks[0].upto == promised + 64
    spool.close()
    spool = Spool(small_disk / "s.sqlite3", now_ms=NOW_MS, disk=DiskWatch(small_disk, 0.0, 0.0))
    assert spool.replaced is None
    assert spool.waiting == promised + 64
    spool.close()


def test_an_old_file_on_a_full_disk_is_told_to_whoever_starts_it(small_disk: Path) -> None:
    """Nothing runs yet that could resume by itself; with room the same file opens and holds what it held."""
    path = old_file(small_disk / "s.sqlite3", 3)
    filler = ballast(small_disk)
    with filler.open("r+b") as file:
        file.truncate(filler.stat().st_size - 8192)  # for the write-ahead log to begin, not to end
    with pytest.raises(SpoolFull, match="free space, then start again"):
        Spool(path, now_ms=NOW_MS, disk=DiskWatch(small_disk, 0.0, 0.0))
    filler.unlink()
    spool = Spool(path, now_ms=NOW_MS, disk=DiskWatch(small_disk, 0.0, 0.0))
    assert [row.id for row in spool.take_backlog(0, 10, 10**6, ())] == list(WAITING)
    spool.close()


def test_settling_goes_on_while_a_full_disk_holds_the_brokers_window(small_disk: Path, tmp_path: Path) -> None:
    """One broker for both sides, its window full of un-acked device messages: acks of ingest still come through."""
    broker = start_broker("mosquitto", tmp_path / "broker")
    settings = {"SPOOL_FILE": str(small_disk / "spool.sqlite3"), "DISK_STOP_PCT": "40", "DISK_WARN_PCT": "50"}
    gateway = GatewayProcess(tmp_path, broker.port, settings).start()
    fleet, ingest = Fleet(broker.port), Ingest(broker.port, answers=False)
    with closing_all(broker, gateway, fleet, ingest):
        fleet.measure(5)
        wait_until(lambda: fleet.held == 0, 10, "the first acks")
        wait_until(lambda: bool(ingest.batches), 10, "a batch")
        filler = ballast(small_disk)
        os.truncate(filler, filler.stat().st_size - 300_000)  # below the mark, and room for SQLite to note an ack
        wait_until(lambda: "intake stopped" in gateway.reason(), 20, "the disk to be noticed")
        for number in range(1500):  # more than the 1,000 that the broker sends without a PUBACK
            fleet.publish("rsk-b001", "will", b'{"v":1,"boot":%d}' % number)
        wait_until(lambda: gateway.counts()["messages"] >= 1000, 20, "the window to be full")
        for batch in list(ingest.batches):
            ingest.ack(batch)
        wait_until(lambda: gateway.counts()["settled_stored"] == 25, 10, "the acks of ingest to be settled")
        assert "intake stopped" in gateway.reason()


@pytest.mark.parametrize("stop_pct", ["0", "40"], ids=["until-enospc", "at-the-low-disk-mark"])
def test_a_gateway_on_a_full_disk_waits_and_recovers(small_disk: Path, tmp_path: Path, stop_pct: str) -> None:
    """Devices get no ack while the disk is full; the process stays up and catches up when space returns."""
    broker = start_broker("mosquitto", tmp_path / "broker")
    settings = {
        "SPOOL_FILE": str(small_disk / "spool.sqlite3"), "DISK_STOP_PCT": stop_pct, "DISK_WARN_PCT": "50",
    }  # fmt: skip
    gateway = GatewayProcess(tmp_path, broker.port, settings).start()
    assert gateway.process is not None
    pid = gateway.process.pid
    fleet, ingest = Fleet(broker.port), Ingest(broker.port)
    with closing_all(broker, gateway, fleet, ingest):
        fleet.measure(5)
        wait_until(lambda: fleet.held == 0, 10, "the first acks")
        wait_settled(gateway)
        filler = ballast(small_disk)
        deadline = time.monotonic() + 60
        while "intake stopped" not in gateway.reason() and time.monotonic() < deadline:
            fleet.measure(64)
            time.sleep(0.05)
        assert "intake stopped" in gateway.reason()
        assert not gateway.health()["ok"]
        wait_until(lambda: len(fleet.acked) == gateway.counts()["spooled"], 10, "acks on their way")
        acked_when_full = len(fleet.acked)
        before = gateway.counts()
        fleet.measure(5)
        fleet.resend()
        wait_until(lambda: gateway.counts()["messages"] >= before["messages"] + 10, 10, "the messages to arrive")
        tries = gateway.counts()["commit_failures"]
        wait_until(lambda: gateway.counts()["commit_failures"] >= tries + 2, 10, "two more tries to commit")
        assert len(fleet.acked) == acked_when_full
        assert fleet.held > 0
        filler.unlink()
        wait_until(lambda: "intake stopped" not in gateway.reason(), 30, "intake to go on")
        fleet.settle(60)
        wait_settled(gateway)
        wait_until(lambda: fleet.acked <= ingest.keys(), 20, "everything acked at ingest")
        assert gateway.process.pid == pid
        assert gateway.process.poll() is None
