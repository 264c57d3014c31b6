"""What grows with the number of devices, and how: one square with 10, 100, 1,000 and 10,000 bins.

For each number a square of its own: mosquitto, gateway, ingest, alert engine, dashboard and InfluxDB 1.x as they are
started in production, with their defaults. Every bin sends once; then nothing happens for a while (what does it cost to
stand still?), then messages come at a fixed rate (latency), then as fast as the broker takes them (throughput, CPU per
message), and at the end the map's state is asked for. The number of messages is the same whatever the number of
devices, so what differs is due to the devices.

Run: ``python -m bench.scale [--devices 10,100,1000,10000] [--messages 10000] [--json FILE]``. About three minutes on
two cores. Prints a table and one line of JSON; ends with code 1 when a reading was not stored.
"""

import argparse
import http.client
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from bench import scale_plan
from bench.pipeline import packets
from bench.pipeline.link import Link
from bench.pipeline.load import Outgoing, at_rate, flat_out
from bench.pipeline.stage import DATABASE, BenchError, Stage, find, open_stage, wait_for
from firmware import wire
from ingest.rollup import RollUp
from ingest.store import Point
from ingest.stores import open_store
from resik.ports import free_port
from resik.process import Child, ask_health, resik_command
from resik.reconcile import read_times
from simulators.real_site import build_fleet_site

BOOT: Final = 305_419_896
FULL_SHARE: Final = 50
"""One bin of so many is full, and has an incident and a task."""
RATE_PER_S: Final = 500
RATE_FOR_S: Final = 5.0
IDLE_S: Final = 4.0
STATE_REQUESTS: Final = 20
WITHIN_S: Final = 120.0
OURS: Final = ("gateway", "ingest", "alerts", "dashboard")
STORAGE_DEVICES: Final = 200
STORAGE_DAYS: Final = 14
STORAGE_INTERVAL_S: Final = 600
COMPACT_S: Final = 4.0
COLD_SETTINGS: Final = (
    "INFLUXDB_DATA_CACHE_SNAPSHOT_WRITE_COLD_DURATION",
    "INFLUXDB_DATA_COMPACT_FULL_WRITE_COLD_DURATION",
)
"""A shard that nobody wrote to for so long is put into order: by default ten minutes and four hours."""


class Fleet:
    """Bins that report in turn, ``seq`` by ``seq``; what was sent is numbered through.

    Parameters
    ----------
    site : str
        Its id.
    devices : int
        How many.
    messages : int
        How many will be sent in all, so that the last is of now.
    """

    def __init__(self, site: str, devices: int, messages: int) -> None:
        self.devices = devices
        self._site = site
        self._start_s = int(time.time()) - messages // devices - 10

    def identity(self, number: int) -> tuple[str, int, int]:
        """Device, boot and seq of a reading."""
        return f"rsk-b{number % self.devices + 1:04d}", BOOT, 1 + number // self.devices

    def packet(self, number: int) -> bytes:
        """Encode a reading as a node does, in a PUBLISH with QoS 1."""
        device, boot, seq = self.identity(number)
        index = number % self.devices
        distance_mm = 300 if index % FULL_SHARE == 0 else 500 + index * 7 % 400
        reading = {
            "seq": seq,
            "ts": self._start_s + seq,
            "distance_mm": distance_mm,
            "temp_cdeg": 2900 + index % 400,
            "battery_mv": 3600 + index % 300,
            "rssi_dbm": -50 - index % 40,
            "quality": 4,
            "state": "ok",
        }
        text: str = wire.encode_up(boot, [reading], seq, 5021)
        return packets.publish(
            wire.topic_up(self._site, device, "bin"), text.encode(), number % packets.MAX_PACKET_ID + 1
        )


class City:
    """All services of one square on a stage, and what they say."""

    def __init__(self, stage: Stage, devices: int) -> None:
        self.stage = stage
        self.trace = stage.folder / "stored.csv"
        self.dashboard_port = free_port()
        build_fleet_site(stage.site_folder, devices, kinds=("bin",), interval_s=600)
        self._children: dict[str, Child] = {}

    def start(self) -> float:
        """Start everything; return how long it took until all answered [s]."""
        folder, began_s = self.stage.folder, time.monotonic()
        store = {"STORE_URL": f"influx1://127.0.0.1:{self.stage.store.port}/{DATABASE}"}
        database = {"DATABASE_URL": f"sqlite:///{folder}/resik.sqlite3"}
        own = {
            "gateway": {"SPOOL_FILE": str(folder / "spool.sqlite3")},
            "ingest": store | {"DEAD_LETTER_FILE": str(folder / "deadletters.sqlite3"), "TRACE_FILE": str(self.trace)},
            "alerts": store | database | {"CREW_LINKS_FILE": str(folder / "links.json")},
            "dashboard": store | database | {"PORT": str(self.dashboard_port)},
        }
        for service, stores in own.items():
            port = self.dashboard_port if service == "dashboard" else free_port()
            values = {"SITE": str(self.stage.site_folder)} | stores
            if service != "dashboard":
                values |= {"BROKER_URL": f"mqtt://127.0.0.1:{self.stage.broker_port}", "HEALTH_PORT": str(port)}
            environment = {f"RESIK_{service.upper()}_{key}": value for key, value in values.items()}
            if service == "dashboard":  # it waits for the engine's tables and fills its board from them
                wait_for(lambda: self._is_well("alerts"), "alerts", 60)
            self._children[service] = self.stage.start(service, resik_command(service, "run"), environment, port)
        for service in own:
            wait_for(lambda service=service: self._is_well(service), service, 60)  # type: ignore[misc]
        return time.monotonic() - began_s

    def _is_well(self, service: str) -> bool:
        self.stage.check()
        port = self._children[service].health_port
        health = None if port is None else ask_health(port)
        if service == "dashboard":
            return health is not None
        return health is not None and health.ok and bool(health.counts.get("uplink_connected", 1))

    def count(self, service: str, name: str) -> float:
        """Return a figure of a service, 0 while it does not answer."""
        port = self._children[service].health_port
        health = None if port is None else ask_health(port)
        return 0.0 if health is None else health.counts.get(name, 0.0)

    def await_stored(self, count: int) -> int:
        """Wait until the store has taken so many readings; return when [ns of wall time]."""
        self._await("ingest", "stored", count)
        self._await("gateway", "waiting", 0)
        return time.time_ns()

    def await_judged(self, count: int) -> None:
        """Wait until the engine has judged so many readings."""
        self._await("alerts", "readings", count)

    def _await(self, service: str, name: str, wanted: int) -> None:
        def is_there() -> bool:
            self.stage.check()
            value = self.count(service, name)
            return value <= 0 if wanted == 0 else value >= wanted

        wait_for(is_there, f"{name} of {service} to be {wanted}", WITHIN_S)

    def rss_mib(self) -> dict[str, float]:
        """Return the present memory of our services [MiB]."""
        found = {}
        for service, child in self._children.items():
            text = Path(f"/proc/{child.pid}/status").read_text(encoding="utf-8")
            found[service] = next(int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("VmRSS"))
        return found

    def state(self) -> tuple[float, int]:
        """Ask for the map's state several times; return the median time [ms] and the size of the answer [bytes]."""
        connection = http.client.HTTPConnection("127.0.0.1", self.dashboard_port, timeout=30)
        took_ms, size = [], 0
        for _ in range(STATE_REQUESTS):
            began_s = time.perf_counter()
            connection.request("GET", "/api/v1/state")
            reply = connection.getresponse()
            size = len(reply.read())
            if reply.status != http.client.OK:
                raise BenchError(f"the state is answered with {reply.status}")
            took_ms.append((time.perf_counter() - began_s) * 1000)
        connection.close()
        return statistics.median(took_ms), size


def measure(parent: Path, devices: int, messages: int) -> dict[str, Any]:
    """Return the figures of one number of devices."""
    rated = int(RATE_PER_S * RATE_FOR_S)
    with open_stage(parent) as stage:
        city = City(stage, devices)
        fleet = Fleet(stage.site, devices, devices + rated + messages)
        usage = stage.usage
        started_s = city.start()
        numbers = iter(range(devices + rated + messages))

        def encoded(count: int) -> list[bytes]:
            return [fleet.packet(next(numbers)) for _ in range(count)]

        with _publisher(stage, encoded(devices)) as outgoing:
            flat_out([outgoing], None)
        city.await_stored(devices)
        city.await_judged(devices)
        time.sleep(1.0)  # tasks, map and logs settle

        usage.reset()
        time.sleep(IDLE_S)
        idle_ms = {name: used * 1000 / IDLE_S for name, used in usage.cpu_s().items()}

        with _publisher(stage, encoded(rated)) as outgoing:
            sent_ns = at_rate([outgoing], None, RATE_PER_S)
        city.await_stored(devices + rated)
        stored_ns = read_times(city.trace)
        waits_ms = sorted(
            (stored_ns[fleet.identity(devices + number)] - at_ns) / 1e6 for number, at_ns in enumerate(sent_ns)
        )
        city.await_judged(devices + rated)

        packets_made = encoded(messages)
        with _publisher(stage, packets_made) as outgoing:
            usage.reset()
            began_ns = time.time_ns()
            flat_out([outgoing], None)
            last_ns = city.await_stored(devices + rated + messages)
            used = {name: usage.cpu_s()[name] for name in ("gateway", "ingest", "mosquitto", "influxd")}
            others_pct = usage.others_pct()
        city.await_judged(devices + rated + messages)
        used["alerts"] = usage.cpu_s()["alerts"]
        judged_s = (time.time_ns() - began_ns) / 1e9
        last_ns = max(read_times(city.trace).values(), default=last_ns)
        rss_mib = city.rss_mib()

        usage.reset()
        state_ms, state_bytes = city.state()
        state_cpu_ms = usage.cpu_s()["dashboard"] * 1000 / STATE_REQUESTS
        rows = stage.store.rows()
        return {
            "devices": devices,
            "start_s": round(started_s, 1),
            "per_s": round(messages / ((last_ns - began_ns) / 1e9)),
            "judged_per_s": round(messages / judged_s),
            "p50_ms": round(statistics.median(waits_ms), 1),
            "p99_ms": round(waits_ms[int(len(waits_ms) * 0.99)], 1),
            "cpu_us": {name: round(value / messages * 1e6, 1) for name, value in used.items()},
            "idle_ms_per_s": {name: round(idle_ms[name], 1) for name in OURS},
            "rss_mib": {name: round(value) for name, value in rss_mib.items()},
            "state_ms": round(state_ms, 1),
            "state_cpu_ms": round(state_cpu_ms, 1),
            "state_kib": round(state_bytes / 1024),
            "message_bytes": round(statistics.mean(map(len, packets_made))),
            "lost": devices + rated + messages - rows,
            "others_pct": round(others_pct),
        }


@contextmanager
def _publisher(stage: Stage, encoded: list[bytes]) -> Iterator[Outgoing]:
    link = Link(stage.broker_port, "bench-scale")
    try:
        yield Outgoing(link, encoded, window=1000)
    finally:
        link.close()


def storage(parent: Path) -> dict[str, float]:
    """Return what a reading takes on InfluxDB's disk, once compacted, and what the hourly and daily points take."""
    os.environ |= dict.fromkeys(COLD_SETTINGS, "1s")  # the server takes its settings from there
    with open_stage(parent) as stage:
        store = open_store(f"influx1://127.0.0.1:{stage.store.port}/{DATABASE}")
        store.prepare()
        end_ms = int(time.time()) // 86_400 * 86_400_000
        start_ms = end_ms - STORAGE_DAYS * 86_400_000
        for at_ms in range(start_ms, end_ms, STORAGE_INTERVAL_S * 1000):
            store.write([_point(stage.site, number, at_ms) for number in range(STORAGE_DEVICES)])
        readings_bytes = _compacted_bytes(stage)
        RollUp(store, stage.site, offset_s=25_200, late_s=900).catch_up(end_ms + 3_600_000)
        store.close()
        rolled_bytes = _compacted_bytes(stage) - readings_bytes
    readings = STORAGE_DEVICES * STORAGE_DAYS * 86_400 // STORAGE_INTERVAL_S
    hours = STORAGE_DEVICES * STORAGE_DAYS * 24
    return {
        "bytes_per_reading": round(readings_bytes / readings, 1),
        "bytes_per_device_hour": round(rolled_bytes / hours, 1),
    }


def _point(site: str, number: int, at_ms: int) -> Point:
    """Make a reading that differs from the one before as a bin's does: it fills, cools, and its radio flickers."""
    step = at_ms // (STORAGE_INTERVAL_S * 1000)
    noise = (number * 2_654_435_761 + step * 40_503) >> 7
    fill = (number * 13 + step * (1 + number % 3)) % 1000 / 10
    return Point(
        "bin",
        {"site": site, "asset": f"bin-{number:04d}", "device": f"rsk-b{number:04d}", "zone": "zona-lapangan"},
        at_ms + step % 1000,
        {
            "fill_pct": fill,
            "distance_mm": 1000.0 - 7.2 * fill + noise % 9,
            "temp_c": 28.0 + noise % 61 / 10,
            "battery_mv": 3900.0 - step % 500,
            "rssi_dbm": -60.0 - noise % 17,
            "state": "ok",
            "boot": BOOT,
            "seq": step % 100_000,
            "quality": 4,
            "flags": 0,
        },
    )


def _compacted_bytes(stage: Stage) -> int:
    """Wait until InfluxDB has written everything into its files and put them together; return what they take."""
    data, log = stage.folder / "influx" / "data" / DATABASE, stage.folder / "influx" / "wal"
    wait_for(lambda: _size(log, "*.wal") == 0, "the store to write its log into files", 60)
    size, since_s = 0, time.monotonic()
    while time.monotonic() - since_s < COMPACT_S:
        time.sleep(0.5)
        now = _size(data, "*.tsm")
        if now != size:
            size, since_s = now, time.monotonic()
    return size


def _size(folder: Path, pattern: str) -> int:
    return sum(path.stat().st_size for path in folder.rglob(pattern) if path.is_file())


ROWS: Final = (
    ("start until all answer, s", "start_s", None),
    ("messages/s, publish to stored", "per_s", None),
    ("messages/s, publish to judged", "judged_per_s", None),
    ("latency at 500/s, p50 ms", "p50_ms", None),
    ("latency at 500/s, p99 ms", "p99_ms", None),
    *((f"CPU us/message, {name}", "cpu_us", name) for name in ("gateway", "ingest", "alerts", "mosquitto", "influxd")),
    *((f"CPU ms/s standing still, {name}", "idle_ms_per_s", name) for name in OURS),
    *((f"RSS MiB, {name}", "rss_mib", name) for name in OURS),
    ("state of the map, ms", "state_ms", None),
    ("state of the map, CPU ms", "state_cpu_ms", None),
    ("state of the map, KiB", "state_kib", None),
    ("others on the machine, %", "others_pct", None),
)


def table(found: list[dict[str, Any]]) -> str:
    """Return the figures as a Markdown table; the last column is what 1,000 more devices add, by the two largest."""
    lines = ["| | " + " | ".join(f"{one['devices']:,}" for one in found) + " | + 1,000 devices |"]
    lines.append("|---" * (len(found) + 2) + "|")
    for title, key, part in ROWS:
        values = [one[key] if part is None else one[key][part] for one in found]
        more = ""
        if len(found) > 1 and (part is not None or key.startswith("state")):
            step = (found[-1]["devices"] - found[-2]["devices"]) / 1000
            more = f"{(values[-1] - values[-2]) / step:+.1f}"
        lines.append(f"| {title} | " + " | ".join(f"{value:,}" for value in values) + f" | {more} |")
    return "\n".join(lines)


def write(page: Path, measured: str, figures: dict[str, Any]) -> None:
    """Put what was measured, and what follows from it, between the marks of a page."""
    text = page.read_text(encoding="utf-8")
    stamp = f"One run of `python -m bench.scale`, {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, Python "
    for mark, body in (
        ("measured", f"{stamp}{platform.python_version()}.\n\n{measured}"),
        ("planned", scale_plan.markdown(figures)),
    ):
        begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{body}\n{end}{rest.split(end)[1]}"
    page.write_text(text, encoding="utf-8")


def main() -> None:
    """Measure each number of devices and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--devices", default="10,100,1000,10000", help="numbers of devices, separated by commas")
    parser.add_argument("--messages", type=int, default=10_000, help="messages of the fast part [%(default)s]")
    parser.add_argument("--no-storage", action="store_true", help="leave out what a reading takes on disk")
    parser.add_argument("--folder", type=Path, help="where to put data [a temporary folder]")
    parser.add_argument("--write", type=Path, help="page to put the tables into: docs/scale.md")
    arguments = parser.parse_args()
    for program in ("mosquitto", "influxd"):
        find(program)
    with tempfile.TemporaryDirectory(prefix="resik-scale-", dir=arguments.folder) as name:
        found = []
        for devices in map(int, arguments.devices.split(",")):
            print(f"{devices} devices ...", file=sys.stderr, flush=True)
            found.append(measure(Path(name), devices, arguments.messages))
        disk = {} if arguments.no_storage else storage(Path(name))
    lines = [table(found)]
    if disk:
        lines.append(
            f"\nOn InfluxDB's disk, compacted: {disk['bytes_per_reading']} bytes a reading of ten fields, "
            f"{disk['bytes_per_device_hour']} bytes for a device and hour of hourly and daily points."
        )
    print("\n".join(lines))
    figures = {"bench": "scale", "python": platform.python_version(), "by_devices": found, **disk}
    print(json.dumps(figures))
    if arguments.write is not None:
        write(arguments.write, "\n".join(lines), figures)
    sys.exit(1 if any(one["lost"] for one in found) else 0)


if __name__ == "__main__":
    main()
