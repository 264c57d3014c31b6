"""A flash chip in RAM for LittleFS2 that keeps a journal of its operations, and images of it at any power cut."""

BLOCK_BYTES = 4096


class Flash:
    """Block device with the extended interface; `journal` lists (block, offset, data), data None for an erase."""

    def __init__(self, blocks):
        self.data = bytearray(b"\xff" * (blocks * BLOCK_BYTES))
        self.journal = []
        self.erases = 0
        self.programmed = 0

    def readblocks(self, block, buffer, offset=0):
        at = block * BLOCK_BYTES + offset
        buffer[:] = self.data[at : at + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        if self.journal is not None:
            self.journal.append((block, offset, bytes(buffer)))
        self.programmed += len(buffer)
        self.change(block, offset, buffer)

    def ioctl(self, operation, argument):
        if operation == 4:
            return len(self.data) // BLOCK_BYTES
        if operation == 5:
            return BLOCK_BYTES
        if operation == 6:
            if self.journal is not None:
                self.journal.append((argument, 0, None))
            self.erases += 1
            self.change(argument, 0, None)
        return 0

    def change(self, block, offset, data):
        """Carry out one operation of a journal."""
        if data is None:
            data = b"\xff" * BLOCK_BYTES
        at = block * BLOCK_BYTES + offset
        self.data[at : at + len(data)] = data


class Image:
    """What a `Flash` holds after a cut: reads come from below, writes stay in this image."""

    def __init__(self, flash):
        self.flash = flash
        self.changed = {}

    def readblocks(self, block, buffer, offset=0):
        if block in self.changed:
            buffer[:] = self.changed[block][offset : offset + len(buffer)]
        else:
            self.flash.readblocks(block, buffer, offset)

    def _block(self, block):
        if block not in self.changed:
            at = block * BLOCK_BYTES
            self.changed[block] = self.flash.data[at : at + BLOCK_BYTES]
        return self.changed[block]

    def writeblocks(self, block, buffer, offset=0):
        self._block(block)[offset : offset + len(buffer)] = buffer

    def tear(self, block, offset, data):
        """Carry out the first half of an operation, as a power cut in its middle leaves it."""
        half = b"\xff" * (BLOCK_BYTES // 2) if data is None else data[: len(data) // 2]
        self.writeblocks(block, half, offset)

    def ioctl(self, operation, argument):
        if operation == 6:
            self.changed[argument] = bytearray(b"\xff" * BLOCK_BYTES)
            return 0
        return self.flash.ioctl(operation, argument) if operation in (4, 5) else 0
