"""Readings per second from MQTT to InfluxDB 1.x: ours, peers and limits, on one machine in one run.

    python -m bench.pipeline [--quick] [--only ours,script,...] [--measure rate,latency,drain] [--json]

Every way gets a broker and a store of its own, one after the other, and the rounds alternate between the ways. Peers
are installed into the user's cache when they are first needed; one that cannot be had stands in the table with its
reason. Exit code 1 when one of our readings was lost or stored twice. What is measured, and how: docs/pipeline.md.
"""

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

from bench.pipeline import fleet, runs
from bench.pipeline.contestants import STORING, Contestant
from bench.pipeline.peers.installing import NotInstallable
from bench.pipeline.report import Entry, Report, write_page
from bench.pipeline.runs import Plan
from bench.pipeline.stage import BenchError
from bench.pipeline.usage import wait_for_quiet

LOAD, BROKER = "load", "broker"
KEYS = (*(contestant.key for contestant in STORING), BROKER, LOAD)
MEASURES = ("rate", "latency", "drain")
PRINTED_COLUMNS = 140
EXIT_INTERRUPTED = 130
TRIES, CALM_PCT = 3, 20
"""How often a run is done when others use more of the machine than this [%], if there is patience."""
MARGIN = 1.2
"""A way gets no latency run at a rate that it cannot keep up with."""


def _chosen(known: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return names

    return parse


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer messages and one round")
    parser.add_argument("--only", type=_chosen(KEYS), default=KEYS, metavar="WAYS", help=f"some of {','.join(KEYS)}")
    parser.add_argument("--measure", type=_chosen(MEASURES), default=MEASURES, help=f"some of {','.join(MEASURES)}")
    parser.add_argument("--count", type=int, help="messages of a sustained run (100,000; quick 20,000)")
    parser.add_argument("--rounds", type=int, help="sustained runs of each way (3; quick 1)")
    parser.add_argument("--backlog", type=int, help="readings in the spool before draining (300,000; quick 30,000)")
    parser.add_argument("--rate", type=float, default=500, help="messages a second of the latency runs")
    parser.add_argument("--window", type=int, default=1000, help="messages that the load may have un-acked")
    parser.add_argument("--connections", type=int, default=1, help="publishing connections")
    parser.add_argument("--deaf", action="store_true", help="nobody takes our application acks")
    parser.add_argument("--folder", type=Path, help="where spool and store live; a temporary folder if unset")
    parser.add_argument(
        "--patience", type=float, default=0, metavar="S", help="wait so long for quiet before each run, and repeat it"
    )
    parser.add_argument("--json", action="store_true", help="print nothing but the line of JSON")
    parser.add_argument("--write", type=Path, help="page to put the table into")
    arguments = parser.parse_args()
    if arguments.connections < 1 or fleet.DEVICES % arguments.connections:
        parser.error(f"--connections must divide {fleet.DEVICES}: a device keeps to one connection")
    return arguments


MeasuredT = TypeVar("MeasuredT", runs.Rate, runs.Latency, runs.Drain)


class Bench:
    """One call of the bench.

    Parameters
    ----------
    arguments : argparse.Namespace
        As :func:`_arguments` gives them.
    folder : Path
        Where runs live.
    progress : Progress
        Shows how far each run is.
    """

    def __init__(self, arguments: argparse.Namespace, folder: Path, progress: Progress) -> None:
        quick = arguments.quick
        self._only = arguments.only
        self._rounds = arguments.rounds or (1 if quick else 3)
        self._count = arguments.count or (20_000 if quick else 100_000)
        self._patience_s = arguments.patience
        self._latency_s = 4 if quick else 10
        self._plan = Plan(
            self._count, window=arguments.window, connections=arguments.connections, hears=not arguments.deaf
        )
        self._folder = folder
        self._progress = progress
        self.report = Report(backlog=arguments.backlog or (30_000 if quick else 300_000), rate_per_s=arguments.rate)
        self._entries: dict[str, Entry] = {}
        for contestant in STORING:
            if contestant.key in self._only:
                entry = self._entries[contestant.key] = Entry.of(contestant, self._share(contestant))
                if contestant.kind == "ours":
                    self.report.ours = entry
                else:
                    (self.report.peers if contestant.kind == "peer" else self.report.limits).append(entry)
        limits = {
            LOAD: ("load into a socket that acknowledges", "what the publisher itself can do", ("load",)),
            BROKER: ("load through mosquitto to a null receiver", "the broker's one thread", ("mosquitto",)),
        }
        for key, (name, note, processes) in limits.items():
            if key in self._only:
                entry = self._entries[key] = Entry(name, note, processes, self._count)
                self.report.limits.insert(0, entry)

    def _share(self, contestant: Contestant) -> int:
        return max(200, math.ceil(self._count / contestant.share / 10) * 10)

    def _taking_part(self) -> list[tuple[Contestant, Entry]]:
        return [
            (c, self._entries[c.key]) for c in STORING if c.key in self._entries and not self._entries[c.key].reason
        ]

    def _show(self, task: TaskID, part: float) -> None:
        self._progress.update(task, completed=part)

    def _attempt(self, entry: Entry, name: str, measure: Callable[[runs.Progress], MeasuredT]) -> MeasuredT | None:
        """Measure; what cannot be measured is named with its reason.

        With patience a run that others disturbed is done again, and the calmest counts.
        """
        done: list[MeasuredT] = []
        try:
            while not done or (self._patience_s and len(done) < TRIES and done[-1].others_pct > CALM_PCT):
                wait_for_quiet(self._patience_s)
                task = self._progress.add_task(name if not done else f"{name}, again", total=1.0)
                done.append(measure(partial(self._show, task)))
                self._show(task, 1.0)
        except NotInstallable as error:
            entry.reason = f"not installable here: {error}"
        except BenchError as error:
            entry.reason = f"failed: {error}"
        if not done:
            return None
        calmest = min(done, key=lambda run: run.others_pct)
        self.report.set_aside += [run for run in done if run is not calmest and entry is self.report.ours]
        return calmest

    def rates(self) -> None:
        """Measure sustained rates in rounds, so that noise meets all."""
        for number in range(1, self._rounds + 1):
            if LOAD in self._entries:
                self._entries[LOAD].rates.append(runs.limit_of_load(self._plan))
            if (entry := self._entries.get(BROKER)) is not None and not entry.reason:
                self._round(number, entry, lambda _: runs.limit_of_broker(self._folder, self._plan))
            for contestant, entry in self._taking_part():
                plan = self._plan._replace(messages=entry.count)
                self._round(number, entry, partial(runs.sustained, self._folder, contestant, plan))

    def _round(self, number: int, entry: Entry, measure: Callable[[runs.Progress], runs.Rate]) -> None:
        rate = self._attempt(entry, f"round {number}: {entry.name}", measure)
        if rate is not None:
            entry.rates.append(rate)

    def latencies(self) -> None:
        """Measure latencies of all that keep up with the rate."""
        per_s = self.report.rate_per_s
        plan = self._plan._replace(messages=int(per_s * self._latency_s), connections=1)
        for contestant, entry in self._taking_part():
            if entry.per_s is not None and entry.per_s < per_s * MARGIN:
                entry.reason = f"cannot keep up with {per_s:.0f}/s"
                continue
            measure = partial(runs.latency, self._folder, contestant, plan, per_s)
            entry.latency = self._attempt(entry, f"latency: {entry.name}", measure)

    def drain(self) -> None:
        """Measure how fast a backlog goes."""
        entry = self.report.ours
        if entry is not None and not entry.reason:
            plan = self._plan._replace(messages=self.report.backlog)
            name = f"backlog of {self.report.backlog:,}"
            self.report.drain = self._attempt(entry, name, partial(runs.drain, self._folder, plan))


def main() -> int:
    """Measure and print; return the exit code."""
    arguments = _arguments()
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with (
        tempfile.TemporaryDirectory(prefix="resik-bench-", dir=arguments.folder) as folder,
        Progress(*columns, console=Console(stderr=True), transient=True, disable=arguments.json) as progress,
    ):
        bench, interrupted = Bench(arguments, Path(folder), progress), False
        try:
            for name, measure in (("rate", bench.rates), ("drain", bench.drain), ("latency", bench.latencies)):
                if name in arguments.measure:
                    measure()
        except KeyboardInterrupt:
            interrupted = True
            print("interrupted: the table holds what was measured until now", file=sys.stderr)
    report = bench.report
    if not arguments.json:
        report.show(Console() if sys.stdout.isatty() else Console(width=PRINTED_COLUMNS))
    print(json.dumps(report.json()))
    if arguments.write is not None:
        write_page(arguments.write, report.markdown("make bench-pipeline"))
    if report.faults:
        return 1
    return EXIT_INTERRUPTED if interrupted else 0


if __name__ == "__main__":
    sys.exit(main())
