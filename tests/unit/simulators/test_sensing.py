"""What a virtual sensor reports about a known truth."""

import numpy as np
import pytest

from firmware import wire
from simulators import sensing

NOON_S = 1_795_500_000.0


def test_distance_error_is_that_of_honest_hardware():
    """The median of several pings stays near the truth in cool and hot air: bias below 5 mm, spread below 25 mm."""
    for temp_c in (22.0, 40.0):
        rng = np.random.default_rng(5)
        seen = [sensing.echo_distance_mm(600.0, temp_c, rng)[0] for _ in range(400)]
        errors = np.array([s for s in seen if s is not None]) - 600.0
        assert abs(float(errors.mean())) < 5.0
        assert 2.0 < float(errors.std()) < 25.0


def test_one_wild_ping_does_not_move_the_median(monkeypatch):
    """Wild pings of one in nine move the result by less than the noise of the surface."""
    quiet = dict(sensing.PARAMETERS) | {
        "surface_mm": sensing.Parameter(0, "mm", ""),
        "probe_error_c": sensing.Parameter(0, "C", ""),
    }
    monkeypatch.setattr(sensing, "PARAMETERS", quiet | {"wild_ping_share": sensing.Parameter(0.11, "1", "")})
    rng = np.random.default_rng(2)
    seen = [sensing.echo_distance_mm(700.0, 30.0, rng)[0] for _ in range(300)]
    good = [s for s in seen if s is not None and abs(s - 700) <= 15]
    assert len(good) / len(seen) > 0.97


def test_blind_zone_never_reads_as_zero():
    """A surface nearer than the blind zone reads as the edge of the blind zone, never as 0."""
    rng = np.random.default_rng(1)
    seen = [sensing.echo_distance_mm(20.0, 30.0, rng)[0] for _ in range(200)]
    assert min(s for s in seen if s is not None) >= 190


def test_lost_echoes_become_a_state_not_a_number(monkeypatch):
    """Without echoes the reading has state no-echo and no distance."""
    monkeypatch.setattr(
        sensing, "PARAMETERS", dict(sensing.PARAMETERS) | {"no_echo_share": sensing.Parameter(1.0, "1", "")}
    )
    reading = sensing.bin_reading(500.0, NOON_S, np.random.default_rng(1))
    assert reading["state"] == "no-echo"
    assert "distance_mm" not in reading


def test_readings_pass_the_wire_check():
    """Whatever the hour and fill, bin and air readings are valid on the wire."""
    rng = np.random.default_rng(3)
    air = sensing.AirSensor(rng)
    power = sensing.Power(NOON_S, -67.0)
    for hour in range(0, 24 * 7, 5):
        at_s = NOON_S + hour * 3600
        for kind, fields in (
            ("bin", sensing.bin_reading(float(rng.uniform(50, 1200)), at_s, rng)),
            ("air", air.reading(at_s, rng)),
        ):
            reading = {"seq": 1, "ts": int(at_s), **fields, **power.fields(at_s, rng)}
            assert wire.decode_reading(kind, reading)["seq"] == 1


def test_battery_falls_and_is_replaced():
    """The battery loses its swing over its life and comes back full after it."""
    rng = np.random.default_rng(3)
    power = sensing.Power(NOON_S, -60.0)
    life_s = sensing.value("battery_life_d") * 86_400
    new, old, replaced = (power.fields(NOON_S + share * life_s, rng)["battery_mv"] for share in (0.0, 0.99, 1.01))
    assert new > 4100
    assert old < 3350
    assert replaced > 4100


def test_humid_nights_read_higher():
    """Optical particle sensors overshoot in humid air: the same true PM2.5 reads higher at night."""
    rng = np.random.default_rng(3)
    air = sensing.AirSensor(rng)

    def ratio(at_s: float) -> float:
        values = [air.reading(at_s, rng)["pm25_ngm3"] / 1000 / sensing.pm25_ugm3(at_s) for _ in range(300)]
        return float(np.mean(values))

    two_at_night, two_in_the_afternoon = NOON_S + 14 * 3600, NOON_S + 2 * 3600
    assert sensing.rh_pct(two_at_night) > 85
    assert sensing.rh_pct(two_in_the_afternoon) < 70
    assert ratio(two_at_night) > 1.3 * ratio(two_in_the_afternoon)


def test_speed_of_sound_matches_the_published_points():
    """318.9 m/s at -20 C, 343.2 at 20 C, 354.7 at 40 C."""
    assert sensing.speed_of_sound_mps(-20) == pytest.approx(318.9, abs=0.05)
    assert sensing.speed_of_sound_mps(20) == pytest.approx(343.2, abs=0.05)
    assert sensing.speed_of_sound_mps(40) == pytest.approx(354.7, abs=0.05)
