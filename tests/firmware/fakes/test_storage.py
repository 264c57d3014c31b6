"""NVS, firmware slots and the flash chip of a node."""

from pathlib import Path

from littlefs import LittleFS

from tests.firmware.node import rig


def test_nvs_loses_what_was_not_committed(tmp_path: Path) -> None:
    """A committed value survives even a power cut, one that was only set does not; a missing one is an OSError."""
    main = """\
import esp32
n = esp32.NVS('resik')
def get(k):
    try:
        return n.get_i32(k)
    except OSError as e:
        return e.errno
b = bytearray(4)
print(get('kept'), get('lost'))
n.set_i32('kept', -7)
n.set_blob('blob', b'\\x00\\xff')
n.commit()
n.set_i32('lost', 8)
print(get('lost'), n.get_blob('blob', b), b[:2])
"""
    node = rig.script(tmp_path / "n", main)
    assert node.boot().lines == ("-4354 -4354", "8 2 bytearray(b'\\x00\\xff')")
    node.power_cut()
    assert node.boot().lines[0] == "-7 -4354"
    assert node.folder.nvs() == {"kept": -7, "blob": "00ff"}


def test_nvs_has_the_limits_of_the_chip(tmp_path: Path) -> None:
    """Names end at 15 characters, integers at 31 bits, a blob does not fit a smaller buffer, kinds do not mix."""
    main = """\
import esp32
n = esp32.NVS('resik')
n.set_i32('a' * 15, 2**31 - 1)
n.set_blob('b', bytes(9))
for what in (lambda: n.set_i32('a' * 16, 1), lambda: n.set_i32('c', 2**31), lambda: n.get_blob('b', bytearray(8)),
             lambda: n.get_i32('b'), lambda: n.erase_key('z')):
    try:
        what()
        print('taken')
    except Exception as e:
        print(type(e).__name__, e.args[0])
"""
    assert rig.run(tmp_path / "n", main).lines == (
        "OSError -4361",
        "OverflowError overflow converting long int to machine word",
        "OSError -4364",
        "OSError -4354",
        "OSError -4354",
    )


UPDATE = """\
import esp32, machine
P = esp32.Partition
r = P(P.RUNNING)
n = r.get_next_update()
"""


def test_a_partition_is_erased_in_blocks_of_4096(tmp_path: Path) -> None:
    """A write without offset erases its blocks to 0xFF first; a write with one only clears bits; the end is the end."""
    main = (
        UPDATE
        + """\
print(n.info()[1:5], n.ioctl(4), n.ioctl(5))
b = bytearray(4096)
n.writeblocks(1, b'\\x0f' * 4096)
n.writeblocks(1, b'\\xaa' * 10)
n.readblocks(1, b, 0)
print(b[9], b[10], b[4095])
n.writeblocks(1, b'\\x0f', 9)
n.readblocks(1, b, 0)
print(b[9])
n.ioctl(6, 1)
n.readblocks(1, b, 0)
print(b[0])
try:
    n.writeblocks(384, bytes(4096))
except OSError as e:
    print(e.errno)
"""
    )
    lines = rig.run(tmp_path / "n", main).lines
    assert lines == ("(17, 1638400, 1572864, 'ota_1') 384 4096", "170 255 255", "10", "255", "-258")


def test_an_image_is_on_trial_until_it_is_marked(tmp_path: Path) -> None:
    """NEW becomes PENDING_VERIFY at its first boot and VALID when marked; later boots stay with it."""
    main = (
        UPDATE
        + """\
print(r.info()[4])
if r.info()[4] == 'ota_0':
    try:
        n.set_boot()
    except OSError as e:
        print(e.errno)
    n.writeblocks(0, b'\\xe9')
    n.set_boot()
else:
    P.mark_app_valid_cancel_rollback()
machine.reset()
"""
    )
    node = rig.script(tmp_path / "n", main)
    assert node.boot().lines == ("ota_0", "-5379")  # an empty slot is no image
    assert node.folder.firmware_slots()["states"] == ["valid", "new"]
    assert node.boot().lines == ("ota_1",)
    assert node.folder.firmware_slots()["states"] == ["valid", "valid"]
    assert node.boot().lines == ("ota_1",)


def test_an_image_that_is_not_marked_is_left_at_any_next_boot(tmp_path: Path) -> None:
    """PENDING_VERIFY becomes ABORTED at the next boot, be it a wake from sleep, and the old image runs for good."""
    main = (
        UPDATE
        + """\
print(r.info()[4])
if machine.reset_cause() == 1:
    n.writeblocks(0, b'\\xe9')
    n.set_boot()
    machine.reset()
machine.deepsleep(1000)
"""
    )
    node = rig.script(tmp_path / "n", main)
    assert [node.boot().lines[0] for _ in range(4)] == ["ota_0", "ota_1", "ota_0", "ota_0"]
    assert node.folder.firmware_slots() == {"running": 0, "boot": 0, "states": ["valid", "aborted"]}


APPEND = """\
import os
try:
    have = os.stat('/log')[6]
except OSError:
    have = 0
print(have)
for _ in range(20):
    with open('/log', 'ab') as f:
        f.write(b'0123456789abcdef' * 4)
    have += 64
    print('closed', have)
"""


def test_power_fails_at_every_flash_operation_of_a_program(tmp_path: Path) -> None:
    """After a cut at any operation the chip mounts, everything that was closed is there whole, and no half record."""
    node = rig.script(tmp_path / "n", APPEND)
    node.folder.burn(rig.spawner())
    chip = node.folder.image.read_bytes()
    operations = node.boot().operations
    assert operations > 20
    for cut in range(1, operations + 1):
        node.folder.image.write_bytes(chip)
        boot = node.boot(cut=cut)
        assert (boot.outcome, boot.operations) == ("cut", cut)
        closed = max((int(line.split()[1]) for line in boot.lines if line.startswith("closed")), default=0)
        after = int(node.boot().lines[0])
        assert after in {closed, closed + 64}, boot.text


def test_an_independent_reader_opens_the_chip(tmp_path: Path) -> None:
    """The image of a node is LittleFS as another implementation reads it, and `unload` gives the same bytes."""
    node = rig.script(tmp_path / "n", APPEND)
    node.folder.burn(rig.spawner())
    node.boot()
    chip = LittleFS(block_size=4096, block_count=240, read_size=32, prog_size=32, lookahead_size=32, mount=False)
    chip.context.buffer = bytearray(node.folder.image.read_bytes())
    chip.mount()
    with chip.open("/log", "rb") as file:
        content = file.read()
    assert content == b"0123456789abcdef" * 80
    node.folder.unload(rig.spawner())
    assert node.folder.read("log") == content


def test_power_taken_at_a_line_leaves_the_rest_undone(tmp_path: Path) -> None:
    """A node whose supply is cut at a printed line does nothing after it, forgets its RTC and starts by power-on."""
    main = (
        """\
import machine
machine.RTC().memory(b'x')
print(machine.reset_cause(), len(machine.RTC().memory()))
"""
        + APPEND
    )
    node = rig.script(tmp_path / "n", main)
    boot = node.boot(lost_at="closed 128")
    assert (boot.outcome, boot.lines[-1]) == ("killed", "closed 128")
    assert len(node.folder.read("log")) == 128
    assert node.folder.rtc_memory() == b""
    assert node.boot().lines[0] == "1 1"


def test_power_fails_at_a_moment(tmp_path: Path) -> None:
    """Power that fails after five virtual seconds ends the boot there, also inside a longer sleep."""
    node = rig.script(tmp_path / "n", "import time\ntime.sleep(4)\nprint('four')\ntime.sleep(4)\nprint('eight')")
    boot = node.boot(lost_ms=5_000)
    assert (boot.outcome, boot.lines, boot.ended_ms - boot.began_ms) == ("killed", ("four",), 5_000)


FILES = """\
import os
os.mkdir('/q')
for name in ('old', 'new'):
    with open('/q/' + name, 'w') as f:
        f.write(name)
os.rename('/q/new', '/q/old')
print(sorted(os.listdir('/q')), open('/q/old').read(), os.stat('/q/old')[6])
os.chdir('/q')
print(os.getcwd(), open('old').read())
os.chdir('/')
for what in (lambda: os.remove('/q/new'), lambda: os.rmdir('/q'), lambda: os.mkdir('/q'), lambda: open('/none'),
             lambda: os.chdir('/main.py')):
    try:
        what()
        print('done')
    except OSError as e:
        print(e.errno in (2, 20, 39, 17))
os.remove('/q/old')
os.rmdir('/q')
print(os.statvfs('/')[0])
"""


def test_folder_and_chip_are_the_same_file_system(tmp_path: Path) -> None:
    """A node sees no difference between its flash as a folder and as an image: a rename replaces, errors are alike."""
    lines = ("['old'] new 3", "/q new", "True", "True", "True", "True", "True", "4096")
    assert rig.run(tmp_path / "folder", FILES).lines == lines
    node = rig.script(tmp_path / "chip", FILES)
    node.folder.burn(rig.spawner())
    assert node.boot().lines == lines
