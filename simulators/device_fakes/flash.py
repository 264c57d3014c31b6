"""The node's file system: a LittleFS image in a file, whose power can fail at any operation, or a folder."""

import os

import virtual

BLOCK = 4096
BLOCKS = 240
ERASED = b"\xff" * BLOCK  # made with the fakes: in the heap of a node its flash takes nothing


class Image:
    """Block device for VfsLfs2. Operation number `cut` (1, 2, ...) is done by half, then the power is gone."""

    def __init__(self, path, cut=0):
        self._file = open(path, "r+b")
        self._cut = cut
        self.operations = 0
        virtual.at_end.append(lambda: "@OPS %d" % self.operations)

    def readblocks(self, block, buffer, offset=0):
        self._file.seek(block * BLOCK + offset)
        self._file.readinto(buffer)

    def writeblocks(self, block, buffer, offset=0):
        self._write(block * BLOCK + offset, buffer)

    def ioctl(self, op, argument):
        if op == 4:
            return BLOCKS
        if op == 5:
            return BLOCK
        if op == 6:
            self._write(argument * BLOCK, ERASED)
        return 0

    def _write(self, at, data):
        self.operations += 1
        self._file.seek(at)
        if self.operations == self._cut:
            self._file.write(memoryview(data)[: len(data) // 2])
            virtual.die("@CUT %d" % self.operations)
        self._file.write(data)


class FolderOs:
    """`os` of a node whose root is a folder, for what VfsPosix does not do as the chip does."""

    def __init__(self, posix):
        for name in dir(os):
            setattr(self, name, getattr(os, name))
        self._posix = posix
        self.root = ""
        self.rename = self._rename
        self.statvfs = self._statvfs

    def _rename(self, old, new):
        """With a root of its own VfsPosix takes the new name for both."""
        self._posix.rename(self._real(old), self._real(new))

    def _real(self, path):
        return self.root + (path if path.startswith("/") else os.getcwd().rstrip("/") + "/" + path)

    def _statvfs(self, path):
        return (BLOCK, BLOCK, BLOCKS, BLOCKS // 2, BLOCKS // 2, 0, 0, 0, 0, 255)


def blank(path):
    """Make an erased chip."""
    with open(path, "wb") as file:
        for _ in range(BLOCKS):
            file.write(ERASED)


def copy(source, target):
    """Copy a folder tree between two mounted file systems."""
    for entry in os.ilistdir(source):
        name = entry[0]
        there = target + "/" + name
        if entry[1] & 0x4000:
            try:
                os.mkdir(there)
            except OSError:
                pass
            copy(source + "/" + name, there)
        else:
            with open(source + "/" + name, "rb") as old, open(there, "wb") as new:
                while True:
                    data = old.read(BLOCK)
                    if not data:
                        break
                    new.write(data)
