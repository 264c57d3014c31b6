"""Heads of update bundles on both interpreters; the signature is another module's matter."""

import json

from firmware import wire
from firmware.core import manifest, slots

DIGEST = "0123456789abcdef" * 4


def _head(files, **changes):
    message = {"v": 1, "type": "app", "class": "bin", "version": 10400, "mpy": "6.3", "min_mv": 3500}
    message.update(changes)
    front = json.dumps(message, separators=(",", ":"))[:-1]
    text = (front + ',"files":[' + ",".join(['["%s",%s,"%s"]' % entry for entry in files]) + "]}").encode()
    return manifest.MAGIC + bytes([len(text) >> 8, len(text) & 255]) + text + bytes(64)


def _refusal(head):
    try:
        manifest.parse(head)
    except manifest.Refused as error:
        return error.why
    return None


def test_a_whole_tree_is_read():
    """Twenty files come out as they were put in, with the length of the whole bundle."""
    files = [("firmware/core/module_%02d.mpy" % n, str(1000 + n), DIGEST) for n in range(20)]
    head = _head(files)
    assert manifest.head_bytes(head[:7]) == len(head)
    found = manifest.parse(head)
    assert (found.type, found.kind, found.version, found.min_mv) == ("app", "bin", 10400, 3500)
    assert len(found.files) == 20
    for index, entry in enumerate(found.files):
        assert entry == (files[index][0], 1000 + index, bytes([0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF] * 4))
    assert found.bundle_bytes == len(head) + 20 * 1000 + 190  # 0 + 1 + .. + 19


def test_a_buffer_is_read_like_bytes():
    """The head is collected in a bytearray; nothing in reading it needs bytes."""
    assert manifest.parse(bytearray(_head([("firmware/a.mpy", "1", DIGEST)]))).files[0][0] == "firmware/a.mpy"


def test_each_deviation_is_a_refusal():
    """Wrong entries, wrong fields, and a head cut at any byte are refused, never read as something else."""
    good = ("firmware/a.mpy", "1", DIGEST)
    assert _refusal(_head([good])) is None
    for entry in (
        ("firmware/../a.mpy", "1", DIGEST), ("/main.mpy", "1", DIGEST), ("firmware/A.mpy", "1", DIGEST),
        ("firmware/a.mpy", "0", DIGEST), ("firmware/a.mpy", "-1", DIGEST), ("firmware/a.mpy", "1.0", DIGEST),
        ("firmware/a.mpy", "99999999", DIGEST), ("firmware/a.mpy", "1", DIGEST[:-1]),
        ("firmware/a.mpy", "1", DIGEST[:-1] + "G"), ("firmware/a.mpy", "1", DIGEST + "00"), ("", "1", DIGEST),
    ):  # fmt: skip
        assert _refusal(_head([entry])) == "manifest", entry
    assert _refusal(_head([good, good])) == "manifest"
    assert _refusal(_head([])) == "manifest"
    for key, value in (("v", 2), ("type", "x"), ("version", 0), ("version", "1"), ("mpy", 6), ("min_mv", -1)):
        assert _refusal(_head([good], **{key: value})) == "manifest", key
    head = _head([good])
    for cut in range(len(head)):
        assert _refusal(head[:cut]) in ("signature", "truncated")
    assert _refusal(b"X" + head[1:]) == "signature"


def test_a_check_names_the_reason():
    """Each demand on a good manifest has a word of its own."""
    found = manifest.parse(_head([("firmware/a.mpy", "100", DIGEST)]))
    size = found.bundle_bytes
    for offer, kind, mpy, battery_mv, why in (
        ((10400, "app", size), "bin", "6.3", 3500, None),
        ((10400, "app", size), "bin", "6.3", None, None),
        ((10400, "app", size), "air", "6.3", None, "class"),
        ((10401, "app", size), "bin", "6.3", None, "version"),
        ((10400, "image", size), "bin", "6.3", None, "version"),
        ((10400, "app", size), "bin", "6.2", None, "mpy"),
        ((10400, "app", size - 1), "bin", "6.3", None, "truncated"),
        ((10400, "app", size + 1), "bin", "6.3", None, "size"),
        ((10400, "app", size), "bin", "6.3", 3499, "battery"),
    ):
        try:
            manifest.check(found, offer, kind, mpy, battery_mv)
            said = None
        except manifest.Refused as error:
            said = error.why
        assert said == why


def test_versions_as_text():
    """Version numbers and the bytecode version have one spelling each."""
    assert slots.mpy_text(0xB06) == "6.3"
    assert wire.UPDATE_TYPES == ("app", "image")  # NVS keeps the index
    assert "refused-battery" == slots.OUTCOMES[slots.BATTERY]
    assert "rolled-back" == slots.OUTCOMES[slots.ROLLED_BACK]
