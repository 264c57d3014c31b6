"""What was measured, as a table for people, as Markdown for the page, and as one line of JSON."""

import os
import platform
import re
import statistics
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.pipeline.contestants import LINES, Contestant
from bench.pipeline.runs import Drain, Latency, Rate, as_json, median_of

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
AIM_RATIO, AIM_CPU_US, AIM_DRAIN_PER_S, AIM_P50_MS, AIM_P99_MS = 1.25, 40, 60_000, 60, 250
_COLUMNS = (
    "way",
    "messages",
    "messages/s",
    "of ours",
    "CPU us/message",
    "peak MiB",
    "lost",
    "p50 / p99 ms",
    "what to know",
)


@dataclass
class Entry:
    """All figures of one way.

    Attributes
    ----------
    name, note : str
        For the table.
    processes : tuple[str, ...]
        Whose CPU time and memory are its own.
    count : int
        Messages of one sustained run.
    rates : list[Rate]
        Sustained runs.
    latency : Latency | None
        At the fixed rate.
    reason : str
        Why there is no figure.
    """

    name: str
    note: str = ""
    processes: tuple[str, ...] = ()
    count: int = 0
    rates: list[Rate] = field(default_factory=list)
    latency: Latency | None = None
    reason: str = ""

    @classmethod
    def of(cls, contestant: Contestant, count: int) -> "Entry":
        """Return an empty entry."""
        return cls(contestant.name, contestant.note, contestant.processes, count)

    @property
    def per_s(self) -> float | None:
        """Messages a second, the median of the runs."""
        return statistics.median(rate.per_s for rate in self.rates) if self.rates else None

    @property
    def cpu_us(self) -> dict[str, float]:
        """CPU time per message of each own process, medians of the runs [us]."""
        return {
            name: statistics.median(rate.cpu_us.get(name, 0.0) for rate in self.rates)
            for name in self.processes
            if self.rates
        }

    @property
    def beside_us(self) -> dict[str, float]:
        """CPU time per message of broker, store, hop and load, medians of the runs [us]."""
        names = {name for rate in self.rates for name in rate.cpu_us} - set(self.processes)
        return {name: statistics.median(rate.cpu_us.get(name, 0.0) for rate in self.rates) for name in sorted(names)}

    @property
    def others_pct(self) -> float | None:
        """Share of the machine that others had, the median of the runs [%]."""
        return statistics.median(rate.others_pct for rate in self.rates) if self.rates else None

    @property
    def lost(self) -> int | None:
        """Readings that are missing after all runs; None where nothing is stored."""
        kept = [rate.conservation for rate in self.rates if rate.conservation is not None]
        return sum(conservation.lost for conservation in kept) if kept else None

    def cells(self, ours_per_s: float | None) -> tuple[str, ...]:
        """Return the row of the table."""
        if not self.rates and self.latency is None:
            return (self.name, "", self.reason or "not measured", *[""] * (len(_COLUMNS) - 3))
        per_s = self.per_s
        rate = range_text([rate.per_s for rate in self.rates]) if self.rates else ""
        ratio = f"{per_s / ours_per_s:.2f}" if per_s and ours_per_s else ""
        cpu = " + ".join(f"{value:.1f}" for value in self.cpu_us.values())
        memory = " + ".join(
            f"{max(rate.rss_mib.get(name, 0.0) for rate in self.rates):.0f}"
            for name in self.processes
            if self.rates and name in self.rates[0].rss_mib
        )
        lost = "" if self.lost is None else f"{self.lost:,}"
        waits = self.reason
        if self.latency is not None:
            waits = f"{self.latency.p50_ms:.1f} / {self.latency.p99_ms:.1f}"
            if self.latency.lost:
                waits += f" ({self.latency.lost} lost)"
        return (self.name, f"{self.count:,}", rate, ratio, cpu, memory, lost, waits, self.note)


def range_text(values: list[float]) -> str:
    """Return the median, with the range where there are several."""
    text = f"{statistics.median(values):,.0f}"
    return text if len(values) == 1 else f"{text} ({min(values):,.0f}-{max(values):,.0f})"


@dataclass
class Report:
    """Everything of one call.

    Attributes
    ----------
    ours : Entry | None
        The gateway and ingest.
    peers, limits : list[Entry]
        The others.
    drain : Drain | None
        The backlog, when it was measured.
    backlog : int
        Its size.
    rate_per_s : float
        Rate of the latency runs.
    set_aside : list[Any]
        Runs of ours that others disturbed: their figures do not count, their losses do.
    """

    ours: Entry | None = None
    peers: list[Entry] = field(default_factory=list)
    limits: list[Entry] = field(default_factory=list)
    drain: Drain | None = None
    backlog: int = 0
    rate_per_s: float = 0
    set_aside: list[Any] = field(default_factory=list)

    @property
    def best_peer(self) -> Entry | None:
        """The fastest peer."""
        return max((peer for peer in self.peers if peer.per_s), key=lambda peer: peer.per_s or 0, default=None)

    @property
    def limit(self) -> float | None:
        """What a receiver without any promise reaches [messages/s]."""
        return next((entry.per_s for entry in self.limits if entry.name == LINES.name), None)

    @property
    def faults(self) -> list[str]:
        """What must not be: ours failed, lost, doubled or invented something."""
        done = [*(self.ours.rates if self.ours is not None else []), self.drain, *self.set_aside]
        kept = [getattr(run, "conservation", None) for run in done]
        failed = [self.ours.reason] if self.ours is not None and self.ours.reason else []
        return failed + [
            f"not conserved: {c.sent:,} sent, {c.lost:,} lost, {c.duplicated:,} duplicated, {c.foreign:,} never sent"
            for c in kept
            if c is not None and not c.is_kept
        ]

    def entries(self) -> list[Entry]:
        """Return all entries in the order of the table."""
        return [*([self.ours] if self.ours is not None else []), *self.peers, *self.limits]

    def rows(self) -> list[tuple[str, ...]]:
        """Return the rows of the table."""
        per_s = self.ours.per_s if self.ours is not None else None
        return [entry.cells(per_s) for entry in self.entries()]

    def summary(self) -> list[str]:
        """Say what the aims come to."""
        words = []
        ours, peer = self.ours, self.best_peer
        if ours is not None and ours.per_s and peer is not None and peer.per_s:
            words.append(f"{ours.per_s / peer.per_s:.2f} times the best peer, {peer.name} (aim {AIM_RATIO})")
        if ours is not None and ours.rates:
            words.append(
                f"CPU of gateway and ingest together {sum(ours.cpu_us.values()):.1f} us a message (aim {AIM_CPU_US})"
            )
            kept = [rate.conservation for rate in ours.rates if rate.conservation is not None]
            words.append(
                f"{sum(c.sent for c in kept):,} readings sent, {sum(c.lost for c in kept):,} lost, "
                f"{sum(c.duplicated for c in kept):,} duplicated"
            )
            if (acked := median_of(ours.rates).acked) is not None:
                words.append(f"application acks for {acked:,} of {ours.count:,} readings")
        if ours is not None and ours.latency is not None:
            words.append(
                f"at {self.rate_per_s:.0f} messages a second {ours.latency.p50_ms:.1f} ms at the median, "
                f"{ours.latency.p99_ms:.1f} ms at p99 (aims {AIM_P50_MS} and {AIM_P99_MS}), "
                f"{ours.latency.cpu_pct:.0f} % of a core"
            )
        if self.drain is not None:
            cpu = ", ".join(f"{name} {self.drain.cpu_us[name]:.1f}" for name in ("gateway", "ingest"))
            words.append(
                f"a backlog of {self.backlog:,} drained at {self.drain.per_s:,.0f} readings a second "
                f"(aim {AIM_DRAIN_PER_S:,}; CPU us a reading: {cpu}); it came in at {self.drain.intake_per_s:,.0f}; "
                f"the gateway held {self.drain.gateway_rss_mib:.0f} MiB"
            )
        taken = [rate.others_pct for entry in self.entries() for rate in entry.rates if rate.conservation is not None]
        taken += [self.drain.others_pct] if self.drain is not None else []
        if taken:
            words.append(
                f"programs that have nothing to do with it used {min(taken):.0f} to {max(taken):.0f} % of the machine"
            )
        return words + self.faults

    def json(self) -> dict[str, Any]:
        """Return the figures that others read."""
        ours, peer = self.ours, self.best_peer
        per_s = ours.per_s if ours is not None else None
        latency = ours.latency if ours is not None else None
        values: dict[str, Any] = {
            "bench": "pipeline",
            "readings_per_s": per_s,
            "peer_best": peer.per_s if peer is not None else None,
            "ratio": round(per_s / peer.per_s, 3) if per_s and peer is not None and peer.per_s else None,
            "limit": self.limit,
            "latency_p50_ms": latency.p50_ms if latency is not None else None,
            "latency_p99_ms": latency.p99_ms if latency is not None else None,
            "peer_best_name": peer.name if peer is not None else None,
            "cpu_us": ours.cpu_us if ours is not None else {},
            "drain": self.drain,
            "faults": self.faults,
            "ways": {
                entry.name: {
                    "per_s": entry.per_s,
                    "cpu_us": entry.cpu_us,
                    "beside_us": entry.beside_us,
                    "others_pct": entry.others_pct,
                    "latency": entry.latency,
                    "lost": entry.lost,
                }
                | ({"reason": entry.reason} if entry.reason else {})
                for entry in self.entries()
            },
        }
        ratio = values.pop("ratio")
        plain: dict[str, Any] = as_json(values)
        return plain | {"ratio": ratio}

    def markdown(self, command: str) -> str:
        """Return the table for the page."""
        said = (
            f"Measured on {datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, CPython {platform.python_version()}, "
            f"by `{command}`; median, and in brackets the range."
        )
        lines = [said, "", f"| {' | '.join(_COLUMNS)} |", f"|{'---|' * len(_COLUMNS)}"]
        lines += [f"| {' | '.join(row)} |" for row in self.rows()]
        return "\n".join([*lines, "", *(f"* {words[0].upper()}{words[1:]}." for words in self.summary())])

    def show(self, console: Console) -> None:
        """Print the table."""
        table = Table(title="MQTT QoS 1 to InfluxDB", title_justify="left")
        for number, column in enumerate(_COLUMNS[:-1]):  # the page has room for what to know
            table.add_column(column, justify="right" if number else "left")
        for row in self.rows():
            table.add_row(*row[:-1])
        console.print(table)
        for words in self.summary():
            console.print(f"  {words}", highlight=False)


def write_page(page: Path, table: str) -> None:
    """Put the table between the marks of a page."""
    text = page.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise SystemExit(f"{page} has no {BEGIN} and {END}")
    pattern = f"{re.escape(BEGIN)}.*{re.escape(END)}"
    page.write_text(re.sub(pattern, lambda _: f"{BEGIN}\n{table}\n{END}", text, flags=re.DOTALL), encoding="utf-8")
