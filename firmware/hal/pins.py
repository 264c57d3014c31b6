"""Pins and buses of an ESP32, in memory while sensors are read."""

import machine
import onewire

_PULLS = {None: -1, "up": machine.Pin.PULL_UP, "down": machine.Pin.PULL_DOWN}


class Pins:
    """`parts` is the section of that name in config.json."""

    def __init__(self, parts):
        self._parts = parts
        self._buses = {}

    def i2c(self, name):
        """Return the bus of that name, always the same object."""
        if name not in self._buses:
            spec = self._parts[name]
            scl, sda = machine.Pin(spec["scl"]), machine.Pin(spec["sda"])
            self._buses[name] = machine.I2C(int(name[3:]), scl=scl, sda=sda, freq=spec.get("khz", 100) * 1000)
        return self._buses[name]

    def uart(self, name):
        """Return the serial port of that name, always the same object."""
        if name not in self._buses:
            spec = self._parts[name]
            self._buses[name] = machine.UART(
                int(name[4:]), baudrate=spec.get("baud", 9600), tx=spec["tx"], rx=spec["rx"], timeout=0, rxbuf=256
            )
        return self._buses[name]

    def pin_in(self, number, pull=None):
        """Return an input; `pull` is up, down or None. Pins 34 to 39 have none."""
        return machine.Pin(number, machine.Pin.IN, _PULLS[pull if number < 34 else None])

    def pin_out(self, number, level=0):
        """Return an output that begins with `level`."""
        return machine.Pin(number, machine.Pin.OUT, value=level)

    def adc(self, number):
        """Return an analogue input for 150 to 2450 mV."""
        return machine.ADC(machine.Pin(number), atten=machine.ADC.ATTN_11DB)

    def onewire(self, number):
        """Return a OneWire line at byte level."""
        return onewire.OneWire(machine.Pin(number))

    def pulse_us(self, pin, level, timeout_us):
        """Return the length of a pulse; -2 when it did not begin, -1 when it did not end. Waits busily."""
        return machine.time_pulse_us(pin, level, timeout_us)
