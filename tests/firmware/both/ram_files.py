"""Files in RAM that keep only what was closed, for both interpreters."""


class _Reader:
    def __init__(self, data):
        self._data = data

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def read(self, size=-1):
        return self._data if size < 0 else self._data[:size]

    def readinto(self, buffer):
        size = min(len(buffer), len(self._data))
        buffer[:size] = self._data[:size]
        return size


class _Writer:
    def __init__(self, files, path, data):
        self._files = files
        self._path = path
        self._data = data

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self._files.close(self._path, self._data)

    def write(self, data):
        self._data += bytes(data)


class RamFiles:
    """`content` maps paths to bytes; `room` limits their sum; `broken` is a path that cannot be written."""

    def __init__(self):
        self.content = {}
        self.folders = set()
        self.room = None
        self.broken = None

    def used(self):
        return sum([len(data) for data in self.content.values()])

    def close(self, path, data):
        """Make the content of a written file durable."""
        if self.room is not None and self.used() - len(self.content.get(path, b"")) + len(data) > self.room:
            raise OSError(28, "full")
        if path == self.broken:
            raise OSError(5, "bad block")
        self.content[path] = data

    def open(self, path, mode="r"):
        if "r" in mode:
            if path not in self.content:
                raise OSError(2, "no such file")
            return _Reader(self.content[path])
        before = self.content.get(path, b"") if "a" in mode else b""
        if path not in self.content:
            self.content[path] = b""  # LittleFS makes the name at once
        return _Writer(self, path, before)

    def remove(self, path):
        if path not in self.content:
            raise OSError(2, "no such file")
        del self.content[path]

    def rename(self, old, new):
        if old not in self.content:
            raise OSError(2, "no such file")
        self.content[new] = self.content.pop(old)

    def listdir(self, path):
        if path not in self.folders:
            raise OSError(2, "no such file")
        return [name[len(path) + 1 :] for name in self.content if name.startswith(path + "/")]

    def mkdir(self, path):
        self.folders.add(path)

    def stat(self, path):
        if path not in self.content:
            raise OSError(2, "no such file")
        return (0, 0, 0, 0, 0, 0, len(self.content[path]), 0, 0, 0)
