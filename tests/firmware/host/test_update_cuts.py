"""Power cuts at every single operation of flash, NVS and partition, from the offer to the confirmation."""

import random

import pytest

from firmware.core import slots
from tests.firmware.host.update_bench import Node, Power, PowerCut, bundle_of, contents, image_bundle

OLD, NEW = 10300, 10400
SMALL = contents(sizes=(9000, 35, 4096, 1, 5000, 700))
BUNDLE, FILES = bundle_of(NEW, files=SMALL)
IMAGE_BUNDLE, IMAGE = image_bundle(20000, blocks=35)


def _node(power=None, at_once=True):
    """Make a node whose idle slot holds the version before the one that runs."""
    node = Node(power=power, at_once=at_once)
    node.flash.folders |= {"/b", "/b/firmware"}
    node.flash.files |= {"/b/firmware/app.mpy": b"older", "/b/version": b"10200\n"}
    return node


def _whole(node):
    """Assert that a slot that calls itself complete, as the one that runs does, has its own files and no others."""
    for slot, folder in enumerate(("/a/", "/b/")):
        found = {name[3:]: data for name, data in node.flash.files.items() if name.startswith(folder)}
        version = found.pop("version", None)
        if slot == node.slot:
            assert int(version) == node.version == node.nvs.get("ver")
        if version is not None:
            found = {name: data for name, data in found.items() if name not in {"head", "head.tmp", "version.tmp"}}
            wanted = {NEW: FILES, OLD: {"firmware/app.mpy": b"old"}, 10200: {"firmware/app.mpy": b"older"}}
            assert found == wanted[int(version)]


def _wake(node):
    """One wake of a node with a gateway that offers the update to whoever has not got it."""
    version = node.restart()
    _whole(node)
    if version in node.deaf:
        return
    slots.confirm(node.nvs, node.partitions.idle)
    if version != NEW:
        node.offer(BUNDLE, NEW)
        node.download(BUNDLE, 6)
        node.updater.apply()


def _live(node, wakes, act=_wake):
    """Wakes until the power fails, then wakes with power; raises nothing but what an assertion raises."""
    for _ in range(wakes):
        try:
            act(node)
        except PowerCut:
            node.power.left = None
            node.power.torn = "before"


def _operations(act=_wake, at_once=True):
    """Count the operations of a life without cuts."""
    node = _node(at_once=at_once)
    node.power.count = 0
    _live(node, 8, act)
    return node.power.count


@pytest.mark.parametrize("at_once", [True, False], ids=["each write lasts", "commit lasts"])
@pytest.mark.parametrize("torn", ["before", "half", "after"])
def test_a_cut_at_every_operation_ends_on_the_new_version(torn, at_once):
    """Wherever the power fails, every start runs a whole version that reports itself truly, and the update arrives."""
    total = _operations(at_once=at_once)
    assert total >= 28
    for cut in range(total):
        node = _node(power=Power(cut, torn), at_once=at_once)
        _live(node, 10)
        assert node.power.left is None, cut
        assert node.version == NEW, cut
        assert node.report() == {"ota": "confirmed", "ota_ver": NEW}, cut
        assert node.nvs.get("floor") == NEW


@pytest.mark.parametrize("torn", ["before", "half", "after"])
def test_a_cut_at_every_operation_with_a_bad_version_ends_on_the_old_one(torn):
    """A version that never gets an ack goes back, wherever the power fails on its way, and is not tried again."""
    total = _operations()
    for cut in range(0, total + 12, 2):
        node = _node(power=Power(cut, torn))
        node.deaf.add(NEW)
        _live(node, 14)
        assert node.version == OLD, cut
        assert node.report() == {"ota": "rolled-back", "ota_ver": NEW}, cut
        assert node.wanted() is None


@pytest.mark.parametrize("seed", range(6))
def test_many_cuts_in_one_life(seed):
    """Power that fails again and again delays an update and spoils nothing."""
    rng = random.Random(seed)
    node = _node(at_once=seed % 2 == 0)
    for _ in range(25):
        node.power.left = rng.randrange(14)
        node.power.torn = rng.choice(["before", "half", "after"])
        try:
            _wake(node)
        except PowerCut:
            continue
    node.power.left = None
    _live(node, 8)
    assert node.version == NEW
    assert node.report()["ota"] == "confirmed"


def test_a_download_goes_on_where_it_stopped():
    """After a cut at each twentieth of the download less than two blocks are asked for twice."""
    for cut in range(1, 20):
        bundle, _ = bundle_of(NEW, files=contents(sizes=(30000, 20000, 15000, 5000, 9000, 2000)))
        node = Node()
        node.offer(bundle, NEW)
        while node.at(bundle) < len(bundle) * cut // 20:
            node.download(bundle, 1)
        before = node.at(bundle)
        node.restart()
        assert node.at(bundle) >= before - 4096 or before <= 4096
        node.download(bundle)
        assert node.updater.whole


def _image_wake(node):
    node.restart()
    _whole(node)
    slots.confirm(node.nvs, node.partitions.idle)
    if node.partitions.running == 0:
        node.offer(IMAGE_BUNDLE, 20000, "image")
        node.download(IMAGE_BUNDLE, 160)
        node.updater.apply()


@pytest.mark.parametrize("torn", ["before", "half", "after"])
def test_an_image_survives_a_cut_at_every_operation(torn):
    """The bootloader starts a whole image after any cut: the new one, or the old one with the truth in the status."""
    total = _operations(_image_wake)
    assert total > 40
    arrived = 0
    for cut in range(0, total, 1 if torn == "after" else 2):
        node = _node(power=Power(cut, torn))
        _live(node, 10, _image_wake)
        running = node.partitions.running
        assert node.partitions.states[running] == "valid", cut
        if running:
            assert bytes(node.partitions.data[1][: len(IMAGE)]) == IMAGE
            assert node.report() == {"ota": "confirmed", "ota_ver": 20000}
            arrived += 1
        else:
            assert node.report() == {"ota": "rolled-back", "ota_ver": 20000}
    assert arrived >= total // (1 if torn == "after" else 2) - 4
