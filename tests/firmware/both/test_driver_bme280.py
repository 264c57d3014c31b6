"""BME280: the datasheet's example, byte vectors, and the driver on its model."""

from firmware.drivers import bme280
from tests.firmware.both import driver_bench as bench

# Constants of the worked example in Bosch's BMP280 datasheet (3.12); humidity constants of one real part.
EXAMPLE = [27504, 26435, -1000, 36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000, 75, 362, 0, 324, 50, 30]


def test_the_example_of_the_datasheet():
    """adc_T 519888 is 25.08 C with t_fine 128422; adc_P 415148 is 100656 Pa by the 32-bit formula."""
    assert bme280.fine_temp(EXAMPLE, 519888) == 128422
    assert (128422 * 5 + 128) >> 8 == 2508
    assert bme280.compensate_pressure(EXAMPLE, 415148, 128422) == 100656


def test_constants_from_registers():
    """Little-endian, signed where the datasheet says so, H4 and H5 from their shared nibbles."""
    first = b"\x70\x6b\x43\x67\x18\xfc\x7d\x8e\x43\xd6\xd0\x0b\x27\x0b\x8c\x00\xf9\xff\x8c\x3c\xf8\xc6\x70\x17\x00\x4b"
    # H2 = 0x016A, H3 = 0; H4 = 324 = 0x144 -> 0x14 and low nibble 4; H5 = 50 = 0x032 -> 0x03 and high nibble 2; H6 = 30
    assert bme280.calibration(first, b"\x6a\x01\x00\x14\x24\x03\x1e") == EXAMPLE
    # T1 and P1 have no sign: 0xFFFF is 65535; every other constant has
    ends = bme280.calibration(b"\xff" * 26, b"\xff" * 7)
    assert ends[:4] == [65535, -1, -1, 65535]
    assert ends[4:] == [-1] * 8 + [255, -1, 255, -1, -1, -1]
    # H4 = -2 = 0xFFE -> 0xFF, E; H5 = -17 = 0xFEF -> 0xFE, F; H6 = -1
    assert bme280.calibration(first, b"\x6a\x01\x00\xff\xfe\xfe\xff")[15:] == [-2, -17, -1]


def test_data_in_bytes():
    """The example as the eight bytes of registers 0xF7..0xFE."""
    # 415148 = 0x655AC -> 65 5A C0; 519888 = 0x7EED0 -> 7E ED 00; humidity 29806 = 0x746E
    temp_cdeg, rh_cpct, pressure_pa = bme280.convert(EXAMPLE, b"\x65\x5a\xc0\x7e\xed\x00\x74\x6e")
    assert (temp_cdeg, pressure_pa) == (2508, 100656)
    assert 4995 <= rh_cpct <= 5005
    # the lowest four bits of the 20 count: C0 to 00 is 12 steps of 0.18 Pa, and more raw is less pressure
    assert bme280.convert(EXAMPLE, b"\x65\x5a\x00\x7e\xed\x00\x74\x6e")[2] == 100658


def test_registers_that_hold_no_measurement():
    """All zero, the reset values 80 00 00 80 00 00 80 00, all ones, and too few bytes: an error each, no value."""
    assert bench.code_of(bme280.convert, EXAMPLE, bytes(8)) == "all-zero"
    assert bench.code_of(bme280.convert, EXAMPLE, b"\x80\x00\x00\x80\x00\x00\x80\x00") == "power-on"
    assert bench.code_of(bme280.convert, EXAMPLE, b"\x65\x5a\xc0\x7e\xed\x00\x80\x00") == "power-on"
    assert bench.code_of(bme280.convert, EXAMPLE, b"\xff" * 8) == "out-of-range"
    assert bench.code_of(bme280.convert, EXAMPLE, b"\x65\x5a\xc0") == "bad-frame"
    assert bench.code_of(bme280.calibration, bytes(26), bytes(7)) == "all-zero"
    assert bench.code_of(bme280.calibration, bytes(25), bytes(7)) == "bad-frame"


def test_senseless_constants_never_divide_by_zero():
    """P1 = 0 makes the divisor zero: out of range, no exception of another kind."""
    constants = list(EXAMPLE)
    constants[3] = 0
    assert bench.code_of(bme280.convert, constants, b"\x65\x5a\xc0\x7e\xed\x00\x74\x6e") == "out-of-range"


def test_humidity_stays_between_0_and_100():
    """Raw values beyond the ends give exactly 0 and 100 percent."""
    assert bme280.compensate_humidity(EXAMPLE, 0, 128422) == 0
    assert bme280.compensate_humidity(EXAMPLE, 65535, 128422) == 10000


def test_the_driver_reads_the_model():
    """The truth comes back within the step of the 32-bit formulas, twice in a row, frost included."""
    b = bench.Bench(temp_c=31.2, rh_pct=84.5, pressure_pa=100870)
    b.add("bme280", "climate")
    driver = bme280.BME280(b, sleep_ms=b.sleep_ms)
    for temp_c in (31.2, -5.5):
        b.world["temp_c"] = temp_c
        temp_cdeg, rh_cpct, pressure_pa = bench.run(driver.read())
        assert abs(temp_cdeg - temp_c * 100) <= 2
        assert abs(rh_cpct - 8450) <= 3
        assert abs(pressure_pa - 100870) <= 10


def test_faults_of_the_part():
    """Registers of zeros, a measurement that never comes, and a dead part give their codes."""
    for fault, code in (("all-zero", "all-zero"), ("power-on", "power-on"), ("dead", "no-answer")):
        b = bench.Bench(faults={"climate": fault})
        b.add("bme280", "climate")
        assert bench.code_of(bme280.BME280(b, sleep_ms=b.sleep_ms).read) == code, fault


def test_another_chip_at_the_address():
    """A BMP280 (0x58) has no humidity and is refused by its id."""
    b = bench.Bench()
    b.add("bme280", "climate").memory[0xD0] = 0x58
    assert bench.code_of(bme280.BME280(b, sleep_ms=b.sleep_ms).read) == "bad-frame"


def test_the_registers_that_are_set():
    """Humidity x1 first, then temperature and pressure x1, forced (25); a busy flag is waited for."""
    b = bench.Bench()
    first = b"\x70\x6b\x43\x67\x18\xfc\x7d\x8e\x43\xd6\xd0\x0b\x27\x0b\x8c\x00\xf9\xff\x8c\x3c\xf8\xc6\x70\x17\x00\x4b"
    data = b"\x65\x5a\xc0\x7e\xed\x00\x74\x6e"
    # id, copying the constants, done, constants, measuring (twice), done, data
    script = bench.Script(
        b"\x60", b"\x09", b"\x08", first, b"\x6a\x01\x00\x14\x24\x03\x1e", b"\x09", b"\x08", b"\x01", data
    )
    assert bench.run(bme280.BME280(script, sleep_ms=b.sleep_ms).read())[0] == 2508
    assert script.answers == []
    assert b.now == 2 + 10 + 4
    assert [data for data in script.written if len(data) > 1] == [b"\xf2\x01", b"\xf4\x25"]
    assert script.written[0] == b"\xd0"


def test_a_measurement_that_never_ends():
    """A busy flag that stays is `stuck`, after a bounded wait."""
    b = bench.Bench()
    script = bench.Script(b"\x60", *([b"\x01"] * 10))
    assert bench.code_of(bme280.BME280(script, sleep_ms=b.sleep_ms).read) == "stuck"
    assert script.answers == []
