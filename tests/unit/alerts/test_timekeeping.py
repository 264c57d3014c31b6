"""When the engine judges, and from when a reading could be expected."""

from alerts.timekeeping import BREAK_S, GATEWAY_SILENT_S, GRACE_MS, GatewaySign, Timekeeper
from square.clock import FixedClock

T0_S = 1_795_485_600.0
YEAR_S = 365 * 86_400


def test_a_running_clock_is_taken_as_it_is() -> None:
    """At speed 1 the instant is the clock's, whatever readings say."""
    clock = FixedClock(T0_S, speed=1.0)
    keeper = Timekeeper(clock, 0.0)
    keeper.saw(int(T0_S * 1000) + 500_000, 0.0)
    clock.advance(1)
    assert keeper.now_ms(1.0) == int((T0_S + 1) * 1000)


def test_a_replay_that_steps_waits_for_its_data() -> None:
    """A paused clock set a year ahead moves the instant to newest event plus grace only, then follows the data."""
    clock = FixedClock(T0_S)
    keeper = Timekeeper(clock, 0.0)
    first_ms = int(T0_S * 1000)
    keeper.saw(first_ms, 0.0)
    assert keeper.now_ms(0.0) == first_ms
    clock.advance(YEAR_S)
    assert keeper.now_ms(0.1) == first_ms + GRACE_MS
    later_ms = first_ms + YEAR_S * 1000 - 1000
    keeper.saw(later_ms, 0.2)
    assert keeper.now_ms(0.2) == later_ms + 1000  # never beyond the clock


def test_time_does_not_run_back_while_the_clock_stands() -> None:
    """Pausing a running square keeps its instant, though the newest event is older than the grace."""
    clock = FixedClock(T0_S, speed=1.0)
    keeper = Timekeeper(clock, 0.0)
    keeper.saw(int(T0_S * 1000) - 600_000, 0.0)
    before = keeper.now_ms(0.0)
    clock._speed = 0.0
    assert keeper.now_ms(1.0) == before


def test_without_any_reading_a_standing_clock_is_believed() -> None:
    """Before the first reading there is nothing else to go by."""
    assert Timekeeper(FixedClock(T0_S), 0.0).now_ms(0.0) == int(T0_S * 1000)


def test_a_start_begins_the_waiting_anew() -> None:
    """After a restart nobody is silent for longer than the engine runs; a paused replay sets no such mark."""
    assert Timekeeper(FixedClock(T0_S, speed=1.0), 0.0).expected_from_ms == int(T0_S * 1000)
    assert Timekeeper(FixedClock(T0_S), 0.0).expected_from_ms == 0


def test_a_step_of_a_running_clock_begins_the_waiting_anew() -> None:
    """A jump of a day at x30 moves the mark; thirty seconds of square time in one wall second do not."""
    clock = FixedClock(T0_S, speed=30.0)
    keeper = Timekeeper(clock, 0.0)
    mark_ms = keeper.expected_from_ms
    clock.advance(30)
    keeper.now_ms(1.0)
    assert keeper.expected_from_ms == mark_ms
    clock.advance(86_400)
    assert keeper.expected_from_ms == mark_ms
    assert keeper.now_ms(2.0) == keeper.expected_from_ms == int((T0_S + 86_430) * 1000)


def test_silence_is_not_judged_over_a_backlog() -> None:
    """Readings that wait could be the missing ones."""
    keeper = Timekeeper(FixedClock(T0_S, speed=1.0), 0.0)
    assert not keeper.may_judge_silence(10.0, is_backlog_empty=True)  # no gateway was heard yet
    keeper.heard("gw-utama", 10.0)
    assert keeper.may_judge_silence(10.0, is_backlog_empty=True)
    assert not keeper.may_judge_silence(10.0, is_backlog_empty=False)


def test_a_standing_clock_needs_a_quiet_second() -> None:
    """In a replay silence is judged only when nothing has come for a second of wall time, and never before the data."""
    keeper = Timekeeper(FixedClock(T0_S), 0.0)
    assert not keeper.may_judge_silence(10.0, is_backlog_empty=True)
    keeper.heard("gw-utama", 10.0)
    keeper.saw(int(T0_S * 1000), 10.0)
    assert not keeper.may_judge_silence(10.9, is_backlog_empty=True)
    assert keeper.may_judge_silence(11.0, is_backlog_empty=True)


def test_a_jump_that_is_taken_back_makes_nobody_deaf() -> None:
    """An hour ahead for one look, then right again: devices are expected from now on and not from an hour ahead."""
    clock = FixedClock(T0_S, speed=1.0)
    keeper = Timekeeper(clock, 0.0)
    clock.advance(3600)
    keeper.now_ms(1.0)
    clock.set(T0_S + 2)
    assert keeper.now_ms(2.0) == keeper.expected_from_ms == int((T0_S + 2) * 1000)


def test_a_gateway_is_silent_after_a_minute_without_a_batch() -> None:
    """Heard until 60 s after its last batch, silent after it, heard again with the next; time of the last is told."""
    clock = FixedClock(T0_S, speed=1.0)
    keeper = Timekeeper(clock, 0.0)
    keeper.heard("gw-utama", 5.0)
    heard_ms = int(T0_S * 1000)
    clock.advance(100)
    assert keeper.gateway(5.0 + GATEWAY_SILENT_S, is_backlog_empty=True) == GatewaySign("gw-utama", heard_ms, False)
    late_s = 5.1 + GATEWAY_SILENT_S
    assert keeper.gateway(late_s, is_backlog_empty=True) == GatewaySign("gw-utama", heard_ms, True)
    assert keeper.gateway(late_s, is_backlog_empty=False).is_silent is None  # it may stand in what waits
    keeper.heard("gw-kedua", late_s)
    assert keeper.gateway(late_s, is_backlog_empty=True) == GatewaySign("gw-kedua", heard_ms + 100_000, False)


def test_after_a_start_nothing_is_said_of_the_gateway_for_a_minute() -> None:
    """An engine that has just begun to listen knows nothing; after a minute without a batch it does."""
    keeper = Timekeeper(FixedClock(T0_S, speed=1.0), 0.0)
    assert keeper.gateway(GATEWAY_SILENT_S, is_backlog_empty=True) == GatewaySign(None, None, None)
    assert keeper.gateway(GATEWAY_SILENT_S + 0.1, is_backlog_empty=True) == GatewaySign(None, None, True)


def test_after_a_break_of_the_gateway_devices_get_their_full_allowance() -> None:
    """Batches up to 30 s apart move nothing; after a longer break the waiting starts at the first batch."""
    clock = FixedClock(T0_S, speed=1.0)
    keeper = Timekeeper(clock, 0.0)
    mark_ms = keeper.expected_from_ms
    keeper.heard("gw-utama", BREAK_S)
    assert keeper.expected_from_ms == mark_ms
    clock.advance(1000)
    keeper.heard("gw-utama", 2 * BREAK_S + 0.1)
    assert keeper.expected_from_ms == int((T0_S + 1000) * 1000)
