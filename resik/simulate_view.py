"""``resik simulate`` on a terminal: the square as it is, as the office believes it to be, and keys to disturb it.

Indonesian first, then English; times are those of the square. Without a terminal the same run is plain lines.
"""

import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from resik.keys import Keys
from resik.simulate_live import MINUTE_S, MISCHIEFS, BinRow, CrewRow, LiveSquare
from square.clock import clock_words
from square.process import stop_on_signals

FRAME_S = 0.2
BUSY_SHARE = 0.7
"""At most so much of a frame goes into the square; the rest is for keys and the picture."""
SLOWEST, FASTEST = 1.0, 86_400.0
SPEED = 600.0
PLAIN_EVERY_MIN = 60
WIDE_CELLS = 112
"""From this width on there is room for the names of the bins."""
TALL_LINES = 36
"""From this height on there is room for more of everything."""
FULL_PCT, BRIM_PCT = 85.0, 100.0
"""Colours change here; what counts as full for the office is a rule of the site."""

_FIGURES: Sequence[tuple[str, str, str]] = (
    ("overflow_bin_minutes", "menit tong meluap / overflow", "min"),
    ("litter_hours", "jam kawasan kotor / dirty zones", "h"),
    ("complaints", "keluhan / complaints", ""),
    ("emptyings", "pengosongan / emptyings", ""),
    ("wasted_visits", "sia-sia / wasted visits", ""),
    ("crew_minutes", "kerja petugas / crew work", "min"),
    ("distance_m", "jalan kaki / walked", "m"),
    ("lateness_p90_s", "terlambat p90 / lateness p90", "s"),
)


class KeySource(Protocol):
    """Where keys come from."""

    def wait(self, within_s: float) -> str | None:
        """Return the next key, None when none came in time."""


def _colour(fill_pct: float) -> str:
    if fill_pct >= BRIM_PCT:
        return "bold red"
    return "yellow" if fill_pct >= FULL_PCT else "green"


def _bar(share: float, cells: int, colour: str) -> Text:
    filled = round(max(0.0, min(1.0, share)) * cells)
    return Text("█" * filled, colour) + Text("·" * (cells - filled), "dim")


class View:
    """The picture of one square, and what keys do to it.

    Parameters
    ----------
    square
        What is looked at.
    speed
        Square seconds per second at the beginning.
    """

    def __init__(self, square: LiveSquare, speed: float = SPEED) -> None:
        self.square = square
        self.speed = speed
        self.is_paused = False
        self.has_quit = False
        self.page = "square"
        """``square``, ``faults`` or ``scenario``."""
        self.said = ""
        """Answer to the last key."""
        self._owed_s = 0.0
        self._is_behind = False

    # -- time ------------------------------------------------------------------------------------

    def let_pass(self, elapsed_s: float, within_s: float) -> None:
        """Let the square live for `elapsed_s` of wall time, spending at most `within_s` on it."""
        if self.is_paused or self.square.is_over:
            return
        self._owed_s += elapsed_s * self.speed
        until_s = time.monotonic() + within_s
        while self._owed_s >= MINUTE_S and not self.square.is_over and time.monotonic() < until_s:
            self.square.minute()
            self._owed_s -= MINUTE_S
        self._is_behind = self._owed_s > 2 * MINUTE_S
        self._owed_s = min(self._owed_s, 2.0 * MINUTE_S)  # what cannot be caught up is let go

    # -- keys ------------------------------------------------------------------------------------

    def press(self, key: str) -> None:
        """Do what a key means."""
        if key in {"q", "Q", "\x03"}:
            self.has_quit = True
        elif self.page == "faults" and key.isdigit():
            self._break(int(key))
        elif key == " ":
            self.is_paused = not self.is_paused
            self.said = "jeda / paused" if self.is_paused else "jalan / running"
        elif key in {"+", "="}:
            self._set_speed(self.speed * 2)
        elif key in {"-", "_"}:
            self._set_speed(self.speed / 2)
        elif key in {"f", "F"}:
            self.page = "square" if self.page == "faults" else "faults"
        elif key in {"s", "S"}:
            self.page = "square" if self.page == "scenario" else "scenario"
        elif key in {"e", "E"}:
            row = self.square.empty_fullest()
            self.said = f"{row.asset_id} dikosongkan dari / emptied from {row.fill_pct:.0f} %"
        elif key == "\x1b":
            self.page = "square"

    def _set_speed(self, speed: float) -> None:
        self.speed = min(FASTEST, max(SLOWEST, speed))
        self.said = f"laju / speed ×{self.speed:g}"

    def _break(self, digit: int) -> None:
        self.page = "square"
        if not 1 <= digit <= len(MISCHIEFS):
            return
        fault = self.square.make_mischief(digit - 1)
        mischief = MISCHIEFS[digit - 1]
        self.said = f"{mischief.words_id} / {mischief.words_en}: {fault.target}, {mischief.minutes} min"

    # -- picture ---------------------------------------------------------------------------------

    def picture(self, width: int, height: int) -> Layout:
        """Return the whole screen for a terminal of this size."""
        layout = Layout()
        event_lines = 6 if height >= TALL_LINES else 3
        layout.split_column(
            Layout(self._heading(), size=3),
            Layout(name="body"),
            Layout(self._events(event_lines), size=event_lines + 2),
            Layout(self._footer(), size=2),
        )
        lines = height - event_lines - 7 - 2  # what the frames leave to the middle
        if self.page == "square":
            right = self._state(lines)
        else:
            right = self._mischiefs() if self.page == "faults" else self._about()
        is_wide = width >= WIDE_CELLS
        left = self._bins(max(1, lines - 2), is_wide=is_wide)
        layout["body"].split_row(Layout(left, ratio=1), Layout(right, ratio=1))
        return layout

    def _heading(self) -> RenderableType:
        square = self.square
        air, faults = square.air(), square.faults()
        state = "selesai / over" if square.is_over else "jeda / paused" if self.is_paused else f"×{self.speed:g}"
        if self._is_behind and not self.is_paused:
            state += " (secepat bisa / flat out)"
        first = Text.assemble(
            ("Resik ", "bold"),
            (f"{square.scenario.name_id} / {square.scenario.name_en}", "bold cyan"),
            f"   {clock_words(square.local)}   ",
            (state, "bold yellow" if self.is_paused or square.is_over else "bold green"),
            (f"   {square.share_done * 100:.0f} %", "dim"),
        )
        rain = f"hujan / rain {air.rain_mmph:.0f} mm/h" if air.rain_mmph >= 0.1 else "kering / dry"  # noqa: PLR2004
        people = sum(zone.people for zone in square.zones())
        second = Text(
            f"{air.temp_c:.0f} °C, {rain}, angin / wind {air.wind_mps:.0f} m/s   {people:,} orang / people   "
            f"{square.policy}, seed {square.seed}"
        )
        words = ", ".join(f"{fault.target} {fault.kind}" for fault in faults)
        third = Text(f"gangguan / faults ({len(faults)}): {words}" if faults else "", "bold red")
        for line in (first, second, third):
            line.no_wrap, line.overflow = True, "ellipsis"
        return Group(first, second, third)

    def _bins(self, rows: int, *, is_wide: bool) -> RenderableType:
        bins = self.square.bins()
        over, full = _over_and_full(bins)
        cells = 16 if is_wide else 10
        table = Table(box=None, padding=(0, 1, 0, 0), expand=True, header_style="dim")
        table.add_column(f"{len(bins)} tong\nbins", no_wrap=True, overflow="ellipsis", ratio=1, min_width=7)
        table.add_column("", no_wrap=True, width=cells)
        table.add_column("nyata\ntrue", justify="right", no_wrap=True)
        table.add_column("kantor\noffice", justify="right", no_wrap=True)
        for row in bins[:rows]:
            table.add_row(
                f"{row.asset_id} {row.name}",
                _bar(row.fill_pct / BRIM_PCT, cells, _colour(row.fill_pct)),
                Text(f"{row.fill_pct:.0f} %", _colour(row.fill_pct)),
                _believed(row),
            )
        title = f"{over} meluap/over, {full} penuh/full"
        return Panel(table, title=title, title_align="left", border_style="red" if over else "dim")

    def _state(self, lines: int) -> RenderableType:
        """Return crews, zones and figures, as much of each as `lines` allow."""
        crews = self.square.crews()
        if lines < 2 * len(crews) + len(_FIGURES):
            crews = [crew for crew in crews if crew.is_on_shift]
        figures = _FIGURES if lines >= len(crews) + len(_FIGURES) + 8 else _FIGURES[:4]
        left_over = lines - (len(crews) + 2) - len(figures) - 2
        parts = [self._crew_table(crews), self._zone_table(max(0, min(6, left_over))), self._figure_table(figures)]
        return Panel(Group(*parts), title="petugas/crews, kawasan/zones", title_align="left", border_style="dim")

    def _crew_table(self, crews: Sequence[CrewRow]) -> Table:
        table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", expand=True)
        table.add_column("petugas\ncrew", no_wrap=True, overflow="ellipsis")
        table.add_column("tugas\ntask", no_wrap=True, overflow="ellipsis", ratio=1)
        table.add_column("tong\nbins", justify="right", no_wrap=True)
        table.add_column("sapu\nswept", justify="right", no_wrap=True)
        for crew in crews:
            task = crew.stop or ("siap/ready" if crew.is_on_shift else "pulang/off")
            style = "" if crew.is_on_shift else "dim"
            row = (f"{crew.crew_id} {crew.name}", task, str(crew.emptied), str(crew.swept))
            table.add_row(*(Text(cell, style) for cell in row))
        return table

    def _zone_table(self, rows: int) -> Table:
        table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", expand=True)
        table.add_column("kawasan\nzone", no_wrap=True, overflow="ellipsis", ratio=1)
        table.add_column("sampah\nlitter", justify="right", no_wrap=True)
        table.add_column("orang\npeople", justify="right", no_wrap=True)
        for zone in self.square.zones()[:rows]:
            colour = "bold red" if zone.litter_l > zone.dirty_l else "green"
            table.add_row(zone.name, Text(f"{zone.litter_l:.0f} l", colour), f"{zone.people:,}")
        return table

    def _figure_table(self, figures: Sequence[tuple[str, str, str]]) -> Table:
        table = Table(box=None, padding=(0, 1, 0, 0), show_header=False, expand=True)
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        table.add_column(justify="right", no_wrap=True)
        found = self.square.figures()
        for name, words, unit in figures:
            value = f"{found[name]:,.1f}" if name == "complaints" else f"{found[name]:,.0f} {unit}".strip()
            table.add_row(Text(words, "dim"), Text(value, "bold"))
        return table

    def _mischiefs(self) -> RenderableType:
        table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold", expand=True)
        table.add_column("", style="bold yellow")
        table.add_column("tekan angka / press a digit", no_wrap=True, overflow="ellipsis", ratio=1)
        table.add_column("min", justify="right", no_wrap=True)
        for number, mischief in enumerate(MISCHIEFS, 1):
            table.add_row(str(number), f"{mischief.words_id} / {mischief.words_en}", str(mischief.minutes))
        back = Text("f: kembali / back", "dim")
        return Panel(Group(table, back), title="gangguan / faults", title_align="left", border_style="yellow")

    def _about(self) -> RenderableType:
        scenario = self.square.scenario
        lines: list[RenderableType] = [
            Text(f"{scenario.name_id} / {scenario.name_en}", "bold"),
            Text(""),
            Text(scenario.about_id),
            Text(scenario.about_en, "italic"),
            Text(""),
            Text(f"{scenario.hours:g} jam / hours, seed {self.square.seed}, {len(scenario.faults)} gangguan / faults"),
            Text(f"situs / site: {scenario.site}"),
            Text(""),
            Text("s: kembali / back", "dim"),
        ]
        return Panel(Group(*lines), title="skenario / scenario", title_align="left", border_style="cyan")

    def _events(self, lines: int) -> RenderableType:
        zone = self.square.local.tzinfo
        shown = []
        for told in list(self.square.told)[-lines:]:
            at = f"{datetime.fromtimestamp(told.at_s, zone):%H.%M}  "
            line = Text.assemble((at, "dim"), (told.words, "red" if told.is_bad else "default"))
            line.no_wrap, line.overflow = True, "ellipsis"
            shown.append(line)
        return Panel(Group(*shown), title="peristiwa/events", title_align="left", border_style="dim")

    def _footer(self) -> RenderableType:
        keys = Text.assemble(
            ("spasi", "bold"), " jeda/pause ",
            ("+-", "bold"), " laju/speed ",
            ("f", "bold"), " gangguan/fault ",
            ("e", "bold"), " kosong/empty ",
            ("s", "bold"), " info ",
            ("q", "bold"), " keluar",
        )  # fmt: skip
        keys.no_wrap, keys.overflow = True, "ellipsis"
        return Group(Text(self.said, "bold yellow", no_wrap=True, overflow="ellipsis"), keys)


def _over_and_full(bins: Sequence[BinRow]) -> tuple[int, int]:
    """Return how many bins are over the rim, and how many are full below it."""
    over = sum(row.fill_pct >= BRIM_PCT for row in bins)
    return over, sum(row.fill_pct >= FULL_PCT for row in bins) - over


def _believed(row: BinRow) -> Text:
    """Return what the office believes of a bin, and how sure it can be."""
    belief = row.belief
    if belief is None or belief.fill_pct is None:
        return Text("?", "dim")
    marks = ((belief.is_silent, "diam/mute"), (belief.is_faulty, "rusak/bad"), (belief.is_stale, "lama/old"))
    mark = next((words for is_so, words in marks if is_so), "")
    return Text(f"{mark} {belief.fill_pct:.0f} %".strip(), "magenta" if mark else "default")


def watch(square: LiveSquare, console: Console, *, speed: float = SPEED) -> None:
    """Show the square on a terminal until `q` is pressed.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C or SIGTERM, between two pictures, with the terminal as it was before.
    """
    view, stop = View(square, speed), threading.Event()
    # An exception out of a signal handler can come anywhere: half way through a picture, or where Python drops it.
    stop_on_signals(stop)
    with Keys() as keys, Live(console=console, screen=True, auto_refresh=False) as live:
        run(view, keys, lambda: live.update(view.picture(console.width, console.height), refresh=True), stop)
    if stop.is_set():
        raise KeyboardInterrupt
    print_end(square, console)


def run(view: View, keys: KeySource, show: Callable[[], None], stop: threading.Event) -> None:
    """Let the square live and answer keys until somebody quits or `stop` is set; `show` draws the picture."""
    seen_s = time.monotonic()
    while not (view.has_quit or stop.is_set()):
        show()
        try:
            key = keys.wait(FRAME_S)
        except EOFError:  # the terminal is gone
            return
        if key is not None:
            view.press(key)
        now_s = time.monotonic()
        view.let_pass(now_s - seen_s, BUSY_SHARE * FRAME_S)
        seen_s = now_s


def print_run(square: LiveSquare, console: Console, *, speed: float | None = None) -> None:
    """Run a scenario to its end and print a line an hour, and what happens between; without a speed at full speed."""
    told = 0
    minutes = 0
    while not square.is_over:
        square.minute()
        minutes += 1
        if speed is not None:
            time.sleep(MINUTE_S / speed)
        new = list(square.told)[-(square.told_count - told) :] if square.told_count > told else []
        told = square.told_count
        for one in new:
            if one.is_bad:
                at = datetime.fromtimestamp(one.at_s, square.local.tzinfo)
                console.print(f"{clock_words(at)}  ! {one.words}", soft_wrap=True, highlight=False)
        if minutes % PLAIN_EVERY_MIN == 0:
            console.print(_line(square), soft_wrap=True, highlight=False)
    print_end(square, console)


def _line(square: LiveSquare) -> str:
    bins, zones = square.bins(), square.zones()
    over, full = _over_and_full(bins)
    dirty = sum(zone.litter_l > zone.dirty_l for zone in zones)
    working = sum(crew.is_on_shift for crew in square.crews())
    return (
        f"{clock_words(square.local)}  meluap / over {over}  penuh / full {full}  kotor / dirty {dirty}  "
        f"sampah / litter {sum(zone.litter_l for zone in zones):.0f} l  orang / people "
        f"{sum(zone.people for zone in zones)}  petugas / crews {working}"
    )


def print_end(square: LiveSquare, console: Console) -> None:
    """Print what the run came to so far."""
    console.print(
        f"{square.scenario.name_id} / {square.scenario.name_en}, {clock_words(square.local)}, seed {square.seed}, "
        f"{square.policy}",
        soft_wrap=True,
        highlight=False,
    )
    found = square.figures()
    width = max(len(words) for _, words, _ in _FIGURES)
    for name, words, unit in _FIGURES:
        console.print(f"  {words:{width}}  {found[name]:,.1f} {unit}".rstrip(), highlight=False)
