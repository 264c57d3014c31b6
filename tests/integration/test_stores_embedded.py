"""The embedded file across processes: kill -9 of the writer, a full disk, readers beside it."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.errors import StoreUnavailable
from ingest.store import Point, TimeSeriesStore
from ingest.stores import open_store
from tests.services import require, wait_until

WRITER = """
import sys
from ingest.store import Point, TimeSeriesStore
from ingest.stores import open_store
store = open_store("sqlite:///" + sys.argv[1])
store.prepare()
batch = 0
while True:
    points = [
        Point("bin", {"site": "alun", "asset": f"bin-{n}", "device": f"dev-{n}", "zone": ""}, batch * 1000 + n,
              {"fill_pct": float(n), "boot": int(sys.argv[2]), "seq": batch * 20 + n + 1})
        for n in range(20)
    ]
    assert store.write(points).stored == 20
    batch += 1
    print(batch * 20, flush=True)
"""


def bin_point(number: int, ts_ms: int) -> Point:
    tags = {"site": "alun", "asset": f"bin-{number:05d}", "device": f"dev-{number}", "zone": ""}
    return Point("bin", tags, ts_ms, {"seq": 1})


def start_writer(path: Path, boot: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path), str(boot)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_kill_of_the_writer_loses_no_acknowledged_point(tmp_path: Path):
    """Five times kill -9 at a random moment: every batch that write() returned for is there, none is there in part."""
    seed = 20261124
    rng = random.Random(seed)
    path = tmp_path / "points.sqlite3"
    for boot in range(5):
        process = start_writer(path, boot)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.uniform(0.05, 0.3))
        process.send_signal(signal.SIGKILL)
        acked = max([20, *(int(line) for line in process.stdout.read().splitlines()[:-1] if line)])
        process.wait()
        reader = open_store(f"sqlite:///{path}", read_only=True)
        reader.prepare()
        found = {s for _, b, s in reader.identities("bin", site="alun", start_ms=0, end_ms=10**12) if b == boot}
        reader.close()
        assert set(range(1, acked + 1)) <= found, f"seed {seed}"
        assert len(found) % 20 == 0
    store = open_store(f"sqlite:///{path}")
    store.prepare()  # quick_check after five crashes
    store.close()


def test_another_process_reads_while_this_one_writes(tmp_path: Path):
    """The dashboard's process sees a batch as soon as write() has returned."""
    path = tmp_path / "points.sqlite3"
    process = start_writer(path, 1)
    try:
        assert process.stdout is not None
        reader = open_store(f"sqlite:///{path}", read_only=True)
        for _ in range(20):
            acked = int(process.stdout.readline())
            assert len(list(reader.identities("bin", site="alun", start_ms=0, end_ms=10**12))) >= acked
            assert len(reader.latest("bin", site="alun")) == 20
        reader.close()
    finally:
        process.kill()
        process.wait()


def test_every_write_returns_after_its_own_sync(tmp_path: Path):
    """The kernel's own record: between two acknowledgements of the writer there is an fdatasync of the log."""
    trace, script = tmp_path / "trace", WRITER.replace("while True:", "while batch < 30:")
    command = [require("strace"), "-f", "-e", "trace=fdatasync,write", "-o", str(trace), sys.executable, "-c", script]
    done = subprocess.run([*command, str(tmp_path / "points.sqlite3"), "1"], check=False, capture_output=True)
    if b"ptrace" in done.stderr:
        pytest.skip("this machine does not allow strace")
    events = re.findall(r"fdatasync\(|write\(1, (?=\"\d)", trace.read_text())
    first = events.index("write(1, ")
    assert events.count("write(1, ") == 30
    assert events[first - 1] == "fdatasync("
    between = "".join("S" if event == "fdatasync(" else "A" for event in events[first:])
    assert "AA" not in between


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a tmpfs of 1 MB, or skip where that is not allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("needs root to mount a small tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_acknowledges_nothing_and_recovers_without_a_restart(small_disk: Path):
    """ENOSPC on a real file system: 'try again', every acknowledged point still there, then it goes on."""
    store = open_store(f"sqlite:///{small_disk / 'points.sqlite3'}")
    store.prepare()
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 300_000)
    acked = 0
    while (stored := _stored(store, ts_ms=acked * 1000)) and acked < 50_000:
        acked += stored
    assert 0 < acked < 50_000
    with pytest.raises(StoreUnavailable):
        store.write([bin_point(n, 10**9 + n) for n in range(2000)])
    assert len(list(store.readings(site="alun", start_ms=0, end_ms=10**12))) == acked
    ballast.unlink()
    wait_until(lambda: _stored(store, ts_ms=10**10) == 50, 10, "the store to take points again")
    assert len(list(store.readings(site="alun", start_ms=0, end_ms=10**12))) == acked + 50
    store.close()


def _stored(store: TimeSeriesStore, ts_ms: int) -> int:
    """Write 50 points; 0 when the store cannot for now."""
    try:
        return store.write([bin_point(ts_ms + n, ts_ms + n) for n in range(50)]).stored
    except StoreUnavailable:
        return 0
