"""SHT31: byte vectors, and the driver on its model."""

from firmware.drivers import sht31
from tests.firmware.both import driver_bench as bench

# S_T = 0x6666 = 26214: -45 + 175 * 26214 / 65535 = -45 + 175 * 0.4 = 25.00 C; S_RH = 0x8000: 100 * 0.500008 = 50.00 %
GOOD = b"\x66\x66\x93\x80\x00\xa2"


def test_the_answer_in_bytes():
    """A hand-made answer becomes 25.00 C and 50.00 %."""
    assert sht31.convert(GOOD) == (2500, 5000)


def test_a_damaged_answer_gives_no_value():
    """Either CRC wrong, all zero (whose CRC would be 0x81), all ones, or short: an error each."""
    assert bench.code_of(sht31.convert, b"\x66\x66\x92\x80\x00\xa2") == "bad-crc"
    assert bench.code_of(sht31.convert, b"\x66\x66\x93\x80\x01\xa2") == "bad-crc"
    assert bench.code_of(sht31.convert, bytes(6)) == "bad-crc"
    assert bench.code_of(sht31.convert, b"\xff" * 6) == "bad-crc"
    assert bench.code_of(sht31.convert, GOOD[:3]) == "bad-frame"
    # S_T = 0 is -45 C, below what the sensor can do; its CRC is right
    assert bench.code_of(sht31.convert, b"\x00\x00\x81\x80\x00\xa2") == "out-of-range"


def test_the_driver_waits_for_the_conversion():
    """The model NACKs a read before 15 ms; the driver gets its value, and asks with 24 00."""
    b = bench.Bench(temp_c=31.2, rh_pct=84.5)
    b.add("sht31")
    assert bench.run(sht31.SHT31(b, sleep_ms=b.sleep_ms).read()) == (3120, 8450)
    script = bench.Script(GOOD)
    bench.run(sht31.SHT31(script, sleep_ms=b.sleep_ms).read())
    assert script.written == [b"\x24\x00"]


def test_the_model_nacks_early_and_second_reads():
    """A read right after the command, and a second read, are refused: the model is as strict as the part."""
    b = bench.Bench()
    part = b.add("sht31")
    part.write(b"\x24\x00")
    for wait_ms, is_good in ((14, False), (1, True), (0, False)):
        b.now += wait_ms
        try:
            part.read(6)
            assert is_good, wait_ms
        except OSError:
            assert not is_good, wait_ms


def test_frost_and_heat():
    """Below zero and hot: the sign and the upper end are right."""
    b = bench.Bench(temp_c=-12.34, rh_pct=100)
    b.add("sht31")
    driver = sht31.SHT31(b, sleep_ms=b.sleep_ms)
    assert bench.run(driver.read()) == (-1234, 10000)
    b.world.update(temp_c=85, rh_pct=0)
    assert bench.run(driver.read()) == (8500, 0)


def test_faults_of_the_part():
    """A bad CRC, a dead part and a line of zeros give their codes."""
    b = bench.Bench(faults={"temp": "bad-crc"})
    b.add("sht31")
    driver = sht31.SHT31(b, sleep_ms=b.sleep_ms)
    assert bench.code_of(driver.read) == "bad-crc"
    b.world["faults"] = {"temp": "all-zero"}
    assert bench.code_of(driver.read) == "bad-crc"
    b.world["faults"] = {"temp": "dead"}
    assert bench.code_of(driver.read) == "no-answer"
