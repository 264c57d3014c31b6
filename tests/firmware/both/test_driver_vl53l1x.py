"""VL53L1X: byte vectors, and the driver on its model."""

from firmware.drivers import vl53l1x
from tests.firmware.both import driver_bench as bench


def result(status, distance_mm):
    return bytes((status,)) + bytes(12) + bytes((distance_mm >> 8, distance_mm & 0xFF))


def test_results_in_bytes():
    """Status 9 is a range; 4 and 5 are no target; everything else, and a distance that cannot be, is out of range."""
    assert vl53l1x.decode(result(9, 740)) == 740
    assert vl53l1x.decode(result(0xE9, 740)) == 740  # the upper three bits say something else
    assert bench.code_of(vl53l1x.decode, result(4, 740)) == "no-echo"
    assert bench.code_of(vl53l1x.decode, result(5, 740)) == "no-echo"
    for status in (0, 1, 2, 3, 6, 7, 8, 10, 18, 31):
        assert bench.code_of(vl53l1x.decode, result(status, 740)) == "out-of-range", status
    assert bench.code_of(vl53l1x.decode, result(9, 0)) == "out-of-range"
    assert bench.code_of(vl53l1x.decode, result(9, 8190)) == "out-of-range"
    assert bench.code_of(vl53l1x.decode, b"\x09\x02") == "bad-frame"


def make(**world):
    b = bench.Bench(**world)
    part = b.add("vl53l1x", "distance")
    return b, part, vl53l1x.VL53L1X(b, sleep_ms=b.sleep_ms)


def test_the_driver_reads_the_model():
    """The truth for each ping, and the part is stopped afterwards."""
    b, part, driver = make(distance_mm=740)
    assert bench.run(driver.read(3)) == [740, 740, 740]
    assert part.memory[0x0087] == 0
    assert part.due_ms is None
    b.world["distance_mm"] = 3999
    assert bench.run(driver.read(1)) == [3999]


def test_the_configuration_reaches_the_part():
    """Long mode with a budget of 100 ms (0x01CC), event on a new sample, period of 120 ms by the part's own clock."""
    _b, part, driver = make(distance_mm=740)
    bench.run(driver.read(1))
    assert part.memory[0x005E] << 8 | part.memory[0x005F] == 0x01CC
    assert part.memory[0x0046] == 0x20
    assert part.memory[0x004B] == 0x0A
    period = part.memory[0x006E] << 8 | part.memory[0x006F] | part.memory[0x006D] << 16
    assert period == 77400  # 600 * 120 * 1.075
    assert (part.memory[0x0008], part.memory[0x000B]) == (0x09, 0x00)


def test_the_first_range_only_calibrates():
    """Two ranges for the first read of one ping, one for the next."""
    _b, part, driver = make(distance_mm=740)
    bench.run(driver.read(1))
    assert part.ranges == 2
    bench.run(driver.read(1))
    assert part.ranges == 3


def test_no_target_and_too_near():
    """Nothing in range is no-echo, a lid on the glass is out-of-range; neither is a distance."""
    b, _part, driver = make(distance_mm=None)
    assert bench.run(driver.read(2)) == ["no-echo"] * 2
    b.world["distance_mm"] = 10
    assert bench.run(driver.read(2)) == ["out-of-range"] * 2
    b.world["faults"] = {"distance": "near"}
    assert bench.run(driver.read(1)) == ["out-of-range"]


def test_another_chip_and_no_boot():
    """A wrong model id is refused, and so is a chip that never boots."""
    _b, part, driver = make()
    part.memory[0x0110] = 0xCB
    assert bench.code_of(driver.read, 1) == "bad-frame"
    _b, part, driver = make()
    part.born_ms = 10**9
    assert bench.code_of(driver.read, 1) == "power-on"


def test_faults_of_the_part():
    """A part that never has data and a dead one give no answer; the wait is bounded."""
    b, _part, driver = make(faults={"distance": "stuck"})
    assert bench.code_of(driver.read, 3) == "no-answer"
    assert b.now < 500
    b.world["faults"] = {"distance": "dead"}
    assert bench.code_of(driver.read, 1) == "no-answer"


def test_a_part_that_still_ranges_gives_no_old_value():
    """The node restarted alone in the middle of a read: the next driver stops the part and reads the present."""
    b, part, driver = make(distance_mm=740)
    driver._set(0x002D, vl53l1x._CONFIGURATION)
    driver._set(0x0087, b"\x40")
    b.now += 5000
    part.read(1)
    b.world["distance_mm"] = 1500
    assert bench.run(driver.read(2)) == [1500, 1500]
    assert part.ranges == 4


def test_it_is_configured_again_after_a_power_cut():
    """A part that lost its supply between reads is set up anew on the read after the failed one."""
    b, _part, driver = make(distance_mm=740)
    bench.run(driver.read(1))
    b.add("vl53l1x", "distance")
    assert bench.code_of(driver.read, 1) == "no-answer"
    assert bench.run(driver.read(1)) == [740]
