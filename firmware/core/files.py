"""The files of a node as one object, so that tests can hand in files that lose power."""

import os


class Files:
    """The real file system. What is written to an open file is on flash only after close(); a rename replaces."""

    def __init__(self):
        self.open = open
        self.remove = os.remove
        self.rename = os.rename
        self.listdir = os.listdir
        self.mkdir = os.mkdir
        self.stat = os.stat


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
