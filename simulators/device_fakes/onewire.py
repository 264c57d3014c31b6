"""`onewire` at byte level, on whatever stands at the pin."""

import virtual
import wiring


class OneWireError(Exception):
    pass


class OneWire:
    SEARCH_ROM = 0xF0
    MATCH_ROM = 0x55
    SKIP_ROM = 0xCC

    def __init__(self, pin):
        self.pin = pin

    def _part(self):
        return wiring.bus(self.pin.number)

    def reset(self, required=False):
        virtual.advance_us(960)
        wiring.refresh()
        part = self._part()
        found = bool(part and part.reset())
        if required and not found:
            raise OneWireError
        return found

    def readbyte(self):
        virtual.advance_us(560)
        part = self._part()
        return part.readbyte() if part else 0xFF

    def writebyte(self, value):
        virtual.advance_us(560)
        part = self._part()
        if part:
            part.writebyte(value)

    def readinto(self, buffer):
        for i in range(len(buffer)):
            buffer[i] = self.readbyte()

    def write(self, data):
        for value in data:
            self.writebyte(value)
