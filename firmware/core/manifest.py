"""The head of an update bundle: magic, length, manifest, signature; and what a node demands of a manifest."""

import json

from firmware.wire import MAX_BUNDLE_BYTES, UPDATE_TYPES, is_int

MAGIC = b"RSKB\x01"
PREFIX_BYTES = 7
SIGNATURE_BYTES = 64
MAX_MANIFEST_BYTES = 6000
MAX_FILES = 96
MAX_PATH_CHARACTERS = 64
MAX_VERSION = 0x7FFFFFFF
_HEX = "0123456789abcdef"
_PATH = "abcdefghijklmnopqrstuvwxyz0123456789_"


class Refused(Exception):  # noqa: N818 - a verdict
    """An update that this node does not take; `why` is one of the words of docs/protocol.md."""

    def __init__(self, why):
        super().__init__(why)
        self.why = why


class Manifest:
    """What a good manifest says; `files` is a list of (path, size, sha256)."""

    def __init__(self, message, files, head_bytes):
        self.type = message["type"]
        self.kind = message["class"]
        self.version = message["version"]
        self.mpy = message["mpy"]
        self.min_mv = message["min_mv"]
        self.files = files
        self.head_bytes = head_bytes
        self.bundle_bytes = head_bytes
        for _, size, _ in files:
            self.bundle_bytes += size


def head_bytes(prefix):
    """Length of the head, told by its first 7 bytes."""
    if len(prefix) < PREFIX_BYTES or prefix[:5] != MAGIC:
        raise Refused("signature")
    size = prefix[5] << 8 | prefix[6]
    if not 2 <= size <= MAX_MANIFEST_BYTES:
        raise Refused("signature")
    return PREFIX_BYTES + size + SIGNATURE_BYTES


def split(head):
    """Manifest bytes and signature of a whole head."""
    size = head_bytes(head[:PREFIX_BYTES])
    if len(head) != size:
        raise Refused("truncated")
    return head[PREFIX_BYTES : size - SIGNATURE_BYTES], head[size - SIGNATURE_BYTES :]


def is_path(path):
    """Whether a file may lie in a slot: firmware/..., lower case, bytecode, no way out of the slot."""
    if not isinstance(path, str) or len(path) > MAX_PATH_CHARACTERS or not path.endswith(".mpy"):
        return False
    parts = path[:-4].split("/")
    if parts[0] != "firmware" or not 2 <= len(parts) <= 4:
        return False
    for part in parts:
        if not part:
            return False
        for character in part:
            if character not in _PATH:
                return False
    return True


def _need(good):
    if not good:
        raise Refused("manifest")


def _file(entry):
    """Check one entry of `files` and pack it small: forty of them lie in the heap while a download lasts."""
    _need(isinstance(entry, list) and len(entry) == 3)
    path, size, digest = entry
    _need(is_int(size) and 0 < size <= MAX_BUNDLE_BYTES)
    _need(isinstance(digest, str) and len(digest) == 64)
    for character in digest:
        _need(character in _HEX)
    return path, size, bytes([int(digest[i : i + 2], 16) for i in range(0, 64, 2)])


def parse(head):
    """Read a head whose signature is good; every deviation from the format is a refusal."""
    text, _ = split(head)
    try:
        message = json.loads(bytes(text).decode())
    except (ValueError, RuntimeError):
        raise Refused("manifest")  # noqa: B904 - MicroPython warns at "from"
    _need(isinstance(message, dict) and is_int(message.get("v")) and message["v"] == 1)
    _need(message.get("type") in UPDATE_TYPES)
    for key in ("class", "mpy"):
        _need(isinstance(message.get(key), str))
    for key, lowest in (("version", 1), ("min_mv", 0)):
        _need(is_int(message.get(key)) and lowest <= message[key] <= MAX_VERSION)
    entries = message.get("files")
    if not isinstance(entries, list) or not 0 < len(entries) <= MAX_FILES:
        raise Refused("manifest")
    files = [_file(entry) for entry in entries]
    paths = [file[0] for file in files]
    if message["type"] == "image":
        _need(paths == ["image"])
    else:
        for path in paths:
            _need(is_path(path))
        _need(len(set(paths)) == len(paths))
    manifest = Manifest(message, files, len(head))
    if manifest.bundle_bytes > MAX_BUNDLE_BYTES:
        raise Refused("size")
    return manifest


def check(manifest, offer, kind, mpy, battery_mv):
    """Hold a signed manifest against the offer (version, type, size of the bundle) and against this node."""
    version, update_type, size = offer
    if manifest.kind != kind:
        raise Refused("class")
    if manifest.version != version or manifest.type != update_type:
        raise Refused("version")
    if manifest.mpy != mpy:
        raise Refused("mpy")
    if size < manifest.bundle_bytes:
        raise Refused("truncated")
    if size > manifest.bundle_bytes:
        raise Refused("size")
    if battery_mv is not None and battery_mv < manifest.min_mv:
        raise Refused("battery")


def mpy_text(number):
    """Bytecode version as a manifest names it, from sys.implementation._mpy."""
    return "%d.%d" % (number & 0xFF, number >> 8 & 3)
