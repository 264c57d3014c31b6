"""What a node costs: bytes, memory, a wake, a day, the check of a signature, and a fleet of two hundred.

Everything runs the real firmware on real MicroPython with an imitated chip, against a real broker and the real gateway;
beside each figure stands its limit, or what the same interpreter takes for doing nothing in the same run. The host has
words of 64 bits: objects take twice the room that they take on an ESP32.

Run: ``python -m bench.firmware [--quick] [--write docs/firmware.md]``. Prints a table and one line of JSON; ``--write``
puts the table between the marks ``measured: begin`` and ``measured: end`` of a page.
"""

import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from resik.ports import free_port
from resik.process import resik_command
from resik.real_nodes import NODE_PARTS, START_S
from resik.release import application_files, compile_files
from simulators.real_folder import NodeFolder, default_source
from simulators.real_node import Boot, RealNode
from simulators.real_spawn import Spawner
from square.clock import ClockDriver
from square.slimming import slim

SITE = "alun-alun-pasuruan"
DEVICES = {"bin": "rsk-b001", "air": "rsk-a01"}
LIMIT_BYTES = 65_536
LIMIT_HEAP_KIB = 96
LIMIT_DAY_S = 2.0
DAY_S = 86_400
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


class Row(NamedTuple):
    """One line of the table: what, how much, and the limit or the floor beside it."""

    what: str
    value: str
    beside: str


@contextlib.contextmanager
def pipe(folder: Path) -> Iterator[tuple[int, ClockDriver]]:
    """Run a broker and the gateway; yields the broker's port and the square's clock."""
    port, health_port = free_port(), free_port()
    clock = ClockDriver(folder / "clock.bin")
    clock.set(START_S, 0.0)
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if program is None:
        raise SystemExit("mosquitto is not installed: run `make services` as root on Debian, or install it")
    configuration = folder / "mosquitto.conf"
    # the embedded broker leaves Nagle's algorithm on, which adds 40 ms to every answer
    configuration.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n")
    settings = {
        "SITE": SITE,
        "CLOCK_FILE": str(folder / "clock.bin"),
        "HEALTH_PORT": str(health_port),
        "BROKER_URL": f"mqtt://127.0.0.1:{port}",
        "SPOOL_FILE": str(folder / "spool.sqlite3"),
        "INTAKE_LINGER_S": "0",  # one node has no company to wait for
        "LOG_LEVEL": "ERROR",
        "DISK_WARN_PCT": "0",
        "DISK_STOP_PCT": "0",
    }
    environment = os.environ | {f"RESIK_GATEWAY_{name}": value for name, value in settings.items()}
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    commands = [[program, "-c", str(configuration)], resik_command("gateway", "run")]
    running = [subprocess.Popen(command, env=environment, **quiet) for command in commands]
    try:
        until = time.monotonic() + 20
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"http://127.0.0.1:{health_port}/healthz").status_code == httpx.codes.OK:
                    break
            if time.monotonic() > until:
                raise SystemExit("the gateway did not start within 20 s: run `resik gateway run` to see why")
            time.sleep(0.05)
        yield port, clock
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait(10)


def make_node(
    folder: Path, spawner: Spawner, kind: str, port: int, *, heap_kib: int = LIMIT_HEAP_KIB, **changes: Any
) -> RealNode:
    """Make a node as provisioning does."""
    config = {
        "v": 1,
        "site": SITE,
        "device": DEVICES[kind],
        "kind": kind,
        "wifi_ssid": "alun-alun",
        "wifi_psk": "bersih-itu-indah",
        "broker_host": "localhost",
        "broker_port": port,
        "broker_tls": False,
        "floor_s": START_S - DAY_S,
        "parts": NODE_PARTS[kind],
    } | changes
    made = NodeFolder.make(folder, config, source=default_source())
    made.set_net(broker={"host": "127.0.0.1", "port": port})
    made.set_world(distance_mm=900, temp_c=31, rh_pct=70, battery_mv=3900, pm1_ugm3=9, pm25_ugm3=14, pm10_ugm3=22)
    return RealNode(made, spawner, unix_ms=START_S * 1000, heap_kib=heap_kib)


def made(boots: list[Boot]) -> int:
    """Return how many readings the node put on flash."""
    return sum(line.startswith("reading ") for boot in boots for line in boot.lines)


def short_of_memory(boots: list[Boot]) -> int:
    """Return how many lines speak of memory that was not there."""
    return sum("memory" in line.lower() for boot in boots for line in boot.lines)


# -- what is measured ------------------------------------------------------------------------------


def bytecode(kind: str) -> int:
    """Return the bytes of all .mpy files of the application slot."""
    return sum(map(len, compile_files(slim(application_files(kind))).values()))


def smallest_heap_kib(folder: Path, spawner: Spawner, kind: str, port: int) -> int:
    """Return the heap [KiB, steps of 4] in which a cold start and three wakes measure and send without a failure."""
    for heap_kib in range(68, 201, 4):
        node = make_node(folder / f"heap-{kind}-{heap_kib}", spawner, kind, port, heap_kib=heap_kib)
        boots = [node.boot() for _ in range(4)]
        slept = all(boot.outcome == "sleep" for boot in boots)
        if slept and made(boots) == len(boots) and not short_of_memory(boots):
            return heap_kib
    return 0


def bare_boot_ms(spawner: Spawner, folder: Path, repeats: int) -> float:
    """Return the wall time of a boot whose program only goes to sleep again: the floor of every wake."""
    program = "import machine\nmachine.deepsleep(600000)\n"
    node = RealNode(NodeFolder.make(folder, {}, files={"main.py": program}), spawner, unix_ms=START_S * 1000)
    return statistics.median(node.boot().real_s for _ in range(repeats)) * 1000


def day(node: RealNode, clock: ClockDriver, hours: float) -> tuple[float, list[Boot]]:
    """Let a node live for hours of its time; returns wall time [s] and its boots."""
    begun = time.monotonic()
    until_ms = node.unix_ms + round(hours * 3_600_000)
    boots = []
    while node.unix_ms < until_ms:
        clock.set(node.unix_ms / 1000, 0.0)
        boots.append(node.boot(limit_s=120))
        if boots[-1].outcome not in {"sleep", "reset"}:
            break
    return time.monotonic() - begun, boots


def signature_ms(heap: str) -> float:
    """Return what the check of one signature takes on MicroPython [ms]."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    key = ec.generate_private_key(ec.SECP256R1())
    numbers = key.public_key().public_numbers()
    public = numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
    r, s = decode_dss_signature(key.sign(b"manifest", ec.ECDSA(hashes.SHA256())))
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    program = (
        "import time\nfrom firmware.core import p256\n"
        f"public, signature = bytes.fromhex('{public.hex()}'), bytes.fromhex('{signature.hex()}')\n"
        "import hashlib\nassert p256.verify(public, hashlib.sha256(b'manifest').digest(), signature)\n"
        "begun = time.ticks_us()\nfor _ in range(20):\n"
        "    p256.verify(public, hashlib.sha256(b'manifest').digest(), signature)\n"
        "print(time.ticks_diff(time.ticks_us(), begun) / 20000)\n"
    )
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
        file.write(program)
        file.flush()
        command = [str(Path(sys.executable).with_name("micropython")), "-X", f"heapsize={heap}", file.name]
        environment = {"MICROPYPATH": f"{default_source().parent}:.frozen"}
        return float(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def fleet(nodes: int, hours: float, folder: Path) -> dict[str, Any]:
    """Run `resik simulate --real-nodes` and return what it says."""
    words = ["--real-nodes", str(nodes), "--hours", str(hours), "--json", "--broker", "embedded", "--data", str(folder)]
    result = subprocess.run(resik_command("simulate", *words), check=False, capture_output=True, text=True)
    if not result.stdout.strip():
        raise SystemExit(f"the fleet said nothing: {result.stderr.strip()[-500:]}")
    found: dict[str, Any] = json.loads(result.stdout.strip().splitlines()[-1])
    return found


# -- the table -------------------------------------------------------------------------------------


def measure(folder: Path, *, quick: bool) -> tuple[list[Row], dict[str, Any]]:
    """Measure everything and return the table and the same as values."""
    rows: list[Row] = []
    values: dict[str, Any] = {}
    hours = 2.0 if quick else 24.0
    for kind in DEVICES:
        values[f"mpy_bytes_{kind}"] = size = bytecode(kind)
        rows.append(Row(f"bytecode of a {kind} node", f"{size:,} B", f"limit {LIMIT_BYTES:,} B"))
    values["signature_ms"] = round(signature_ms("48K"), 1)
    rows.append(Row("check of a P-256 signature, 48 KB of heap", f"{values['signature_ms']} ms", "once an update"))
    with Spawner() as spawner, pipe(folder) as (port, clock):
        floor_ms = bare_boot_ms(spawner, folder / "bare", 5 if quick else 40)
        values["bare_boot_ms"] = round(floor_ms, 1)
        for kind in DEVICES:
            heap = smallest_heap_kib(folder, spawner, kind, port)
            values[f"heap_kib_{kind}"] = heap
            what = f"smallest heap for a start and three wakes, {kind}"
            rows.append(Row(what, f"{heap} KiB" if heap else "above 200 KiB", f"limit {LIMIT_HEAP_KIB} KiB"))
        for sleep, interval in (("deep", {}), ("awake", {"awake_max_s": 90})):
            node = make_node(folder / f"day-{sleep}", spawner, "bin", port, sleep=sleep, **interval)
            seconds, boots = day(node, clock, hours)
            values[f"day_{sleep}"] = {"wall_s": round(seconds, 2), "readings": made(boots), "boots": len(boots)}
            what = f"{hours:g} h of a bin node, sleep {sleep}: {made(boots)} readings in {len(boots)} boots"
            beside = f"limit {LIMIT_DAY_S:g} s a day; {len(boots)} empty boots {len(boots) * floor_ms / 1000:.2f} s"
            rows.append(Row(what, f"{seconds:.2f} s", beside))
            waits = [boot.real_s * 1000 for boot in boots]
            if sleep == "deep" and waits:
                values["wake_ms"] = round(statistics.median(waits), 1)
                rows.append(Row("one wake: measure, send, ack, sleep", f"{values['wake_ms']} ms",
                                f"empty boot {floor_ms:.1f} ms"))  # fmt: skip
    values["fleet"] = found = fleet(20 if quick else 200, 1, folder / "fleet")
    rows.append(
        Row(
            f"{found['nodes']} nodes for an hour through the whole chain",
            f"{found['readings_made']:,} made, {found['stored']:,} stored, {found['lost']} lost, "
            f"{found['duplicated']} duplicated; {found['seconds']} s, {found['rss_mib']} MiB",
            "limit 0 lost, 0 duplicated",
        )
    )
    return rows, values


def page_with(text: str, table: str) -> str:
    """Return a page with the table between its marks."""
    if BEGIN not in text or END not in text:
        raise SystemExit(f"the page has no {BEGIN} and {END}")
    return re.sub(f"{re.escape(BEGIN)}.*{re.escape(END)}", lambda _: f"{BEGIN}\n{table}\n{END}", text, flags=re.DOTALL)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="two hours and twenty nodes")
    parser.add_argument("--write", type=Path, help="page to put the table into")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="resik-bench-") as folder:
        rows, values = measure(Path(folder), quick=arguments.quick)
    lines = ["| what | measured | beside it |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]
    said = f"Measured on {datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, CPython {platform.python_version()}"
    table = f"{said}, by `make bench-firmware`.\n\n" + "\n".join(lines)
    print(table)
    print(json.dumps({"bench": "firmware", **values}))
    if arguments.write is not None:
        arguments.write.write_text(page_with(arguments.write.read_text(encoding="utf-8"), table), encoding="utf-8")


if __name__ == "__main__":
    main()
