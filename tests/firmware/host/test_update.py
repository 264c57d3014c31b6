"""From offer to confirmed version, and every reason to say no."""

import hashlib
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from firmware import progress
from firmware.core import manifest, slots
from firmware.core.slots import PIECE_BYTES
from resik import release
from tests.firmware.host import update_bench
from tests.firmware.host.update_bench import KEY, Node, bundle_of


def applied(node, bundle, version):
    """Offer, download, switch and restart."""
    node.offer(bundle, version)
    node.download(bundle)
    assert node.updater.whole
    assert node.updater.apply()
    return node.restart()


def slot_content(node, folder):
    return {
        path[3:]: data
        for path, data in node.flash.files.items()
        if path.startswith(f"/{folder}/") and path[3:] not in {"version", "head"}
    }


def test_an_update_from_offer_to_confirmed():
    """A good update is loaded whole, runs on trial, and is kept after the first application ack."""
    node = Node()
    bundle, files = bundle_of(10400)
    assert node.report() == {"ota": "idle", "ota_ver": 0}
    node.offer(bundle, 10400)
    assert node.report() == {"ota": "loading", "ota_ver": 10400}
    node.download(bundle)
    assert node.updater.apply()
    assert node.restart() == 10400
    assert slot_content(node, "b") == files
    assert node.report() == {"ota": "trial", "ota_ver": 10400}
    slots.confirm(node.nvs, node.partitions.idle)
    assert node.report() == {"ota": "confirmed", "ota_ver": 10400}
    assert node.nvs.get("floor") == 10400
    assert [node.restart() for _ in range(9)] == [10400] * 9


def test_the_next_update_goes_into_the_other_slot():
    """Slots alternate; files of the version before last that fit are not loaded again, the others are gone."""
    node = Node()
    bundle, files = bundle_of(10400)
    applied(node, bundle, 10400)
    slots.confirm(node.nvs, node.partitions.idle)
    second, _ = bundle_of(10401)
    applied(node, second, 10401)
    slots.confirm(node.nvs, node.partitions.idle)
    assert node.slot == 0
    newest = {**files, "firmware/app.mpy": b"a new app"}
    del newest["firmware/hal/esp32.mpy"]
    third, _ = bundle_of(10402, files=newest)
    node.offer(third, 10402)
    answered = node.download(third)
    head = manifest.head_bytes(third[:7])
    assert answered == -(-head // PIECE_BYTES) + 1  # the head, and the one file that is new
    assert node.updater.apply()
    assert node.restart() == 10402
    assert slot_content(node, "b") == newest


def test_not_a_byte_before_the_signature():
    """Until the whole head is there and its signature good, nothing is written into the slot."""
    node = Node()
    node.flash.files["/b/firmware/app.mpy"] = b"older"
    bundle, _ = bundle_of(10400, key=ec.generate_private_key(ec.SECP256R1()))
    before = dict(node.flash.files)
    node.offer(bundle, 10400)
    node.download(bundle)
    assert node.flash.files == before
    assert node.report() == {"ota": "refused-signature", "ota_ver": 10400}


def test_the_watchdog_is_fed_while_it_verifies():
    """Verifying takes seconds on a node: the callback comes inside."""
    node = Node()
    bundle, _ = bundle_of(10400)
    node.offer(bundle, 10400)
    node.download(bundle, 2)
    assert "/b/head" in node.flash.files
    assert len(node.fed) >= 16


@pytest.mark.parametrize("part", ["magic", "length", "manifest", "signature"])
def test_a_flipped_bit_in_the_head_is_refused(part):
    """Any bit of the head that is not as signed ends the update before a file is touched."""
    bundle, _ = bundle_of(10400)
    end = manifest.head_bytes(bundle[:7])
    for at in {"magic": (0, 4), "length": (5, 6), "manifest": (7, 90, end - 65), "signature": (end - 64, end - 1)}[
        part
    ]:
        for bit in range(8):
            broken = bytearray(bundle)
            broken[at] ^= 1 << bit
            node = Node()
            node.offer(bundle, 10400)
            node.download(bytes(broken), 40)
            assert node.report()["ota"] in {"refused-signature", "refused-truncated"}
            assert not slot_content(node, "b")


def test_a_flipped_bit_in_a_file_is_refused_the_second_time():
    """A wrong file is loaded once more, in case the flash tore it, and then refused; the old version runs."""
    bundle, _ = bundle_of(10400)
    for at in (manifest.head_bytes(bundle[:7]), len(bundle) - 1, len(bundle) - 5000):
        broken = bytearray(bundle)
        broken[at] ^= 4
        node = Node()
        node.offer(bundle, 10400)
        node.download(bytes(broken), 80)
        assert node.report() == {"ota": "refused-hash", "ota_ver": 10400}
        assert not node.updater.apply()
        assert node.restart() == 10300


def test_one_torn_block_does_not_end_the_update():
    """A file that is wrong once is loaded again and the update goes on."""
    node = Node()
    bundle, files = bundle_of(10400)
    node.offer(bundle, 10400)
    while "/b/head" not in node.flash.files:
        node.download(bundle, 1)
    intake = node.updater.look()
    intake.take(bytes(intake.next()[1]))
    node.download(bundle)
    assert node.updater.apply()
    node.restart()
    assert slot_content(node, "b") == files


REFUSALS = {
    "older than what runs": ({"version": 10200}, {}, "refused-version"),
    "for the other kind": ({"kind": "air"}, {"kind": "air"}, "refused-class"),
    "for the other kind, and the offer lies": ({"kind": "air"}, {}, "refused-class"),
    "other bytecode": ({"mpy": "6.2"}, {}, "refused-mpy"),
    "another version inside": ({"version": 10401}, {"version": 10400}, "refused-version"),
    "battery": ({"min_mv": 3900}, {}, "refused-battery"),
}


@pytest.mark.parametrize(("made", "offered", "why"), REFUSALS.values(), ids=REFUSALS)
def test_refusals(made, offered, why):
    """Each reason is named in the status, the idle slot stays untouched, and the version that runs goes on."""
    node = Node()
    node.updater.battery_mv = 3700
    bundle, _ = bundle_of(**{"version": 10400, **made})
    version = {"version": 10400, **made, **offered}["version"]
    node.offer(bundle, version, kind=offered.get("kind", "bin"))
    node.download(bundle)
    assert node.report() == {"ota": why, "ota_ver": version}
    assert not slot_content(node, "b")
    assert node.wake() == 10300


def test_the_version_that_runs_is_no_news():
    """An offer of the running version changes nothing, however often it comes."""
    node = Node()
    for _ in range(3):
        node.offer(b"x" * 100, 10300)
    assert node.report() == {"ota": "idle", "ota_ver": 0}
    assert node.wanted() is None


@pytest.mark.parametrize(("length", "why"), [(-1, "refused-truncated"), (1, "refused-size")])
def test_a_bundle_of_another_length_than_its_manifest(length, why):
    """A bundle that is cut off or padded is refused when the head is read, before any file."""
    node = Node()
    bundle, _ = bundle_of(10400)
    wrong = bundle[:length] if length < 0 else bundle + b"x"
    node.offer(wrong, 10400)
    node.download(wrong)
    assert node.report()["ota"] == why
    assert not slot_content(node, "b")


@pytest.mark.parametrize(("more", "why"), [(-10, "refused-truncated"), (10, "refused-size")])
def test_a_bundle_of_another_length_than_offered(more, why):
    """A gateway whose file is not the one it offered ends the update; one of another version does not."""
    node = Node()
    bundle, _ = bundle_of(10400)
    node.offer(bundle, 10400)
    node.updater.take({"ver": 10401, "at": 0, "of": len(bundle) + more})
    assert node.report()["ota"] == "loading"
    node.updater.take({"ver": 10400, "at": 0, "of": len(bundle) + more})
    assert node.report() == {"ota": why, "ota_ver": 10400}


def test_too_little_flash():
    """What does not fit beside the queue is refused before it is loaded; a flash that fills up meanwhile, too."""
    bundle, _ = bundle_of(10400)
    node = Node()
    node.flash.capacity_bytes = 40000
    node.offer(bundle, 10400)
    node.download(bundle)
    assert node.report()["ota"] == "refused-space"
    for parts in (0, 1, 3, 30):
        node = Node()
        node.offer(bundle, 10400)
        node.download(bundle, parts)
        intake = node.updater.look()
        node.flash.capacity_bytes = sum(map(len, node.flash.files.values()))
        at, length = intake.next()
        with pytest.raises(OSError, match="ENOSPC"):  # which ends the link
            intake.take(bundle[at : at + length])
        node.restart()
        assert node.wanted() is None
        assert node.report() == {"ota": "refused-space", "ota_ver": 10400}
        assert node.wake() == 10300


def test_a_refused_version_is_not_loaded_again():
    """A repeated offer of a refused version costs neither download nor verification, until it is halted."""
    node = Node()
    wrong, _ = bundle_of(10400, mpy="6.2")
    node.offer(wrong, 10400)
    node.download(wrong)
    node.restart()
    node.offer(wrong, 10400)
    assert node.wanted() is None
    node.updater.take({"halt": 10400})
    assert node.report()["ota"] == "idle"
    good, _ = bundle_of(10400)
    assert applied(node, good, 10400) == 10400


def test_a_low_battery_waits():
    """Nothing is loaded below the low limit; with a charged battery the same offer is taken."""
    bundle, _ = bundle_of(10400, min_mv=3600)
    node = Node()
    for battery_mv, state in ((3400, "refused-battery"), (3550, "refused-battery"), (3650, "loading")):
        node.updater.battery_mv = battery_mv
        node.offer(bundle, 10400)
        node.download(bundle, 2)
        assert node.report()["ota"] == state
    node.updater.battery_mv = 3400
    assert node.wanted() is None
    node.updater.battery_mv = None
    node.download(bundle)
    assert node.updater.apply()


def test_a_newer_offer_replaces_an_older_download():
    """The last good offer wins; an offer that is refused does not disturb a download."""
    node = Node()
    first, _ = bundle_of(10400)
    second, files = bundle_of(10401)
    node.offer(first, 10400)
    node.download(first, 4)
    before = node.at(first)
    node.offer(first, 10200)
    assert node.at(first) == before > 3 * PIECE_BYTES
    assert applied(node, second, 10401) == 10401
    assert slot_content(node, "b") == files


def test_halt_cancels():
    """A halted version is not asked for any more, ready or not; a version on trial is not halted."""
    node = Node()
    bundle, _ = bundle_of(10400)
    for blocks in (0, 3, 100):
        node.offer(bundle, 10400)
        node.download(bundle, blocks)
        node.updater.take({"halt": 10399})
        assert node.report()["ota"] == "loading"
        node.updater.take({"halt": 10400})
        assert node.report()["ota"] == "idle"
        assert node.wanted() is None
        assert not node.updater.apply()
    assert applied(node, bundle, 10400) == 10400
    node.updater.take({"halt": 10400})
    assert node.report()["ota"] == "trial"


def test_nothing_is_taken_on_trial():
    """While a version is on trial the other slot is the way back: no offer may touch it."""
    node = Node()
    bundle, _ = bundle_of(10400)
    applied(node, bundle, 10400)
    newer, _ = bundle_of(10500)
    before = dict(node.flash.files)
    node.offer(newer, 10500)
    assert node.wanted() is None
    assert node.flash.files == before


def test_a_version_without_acks_goes_back_and_stays_away():
    """Three starts without an application ack: the old version runs, says rolled-back, and refuses the offer."""
    node = Node()
    bundle, _ = bundle_of(10400)
    node.deaf.add(10400)
    applied(node, bundle, 10400)
    assert [node.wake() for _ in range(4)] == [10400, 10400, 10300, 10300]
    assert node.report() == {"ota": "rolled-back", "ota_ver": 10400}
    node.offer(bundle, 10400)
    node.updater.take({"halt": 10400})
    node.offer(bundle, 10400)
    assert node.report()["ota"] == "rolled-back"
    assert node.wanted() is None
    fixed, _ = bundle_of(10401)
    applied(node, fixed, 10401)
    slots.confirm(node.nvs, node.partitions.idle)
    assert node.wake() == 10401


def _signed(message):
    return release.sign(json.dumps(message, separators=(",", ":")).encode(), KEY)


def _message(**changes):
    digest = hashlib.sha256(b"x").hexdigest()
    files = [["firmware/app.mpy", 1, digest]]
    message = {"v": 1, "type": "app", "class": "bin", "version": 10400, "mpy": "6.3", "min_mv": 0, "files": files}
    return {**message, **changes}


def _one_file(path, size=1, digest="00" * 32):
    return [[path, size, digest]]


BAD_MANIFESTS = {
    "other version of the format": _message(v=2),
    "v is true": _message(v=True),
    "unknown type": _message(type="script"),
    "class is a number": _message(**{"class": 1}),
    "version is text": _message(version="10400"),
    "version zero": _message(version=0),
    "version beyond NVS": _message(version=1 << 31),
    "negative voltage": _message(min_mv=-1),
    "no files": _message(files=[]),
    "too many files": _message(files=_one_file("firmware/a.mpy") * 97),
    "files is an object": _message(files={}),
    "entry too short": _message(files=[["firmware/a.mpy", 1]]),
    "size is text": _message(files=_one_file("firmware/a.mpy", "1")),
    "size zero": _message(files=_one_file("firmware/a.mpy", 0)),
    "size huge": _message(files=_one_file("firmware/a.mpy", 1 << 40)),
    "hash too short": _message(files=_one_file("firmware/a.mpy", 1, "00")),
    "hash in capitals": _message(files=_one_file("firmware/a.mpy", 1, "AB" * 32)),
    "hash is a list": _message(files=_one_file("firmware/a.mpy", 1, [0])),
    "a path twice": _message(files=_one_file("firmware/a.mpy") * 2),
    "an image with a path": _message(type="image", files=_one_file("firmware/a.mpy")),
}


@pytest.mark.parametrize("message", BAD_MANIFESTS.values(), ids=BAD_MANIFESTS)
def test_a_signed_manifest_is_still_checked(message):
    """The signature tells who wrote it, not that it is right: every deviation from the format is refused."""
    with pytest.raises(manifest.Refused):
        manifest.parse(_signed(message))


PATHS = (
    "/main.py", "../main.py", "firmware/../../main.mpy", "firmware//a.mpy", "firmware/./a.mpy", "firmware/a.py",
    "version", "head", "firmware/.mpy", "firmware/A.mpy", "firmware/a b.mpy", "firmware/a.mpy.mpy",
    "firmware/" + "a" * 60 + ".mpy", "firmware/a/b/c/d.mpy", "firmware", "", "other/a.mpy", "firmware/\u00e4.mpy",
    "firmware\\a.mpy",
)  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_paths_that_leave_the_slot_are_refused(path):
    """A file goes to firmware/... in lower case and is bytecode; nothing can reach the root or another slot."""
    assert not manifest.is_path(path)
    with pytest.raises(manifest.Refused):
        manifest.parse(_signed(_message(files=_one_file(path))))


def test_a_manifest_that_is_no_json():
    """A signed head that holds something else than an object is refused like any other."""
    for text in (b"[]", b"{", b"\xff\xff\xff", b"7 "):
        with pytest.raises(manifest.Refused):
            manifest.parse(release.sign(text, KEY))


def test_flash_trouble_does_not_end_an_update():
    """An error of the flash that is not fullness leaves the download where it is."""
    node = Node()
    bundle, files = bundle_of(10400)
    node.offer(bundle, 10400)
    node.download(bundle, 3)
    rename, node.flash.rename = node.flash.rename, _fail
    node.download(bundle, 6)
    assert node.report()["ota"] == "loading"
    node.flash.rename = rename
    node.download(bundle)
    assert node.updater.apply()
    assert slot_content(node, "b") == files


def _fail(_old, _new):
    raise OSError(5, "EIO")


def test_a_rotten_head_is_loaded_again():
    """The signature is checked once more from flash before the switch; a head that lost a bit comes again."""
    node = Node()
    bundle, files = bundle_of(10400)
    node.offer(bundle, 10400)
    node.download(bundle, 6)
    head = bytearray(node.flash.files["/b/head"])
    head[-1] ^= 1
    node.flash.files["/b/head"] = bytes(head)
    node.restart()
    offsets = []
    while (request := node.wanted()) is not None:
        offsets.append(request[0])
        node.download(bundle, 1)
    head = manifest.head_bytes(bundle[:7])
    assert offsets[-2:] == [0, PIECE_BYTES], "the files were whole by then, and do not come again"
    assert node.updater.apply()
    assert slot_content(node, "b") == files


def test_progress_for_the_status():
    """`at` grows from 0 to the length of the bundle."""
    node = Node()
    bundle, _ = bundle_of(10400)
    assert node.at(bundle) == 0
    node.offer(bundle, 10400)
    seen = []
    while node.wanted() is not None:
        seen.append(node.at(bundle))
        node.download(bundle, 1)
    assert seen == sorted(seen)
    assert node.at(bundle) == len(bundle)


def test_image_from_offer_to_confirmed():
    """A firmware image is written block by block, started by the bootloader and kept after an application ack."""
    node = Node()
    bundle, image = update_bench.image_bundle(20000)
    node.offer(bundle, 20000, "image")
    node.download(bundle)
    assert bytes(node.partitions.data[1][: len(image)]) == image
    assert node.updater.apply()
    assert node.restart() == 10300
    assert (node.partitions.running, node.partitions.states[1]) == (1, "pending")
    assert node.report() == {"ota": "trial", "ota_ver": 20000}
    slots.confirm(node.nvs, node.partitions.idle)
    assert node.partitions.states[1] == "valid"
    assert node.report() == {"ota": "confirmed", "ota_ver": 20000}
    node.restart()
    assert node.partitions.running == 1
    node.offer(bundle, 20000, "image")
    assert node.report()["ota"] == "confirmed"
    node.offer(bundle, 19999, "image")
    assert node.report()["ota"] == "refused-version"


def test_an_image_without_an_ack_goes_back():
    """The bootloader leaves an image that was not confirmed, and the node tells it apart by the partition."""
    node = Node()
    bundle, _ = update_bench.image_bundle(20000)
    node.offer(bundle, 20000, "image")
    node.download(bundle)
    node.updater.apply()
    node.restart()
    assert node.wake() == 10300
    assert node.partitions.running == 0
    assert node.report() == {"ota": "rolled-back", "ota_ver": 20000}
    node.offer(bundle, 20000, "image")
    assert node.wanted() is None


def test_image_refusals():
    """An image that is too large, wrong twice or no image ends the update with the old one running."""
    large, _ = update_bench.image_bundle(20000, blocks=80)
    node = Node()
    node.offer(large, 20000, "image")
    node.download(large)
    assert node.report()["ota"] == "refused-size"
    bundle, _ = update_bench.image_bundle(20000)
    broken = bundle[:-1] + bytes([bundle[-1] ^ 1])
    node = Node()
    node.offer(bundle, 20000, "image")
    node.download(broken, 200)
    assert node.report()["ota"] == "refused-hash"
    text = release.build({"image": b"no image"}, kind="bin", version=20000, key=KEY, update_type="image")
    node = Node()
    node.offer(text, 20000, "image")
    node.download(text)
    assert not node.updater.apply()
    assert node.report() == {"ota": "refused-hash", "ota_ver": 20000}
    node.restart()
    assert node.partitions.running == 0


@pytest.mark.parametrize("order", ["offer", "halt"])
def test_a_parked_head_goes_with_its_order(order):
    """The power fails between a head and its judgement, and the order changes: the new version is not its victim."""
    bundle, _ = bundle_of(10400)
    node = Node()
    node.offer(bundle, 10400)
    intake = node.updater.look()
    while (request := intake.next()) is not None:
        intake.take(bundle[request[0] :][: request[1]])
    node.restart()
    if order == "halt":
        node.updater.take({"halt": 10400})
        assert node.wanted() is None
        assert node.report() == {"ota": "idle", "ota_ver": 0}
        return
    newer, _ = bundle_of(10401)
    node.offer(newer, 10401)
    assert node.wanted() == (0, PIECE_BYTES)
    assert node.report() == {"ota": "loading", "ota_ver": 10401}
    assert applied(node, newer, 10401) == 10401


def test_an_image_arrives_in_wakes_of_a_few_parts():
    """Sixteen parts a wake are enough: what was loaded counts at the next one."""
    bundle, _ = update_bench.image_bundle(20000, blocks=20)
    node = Node()
    node.offer(bundle, 20000, "image")
    node.download(bundle, 2)
    for _ in range(12):
        node.restart()
        node.download(bundle, 16)
    assert node.updater.whole


def test_a_damaged_image_ends_though_each_wake_begins_anew():
    """A wrong image is refused when it is whole: no wake loads it again."""
    bundle, _ = update_bench.image_bundle(20000)
    broken = bundle[:-1] + bytes([bundle[-1] ^ 1])
    node = Node()
    node.offer(bundle, 20000, "image")
    for _ in range(20):
        node.download(broken, 20)
        node.restart()
    assert node.report()["ota"] == "refused-hash"


def test_the_watchdog_outlives_the_parts_of_an_image():
    """A node that loads the largest image in one wake is fed to its end."""
    fed = []
    step = progress.Progress(lambda: fed.append(1))
    parts = update_bench.IMAGE_BYTES // PIECE_BYTES
    for _ in range(parts):
        step("block")
    assert len(fed) == parts


def test_no_memory_for_what_is_on_flash_is_no_crash(monkeypatch):
    """A heap too full to look at a download leaves it for the next boot, as a flash that cannot be read does."""
    node = Node()
    bundle, _ = bundle_of(10400)
    node.offer(bundle, 10400)
    node.download(bundle, 5)
    node.restart()

    def fail(_head):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(manifest, "parse", fail)
        assert node.wanted() is None
    assert node.report() == {"ota": "loading", "ota_ver": 10400}
    node.restart()
    node.download(bundle)
    assert node.updater.whole
