"""The head of an update bundle: magic, length, manifest, signature; and what a node demands of a manifest."""

import binascii
import json

from firmware.wire import MAX_BUNDLE_BYTES, UPDATE_TYPES, is_int

MAGIC = b"RSKB\x01"
PREFIX_BYTES = 7
SIGNATURE_BYTES = 64
MAX_MANIFEST_BYTES = 8000
MAX_FILES = 96
MAX_PATH_CHARACTERS = 64
MAX_ENTRY_BYTES = 160
_FILES = b',"files":[['
MAX_VERSION = 0x7FFFFFFF
_HEX = "0123456789abcdef"
_PATH = "abcdefghijklmnopqrstuvwxyz0123456789_"


class Refused(Exception):  # noqa: N818 - a verdict
    """An update that this node does not take; `why` is one of the words of docs/protocol.md.

    `need_mv` is what a battery has to have for it.
    """

    def __init__(self, why, need_mv=0):
        super().__init__(why)
        self.why = why
        self.need_mv = need_mv


class Manifest:
    """What a good manifest says; `files` has entries (path, size, sha256)."""

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
    view = memoryview(head)
    return view[PREFIX_BYTES : size - SIGNATURE_BYTES], bytes(view[size - SIGNATURE_BYTES :])


def is_path(path):
    """Whether a file may lie in a slot: firmware/..., lower case, bytecode, no way out of the slot."""
    if len(path) > MAX_PATH_CHARACTERS or not path.endswith(".mpy"):
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


class FileTable:
    """Entries (path, size, sha256) of a manifest, packed: as tuples they would take a tenth of the heap."""

    def __init__(self):
        self._paths = bytearray(b"\n")
        self._starts = []
        self._sizes = []
        self._hashes = bytearray()

    def __len__(self):
        return len(self._sizes)

    def __getitem__(self, index):
        start = self._starts[index]
        end = self._starts[index + 1] if index + 1 < len(self._starts) else len(self._paths)
        path = bytes(self._paths[start : end - 1]).decode()
        return path, self._sizes[index], bytes(self._hashes[32 * index : 32 * index + 32])

    def add(self, path, size, digest):
        """Append an entry; False when its path is there already."""
        line = path.encode() + b"\n"
        if b"\n" + line in bytes(self._paths):
            return False
        self._starts.append(len(self._paths))
        self._paths += line
        self._sizes.append(size)
        self._hashes += digest
        return True


def _add(table, entry, update_type):
    """Check the text of one entry, `"path",size,"sha256"`, and add it."""
    parts = entry.split(",")
    _need(len(parts) == 3)
    path, size, digest = parts
    _need(len(path) > 2 and path[0] == path[-1] == '"' and len(digest) == 66 and digest[0] == digest[-1] == '"')
    path = path[1:-1]
    _need(path == "image" if update_type == "image" else is_path(path))
    _need(0 < len(size) < 9 and size.isdigit() and size[0] != "0" and int(size) <= MAX_BUNDLE_BYTES)
    for character in digest[1:-1]:
        _need(character in _HEX)
    _need(table.add(path, int(size), binascii.unhexlify(digest[1:-1])))


def parse(head):
    """Read a head whose signature is good; every deviation from the format is a refusal.

    The entries of `files`, which come last, are cut out of the text one by one: all at once they do not fit the heap.
    """
    text, _ = split(head)
    text = bytes(text)
    start = text.find(_FILES)
    _need(start > 0 and text.endswith(b"]]}"))
    try:
        message = json.loads(text[:start].decode() + "}")
    except (ValueError, RuntimeError):
        raise Refused("manifest")  # noqa: B904 - MicroPython warns at "from"
    _need(isinstance(message, dict) and is_int(message.get("v")) and message["v"] == 1)
    _need(message.get("type") in UPDATE_TYPES)
    for key in ("class", "mpy"):
        _need(isinstance(message.get(key), str))
    for key, lowest in (("version", 1), ("min_mv", 0)):
        _need(is_int(message.get(key)) and lowest <= message[key] <= MAX_VERSION)
    table = FileTable()
    at = start + len(_FILES)
    while True:
        end = text.find(b"]", at)
        _need(0 < end - at <= MAX_ENTRY_BYTES and len(table) < MAX_FILES)
        try:
            entry = text[at:end].decode()
        except ValueError:
            raise Refused("manifest")  # noqa: B904 - as above
        _add(table, entry, message["type"])
        at = end + 3
        if text[end:at] != b"],[":
            break
    _need(at == len(text))
    _need(message["type"] != "image" or len(table) == 1)
    manifest = Manifest(message, table, len(head))
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
        raise Refused("battery", manifest.min_mv)
