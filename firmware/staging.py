"""Where an update of the application is collected: files in the idle slot.

It takes pieces in order, knows from what is on flash where to go on, and is complete only when every hash is right.
"""

import hashlib

from firmware.core import files as flash
from firmware.core import slots
from firmware.core.manifest import Refused
from firmware.core.slots import PIECE_BYTES

BLOCK_BYTES = 4096
SPARE_BYTES = 16384
"""Flash that an update must leave to the queue's pointer and to folders [bytes]."""


class SlotStage:
    """An application slot. A file under way has the suffix .part; the file `version` makes the slot complete."""

    def __init__(self, files, folder, manifest, feed):
        self._files = files
        self._folder = folder
        self._feed = feed
        self._manifest = manifest
        self._done = bytearray(len(manifest.files))
        self._failed = bytearray(len(manifest.files))
        self._index = 0
        self._at = 0
        self._position = 0
        self._hash = hashlib.sha256()

    def begin(self, head):
        """Make the slot ready for another bundle. From here on it is incomplete, until `activate`."""
        flash.discard(self._files, self._folder + "/version")
        flash.discard(self._files, self._folder + "/head")
        self._make_folder(self._folder)
        self._sweep(self._folder, (), ".part")
        flash.replace(self._files, self._folder + "/head", head)

    def open(self):
        """Look at what is on flash: right files stay, wrong and foreign ones go, a part goes on."""
        flash.discard(self._files, self._folder + "/version")
        manifest = self._manifest
        wanted = {"head"}
        for index, entry in enumerate(manifest.files):
            path, size, digest = entry
            wanted.add(path)
            found = self._size(path)
            if found is not None:
                if found == size and self._sum(path).digest() == digest:
                    self._done[index] = 1
                else:
                    self._files.remove(self._folder + "/" + path)
            self._feed()
        self._index = -1
        self._at = manifest.head_bytes
        self._next_file()
        if self._index < len(manifest.files):
            wanted.add(manifest.files[self._index][0] + ".part")
        self._sweep(self._folder, wanted, "")

    def missing_bytes(self):
        """Return what the files that are still to come take on flash [bytes]."""
        total = 0
        for index, entry in enumerate(self._manifest.files):
            if not self._done[index]:
                total += (entry[1] + BLOCK_BYTES) // BLOCK_BYTES * BLOCK_BYTES
        return total + SPARE_BYTES

    def next(self):
        """Offset and length of the next piece of the bundle, or None when all is there."""
        files = self._manifest.files
        if self._index >= len(files):
            return None
        length = files[self._index][1] - self._position
        follow = self._index + 1
        while length < PIECE_BYTES and follow < len(files) and not self._done[follow]:
            length += files[follow][1]
            follow += 1
        return self._at + self._position, min(length, PIECE_BYTES)

    def take(self, data):
        """Append a piece that starts where `next` said; raises Refused when a file is wrong twice."""
        rest = memoryview(data)
        while rest and self._index < len(self._manifest.files):
            path, size, digest = self._manifest.files[self._index]
            piece = rest[: size - self._position]
            self._append(path, piece)
            self._hash.update(piece)
            self._position += len(piece)
            rest = rest[len(piece) :]
            if self._position == size and not self._close(path, good=self._hash.digest() == digest):
                return

    def activate(self, nvs, slot):
        """Declare the slot complete and let it run on trial from the next start on."""
        version = self._manifest.version
        flash.replace(self._files, self._folder + "/version", b"%d\n" % version)
        # a loader that finds a version above the floor without the flag sets the flag itself
        slots.put(nvs, ("tries", 0), ("slot", slot), ("trial", 1), ("want", 0))

    # -- one file ----------------------------------------------------------------------------

    def _next_file(self):
        """Go to the next file that is missing, and to the end of what is there of it."""
        files = self._manifest.files
        if self._index >= 0:
            self._at += files[self._index][1]
        self._index += 1
        while self._index < len(files) and self._done[self._index]:
            self._at += files[self._index][1]
            self._index += 1
        self._position = 0
        self._hash = hashlib.sha256()
        if self._index == len(files):
            return
        path, size, digest = files[self._index]
        found = self._size(path + ".part")
        if found is None:
            return
        if found < size:
            self._hash = self._sum(path + ".part")
            self._position = found
        elif found == size and self._sum(path + ".part").digest() == digest:
            self._close(path, good=True)
        else:
            self._files.remove(self._folder + "/" + path + ".part")

    def _close(self, path, good):
        part = self._folder + "/" + path + ".part"
        if good:
            self._files.rename(part, self._folder + "/" + path)
            self._done[self._index] = 1
            self._next_file()
            return True
        # a torn write of an earlier power cut, or a wrong bundle: the second time it is the bundle
        self._files.remove(part)
        self._failed[self._index] += 1
        if self._failed[self._index] > 1:
            raise Refused("hash")
        self._position = 0
        self._hash = hashlib.sha256()
        return False

    def _append(self, path, piece):
        whole = self._folder + "/" + path + ".part"
        if not self._position:
            folder = ""
            for part in whole.split("/")[1:-1]:
                folder += "/" + part
                self._make_folder(folder)
            mode = "wb"
        else:
            mode = "ab"
        with self._files.open(whole, mode) as file:
            file.write(piece)

    # -- the folder --------------------------------------------------------------------------

    def _make_folder(self, path):
        try:
            self._files.mkdir(path)
        except OSError:
            pass  # it is there; if not, opening the file says so

    def _size(self, path):
        try:
            return self._files.stat(self._folder + "/" + path)[6]
        except OSError:
            return None

    def _sum(self, path):
        digest = hashlib.sha256()
        buffer = bytearray(1024)
        with self._files.open(self._folder + "/" + path, "rb") as file:
            while True:
                count = file.readinto(buffer)
                if not count:
                    return digest
                digest.update(memoryview(buffer)[:count])

    def _sweep(self, folder, keep, suffix):
        """Remove the files below `folder` that end in `suffix` and are not in `keep`."""
        for name in self._files.listdir(folder):
            path = folder + "/" + name
            if self._files.stat(path)[0] & 0x4000:
                self._sweep(path, keep, suffix)
            elif path.endswith(suffix) and path[len(self._folder) + 1 :] not in keep:
                self._files.remove(path)
