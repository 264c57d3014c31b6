"""``resik replay``: recorded data through the whole chain, on a stack of its own, reconciled row by row."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from resik.folder import fresh_replay_folder
from resik.reconcile import (
    DeadLetters,
    Reconciliation,
    check_store,
    read_dead_letters,
    read_times,
    reconcile,
    stored_identities,
)
from resik.screen import watch
from resik.stack import Stack, StackSettings
from simulators.replay import (
    ReplayProgress,
    ReplayReport,
    build_replay_site,
    first_lines,
    load_map,
    read_files,
    run_replay,
)
from square.settings import read_secret

DRAIN_WITHIN_S = 120.0


class ReplayResult(msgspec.Struct, frozen=True):
    """What became of every row of the files.

    Attributes
    ----------
    rows_in : int
        Data rows in the files.
    rejected : int
        Rows that could not be read; each was listed with file, line and reason.
    published, stored, dead_lettered, lost, duplicated : int
        By identity; ``rows_in = rejected + stored + dead_lettered`` when nothing is lost.
    dead_letters : dict[str, int]
        Dead letters by reason code, repeats included.
    devices, backward_steps : int
        Devices that sent; rows that stood after a later one in their file.
    first_at, last_at : str
        Time of the first and last reading (UTC).
    incidents_opened : int
        By the alert engine, in the time of the data.
    seconds, rows_per_s : float
        Wall time from the first publish to the last acknowledgement, and the rate.
    """

    rows_in: int
    rejected: int
    published: int
    stored: int
    dead_lettered: int
    lost: int
    duplicated: int
    dead_letters: dict[str, int]
    devices: int
    backward_steps: int
    first_at: str
    last_at: str
    incidents_opened: int
    seconds: float
    rows_per_s: float

    @property
    def passed(self) -> bool:
        """Whether every row is accounted for, once."""
        accounted = self.rejected + self.stored + self.dead_lettered
        return self.lost == 0 and self.duplicated == 0 and accounted == self.rows_in


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _result(report: ReplayReport, found: Reconciliation, dead: DeadLetters, incidents: int) -> ReplayResult:
    return ReplayResult(
        rows_in=report.rows_in,
        rejected=len(report.rejected),
        published=found.published,
        stored=found.stored,
        dead_lettered=found.dead_lettered,
        lost=found.lost,
        duplicated=found.duplicated,
        dead_letters=dead.codes,
        devices=report.devices,
        backward_steps=report.backward_steps,
        first_at=_moment(report.first_s),
        last_at=_moment(report.last_s),
        incidents_opened=incidents,
        seconds=round(report.wall_s, 1),
        rows_per_s=round(report.published / report.wall_s) if report.wall_s else 0,
    )


def _print(result: ReplayResult, report: ReplayReport) -> None:
    for line in first_lines(report.rejected):
        click.echo(f"  ditolak / rejected  {line}")
    reasons = Counter(rejected.reason for rejected in report.rejected)
    rows: list[tuple[str, str]] = [
        ("baris masuk / rows in", f"{result.rows_in:,}"),
        ("tersimpan / stored", f"{result.stored:,}"),
        ("surat mati / dead-lettered", f"{result.dead_lettered:,}"),
        *((f"  {code}", f"{count:,}") for code, count in result.dead_letters.items()),
        ("ditolak / rejected at the file", f"{result.rejected:,}"),
        *((f"  {reason}", f"{count:,}") for reason, count in reasons.most_common(5)),
        ("hilang / lost", f"{result.lost:,}"),
        ("ganda / duplicated", f"{result.duplicated:,}"),
        ("perangkat / devices", f"{result.devices:,}"),
        ("rentang / range", f"{result.first_at} .. {result.last_at}"),
        ("baris mundur / backward steps, sorted", f"{result.backward_steps:,}"),
        ("kejadian / incidents", f"{result.incidents_opened:,}"),
        ("lama / took", f"{result.seconds:,} s, {result.rows_per_s:,.0f} rows/s"),
    ]
    width = max(len(name) for name, _value in rows)
    for name, value in rows:
        click.echo(f"{name:{width}}  {value}")
    balance = "=" if result.passed else "≠"
    click.echo(
        f"{result.rows_in:,} {balance} {result.stored:,} tersimpan/stored + {result.dead_lettered:,} surat mati/dead + "
        f"{result.rejected:,} ditolak/rejected"
    )


def replay_files(
    files: Sequence[Path],
    map_file: str,
    settings: StackSettings,
    *,
    data: Path | None,
    speed: float | None,
    hold: bool,
    as_json: bool,
    config_file: Path | None,
) -> int:
    """Replay ``files`` by a map on a stack of its own, and account for every row.

    Parameters
    ----------
    files : Sequence[Path]
        CSV files, plain or gzip.
    map_file : str
        Map file, or the name of a shipped one.
    settings : StackSettings
        Broker, stores and port; the site comes from the map.
    data : Path | None
        Data folder, cleared first; ``var/replay-<map>`` when None.
    speed : float | None
        Times real speed; None goes as fast as the chain takes it.
    hold : bool
        Keep the map running afterwards, until Ctrl-C.
    as_json : bool
        Print one JSON object and nothing else.
    config_file : Path | None
        Handed on to the services.

    Returns
    -------
    int
        0 when every row is accounted for, 1 otherwise.
    """
    console = Console(stderr=True)
    doc = load_map(map_file)
    recording = read_files(doc, files)
    token = read_secret(settings.store_token_file)
    check_store(settings.store_url, token)
    folder = fresh_replay_folder(data or Path("var") / f"replay-{Path(map_file).stem}")
    site_folder = build_replay_site(doc, recording, folder.root / "site")
    stack = Stack(
        settings.model_copy(update={"site": str(site_folder)}),
        folder,
        config_file=config_file,
        clock_start_s=recording.start_s,
    )
    with stack.running(lambda name: console.print(f"mulai / starting {name}…", style="dim")):
        console.print(f"Peta / map: {stack.address}", soft_wrap=True)
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        ) as bar:
            task = bar.add_task("memutar ulang / replaying", total=len(recording.rows))

            def advance(progress: ReplayProgress) -> None:
                stack.supervise()
                bar.update(task, completed=progress.acked, description=_moment(int(progress.square_s)))

            report = run_replay(
                doc,
                recording,
                broker_url=stack.broker_url,
                passwords=folder.credentials(recording.devices),
                driver=stack.clock,
                site_id=stack.site.id,
                ledger_file=stack.ledger_file,
                ca_file=settings.broker_ca_file,
                speed=speed,
                progress=advance,
                downstream_waiting=stack.waiting,
            )
        stack.drain(DRAIN_WITHIN_S)
        health = stack.child("alerts").poll_health()
        incidents = int(health.counts.get("incidents_opened", 0)) if health is not None else 0
        dead = read_dead_letters(folder.dead_letters)
        stored = stored_identities(stack.store_url, token, stack.site.id)
        found = reconcile(read_times(stack.ledger_file), stored, dead.identities)
        result = _result(report, found, dead, incidents)
        if as_json:
            click.echo(json.dumps(msgspec.to_builtins(result)))
        else:
            _print(result, report)
        if hold:
            try:
                watch(stack, console)
            except KeyboardInterrupt:
                console.print("Berhenti dengan rapi / stopped.")
    return 0 if result.passed else 1
