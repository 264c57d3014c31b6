"""LIS3DH: byte vectors, angles, and the driver on its model."""

from firmware.drivers import lis3dh
from tests.firmware.both import driver_bench as bench


def test_axes_in_bytes():
    """12 bits, left-justified, little-endian, signed: 1 g is 1000 << 4 = 0x3E80, -1 g is 0xC180."""
    assert lis3dh.decode(b"\x00\x00\x80\xc1\x80\x3e") == [0, -1000, 1000]
    assert bench.code_of(lis3dh.decode, b"\x00\x00") == "bad-frame"


def test_known_angles():
    """Upright 0, on its side 90, on its head 180; 3-4-5 triangles by hand."""
    assert lis3dh.tilt_deg(0, 0, 1000) == 0
    assert lis3dh.tilt_deg(0, -1000, 0) == 90
    assert lis3dh.tilt_deg(0, 0, -1000) == 180
    assert lis3dh.tilt_deg(500, 500, 707) == 45
    assert lis3dh.tilt_deg(600, 0, 800) == 37  # arctan 3/4 = 36.87
    assert lis3dh.tilt_deg(800, 0, -600) == 127  # 180 - 53.13


def test_what_is_not_gravity_is_no_angle():
    """Nothing at all, free fall, and a blow give an error."""
    assert bench.code_of(lis3dh.tilt_deg, 0, 0, 0) == "all-zero"
    assert bench.code_of(lis3dh.tilt_deg, 100, 100, 300) == "out-of-range"
    assert bench.code_of(lis3dh.tilt_deg, 1500, 1500, 0) == "out-of-range"


def make(**world):
    b = bench.Bench(**world)
    part = b.add("lis3dh", "tilt")
    return b, part, lis3dh.LIS3DH(b, sleep_ms=b.sleep_ms)


def test_the_driver_reads_the_model():
    """Every ten degrees, to one degree."""
    b, _part, driver = make()
    for angle in range(0, 181, 10):
        b.world["tilt_deg"] = angle
        assert abs(bench.run(driver.read()) - angle) <= 1, angle


def test_another_chip_at_the_address():
    """A wrong who-am-i is refused."""
    _b, part, driver = make()
    part.memory[0x0F] = 0x32
    assert bench.code_of(driver.read) == "bad-frame"
    assert bench.code_of(driver.arm) == "bad-frame"


def test_faults_of_the_part():
    """All axes zero is no upright bin; a dead part gives no answer."""
    b, _part, driver = make(faults={"tilt": "all-zero"})
    assert bench.code_of(driver.read) == "all-zero"
    b.world["faults"] = {"tilt": "dead"}
    assert bench.code_of(driver.read) == "no-answer"


def test_it_wakes_the_node_when_the_bin_falls():
    """Armed at 45 degrees INT1 rises a second after the fall, stays until read, and a knock does not raise it."""
    b, part, driver = make(tilt_deg=30)
    driver.arm(45)
    b.now += 5000
    assert part.int1() == 0
    b.world["tilt_deg"] = 90
    assert part.int1() == 0
    b.now += 500
    b.world["tilt_deg"] = 5
    assert part.int1() == 0
    b.now += 100
    b.world["tilt_deg"] = 50
    assert part.int1() == 0
    b.now += 1000
    assert part.int1() == 1
    b.world["tilt_deg"] = 0
    assert part.int1() == 1
    assert driver.source() is True
    assert part.int1() == 0
    assert driver.source() is False


def test_a_read_disarms_and_arming_again_works():
    """Reading changes rate and resolution without raising INT1; the next arm watches again."""
    b, part, driver = make(tilt_deg=80)
    driver.arm()
    b.now += 100
    assert bench.run(driver.read()) in (79, 80, 81)
    b.now += 10000
    assert part.int1() == 0
    driver.arm()
    part.int1()
    b.now += 1000
    assert part.int1() == 1


def test_the_registers_that_are_set():
    """100 Hz, high resolution, +-2 g to read; to watch: 10 Hz at low power, z low under 707 mg for 1 s, latched."""
    b = bench.Bench()
    # who-am-i, then eight times status and sample
    script = bench.Script(b"\x33", *([b"\x08", b"\x00\x00\x00\x00\x80\x3e"] * 8))
    assert bench.run(lis3dh.LIS3DH(script, sleep_ms=b.sleep_ms).read()) == 0
    assert script.written[:2] == [b"\x8f", b"\xa0\x57\x00\x00\x88\x00\x00"]
    assert script.written[2:4] == [b"\xa7", b"\xa8"]
    script = bench.Script(b"\x33", b"\x00")
    lis3dh.LIS3DH(script).arm(45)
    # threshold 706 // 16 = 44 = 0x2C steps of 16 mg; 10 periods of 100 ms
    assert script.written[1:] == [b"\xb0\x00", b"\xa0\x2f\x00\x40\x80\x08\x00", b"\xb2\x2c\x0a", b"\xb1", b"\xb0\x10"]


def test_the_limits_of_gravity():
    """600 and 1400 mg still count, 599 and 1401 do not; the y axis counts like the x axis."""
    assert lis3dh.tilt_deg(0, 0, 600) == 0
    assert lis3dh.tilt_deg(0, 1400, 0) == 90
    assert bench.code_of(lis3dh.tilt_deg, 0, 0, 599) == "out-of-range"
    assert bench.code_of(lis3dh.tilt_deg, 0, 1401, 0) == "out-of-range"


def test_a_sample_that_never_comes():
    """A sensor whose data are never ready ends with no-answer."""
    script = bench.Script(b"\x33", *([b"\x07"] * 5))
    assert bench.code_of(lis3dh.LIS3DH(script, sleep_ms=bench.Bench().sleep_ms).read) == "no-answer"
    assert script.answers == []
