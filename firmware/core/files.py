"""The files of a node as one object, so that tests can hand in files that lose power."""

import os


class Files:
    """The real file system; `root` is put before every path (a folder of the host, nothing on a node)."""

    def __init__(self, root=""):
        self._root = root

    def open(self, path, mode="r"):
        """Open a file. What is written is on flash only after close()."""
        return open(self._root + path, mode)

    def remove(self, path):
        """Remove a file."""
        os.remove(self._root + path)

    def rename(self, old, new):
        """Rename a file over another, which LittleFS does in one step."""
        os.rename(self._root + old, self._root + new)

    def listdir(self, path):
        """Names in a folder."""
        return os.listdir(self._root + path)

    def mkdir(self, path):
        """Make a folder."""
        os.mkdir(self._root + path)

    def stat(self, path):
        """Return what os.stat says; the size is at index 6."""
        return os.stat(self._root + path)


def read(files, path, most=4096):
    """Bytes of a file, at most `most` of them, or None when it cannot be read."""
    try:
        size = files.stat(path)[6]
        with files.open(path, "rb") as file:
            return file.read(min(size, most))  # MicroPython takes the room for all that is asked for
    except OSError:
        return None


def replace(files, path, data):
    """Write a whole file so that a power cut leaves the old content or the new one."""
    with files.open(path + ".tmp", "wb") as file:
        file.write(data)
    files.rename(path + ".tmp", path)


def discard(files, path):
    """Remove a file that may be gone already."""
    try:
        files.remove(path)
    except OSError:
        pass
