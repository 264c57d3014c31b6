"""SGP40: byte vectors, and the driver on its model."""

from firmware.drivers import sgp40
from tests.firmware.both import driver_bench as bench


def test_the_answer_in_bytes():
    """0x7530 with its CRC 0x08 is 30000 ticks; damage, zero and the top are no value."""
    assert sgp40.convert(b"\x75\x30\x08") == 30000
    assert bench.code_of(sgp40.convert, b"\x75\x30\x09") == "bad-crc"
    assert bench.code_of(sgp40.convert, b"\x75\x30") == "bad-frame"
    assert bench.code_of(sgp40.convert, b"\x00\x00\x81") == "out-of-range"
    assert bench.code_of(sgp40.convert, b"\xff\xff\xac") == "out-of-range"


def test_compensation_words():
    """Unknown climate is the default of the datasheet; 25 C and 50 % are the same words; limits hold."""
    assert sgp40.compensation(None, None) == (0x8000, 0x6666)
    assert sgp40.compensation(2500, None) == (0x8000, 0x6666)
    # 0.5 * 65535 = 32767.5 -> 0x8000; (25 + 45) * 65535 / 175 = 26214 = 0x6666
    assert sgp40.compensation(2500, 5000) == (0x8000, 0x6666)
    assert sgp40.compensation(-9000, 20000) == (0xFFFF, 0x0000)
    assert sgp40.compensation(13000, 0) == (0x0000, 0xFFFF)


def test_the_first_raw_value_is_dropped():
    """The plate is cold at first: the driver measures twice and gives the truth, then once each time."""
    b = bench.Bench(voc_raw=31234)
    b.add("sgp40")
    driver = sgp40.SGP40(b, sleep_ms=b.sleep_ms)
    assert bench.run(driver.read(3120, 8400)) == 31234
    assert b.now == 30 + 170 + 30
    assert bench.run(driver.read()) == 31234
    assert b.now == 260
    driver.off()
    assert b.parts[0x59].hot_ms is None
    assert bench.run(driver.read()) == 31234
    assert b.now == 490


def test_the_command_carries_the_climate():
    """The bytes on the bus are those of the datasheet's example."""
    script = bench.Script(b"\x75\x30\x08", b"\x75\x30\x08")
    assert bench.run(sgp40.SGP40(script, sleep_ms=bench.Bench().sleep_ms).read(2500, 5000)) == 30000
    assert script.written == [b"\x26\x0f\x80\x00\xa2\x66\x66\x93"] * 2


def test_faults_of_the_part():
    """A bad CRC and a dead part give their codes."""
    b = bench.Bench(faults={"voc": "bad-crc"})
    b.add("sgp40")
    driver = sgp40.SGP40(b, sleep_ms=b.sleep_ms)
    assert bench.code_of(driver.read) == "bad-crc"
    b.world["faults"] = {"voc": "dead"}
    assert bench.code_of(driver.read) == "no-answer"
