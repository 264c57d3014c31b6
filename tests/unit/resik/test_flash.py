"""Writing a node, against programs that stand in for esptool and mpremote."""

import json
import os
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from resik import flash, node_bundle
from resik.errors import StackError

SECRET = "a-secret-of-43-characters-0123456789-abcdef"
WIFI_WORD = "sandi-wifi-rahasia"
STAND_IN = """#!{python}
import hashlib, json, os, sys
from pathlib import Path
here = Path(__file__).parent
name = Path(__file__).name
words = sys.argv[1:]
with (here / "calls").open("a") as calls:
    calls.write(json.dumps([name, *words]) + "\\n")
fail = (here / "fail").read_text() if (here / "fail").exists() else ""
if fail and fail in " ".join([name, *words]):
    budget = here / "failures"
    left = int(budget.read_text()) if budget.exists() else 99
    if left:
        budget.write_text(str(left - 1))
        sys.exit("it broke near {secret} {wifi}")
node = here / "node"
if name == "mpremote" and words[2:4] == ["fs", "cp"]:
    target = node / words[-1].lstrip(":/")
    target.mkdir(parents=True, exist_ok=True)
    for path in words[4:-1]:
        (target / Path(path).name).write_bytes(Path(path).read_bytes())
if name == "mpremote" and words[2] == "exec" and "@file" in words[3]:
    for path in sorted(node.rglob("*")):
        if path.is_file():
            print("@file", path.relative_to(node).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest())
"""


class Desk:
    """A bundle, a port, an image, and the programs."""

    def __init__(self, root: Path) -> None:
        self.tools = root / "tools"
        self.bundle = root / "bundle"
        self.port = root / "ttyUSB9"
        self.image = root / "image.bin"
        self.tools.mkdir()
        self.port.touch()
        self.image.write_bytes(b"\xe9image")
        for name in ("esptool", "mpremote"):
            path = self.tools / name
            path.write_text(STAND_IN.format(python=sys.executable, secret=SECRET, wifi=WIFI_WORD))
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
        content = {
            "config.json": json.dumps({"wifi_psk": WIFI_WORD}), "secret": SECRET, "main.py": "import loader\n",
            "a/version": "100\n", "a/firmware/app.mpy": "M", "a/firmware/core/stats.mpy": "M",
        }  # fmt: skip
        for name, text in content.items():
            path = self.bundle / "flash" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        node_bundle.write_manifest(
            self.bundle, {"device": "rsk-b010", "kind": "bin", "site": "small", "asset": "bin-003"}
        )

    def run(self, *words: str, port: str | None = None):
        return CliRunner().invoke(flash.flash, ["--port", port or str(self.port), "--bundle", str(self.bundle), *words])

    def calls(self) -> list[list[str]]:
        path = self.tools / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def fail(self, text: str, times: int = 99) -> None:
        (self.tools / "fail").write_text(text)
        (self.tools / "failures").write_text(str(times))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Put the stand-ins first on the PATH; the node's own check is left to the integration tests."""
    desk = Desk(tmp_path)
    monkeypatch.setenv("PATH", f"{desk.tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(node_bundle, "check_configuration", lambda *_: {})
    monkeypatch.setattr(flash, "PAUSE_S", 0)
    return desk


def test_everything_in_order(desk):
    """Erase, image, empty, copy folder by folder, read back, restart; and the node then holds the bundle."""
    result = desk.run("--erase", "--image", str(desk.image))
    assert result.exit_code == 0, result.output
    what = [" ".join(call[:1] + call[3:]) if call[0] == "mpremote" else call[-1] for call in desk.calls()]
    assert desk.calls()[0][1:] == ["--chip", "esp32", "--port", str(desk.port), "--baud", "460800", "erase-flash"]
    assert desk.calls()[1][-3:] == ["write-flash", "0x1000", str(desk.image)]
    assert [text.split()[1] for text in what[2:]] == ["exec", "fs", "fs", "fs", "fs", "exec", "reset"]
    assert [call[-1] for call in desk.calls()[3:7]] == [":/", ":/a/", ":/a/firmware/", ":/a/firmware/core/"]
    assert (desk.tools / "node" / "a" / "firmware" / "core" / "stats.mpy").read_text() == "M"
    assert "rsk-b010" in result.output


def test_the_image_is_optional(desk):
    """Without --image esptool is never called."""
    assert desk.run().exit_code == 0
    assert {call[0] for call in desk.calls()} == {"mpremote"}


def test_dry_run_prints_and_does_nothing(desk):
    """Every command is printed as a shell takes it, none is run, the port need not exist, and no secret is shown."""
    result = desk.run("--dry-run", "--erase", "--image", str(desk.image), port="/dev/nowhere")
    assert result.exit_code == 0, result.output
    assert desk.calls() == []
    words = shlex.split(result.output, comments=True)
    assert words.count("esptool") == 2
    assert words.count("mpremote") == 7
    assert SECRET not in result.output
    assert WIFI_WORD not in result.output


@pytest.mark.parametrize("step", ["erase-flash", "write-flash", "exec", "fs cp", "reset"])
def test_a_failing_tool_stops_everything(desk, step):
    """What a program said last is shown without secrets, nothing runs after it, and the exit code is 2."""
    desk.fail(step)
    result = desk.run("--erase", "--image", str(desk.image))
    assert result.exit_code == 2
    assert "it broke near *** ***" in result.output
    assert SECRET not in result.output
    assert WIFI_WORD not in result.output
    assert step in " ".join(desk.calls()[-1])


def test_a_node_that_still_starts_is_asked_again(desk):
    """Two refusals of the first question are borne, as a fresh node formats its flash; the third time counts."""
    desk.fail("exec", times=2)
    assert desk.run().exit_code == 0
    desk.fail("exec", times=3)
    assert desk.run().exit_code == 2


def test_a_changed_or_lost_file_is_seen():
    """A hash that differs by one digit, a file that is not there: both are named, a whole node passes."""
    bundle = node_bundle.NodeBundle(
        "rsk-b010", "bin", "small", "bin-003", "", {"a/x.mpy": (1, "ab"), "secret": (1, "cd")}
    )
    flash.check_copied(bundle, "noise\n@file a/x.mpy ab\n@file secret cd\n")
    for said, name in (
        ("@file a/x.mpy ac\n@file secret cd\n", "a/x.mpy"),
        ("@file a/x.mpy ab\n", "secret"),
        ("", "2 of 2"),
    ):
        with pytest.raises(StackError, match=name):
            flash.check_copied(bundle, said)


def test_a_file_that_does_not_belong_is_seen(desk):
    """What is on the node and not in the bundle: the command fails, names it and does not start the node."""
    leftover = desk.tools / "node" / "old.txt"
    leftover.parent.mkdir()
    leftover.write_text("left over")
    result = desk.run()
    assert result.exit_code == 2
    assert "1 of 6 files are not what was copied (old.txt)" in result.output
    assert desk.calls()[-1][3] == "exec"


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("changed", lambda flash: (flash / "main.py").write_text("import evil\n"), "was changed after"),
        ("missing", lambda flash: (flash / "secret").unlink(), "is missing"),
        ("added", lambda flash: (flash / "boot.py").write_text(""), "does not belong"),
        ("no manifest", lambda flash: (flash.parent / "bundle.json").unlink(), "is no bundle of a node"),
        ("damaged", lambda flash: (flash.parent / "bundle.json").write_text("{"), "is damaged"),
    ],
)
def test_a_bundle_that_is_not_whole_is_refused(desk, name, change, reason):
    """Nothing is written from a bundle that is not the one that was made."""
    change(desk.bundle / "flash")
    result = desk.run()
    assert result.exit_code == 2
    assert reason in result.output
    assert desk.calls() == []


def test_missing_things_are_named(desk, monkeypatch):
    """No port, no image, no ESP32 image, --erase alone, no program: each sentence says what to do."""
    assert "the port /dev/nowhere does not exist" in desk.run(port="/dev/nowhere").output
    assert "micropython.org" in desk.run("--image", "/nowhere.bin").output
    desk.image.write_bytes(b"PK")
    assert "no image for an ESP32" in desk.run("--image", str(desk.image)).output
    assert "--image" in desk.run("--erase").output
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(node_bundle.sys, "executable", "/nowhere/python")
    assert "mpremote is not installed: pip install 'resik-kota[flash]'" in desk.run().output
    assert desk.calls() == []


def test_the_words_for_the_node_are_python():
    """What is sent to the node compiles, and lists folders before what lies in them."""
    desk_files = {"a/firmware/core/x.mpy": (1, ""), "main.py": (1, ""), "a/version": (1, "")}
    bundle = node_bundle.NodeBundle("rsk-b010", "bin", "small", "bin-003", "", desk_files)
    todo = list(flash.steps(Path("/b"), bundle, "/dev/x", image=None, erase=False, baud=1, esptool="e", mpremote="m"))
    prepare = todo[0].command[-1]
    compile(prepare, "prepare", "exec")
    compile(flash.LIST, "list", "exec")
    assert "('/a', '/a/firmware', '/a/firmware/core')" in prepare


ON_A_NODE = """
import os, vfs, sys
class Ram:
    def __init__(self):
        self.data = bytearray(64 * 512)
    def readblocks(self, n, buf, off=0):
        buf[:] = self.data[n * 512 + off : n * 512 + off + len(buf)]
    def writeblocks(self, n, buf, off=0):
        self.data[n * 512 + off : n * 512 + off + len(buf)] = buf
    def ioctl(self, op, arg):
        return {{4: 64, 5: 512}}.get(op, 0)
ram = Ram()
vfs.VfsLfs2.mkfs(ram)
vfs.umount('/')
vfs.mount(ram, '/')
assert os.listdir('/') == [], 'this is not the scratch file system'
os.mkdir('/old')
os.mkdir('/old/deep')
for path in ('/old/deep/x', '/config.good'):
    with open(path, 'w') as file:
        file.write('x')
class Nvs:
    erased = []
    def __init__(self, name):
        assert name == 'resik'
    def erase_key(self, key):
        Nvs.erased.append(key)
        if key != 'slot':
            raise OSError(-4354)
    def commit(self):
        Nvs.erased.append('commit')
class Esp32:
    NVS = Nvs
sys.modules['esp32'] = Esp32
exec({prepare!r})
print(sorted(os.listdir('/')), os.listdir('/a'), Nvs.erased[0], Nvs.erased[-1])
with open('/a/version', 'w') as file:
    file.write('100')
exec({listing!r})
"""


def test_a_node_obeys(tmp_path):
    """On MicroPython, over a file system in memory: all is removed, folders are made, hashes are those of sha256sum."""
    micropython = pytest.importorskip("micropython_unix", reason="MicroPython is not installed (x86-64 Linux only)")
    assert micropython
    script = tmp_path / "node.py"
    prepare = flash.PREPARE % (flash.NVS_KEYS, ("/a", "/a/firmware"))
    script.write_text(ON_A_NODE.format(prepare=prepare, listing=flash.LIST))
    command = [node_bundle.find_tool("micropython", "real-nodes"), "-X", "heapsize=200K", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    # echo -n 100 | sha256sum
    digest = "ad57366865126e55649ecb23ae1d48887544976efea46a48eb5d85a6eeb4d306"
    assert done.stdout.splitlines() == ["['a'] ['firmware'] slot commit", f"@file a/version {digest}"]


def test_a_flashed_node_remembers_nothing_of_its_former_life():
    """The commands that it did and the time that it took for past are erased with the rest of NVS."""
    from firmware import timekeeping

    assert {"cmd", timekeeping.PAST} <= set(flash.NVS_KEYS)
