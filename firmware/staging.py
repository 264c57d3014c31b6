"""Where an update of the application is judged: files in the idle slot.

What is on flash tells where to go on. The slot is complete only when every hash is right.
"""

import hashlib

from firmware.core import files as flash
from firmware.core import slots
from firmware.core.manifest import Refused
from firmware.intake import Intake

BLOCK_BYTES = 4096
SPARE_BYTES = 16384
"""Flash that an update must leave to the queue's pointer and to folders [bytes]."""


class SlotStage:
    """An application slot. A file under way has the suffix .part; the file `version` makes the slot complete."""

    def __init__(self, files, folder, nvs, manifest, feed):
        self._files = files
        self._folder = folder
        self._nvs = nvs
        self._feed = feed
        self._manifest = manifest
        self._done = bytearray(len(manifest.files))

    def begin(self, head):
        """Make the slot ready for another bundle. From here on it is incomplete, until `activate`."""
        flash.discard(self._files, self._folder + "/version")
        flash.discard(self._files, self._folder + "/head")
        self._make_folder(self._folder)
        self._sweep(self._folder, (), ".part")
        slots.put(self._nvs, ("otawrong", 0))
        flash.replace(self._files, self._folder + "/head", head)

    def open(self):
        """Keep right files, remove wrong and foreign ones; return what takes the missing ones, None without any."""
        flash.discard(self._files, self._folder + "/version")
        keep = {"head"}
        is_whole = True
        for index, entry in enumerate(self._manifest.files):
            self._feed()
            path, size, digest = entry
            part = path + ".part"
            if not self._is_right(path, size, digest):
                if not self._is_right(part, size, digest):
                    if self._size(part) >= size:
                        self._count_wrong()
                    elif is_whole:
                        keep.add(part)  # the first one goes on where it ended
                    is_whole = False
                    self._make_folders(path)
                    continue
                self._files.rename(self._folder + "/" + part, self._folder + "/" + path)
            self._done[index] = 1
            keep.add(path)
        self._sweep(self._folder, keep, "")
        if is_whole:
            return None
        return Intake(self._files, self._folder + "/", self._manifest.files, self._done, self._manifest.head_bytes)

    def missing_bytes(self):
        """Return what the files that are still to come take on flash [bytes]."""
        total = SPARE_BYTES
        for index, entry in enumerate(self._manifest.files):
            if not self._done[index]:
                total += (entry[1] + BLOCK_BYTES) // BLOCK_BYTES * BLOCK_BYTES
        return total

    def activate(self, slot):
        """Declare the slot complete and let it run on trial from the next start on."""
        version = self._manifest.version
        flash.replace(self._files, self._folder + "/version", b"%d\n" % version)
        # a loader that finds a version above the floor without the flag sets the flag itself
        slots.put(self._nvs, ("tries", 0), ("slot", slot), ("trial", 1), ("want", 0))

    # -- one file ----------------------------------------------------------------------------

    def _size(self, path):
        try:
            return self._files.stat(self._folder + "/" + path)[6]
        except OSError:
            return -1

    def _is_right(self, path, size, digest):
        if self._size(path) != size:
            return False
        total = hashlib.sha256()
        buffer = bytearray(1024)
        with self._files.open(self._folder + "/" + path, "rb") as file:
            while True:
                count = file.readinto(buffer)
                if not count:
                    return total.digest() == digest
                total.update(memoryview(buffer)[:count])

    def _count_wrong(self):
        # a bit that the flash lost, or a wrong bundle: the second time it is the bundle
        if self._nvs.get("otawrong", 0):
            raise Refused("hash")
        slots.put(self._nvs, ("otawrong", 1))

    # -- the folder --------------------------------------------------------------------------

    def _make_folder(self, path):
        try:
            self._files.mkdir(path)
        except OSError:
            pass  # it is there; if not, opening the file says so

    def _make_folders(self, path):
        folder = self._folder
        for part in path.split("/")[:-1]:
            folder += "/" + part
            self._make_folder(folder)

    def _sweep(self, folder, keep, suffix):
        """Remove the files below `folder` that end in `suffix` and are not in `keep`."""
        for name in self._files.listdir(folder):
            path = folder + "/" + name
            if self._files.stat(path)[0] & 0x4000:
                self._sweep(path, keep, suffix)
            elif path.endswith(suffix) and path[len(self._folder) + 1 :] not in keep:
                self._files.remove(path)
