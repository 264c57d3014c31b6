"""Contacts and voltages: debounce, active level, averaging."""

from firmware.drivers import contact, voltage
from tests.firmware.both import driver_bench as bench


def make(role, active, **world):
    b = bench.Bench(**world)
    part = b.add("switch", role, active=active)
    return b, contact.Contact(part.level, active, b.sleep_ms)


def test_both_active_levels():
    """Open and closed are told apart whatever level means closed, after 16 ms."""
    for active in (0, 1):
        for is_open in (False, True):
            b, driver = make("lid", active, lid_open=is_open)
            assert bench.run(driver.read()) is is_open
            assert b.now == 16


def test_every_role_follows_its_truth():
    """Water, lid, heat and a tilt switch (beyond 45 degrees) see their own part of the world."""
    truths = {"water": {"water": 1}, "lid": {"lid_open": True}, "heat": {"heat": 1}, "tilt": {"tilt_deg": 60}}
    for role, world in truths.items():
        assert bench.run(make(role, 0, **world)[1].read()) is True, role
        assert bench.run(make(role, 0)[1].read()) is False, role


def test_a_bounce_is_waited_out():
    """Levels that change while the contact bounces count from the last change on."""
    b = bench.Bench()
    levels = [0, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1]
    driver = contact.Contact(lambda: levels.pop(0), 1, b.sleep_ms)
    assert bench.run(driver.read()) is True
    assert levels == []
    assert b.now == 40


def test_a_chattering_contact_is_a_fault():
    """A level that never rests is an error after 200 ms, not a guess."""
    b = bench.Bench()
    count = [0]

    def level():
        count[0] += 1
        return count[0] // 2 % 2

    assert bench.code_of(contact.Contact(level, 1, b.sleep_ms).read) == "bad-frame"
    assert b.now == 200


class Adc:
    def __init__(self, *samples):
        self.samples = list(samples)

    def read_uv(self):
        return self.samples.pop(0)


def test_a_battery_behind_a_divider():
    """1.855 V at the pin behind a divider by two are 3710 mV."""
    assert bench.run(voltage.Voltage(Adc(*[1855000] * 16), 2000).read()) == 3710


def test_spikes_do_not_count():
    """Two samples too high and two too low leave the mean alone."""
    samples = [1855000] * 12 + [3100000, 0, 2500000, 1000]
    assert bench.run(voltage.Voltage(Adc(*samples), 2000).read()) == 3710


def test_the_mean_is_rounded():
    """Half of the samples 1 mV higher: 1000.5 mV, rounded up; zero is a value."""
    assert bench.run(voltage.Voltage(Adc(*([1000000, 1001000] * 8)), 1000).read()) == 1001
    assert bench.run(voltage.Voltage(Adc(*[0] * 16), 1000).read()) == 0


def test_beyond_the_converter_is_no_voltage():
    """More than its supply, or less than nothing, cannot be at the pin."""
    assert bench.code_of(voltage.Voltage(Adc(*[3300010] * 16), 1000).read) == "out-of-range"
    assert bench.code_of(voltage.Voltage(Adc(*[-10] * 16), 1000).read) == "out-of-range"


def test_the_model_of_a_battery_with_noise():
    """With noise and spikes the driver stays within 10 mV of the truth."""
    b = bench.Bench(battery_mv=3710, nh3_mv=420, noise_seed=7)
    driver = voltage.Voltage(b.add("battery", "battery"), 2000)
    for _ in range(20):
        assert abs(bench.run(driver.read()) - 3710) <= 10
    assert abs(bench.run(voltage.Voltage(b.add("adc", "nh3"), 1000).read()) - 420) <= 5
