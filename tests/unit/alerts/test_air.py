"""Air of a station: means that were measured enough, in any order, humidity told apart."""

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.domain.air import AirEstimate, AirMemory, estimate, take
from alerts.domain.policy import Policy
from alerts.domain.rules import Verdict, air_verdicts

HOUR_MS = 3_600_000
INTERVAL_S = 300
PER_HOUR = 12
POLICY = Policy()


def hours_of(pm25: float, *, hours: int, rh: float = 60.0, per_hour: int = PER_HOUR) -> list[tuple[int, float, float]]:
    """Return (ts_ms, pm25, rh): ``per_hour`` readings in each of ``hours`` hours, and one in the hour after."""
    step_ms = HOUR_MS // PER_HOUR
    points = [(h * HOUR_MS + k * step_ms, pm25, rh) for h in range(hours) for k in range(per_hour)]
    return [*points, (hours * HOUR_MS, pm25, rh)]


def memory_of(points: Iterable[tuple[int, float, float]], state: str = "ok") -> AirMemory:
    memory = AirMemory()
    for ts_ms, pm25, rh in points:
        take(memory, (ts_ms, ts_ms // 1000, 7), {"pm25_ugm3": pm25, "pm10_ugm3": 2 * pm25, "rh_pct": rh}, state)
    return memory


def found(points: Iterable[tuple[int, float, float]], state: str = "ok") -> AirEstimate:
    result = estimate(memory_of(points, state), INTERVAL_S, POLICY)
    assert result is not None
    return result


def bad_air(points: Iterable[tuple[int, float, float]]) -> Verdict:
    return air_verdicts(found(points), state="ok", at_ms=0, policy=POLICY)[0]


def test_a_full_day_gives_means_and_an_index() -> None:
    """24 complete hours of 35 ug/m3: mean 35, ISPU of PM2.5 74.4 beats PM10 70 (index 60)."""
    day = found(hours_of(35.0, hours=24))
    assert day.mean_24h_pm25_ugm3 == pytest.approx(35.0)
    assert day.mean_24h_pm10_ugm3 == pytest.approx(70.0)
    assert day.index is not None
    assert (day.index.parameter, round(day.index.value, 1)) == ("pm25", 74.4)


@pytest.mark.parametrize(("hours", "known"), [(17, False), (18, True)])
def test_a_day_needs_three_quarters_of_its_hours(hours: int, known: bool) -> None:
    """17 valid hours of 24 are too few, 18 are enough."""
    assert (found(hours_of(35.0, hours=hours)).index is not None) is known


@pytest.mark.parametrize(("per_hour", "known"), [(8, False), (9, True)])
def test_an_hour_needs_three_quarters_of_its_readings(per_hour: int, known: bool) -> None:
    """8 of 12 readings are too few, 9 are enough."""
    assert (found(hours_of(35.0, hours=1, per_hour=per_hour)).mean_1h_pm25_ugm3 is not None) is known


def test_a_minute_never_becomes_an_index() -> None:
    """One huge reading gives neither an hourly mean nor an index."""
    alone = found([(0, 900.0, 50.0)])
    assert (alone.mean_1h_pm25_ugm3, alone.mean_24h_pm25_ugm3, alone.index) == (None, None, None)
    assert estimate(AirMemory(), INTERVAL_S, POLICY) is None


def test_readings_in_a_fault_take_part_in_no_mean() -> None:
    """A broken sensor's numbers are not averaged."""
    assert found(hours_of(400.0, hours=24), state="sensor-fault").mean_24h_pm25_ugm3 is None


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 30 * 60), st.floats(0, 500), st.floats(0, 100)),
        min_size=1,
        max_size=80,
        unique_by=lambda point: point[0],
    ),
    st.randoms(use_true_random=False),
)
def test_order_and_repetition_do_not_matter(points: list[tuple[int, float, float]], rng: object) -> None:
    """Shuffled and repeated readings within the kept hours give exactly the same means."""
    spread = [(minute * 48_000, pm25, rh) for minute, pm25, rh in points]
    repeated = spread * 2
    rng.shuffle(repeated)  # type: ignore[attr-defined]
    assert found(repeated) == found(sorted(spread))


def test_old_hours_are_forgotten() -> None:
    """Ten days of readings keep at most 27 hours in memory."""
    assert len(memory_of(hours_of(10.0, hours=240)).hours) <= 27


def test_bad_air_needs_a_whole_hour() -> None:
    """80 ug/m3 for a complete hour is an indicative incident; for half an hour it is no evidence."""
    verdict = bad_air(hours_of(80.0, hours=1))
    assert (verdict.holds, verdict.detail["indicative"], verdict.detail["humid"]) == (True, True, False)
    assert bad_air(hours_of(80.0, hours=1, per_hour=6)).holds is None


@pytest.mark.parametrize(("pm25", "holds"), [(0.0, False), (45.0, False), (50.0, None), (55.4, None), (55.5, True)])
def test_bad_air_has_room_between_opening_and_closing(pm25: float, holds: bool | None) -> None:
    """Opens above 55.4, closes at 45, and in between leaves things as they are."""
    assert bad_air(hours_of(pm25, hours=1)).holds is holds


def test_a_fog_night_raises_no_false_alarm() -> None:
    """At RH 95 % droplets read as 150 ug/m3: no incident; at 75 % there is one that says it was humid."""
    assert bad_air(hours_of(150.0, hours=10, rh=95.0)).holds is None
    humid = bad_air(hours_of(150.0, hours=1, rh=75.0))
    assert (humid.holds, humid.detail["humid"]) == (True, True)
