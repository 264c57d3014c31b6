"""The firmware slots of an ESP32; loaded for updates of the whole image alone."""

import esp32


class FirmwareSlot:
    """The next OTA partition. Blocks have 4096 bytes."""

    block_bytes = 4096

    def __init__(self):
        running = esp32.Partition(esp32.Partition.RUNNING)  # pyright: ignore[reportArgumentType] - the stub wants text
        self._slot = running.get_next_update()
        facts = self._slot.info()
        self.size = facts[3]
        self.label = facts[4]

    def write_block(self, number, data):
        """Erase a block and write its 4096 bytes."""
        self._slot.writeblocks(number, data)

    def read_block(self, number, buffer):
        """Read into a buffer, from the start of a block."""
        self._slot.readblocks(number, buffer, 0)

    def activate(self):
        """Run it from the next reset on; OSError when it holds no image."""
        self._slot.set_boot()

    @staticmethod
    def mark_valid():
        """Keep the image that runs. False on a build that knows no rollback."""
        try:
            esp32.Partition.mark_app_valid_cancel_rollback()
        except OSError:
            return False
        return True
