"""Where a firmware image is collected: blocks of the idle firmware partition, with the interface of `staging`."""

import hashlib

from firmware.core import files as flash
from firmware.core import slots
from firmware.core.manifest import Refused
from firmware.core.slots import PIECE_BYTES

BLOCK_BYTES = 4096
SAVE_BLOCKS = 2
"""Blocks after which the place is noted in NVS: a wake that loads fewer gets nowhere, and begins again for ever."""


class ImageStage:
    """The idle firmware partition. `idle` is the HAL's adapter of it."""

    def __init__(self, files, idle, nvs, manifest, feed):
        if manifest.files[0][1] > idle.size:
            raise Refused("size")
        self._files = files
        self._idle = idle
        self._nvs = nvs
        self._feed = feed
        self._manifest = manifest
        self._position = 0
        self._block = bytearray(BLOCK_BYTES)

    def begin(self, head):
        """Forget what was written before."""
        slots.put(self._nvs, ("imgat", 0))
        flash.replace(self._files, slots.IMAGE_HEAD, head)

    def open(self):
        """Go on behind the last block that was noted; return what takes the rest, None when the image is whole."""
        size = self._manifest.files[0][1]
        self._position = min(max(self._nvs.get("imgat", 0), 0) * BLOCK_BYTES, size)
        if self._position < size:
            return self
        self._check()
        return None

    def missing_bytes(self):
        """Nothing of the file system."""
        return 0

    def next(self):
        """Offset and length of the next block of the bundle, or None when all is there."""
        left = self._manifest.files[0][1] - self._position
        return (self._manifest.head_bytes + self._position, min(left, PIECE_BYTES)) if left else None

    def take(self, data):
        """Collect a block and write it."""
        at = self._position % BLOCK_BYTES
        self._block[at : at + len(data)] = data
        self._position += len(data)
        if self._position % BLOCK_BYTES and self._position < self._manifest.files[0][1]:
            return
        for rest in range(at + len(data), BLOCK_BYTES):
            self._block[rest] = 255  # as an erased flash has it
        self._idle.write_block((self._position - 1) // BLOCK_BYTES, self._block)
        blocks = (self._position + BLOCK_BYTES - 1) // BLOCK_BYTES
        if not blocks % SAVE_BLOCKS or self._position == self._manifest.files[0][1]:
            slots.put(self._nvs, ("imgat", blocks))

    def activate(self, _slot):
        """Let the bootloader start it. Noted first: without the note nobody would confirm it."""
        slots.put(self._nvs, ("imgto", int(self._idle.label[-1])), ("want", 0), ("img", self._manifest.version))
        flash.discard(self._files, slots.IMAGE_HEAD)
        self._idle.activate()

    def _check(self):
        """Read the whole back once it is written: what counts is what the flash holds."""
        _, size, digest = self._manifest.files[0]
        total = hashlib.sha256()
        buffer = self._block
        for block in range((size + BLOCK_BYTES - 1) // BLOCK_BYTES):
            self._idle.read_block(block, buffer)
            total.update(memoryview(buffer)[: min(BLOCK_BYTES, size - block * BLOCK_BYTES)])
            self._feed()
        if total.digest() == digest:
            return
        # No second time: a block that a power cut tore was not noted, so it is the bundle, and takes hours to load.
        slots.put(self._nvs, ("imgat", 0))
        raise Refused("hash")
