"""The loader with slots on a file system: what it imports, what it reports, and where it ends after power cuts."""

import sys
import types

import pytest

from firmware.device import loader
from tests.firmware.both.test_loader import Integers

GOOD = "def run():\n    raise SystemExit({version})\n"
CRASHING = "def run():\n    raise KeyError('nothing here')\n"
BROKEN = "import a_module_that_no_node_has\n"


class Asleep(BaseException):
    """The node went to sleep."""


@pytest.fixture
def node(tmp_path, monkeypatch):
    """Slots in a temporary folder, an application package of another name than the real one."""
    folders = (str(tmp_path / "a"), str(tmp_path / "b"))
    monkeypatch.setattr(loader, "FOLDERS", folders)
    monkeypatch.setattr(loader, "CRASH_FILE", str(tmp_path / "crash.txt"))
    monkeypatch.setattr(loader, "PACKAGE", "slotted")
    monkeypatch.setattr(loader, "_AT_START", ())  # the module is started many times here
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "print_exception", lambda _error: None, raising=False)
    return Node(tmp_path, monkeypatch)


class Node:
    def __init__(self, folder, monkeypatch):
        self.folder = folder
        self.nvs = Integers()
        self.slept_ms = 0
        esp32 = types.SimpleNamespace(NVS=lambda _name: self.nvs)
        machine = types.SimpleNamespace(deepsleep=self._sleep)
        monkeypatch.setitem(sys.modules, "esp32", esp32)
        monkeypatch.setitem(sys.modules, "machine", machine)

    def _sleep(self, milliseconds):
        self.slept_ms = milliseconds
        raise Asleep(milliseconds)

    def fill(self, slot, version, source=GOOD):
        package = self.folder / slot / "slotted"
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text("")
        (package / "app.py").write_text(source.format(version=version))
        if version:
            (self.folder / slot / "version").write_text(f"{version}\n")

    def start(self):
        """Version that ran, or None when the application crashed and the node sleeps."""
        sys.path_importer_cache.clear()
        try:
            loader.main()
        except SystemExit as ran:
            return ran.code
        except Asleep:
            return None
        raise AssertionError("the loader came back")


def test_the_version_that_runs_is_reported(node):
    """NVS holds the version of the slot that was started, for the status message."""
    node.fill("a", 10300)
    assert node.start() == 10300
    assert node.nvs.values["ver"] == 10300


def test_an_update_that_cannot_be_imported_goes_back_at_once(node):
    """A new version that does not load costs no second start, and the old one is what is reported."""
    node.fill("a", 10300)
    node.fill("b", 10400, BROKEN)
    node.nvs.values.update(slot=1, floor=10300, trial=1)
    assert node.start() == 10300
    assert node.nvs.values["ver"] == 10300
    assert node.nvs.values["bad"] == 10400
    assert (node.nvs.values["slot"], node.nvs.values["trial"]) == (0, 0)
    assert "a_module_that_no_node_has" in (node.folder / "crash.txt").read_text()


def test_an_update_that_crashes_goes_back_after_three_starts(node):
    """A crash loop ends on the old version, with the crash on flash."""
    node.fill("a", 10300)
    node.fill("b", 10400, CRASHING)
    node.nvs.values.update(slot=1, floor=10300, trial=1)
    assert [node.start() for _ in range(5)] == [None, None, None, 10300, 10300]
    assert node.nvs.values["bad"] == 10400
    assert node.nvs.values["ver"] == 10300
    count, code, text = (node.folder / "crash.txt").read_text().split("\n")
    assert (count, code) == ("3", "KeyError loader")
    assert "nothing here" in text


def test_the_application_notes_its_crash_itself(node):
    """Where the slot has a module for crashes, that one keeps them."""
    node.fill("a", 10300, CRASHING)
    core = node.folder / "a" / "slotted" / "core"
    core.mkdir()
    (core / "__init__.py").write_text("")
    (core / "crash.py").write_text(
        f"def store(error):\n    open({str(node.folder / 'own')!r}, 'w').write(repr(error))\n"
    )
    assert node.start() is None
    assert "nothing here" in (node.folder / "own").read_text()
    assert not (node.folder / "crash.txt").exists()


def test_a_confirmed_version_that_crashes_makes_way_in_the_end(node):
    """Also without an update under way no crash loop lasts while the other slot works."""
    node.fill("a", 10300)
    node.fill("b", 10400, CRASHING)
    node.nvs.values.update(slot=1, floor=10400)
    assert [node.start() for _ in range(6)] == [None] * 5 + [10300]
    assert node.nvs.values["ver"] == 10300


def test_a_slot_lost_its_version_file(node):
    """With nothing complete the application is tried all the same, and version 0 is reported."""
    node.fill("a", 0)
    assert node.start() == 0
    assert not node.nvs.values.get("ver")


@pytest.mark.parametrize("content", [b"", b"10400x", b"\xff\xfe", b"-3", b"99999999999"])
def test_a_damaged_version_file_is_an_incomplete_slot(node, content):
    """Only a believable number makes a slot complete."""
    node.fill("a", 10300)
    node.fill("b", 10400)
    (node.folder / "b" / "version").write_bytes(content)
    node.nvs.values.update(slot=1, floor=10400)
    assert node.start() == 10300


def test_no_slot_at_all_is_a_pause(node):
    """An empty flash neither raises nor spins."""
    assert node.start() is None


def test_a_start_without_nvs_works(node, monkeypatch):
    """A broken NVS costs memory, not the node."""
    node.fill("a", 10300)
    monkeypatch.delitem(sys.modules, "esp32")
    assert node.start() == 10300


class CutIntegers(Integers):
    """NVS that loses power at its k-th write; every write before it lasts."""

    left = 0

    def set_i32(self, key, value):
        if not self.left:
            raise Asleep
        self.left -= 1
        super().set_i32(key, value)


@pytest.mark.parametrize("cut", range(14))
@pytest.mark.parametrize("source", [CRASHING, BROKEN], ids=["crashing", "broken"])
def test_a_power_cut_at_any_write_of_a_roll_back(node, cut, source):
    """Wherever the power fails during three tries and the way back, the node ends on the old version and says so."""
    node.fill("a", 10300)
    node.fill("b", 10400, source)
    node.nvs = CutIntegers({"slot": 1, "floor": 10300, "trial": 1, "tries": 0})
    node.nvs.left = cut
    ran = []
    for _ in range(7):
        ran.append(node.start())
        if not node.nvs.left:
            node.nvs.left = 1000
    assert ran[-1] == 10300
    assert node.nvs.values["ver"] == 10300
    assert node.nvs.values["slot"] == 0


def test_a_crash_loop_slows_down_and_a_good_start_ends_that(node):
    """1, 2, 4, 8 and then 16 minutes of pause; after an application ack it begins at a minute again."""
    node.fill("a", 10300, CRASHING)
    pauses_min = []
    for _ in range(7):
        node.start()
        pauses_min.append(node.slept_ms // 60_000)
    assert pauses_min == [1, 2, 4, 8, 16, 16, 16]
    node.nvs.set_i32("fails", 0)
    node.start()
    assert node.slept_ms == 60_000
