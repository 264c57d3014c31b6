"""A node that runs the real firmware on the real MicroPython, boot after boot, in a time of its own.

Sleeping costs nothing: the next boot begins where the sleep ends. What survives between two boots is decided by how the
last one ended, as on an ESP32.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from simulators.real_folder import NodeFolder, fakes
from simulators.real_spawn import NodeProcess, Spawner

POWER_ON, HARD, WATCHDOG, DEEP_SLEEP, SOFT = 1, 2, 3, 4, 5
"""Causes of a reset, with the numbers of `machine`."""
WAKE_PIN, WAKE_PINS, WAKE_TIMER = 2, 3, 4
"""Reasons of a wake: ext0, ext1, timer."""
BOOT_MS = 300
"""From a reset to the first line of boot.py, assumed [virtual ms]."""
HEAP_KIB = 96
"""Heap of a node, asyncio included and the fakes not [KiB]."""
_ROOM_KIB = 128
"""What the interpreter gets beyond it for the fakes; ``start.py`` takes away what they leave. Every collection looks
through all of it, so it is little more than the 120 that a node with every part needs."""
LIMIT_S = 30.0
"""A boot that takes longer [wall s] hangs."""

_NEXT_CAUSE = {"@SLEEP": DEEP_SLEEP, "@RESET": HARD, "@SOFT": SOFT, "@BITE": WATCHDOG}
_OUTCOME = {
    "@SLEEP": "sleep",
    "@RESET": "reset",
    "@SOFT": "reset",
    "@BITE": "reset",
    "@CUT": "cut",
    "@LOST": "killed",
    "@END": "crash",
}


@dataclass(frozen=True)
class Boot:
    """How one boot went.

    Attributes
    ----------
    outcome : str
        ``sleep``, ``reset``, ``cut`` (power failed at the flash operation that was asked for), ``killed`` (power failed
        at the line or moment that was asked for), ``crash`` (the program ended and no watchdog was running: a node at
        its prompt, for ever) or ``running`` (it hung, and no watchdog was running).
    cause : int
        Cause of the next reset.
    began_ms, ended_ms : int
        Virtual time [ms since 1970].
    sleep_ms : int | None
        How long it wants to sleep; -1 without a timer. None when it does not sleep.
    wake_pins : tuple[tuple[int, int], ...]
        Pins and levels that wake it earlier.
    lines : tuple[str, ...]
        What it printed, without the control lines of the fakes.
    watchdog_ms : int | None
        Timeout of the watchdog it started.
    fed : int
        How often it fed it.
    operations : int
        Writes and erases of the flash image; 0 without an image.
    real_s : float
        Wall time it took.
    """

    outcome: str
    cause: int
    began_ms: int
    ended_ms: int
    sleep_ms: int | None
    wake_pins: tuple[tuple[int, int], ...]
    lines: tuple[str, ...]
    watchdog_ms: int | None
    fed: int
    operations: int
    real_s: float

    @property
    def text(self) -> str:
        """All lines, for looking at a failure."""
        return "\n".join(self.lines)


def _number(lines: list[str], word: str) -> int | None:
    return next((int(line.split()[1]) for line in reversed(lines) if line.startswith(word + " ")), None)


class RealNode:
    """Boots one node again and again.

    Parameters
    ----------
    folder
        The node.
    spawner
        Starts it; several nodes may share one.
    unix_ms
        True time of its first start [ms since 1970].
    epoch
        Year in which its clock begins: 2000 as on an ESP32, or 1970.
    pace
        How many virtual milliseconds of a deadline pass while it waits a real one for an answer.
    drift_ppm
        Error of its clock while it sleeps [1e-6]; positive runs fast.
    heap_kib
        Heap of the node [KiB].
    """

    def __init__(
        self,
        folder: NodeFolder,
        spawner: Spawner,
        *,
        unix_ms: int,
        epoch: int = 2000,
        pace: int = 20,
        drift_ppm: int = 0,
        heap_kib: int = HEAP_KIB,
    ) -> None:
        self.folder = folder
        self.unix_ms = unix_ms
        self.boots = 0
        self.cause = POWER_ON
        self.wake = 0
        self._spawner = spawner
        self._epoch = epoch
        self._pace = pace
        self._drift_ppm = drift_ppm
        self._heap_kib = heap_kib
        self._parts = folder.part_types()

    # -- one boot -------------------------------------------------------------------------------

    def start(
        self,
        *,
        cut: int = 0,
        lost_ms: int = 0,
        lost_at: str = "",
        ticks_ms: int = 0,
        kill_when: Callable[[str], bool] | None = None,
        limit_s: float = LIMIT_S,
    ) -> NodeProcess:
        """Begin a boot; `finish` takes what the spawner gives back for it.

        Parameters
        ----------
        cut
            Flash operation at which power fails (1 is the first); 0 for none. Needs an image.
        lost_ms
            Moment at which power fails [virtual ms after the start]; 0 for never.
        lost_at
            Power fails right after the first printed line that begins so.
        ticks_ms
            Where its ticks begin, for wrapping them early.
        kill_when
            Asked for each printed line; True takes the power away as soon as the process can be killed.
        limit_s
            A boot that takes longer hangs [wall s].
        """
        environment = {
            "RESIK_NODE": str(self.folder.path),
            "RESIK_UNIX_MS": str(self.unix_ms),
            "RESIK_EPOCH": str(self._epoch),
            "RESIK_TICKS": str(ticks_ms),
            "RESIK_CUT": str(cut),
            "RESIK_LOST_MS": str(lost_ms),
            "RESIK_LOST_AT": lost_at,
            "RESIK_CAUSE": str(self.cause),
            "RESIK_WAKE": str(self.wake),
            "RESIK_PACE": str(self._pace),
            "RESIK_HEAP_KIB": str(self._heap_kib),
        }
        self.boots += 1
        arguments = ["-X", f"heapsize={self._heap_kib + _ROOM_KIB}K", "-c", "import start"]
        warm = {"MICROPYPATH": f"{fakes()}:.frozen", "RESIK_PARTS": self._parts}
        return self._spawner.start(arguments, environment, limit_s=limit_s, kill_when=kill_when, warm=warm)

    def finish(self, process: NodeProcess) -> Boot:
        """Judge a boot that ended, and be ready for the next one."""
        boot = self._judge(process)
        with self.folder.serial.open("a", encoding="utf-8") as log:
            log.write(f"-- boot {self.boots}, cause {self.cause}, {boot.outcome}\n" + boot.text + "\n")
        self.cause, self.wake = boot.cause, 0
        if boot.outcome == "sleep":
            self.wake = WAKE_TIMER
            self._sleep(boot)
        else:
            self.unix_ms = boot.ended_ms + BOOT_MS
        if self.cause == POWER_ON:
            self.folder.forget_rtc()
        return boot

    def _judge(self, process: NodeProcess) -> Boot:
        lines = process.lines
        word = (process.last_word or "").split()
        watchdog_ms = _number(lines, "@WDT")
        ended_ms = _number(lines, "@T")
        name = word[0] if word else ""
        outcome, cause = _OUTCOME.get(name, "crash"), _NEXT_CAUSE.get(name, POWER_ON)
        if not word and process.killed:
            outcome = "killed"
        elif not word and process.overdue and watchdog_ms is not None:
            # It never looked at the time again: on the device the watchdog would have bitten.
            outcome, cause = "reset", WATCHDOG
            ended_ms = self.unix_ms + watchdog_ms
        elif not word and process.overdue:
            outcome = "running"
        if ended_ms is None:
            ended_ms = self.unix_ms + round(process.took_s * 1000)
        pins = word[2].split(";") if name == "@SLEEP" and len(word) > 2 else []  # noqa: PLR2004
        return Boot(
            outcome=outcome,
            cause=cause,
            began_ms=self.unix_ms,
            ended_ms=max(self.unix_ms, ended_ms),
            sleep_ms=int(word[1]) if name == "@SLEEP" else None,
            wake_pins=tuple((int(a), int(b)) for a, b in (pin.split(",") for pin in pins)),
            lines=tuple(line for line in lines if not line.startswith("@")),
            watchdog_ms=watchdog_ms,
            fed=lines.count("@FEED"),
            operations=_number(lines, "@OPS") or 0,
            real_s=process.took_s,
        )

    def _sleep(self, boot: Boot) -> None:
        assert boot.sleep_ms is not None
        slept_ms = max(0, boot.sleep_ms)
        self.unix_ms = boot.ended_ms + slept_ms + BOOT_MS
        file = self.folder.path / "rtc.bin"
        if self._drift_ppm and file.exists():
            data = file.read_bytes()
            ahead_ms = int.from_bytes(data[:8], "little", signed=True) + slept_ms * self._drift_ppm // 1_000_000
            file.write_bytes(ahead_ms.to_bytes(8, "little", signed=True) + data[8:])

    # -- several --------------------------------------------------------------------------------

    def boot(self, **how: Any) -> Boot:
        """Run one boot to its end; arguments as of `start`."""
        process = self.start(**how)
        while process not in self._spawner.wait(LIMIT_S):
            pass
        return self.finish(process)

    def boots_until(self, unix_ms: int, **how: Any) -> Iterator[Boot]:
        """Boot again and again until virtual time reaches `unix_ms`, or the node is dead at its prompt."""
        while self.unix_ms < unix_ms:
            boot = self.boot(**how)
            yield boot
            if boot.outcome in {"crash", "running"}:
                return

    def power_cut(self, for_ms: int = 1000) -> None:
        """Take the battery out for a while; RTC memory and clock are lost."""
        self.unix_ms += for_ms
        self.cause, self.wake = POWER_ON, 0
        self.folder.forget_rtc()

    def woken(self, by_pin: int, boot: Boot, after_ms: int) -> None:
        """Say that a pin ended the sleep of `boot` after `after_ms` already, instead of its timer."""
        if by_pin not in [pin for pin, _ in boot.wake_pins]:
            raise ValueError(f"pin {by_pin} does not wake this node: {boot.wake_pins}")
        self.wake = WAKE_PIN if boot.wake_pins[0][0] == by_pin else WAKE_PINS
        self.unix_ms = boot.ended_ms + after_ms + BOOT_MS
