"""From one city to a thousand: arithmetic over measured figures and named assumptions, and nothing else.

What is measured comes from :mod:`bench.scale`, what is assumed stands in :data:`ASSUMED`; each line of the result says
how it follows from them.
"""

import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

DAY_S: Final = 86_400
YEAR_D: Final = 365
GIB: Final = 2**30
GB: Final = 10**9

ROW_BYTES: Final = 260
"""A reading in a batch of the gateway; counted from encoded batches of the readings that the bench sends [bytes]."""

ASSUMED: Final[Mapping[str, tuple[float, str]]] = {
    "cities": (1000, "cities"),
    "devices": (1000, "devices in each, on one site plan"),
    "interval_s": (600, "s between two readings of a device, on average over the day"),
    "peak": (4, "times the average on the worst hour (a festival in every city at once)"),
    "raw_d": (90, "days that readings are kept"),
    "rolled_y": (5, "years that hourly and daily points are kept"),
    "copies": (3, "copies of everything in the time-series cluster"),
    "filled": (0.5, "of a core, of memory or of a disk is used at most"),
    "batches_per_s": (4, "batches a second from a city at the peak: readings that come within 20 ms share one"),
    "sessions": (5, "connections to PostgreSQL for a city: seat and pool of the engine, pool of the dashboard"),
    "machine_cores": (8, "cores of a machine"),
    "machine_gib": (32, "GiB of memory of it"),
    "machine_usd": (160, "US$ a month for it"),
    "disk_usd": (0.10, "US$ a month for a GB of disk"),
    "servers": (12, "more such machines for EMQX (3), PostgreSQL (3) and the time-series cluster (6)"),
}


class Line(NamedTuple):
    """One result: what, for one city, for all, and how it follows."""

    what: str
    one: str
    all: str
    how: str


def _number(value: float, unit: str = "") -> str:
    text = f"{value:,.0f}" if value >= 100 else f"{value:,.1f}" if value >= 10 else f"{value:,.2g}"
    return f"{text} {unit}".strip()


def arithmetic(measured: Mapping[str, Any]) -> list[Line]:
    """Return the plan's figures.

    Parameters
    ----------
    measured : Mapping[str, Any]
        What :mod:`bench.scale` printed as JSON; the entry of as many devices as a city has is used.
    """
    assumed = {name: value for name, (value, _) in ASSUMED.items()}
    cities, devices, filled = assumed["cities"], assumed["devices"], assumed["filled"]
    found = next(one for one in measured["by_devices"] if one["devices"] == devices)
    mean = devices / assumed["interval_s"]
    peak = mean * assumed["peak"]
    per_day = mean * DAY_S
    raw_gb = per_day * assumed["raw_d"] * measured["bytes_per_reading"] / GB
    rolled_gb = devices * 24 * YEAR_D * assumed["rolled_y"] * measured["bytes_per_device_hour"] / GB
    disk_gb = (raw_gb + rolled_gb) * assumed["copies"] / filled
    centre = ("ingest", "alerts", "dashboard")
    message_us = found["cpu_us"]["ingest"] + found["cpu_us"]["alerts"]
    standing_ms = sum(found["idle_ms_per_s"][name] for name in centre)
    cores = (peak * message_us / 1e6 + standing_ms / 1e3) / filled
    memory_gib = sum(found["rss_mib"][name] for name in centre) / 1024 / filled
    workers = max(1, math.ceil(peak * found["cpu_us"]["ingest"] / 1e6 / filled))
    machines = math.ceil(cities * max(cores / assumed["machine_cores"], memory_gib / assumed["machine_gib"]))
    machines += assumed["servers"]
    machine_usd, disk_usd = machines * assumed["machine_usd"], cities * disk_gb * assumed["disk_usd"]

    def line(what: str, one: float, unit: str, how: str) -> Line:
        return Line(what, _number(one, unit), _number(one * cities, unit), how)

    hourly = measured["bytes_per_device_hour"]
    used = f"peak x {message_us:.0f} us + {standing_ms:.0f} ms/s standing still"
    return [
        line("devices", devices, "", "assumed"),
        line("readings, average", mean, "/s", "devices / interval"),
        line("readings, peak", peak, "/s", "average x peak"),
        line("readings a day", per_day, "", "average x 86,400"),
        line("uplink, peak", peak * ROW_BYTES * 8 / 1e3, "kbit/s", f"peak x {ROW_BYTES} bytes"),
        line("uplink a day", per_day * ROW_BYTES / 1e6, "MB", f"readings a day x {ROW_BYTES} bytes"),
        line("batches at EMQX, peak", assumed["batches_per_s"], "/s", "assumed; each goes to ingest and to alerts"),
        line("connections at EMQX", 3, "", "gateway, ingest, alerts"),
        line("disk, readings", raw_gb, "GB", f"{measured['bytes_per_reading']} bytes a reading x days kept"),
        line("disk, hourly and daily", rolled_gb, "GB", f"{hourly} bytes a device and hour x years kept"),
        line("disk, all copies", disk_gb, "GB", "sum of both x copies / filled"),
        line("cores of ingest, alerts, dashboard", cores, "", f"({used}) / filled"),
        line("memory of these", memory_gib, "GiB", "RSS / filled"),
        line("ingest workers", workers, "", "peak x CPU a message / filled, one at least"),
        line("connections to PostgreSQL", assumed["sessions"], "", "assumed"),
        line("transactions, peak", 1.5 + assumed["batches_per_s"], "/s", "looks 1/s, signs of life 0.5/s, batches"),
        Line("machines", "", _number(machines), "the more of cores and memory, and the servers"),
        Line(
            "cost a month",
            _number((machine_usd + disk_usd) / cities, "US$"),
            _number(machine_usd + disk_usd, "US$"),
            "machines and disk at assumed prices",
        ),
    ]


def markdown(measured: Mapping[str, Any]) -> str:
    """Return assumptions and results as two tables."""
    lines = ["| assumed | |", "|---|---|"]
    lines += [f"| {value:,g} | {meaning} |" for value, meaning in ASSUMED.values()]
    lines += ["", "| | a city | all | how |", "|---|---|---|---|"]
    lines += [f"| {one.what} | {one.one} | {one.all} | {one.how} |" for one in arithmetic(measured)]
    return "\n".join(lines)
