"""When work may happen: shifts, service-hour windows, and the days of the Javanese week.

Pure: every function takes the instant as unix seconds (UTC) and the zone of the square. Windows and
shifts are wall-clock times of the square; "24:00" is the end of the day and a window whose end is not
after its start runs past midnight ("22:00-04:00").
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

DAY_MIN = 1440
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
PASARAN = ("Legi", "Pahing", "Pon", "Wage", "Kliwon")
_JUMAT_LEGI_EPOCH = date(1945, 8, 17)
"""A Friday that was Jumat Legi: the day Indonesia declared its independence."""
_WETON_CYCLE_DAYS = 35
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")
_WINDOW = re.compile(r"(?:(mon|tue|wed|thu|fri|sat|sun) )?(\d\d:\d\d)-(\d\d:\d\d)")
_LOOK_AHEAD_DAYS = 8


def parse_clock(text: str) -> int:
    """Minutes since midnight of a wall-clock time "HH:MM" [0..1440].

    Raises
    ------
    ValueError
        If the text is not "00:00" to "24:00".
    """
    if not _CLOCK.fullmatch(text):
        raise ValueError(f'"{text}" is not a time from 00:00 to 24:00')
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def clock_text(minute: int) -> str:
    """Wall-clock time "HH:MM" of a minute of the day [0..1440]."""
    return f"{minute // 60:02d}:{minute % 60:02d}"


@dataclass(frozen=True, slots=True)
class Window:
    """A daily, or weekly, stretch of wall-clock time.

    Parameters
    ----------
    start_min
        First minute inside [minutes since midnight, 0..1439].
    end_min
        First minute outside [1..1440]. Not after ``start_min``: the window ends on the next day.
    weekday
        Day on which the window starts [0 Monday .. 6 Sunday], None for every day.
    """

    start_min: int
    end_min: int
    weekday: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Window":
        """Read "HH:MM-HH:MM", optionally with a day before it ("fri 11:00-13:00").

        Raises
        ------
        ValueError
            If the grammar is broken, a time does not exist or the window is empty.
        """
        match = _WINDOW.fullmatch(text)
        if match is None:
            raise ValueError(f'"{text}" is not a window like "05:00-22:00" or "fri 11:00-13:00"')
        day, start, end = match.groups()
        start_min, end_min = parse_clock(start), parse_clock(end)
        if start_min == DAY_MIN:
            raise ValueError(f'"{text}" starts at 24:00: write 00:00')
        if end_min == start_min:
            raise ValueError(f'"{text}" is empty: for the whole day write 00:00-24:00')
        if end_min == 0:
            end_min = DAY_MIN
        return cls(start_min, end_min, None if day is None else DAYS.index(day))

    def __str__(self) -> str:
        day = "" if self.weekday is None else f"{DAYS[self.weekday]} "
        return f"{day}{clock_text(self.start_min)}-{clock_text(self.end_min)}"

    @property
    def length_min(self) -> int:
        """Length on a day without a clock change [min, 1..1440]."""
        return (self.end_min - self.start_min - 1) % DAY_MIN + 1

    def contains(self, local: datetime) -> bool:
        """Whether a local wall-clock time lies in the window (start inside, end outside)."""
        minute = local.hour * 60 + local.minute
        if self.end_min > self.start_min:
            return self._starts_on(local.weekday()) and self.start_min <= minute < self.end_min
        if minute >= self.start_min:
            return self._starts_on(local.weekday())
        return minute < self.end_min and self._starts_on((local.weekday() - 1) % 7)

    def _starts_on(self, weekday: int) -> bool:
        return self.weekday is None or self.weekday == weekday


ALL_DAY = Window(0, DAY_MIN)


@dataclass(frozen=True, slots=True)
class ServiceHours:
    """When a bin may be emptied.

    Parameters
    ----------
    allowed
        Windows in which work is allowed; any one suffices.
    closed
        Windows in which it is not, whatever ``allowed`` says (Friday prayer).
    """

    allowed: tuple[Window, ...] = (ALL_DAY,)
    closed: tuple[Window, ...] = ()

    def is_allowed(self, now_s: float, zone: ZoneInfo) -> bool:
        """Whether work may happen at an instant.

        Parameters
        ----------
        now_s
            Instant [unix seconds].
        zone
            Zone of the square.
        """
        return self.is_open(local_time(now_s, zone))

    def is_open(self, local: datetime) -> bool:
        """Whether work may happen at a wall-clock time of the square."""
        return any(w.contains(local) for w in self.allowed) and not any(w.contains(local) for w in self.closed)

    def next_allowed(self, now_s: float, zone: ZoneInfo) -> float | None:
        """Earliest instant from ``now_s`` on at which work may happen.

        Returns
        -------
        float | None
            Unix seconds; ``now_s`` itself when work is allowed now; None when no moment of the coming week is.
        """
        if self.is_allowed(now_s, zone):
            return now_s
        return next((at_s for at_s in _instants(self._openings(), now_s, zone) if self.is_allowed(at_s, zone)), None)

    def meets(self, shifts: "Sequence[Shift]") -> bool:
        """Whether some minute of an ordinary week is open and has a shift on duty."""
        minutes = self._openings() | {s.window.start_min for s in shifts}
        week = (
            datetime(2024, 1, day, minute // 60, minute % 60)  # noqa: DTZ001 - a wall clock; 2024-01-01 is a Monday
            for day in range(1, 8)
            for minute in minutes
        )
        return any(self.is_open(at) and any(s.window.contains(at) for s in shifts) for at in week)

    def _openings(self) -> set[int]:
        """Minutes of the day at which a closed time can turn into an open one."""
        return {w.start_min for w in self.allowed} | {w.end_min % DAY_MIN for w in self.closed}


def local_time(now_s: float, zone: ZoneInfo) -> datetime:
    """Wall-clock time of the square at an instant [unix seconds]."""
    return datetime.fromtimestamp(now_s, zone)


def _instants(minutes: set[int], now_s: float, zone: ZoneInfo) -> Iterator[float]:
    """Instants from ``now_s`` on at which the wall clock shows one of the minutes, in order, for eight days."""
    today = local_time(now_s, zone).date()
    for offset_days in range(_LOOK_AHEAD_DAYS):
        for minute in sorted(minutes):
            at_s = instant_s(today + timedelta(days=offset_days), minute, zone)
            if at_s >= now_s:
                yield at_s


def instant_s(day: date, minute: int, zone: ZoneInfo) -> float:
    """Instant of a wall-clock minute of a day.

    Parameters
    ----------
    day
        Date at the square.
    minute
        Minutes since midnight [0..1440].
    zone
        Zone of the square.

    Returns
    -------
    float
        Unix seconds.
    """
    midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - the zone is set once the day is right
    wall = midnight + timedelta(minutes=minute)
    return wall.replace(tzinfo=zone).timestamp()


@dataclass(frozen=True, slots=True)
class Shift:
    """One daily working shift (giliran).

    Parameters
    ----------
    id
        Stable id.
    name_id, name_en
        Name in Indonesian and in English.
    window
        Wall-clock hours of the shift, every day.
    """

    id: str
    name_id: str
    name_en: str
    window: Window

    @property
    def start(self) -> str:
        """Start as "HH:MM"."""
        return clock_text(self.window.start_min)

    @property
    def end(self) -> str:
        """End as "HH:MM", "24:00" at midnight."""
        return clock_text(self.window.end_min)


@dataclass(frozen=True, slots=True)
class ShiftPlan:
    """The shifts of a day and who is on duty when.

    Parameters
    ----------
    shifts
        Shifts in order of their start.
    zone
        Zone of the square.
    handover_min
        Length of the handover before a shift ends [min]: a crew should not be sent on new work that it cannot
        finish by then.
    """

    shifts: tuple[Shift, ...]
    zone: ZoneInfo
    handover_min: int = 15

    def on_shift(self, now_s: float) -> tuple[Shift, ...]:
        """Shifts on duty at an instant [unix seconds]; none during the night's rest."""
        local = local_time(now_s, self.zone)
        return tuple(s for s in self.shifts if s.window.contains(local))

    def is_on_shift(self, shift_id: str, now_s: float) -> bool:
        """Whether the shift with this id is on duty at an instant [unix seconds]."""
        return any(s.id == shift_id for s in self.on_shift(now_s))

    def next_start(self, now_s: float) -> tuple[Shift, float] | None:
        """Shift that starts next, strictly after ``now_s``, and when [unix seconds]; None without shifts."""
        coming = [(at_s, s) for s in self.shifts for at_s in self._starts(s, now_s) if at_s > now_s]
        if not coming:
            return None
        at_s, shift = min(coming, key=lambda pair: pair[0])
        return shift, at_s

    def end_s(self, shift: Shift, now_s: float) -> float | None:
        """When the shift that is on duty at ``now_s`` ends [unix seconds]; None when it is not on duty."""
        local = local_time(now_s, self.zone)
        window = shift.window
        if not window.contains(local):
            return None
        starts_today = local.hour * 60 + local.minute >= window.start_min
        crosses = window.end_min <= window.start_min
        day = local.date() + timedelta(days=1 if crosses and starts_today else 0)
        return instant_s(day, window.end_min, self.zone)

    def is_handover(self, now_s: float) -> bool:
        """Whether some shift on duty is within its last ``handover_min`` minutes."""
        ends = (self.end_s(s, now_s) for s in self.on_shift(now_s))
        return any(end_s is not None and end_s - now_s <= self.handover_min * 60 for end_s in ends)

    def _starts(self, shift: Shift, now_s: float) -> Iterator[float]:
        today = local_time(now_s, self.zone).date()
        for offset_days in range(3):
            yield instant_s(today + timedelta(days=offset_days), shift.window.start_min, self.zone)


def uncovered(windows: Sequence[Window]) -> list[Window]:
    """Stretches of an ordinary day that no window covers, in order."""
    covered = [False] * DAY_MIN
    for window in windows:
        for minute in range(window.start_min, window.start_min + window.length_min):
            covered[minute % DAY_MIN] = True
    return _stretches([not c for c in covered])


def overlap(a: Window, b: Window) -> int:
    """Minutes of an ordinary day that two daily windows share [min]."""
    minutes_a = {m % DAY_MIN for m in range(a.start_min, a.start_min + a.length_min)}
    return sum(m % DAY_MIN in minutes_a for m in range(b.start_min, b.start_min + b.length_min))


def _stretches(minutes: list[bool]) -> list[Window]:
    found, start = [], None
    for minute, wanted in enumerate([*minutes, False]):
        if wanted and start is None:
            start = minute
        elif not wanted and start is not None:
            found.append(Window(start, minute))
            start = None
    return found


def pasaran(day: date) -> str:
    """Day of the five-day Javanese market week.

    Examples
    --------
    >>> pasaran(date(2023, 1, 20))
    'Legi'
    """
    return PASARAN[pasaran_index(day)]


def pasaran_index(day: date) -> int:
    """Index of the day in `PASARAN` [0 Legi .. 4 Kliwon]."""
    return (day - _JUMAT_LEGI_EPOCH).days % len(PASARAN)


def is_jumat_legi(day: date) -> bool:
    """Whether a date is Jumat Legi: Friday and Legi at once, every 35 days.

    The crowd at the tomb comes the evening before, because the religious day starts at sunset.
    """
    return (day - _JUMAT_LEGI_EPOCH).days % _WETON_CYCLE_DAYS == 0


def next_jumat_legi(day: date) -> date:
    """First Jumat Legi on or after a date."""
    return day + timedelta(days=-(day - _JUMAT_LEGI_EPOCH).days % _WETON_CYCLE_DAYS)
