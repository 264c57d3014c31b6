"""Ultrasonic rangers: what a pulse means, and the driver on its model."""

from firmware.drivers import ultrasonic
from tests.firmware.both import driver_bench as bench


class Pins:
    """The two lines of a module, with the order of what happened."""

    def __init__(self, b, part):
        self.b = b
        self.part = part
        self.log = []

    def trigger(self, level):
        self.log.append(("trigger", level))

    def wait_us(self, us):
        self.log.append(("wait", us))

    def pulse_us(self, limit_us):
        self.log.append(("pulse", limit_us, self.b.now))
        return self.part.echo_us()


def make(part_type="jsn-sr04t", **world):
    b = bench.Bench(**world)
    part = b.add(part_type, "distance")
    pins = Pins(b, part)
    return b, pins, ultrasonic.Ultrasonic(pins.trigger, pins.pulse_us, pins.wait_us, part.level, b.sleep_ms)


def test_what_a_pulse_means():
    """A time is a time; never risen, never fallen, the pulse of hearing nothing, and a glitch are codes."""
    assert ultrasonic.check(5800) == 5800
    assert ultrasonic.check(100) == 100
    assert bench.code_of(ultrasonic.check, -2) == "no-answer"
    assert bench.code_of(ultrasonic.check, -1) == "no-echo"
    assert bench.code_of(ultrasonic.check, 36000) == "no-echo"  # an HC-SR04 gives 38 ms
    assert bench.code_of(ultrasonic.check, 99) == "out-of-range"
    assert bench.code_of(ultrasonic.check, 0) == "out-of-range"


def test_pings_are_spaced_and_triggered_as_the_boards_want():
    """25 us of trigger, 40 ms of limit, 60 ms between pings."""
    _b, pins, driver = make(distance_mm=1000, temp_c=20)
    bench.run(driver.read(3))
    expect = []
    for at_ms in (0, 60, 120):
        expect += [("trigger", 1), ("wait", 25), ("trigger", 0), ("pulse", 40000, at_ms)]
    assert pins.log == expect


def test_the_driver_reads_the_model():
    """1000 mm at 20 C: 2000 mm / 343.2 m/s = 5828 us; a ping each."""
    _b, _pins, driver = make(distance_mm=1000, temp_c=20)
    found = bench.run(driver.read(5))
    assert len(found) == 5
    assert all(abs(echo_us - 5828) <= 2 for echo_us in found)


def test_echo_timeouts_never_give_a_time():
    """No echo, no module, and an echo line that stays high are codes, each for each ping."""
    for fault, code in (("no-echo", "no-echo"), ("dead", "no-answer"), ("stuck", "stuck")):
        _b, _pins, driver = make(faults={"distance": fault})
        assert bench.run(driver.read(3)) == [code] * 3, fault
    _b, _pins, driver = make(distance_mm=6000)
    assert bench.run(driver.read(1)) == ["no-echo"]


def test_no_ping_into_a_line_that_is_stuck():
    """With the echo line high the module is not triggered."""
    _b, pins, driver = make(faults={"distance": "stuck"})
    bench.run(driver.read(2))
    assert pins.log == []


def test_the_blind_zone_gives_the_same_echo_whatever_is_nearer():
    """Bags at 50 and at 150 mm look alike to the JSN-SR04T, and never like distance 0; the HC-SR04 sees both."""
    b, _pins, driver = make(distance_mm=50)
    near = bench.run(driver.read(2))
    b.world["distance_mm"] = 150
    assert bench.run(driver.read(2)) == near
    assert near[0] > 900
    b, _pins, driver = make("hc-sr04", distance_mm=150)
    assert 860 < bench.run(driver.read(1))[0] < 880


def test_wild_echoes_differ():
    """The fault "wild" gives times all over the range, as rain on the membrane does."""
    _b, _pins, driver = make(faults={"distance": "wild"})
    found = bench.run(driver.read(7))
    assert max(found) - min(found) > 2000
