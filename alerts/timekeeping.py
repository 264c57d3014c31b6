"""The instant at which the engine judges, and from when a reading could be expected.

A square may run in real time, thirty times faster, or stand still between the steps of a replay. Three rules
keep the clock from raising alarms that the devices did not cause:

1. While the clock runs, the engine's instant is the clock's. While it stands (speed 0) its instant is the newest
   event time seen plus a grace, never beyond the clock and never back: a replay that steps a year ahead makes
   nobody silent before the data of that year is there.
2. A clock that runs and jumps ahead (a step, a resumed stack, a restarted engine) starts the waiting anew: nobody
   can be silent for longer than since the jump. Who was silent before stays silent.
3. Silence is judged only when nothing waits to be processed; while the clock stands, only after a second in which
   nothing came.
4. Missing readings prove something only while the gateway is heard: it sends a batch, if need be an empty one,
   every ten seconds of wall time. Devices are judged as of the last batch; after a break the waiting starts anew.
"""

from typing import Final

import msgspec

from square.clock import Clock
from square.clock import now_ms as clock_now_ms

GRACE_MS: Final = 120_000
"""Beyond the newest event by this much [ms] time may be taken to have passed while the clock stands."""
STEP_MS: Final = 30_000
"""A running clock that is ahead of its own speed by more than this [ms of square time] has been stepped."""
QUIET_S: Final = 1.0
"""Wall time [s] without a reading before silence is judged while the clock stands."""

BREAK_S: Final = 30.0
"""Wall time [s] without a batch, three heartbeats, after which devices get their full allowance anew."""
GATEWAY_SILENT_S: Final = 60.0
"""Wall time [s] without a batch after which the gateway counts as silent."""


class GatewaySign(msgspec.Struct, frozen=True):
    """What is known of the gateways of the site; with several of them each one counts.

    Attributes
    ----------
    id : str | None
        The one heard last, None before the first batch.
    heard_ms : int | None
        Square time [ms] when it was heard.
    is_silent : bool | None
        None while that cannot be said: shortly after a start, or while deliveries wait.
    """

    id: str | None
    heard_ms: int | None
    is_silent: bool | None


class Timekeeper:
    """Judging time of one engine.

    Parameters
    ----------
    clock : Clock
        Square time.
    wall_s : float
        Monotonic wall time [s] at the start.
    """

    def __init__(self, clock: Clock, wall_s: float) -> None:
        self._clock = clock
        self._now_ms = 0
        self._newest_ms: int | None = None
        self._moved_wall_s = wall_s
        self._gateway_id: str | None = None
        self._heard_ms: int | None = None
        self._heard_wall_s = wall_s
        self._last_clock_ms = clock_now_ms(clock)
        self._last_wall_s = wall_s
        self._last_speed = clock.speed()
        self.expected_from_ms = self._last_clock_ms if self._last_speed > 0 else 0
        """Nobody is silent for longer than since here [ms]."""

    def saw(self, event_ms: int, wall_s: float) -> None:
        """Note that a reading of ``event_ms`` was processed at ``wall_s`` (monotonic)."""
        self._newest_ms = event_ms if self._newest_ms is None else max(self._newest_ms, event_ms)
        self._moved_wall_s = wall_s

    def now_ms(self, wall_s: float) -> int:
        """Return the instant at which to judge [ms]; ``wall_s`` is monotonic wall time."""
        clock_ms = clock_now_ms(self._clock)
        speed = self._clock.speed()
        if speed > 0:
            expected_ms = self._last_clock_ms + round(
                1000 * max(speed, self._last_speed) * (wall_s - self._last_wall_s)
            )
            if clock_ms > expected_ms + STEP_MS:
                self.expected_from_ms = clock_ms
            self.expected_from_ms = min(self.expected_from_ms, clock_ms)  # a jump that was taken back
            self._now_ms = clock_ms
        else:
            newest_ms = clock_ms if self._newest_ms is None else self._newest_ms + GRACE_MS
            self._now_ms = min(clock_ms, max(self._now_ms, newest_ms))
        self._last_clock_ms, self._last_wall_s, self._last_speed = clock_ms, wall_s, speed
        return self._now_ms

    def heard(self, gateway_id: str, wall_s: float) -> None:
        """Note that a batch of a gateway, maybe an empty one, was taken at ``wall_s`` (monotonic)."""
        heard_ms = clock_now_ms(self._clock)
        if wall_s - self._heard_wall_s > BREAK_S:
            self.expected_from_ms = max(self.expected_from_ms, heard_ms)
        self._gateway_id, self._heard_ms, self._heard_wall_s = gateway_id, heard_ms, wall_s

    def gateway(self, wall_s: float, *, is_backlog_empty: bool) -> GatewaySign:
        """Return what is known of the gateways at ``wall_s`` (monotonic)."""
        is_quiet = wall_s - self._heard_wall_s > GATEWAY_SILENT_S
        is_known = is_backlog_empty if is_quiet else self._heard_ms is not None
        return GatewaySign(self._gateway_id, self._heard_ms, is_quiet if is_known else None)

    def may_judge_silence(self, wall_s: float, *, is_backlog_empty: bool) -> bool:
        """Whether missing readings prove anything now."""
        if not is_backlog_empty or self._heard_ms is None:
            return False
        return self._clock.speed() > 0 or (self._newest_ms is not None and wall_s - self._moved_wall_s >= QUIET_S)
