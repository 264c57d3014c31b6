"""Where an update comes down while a link is up: bytes go to flash as they come, a boot without a link judges them.

Beside TLS there is no memory for hashes, signatures and manifests.
"""

from firmware.core.files import read
from firmware.core.slots import PIECE_BYTES

MAX_HEAD_BYTES = 8071
"""Longest head: a stranger gets no more onto the flash before a signature is looked at."""


class Head:
    """The one file of a download that has yet to begin; once its first bytes are there, they say how long it is."""

    def __init__(self, files, path, bundle_bytes):
        self._files = files
        self._path = path
        self._most = min(bundle_bytes, MAX_HEAD_BYTES)

    def __len__(self):
        return 1

    def __getitem__(self, _index):
        start = read(self._files, self._path + ".part", 7) or b""
        size = (start[5] << 8 | start[6]) + 71 if len(start) == 7 else self._most
        return self._path, min(size, self._most), None


class Intake:
    """Files of `table`, entries (path, size, ..), from byte `at` of the bundle on, but those that are `done`: not all.

    A file under way has the suffix .part. Of the first one a beginning may be there.
    """

    def __init__(self, files, folder, table, done, at):
        self._files = files
        self._folder = folder
        self._table = table
        self._done = done
        self._at = at
        self._index = 0
        self._seek()
        try:
            self._position = files.stat(self._path())[6]
        except OSError:
            pass

    def next(self):
        """Offset and length of the next piece of the bundle, or None when all is there."""
        length = -self._position
        index = self._index
        while length < PIECE_BYTES and index < len(self._table) and not self._done[index]:
            length += self._table[index][1]
            index += 1
        return (self._at + self._position, min(length, PIECE_BYTES)) if length > 0 else None

    def take(self, data):
        """Append a piece that is as `next` said."""
        rest = memoryview(data)
        while rest:
            size = self._table[self._index][1]
            piece = rest[: size - self._position]
            with self._files.open(self._path(), "ab" if self._position else "wb") as file:
                file.write(piece)
            self._position += len(piece)
            rest = rest[len(piece) :]
            if self._position == size:
                self._done[self._index] = 1
                self._seek()

    def _path(self):
        return self._folder + self._table[self._index][0] + ".part"

    def _seek(self):
        """Go to the first file that is not done."""
        self._position = 0
        while self._index < len(self._table) and self._done[self._index]:
            self._at += self._table[self._index][1]
            self._index += 1
