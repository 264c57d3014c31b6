"""SPS30: byte vectors, and the driver on its model."""

from firmware.drivers import sps30
from tests.firmware.both import driver_bench as bench

# PM1 18.0 (0x41900000), PM2.5 5.4 (0x40ACCCCD), PM4 12.0 (0x41400000), PM10 20.0 (0x41A00000), each word with its CRC
GOOD = (
    b"\x41\x90\xc5\x00\x00\x81\x40\xac\x89\xcc\xcd\x94\x41\x40\xc1\x00\x00\x81\x41\xa0\x00\x00\x00\x81"
)  # fmt: skip


def test_values_in_bytes():
    """Floats become integers of ng/m3 without loss."""
    assert sps30.convert(GOOD) == (18000, 5400, 20000)


def test_floats_by_hand():
    """Zero, minus zero, one, a half of a nanogram, and the largest plausible value."""
    assert sps30.nanograms(0x0000, 0) == 0
    assert sps30.nanograms(0x8000, 0) == 0
    assert sps30.nanograms(0x3F80, 0) == 1000
    # 0x3A031271 = 1.0249 * 2^-11 = 0.00050045 ug/m3 = 0.50045 ng/m3, rounded to 1; half of it to 0
    assert sps30.nanograms(0x3A03, 0x1271) == 1
    assert sps30.nanograms(0x3983, 0x1271) == 0
    # 1000.0 = 0x447A0000; 5000.0 = 0x459C4000 is the limit, a little more is beyond it
    assert sps30.nanograms(0x459C, 0x4000) == 5000000
    assert bench.code_of(sps30.nanograms, 0x459C, 0x4009) == "out-of-range"
    assert sps30.nanograms(0x447A, 0) == 1000000


def test_floats_that_are_no_concentration():
    """Negative, infinite, not a number, a subnormal, and far too much: an error, or zero for what is below any unit."""
    for high, low in ((0xBF80, 0), (0x7F80, 0), (0x7FC0, 0), (0x7F7F, 0xFFFF), (0x461C, 0x4000), (0xFFFF, 0xFFFF)):
        assert bench.code_of(sps30.nanograms, high, low) == "out-of-range", hex(high)
    assert sps30.nanograms(0x0000, 0x0001) == 0


def test_damage_gives_no_value():
    """A wrong CRC in any of the eight words, all zero, and a short answer."""
    for at in range(24):
        data = bytearray(GOOD)
        data[at] ^= 0x10
        assert bench.code_of(sps30.convert, data) == "bad-crc", at
    assert bench.code_of(sps30.convert, bytes(24)) == "bad-crc"
    assert bench.code_of(sps30.convert, GOOD[:21]) == "bad-frame"


def make(**world):
    b = bench.Bench(**world)
    part = b.add("sps30", "pm")
    return b, part, sps30.SPS30(b, sleep_ms=b.sleep_ms)


def test_the_driver_reads_the_model():
    """Start, warm up, read the truth, stop."""
    b, part, driver = make(pm1_ugm3=8.5, pm25_ugm3=12.25, pm10_ugm3=31)
    bench.run(driver.start())
    b.now += 30000
    assert bench.run(driver.read()) == (8500, 12250, 31000)
    assert bench.run(driver.read()) == (8500, 12250, 31000)
    bench.run(driver.stop())
    assert part.format is None


def test_start_asks_for_floats():
    """The start command of the datasheet for floats: 00 10 03 00 AC."""
    script = bench.Script()
    bench.run(sps30.SPS30(script, sleep_ms=bench.Bench().sleep_ms).start())
    assert script.written == [b"\x00\x10\x03\x00\xac"]


def test_an_idle_sensor_does_not_answer():
    """Read without start: the part NACKs, the driver says no-answer."""
    _b, _part, driver = make()
    assert bench.code_of(driver.read) == "no-answer"


def test_a_start_after_the_node_alone_restarted():
    """A sensor that still measures refuses a start; the driver stops it first, so the warm-up begins anew."""
    b, part, driver = make()
    bench.run(driver.start())
    b.now += 60000
    bench.run(driver.start())
    assert part.format == 0x0300
    assert b.now - part.started_ms == 20
    b.world["faults"] = {"pm": "dead"}
    assert bench.code_of(driver.start) == "no-answer"


def test_values_climb_after_the_start():
    """One second after the start the model shows an eighth."""
    _b, _part, driver = make(pm25_ugm3=80)
    bench.run(driver.start())
    assert bench.run(driver.read())[1] < 12000


def test_cleaning():
    """Cleaning needs a measuring sensor and stops values for 10 s; the interval is kept as two words."""
    b, part, driver = make()
    assert bench.code_of(driver.clean) == "no-answer"
    assert bench.run(driver.auto_clean_s()) == 604800
    bench.run(driver.auto_clean(86400))  # 0x0001, 0x5180
    assert part.auto_clean_s == 86400
    assert bench.run(driver.auto_clean_s()) == 86400
    bench.run(driver.start())
    bench.run(driver.clean())
    assert part.cleanings == 1
    assert bench.code_of(driver.read) == "no-answer"
    b.now += 10000
    assert bench.run(driver.read())


def test_faults_of_the_part():
    """Torn and damaged answers are bad CRCs; a silent sensor and a dead one give no answer, after a bounded wait."""
    for fault, code in (
        ("torn", "bad-crc"),
        ("bad-checksum", "bad-crc"),
        ("silent", "no-answer"),
        ("dead", "no-answer"),
    ):
        b, _part, driver = make()
        bench.run(driver.start())
        b.now += 8000
        b.world["faults"] = {"pm": fault}
        assert bench.code_of(driver.read) == code, fault
        assert b.now < 10000
