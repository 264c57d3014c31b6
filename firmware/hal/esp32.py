"""ESP32 under MicroPython. The only module that imports machine, network and esp32."""

import asyncio
import gc
import os
import time

import esp32
import machine
import network

from firmware.hal import WifiError, wake_plan

_NAMESPACE = "resik"
_EPOCH_S = 946684800 if time.gmtime(0)[0] == 2000 else 0
_POLL_MS = 50
_CAUSES = {
    machine.PWRON_RESET: "power-on",  # a brown-out too: MicroPython does not tell them apart
    machine.HARD_RESET: "hard",
    machine.WDT_RESET: "watchdog",
    machine.DEEPSLEEP_RESET: "deep-sleep",
    machine.SOFT_RESET: "soft",
}
_WAKES = {machine.EXT0_WAKE: "pin", machine.EXT1_WAKE: "pin", machine.TIMER_WAKE: "timer"}
_FAILURES = {
    network.STAT_NO_AP_FOUND: "no-ap",
    network.STAT_WRONG_PASSWORD: "wrong-password",
    network.STAT_HANDSHAKE_TIMEOUT: "wrong-password",
    network.STAT_CONNECT_FAIL: "failed",
    network.STAT_BEACON_TIMEOUT: "failed",
}


class Board:
    """`parts` is the section of that name in config.json."""

    def __init__(self, parts):
        self.parts = parts
        self.nvs = Nvs()
        self.wifi = Wifi()
        self._led = machine.Pin(parts["led"]["pin"], machine.Pin.OUT, value=0) if "led" in parts else None

    def pins(self):
        """Return access to pins and buses, for as long as sensors are read."""
        from firmware.hal.pins import Pins

        return Pins(self.parts)

    def led(self, on):
        """Light the fault lamp, if there is one."""
        if self._led:
            self._led(1 if on else 0)

    # -- time, memory, chance ----------------------------------------------------------------

    def unix_s(self):
        """Return what the clock shows [s since 1970]; after power-on it begins in 2000."""
        return int(time.time()) + _EPOCH_S

    def set_unix_s(self, unix_s):
        """Set the clock."""
        t = time.gmtime(unix_s - _EPOCH_S)
        machine.RTC().datetime((t[0], t[1], t[2], t[6], t[3], t[4], t[5], 0))

    def rtc_read(self):
        """Return what survives sleep and resets, but no power cut."""
        return machine.RTC().memory()

    def rtc_write(self, data):
        """Keep up to 2048 bytes."""
        machine.RTC().memory(data)

    def random_u32(self):
        """Return a random number of the hardware's."""
        return int.from_bytes(os.urandom(4), "big")

    def heap_free(self):
        """Return free bytes for Python."""
        return gc.mem_free()

    # -- starting and ending -----------------------------------------------------------------

    def reset_cause(self):
        """Return power-on, deep-sleep, watchdog, hard or soft."""
        return _CAUSES.get(machine.reset_cause(), "hard")

    def wake_reason(self):
        """Return timer, pin or None."""
        return _WAKES.get(machine.wake_reason())

    def watchdog(self, timeout_s):
        """Start the watchdog; feed it with `feed()`. Nothing stops it."""
        return machine.WDT(timeout=timeout_s * 1000)

    def reset(self):
        """Start anew."""
        machine.reset()

    def deep_sleep(self, ms, pins=()):
        """Sleep; the next thing is a boot. A pin that stands at its wake level already does not wake."""
        self.wifi.stop()
        ext0, ext1, level, _ = wake_plan([(n, lv) for n, lv in pins if machine.Pin(n)() != lv])
        if ext0:
            esp32.wake_on_ext0(machine.Pin(ext0[0]), bool(ext0[1]))
        if ext1:
            esp32.wake_on_ext1([machine.Pin(n) for n in ext1], bool(level))
        machine.deepsleep(ms)

    def partition(self):
        """Return the firmware slot that does not run."""
        from firmware.hal.partition import FirmwareSlot

        return FirmwareSlot()


class Nvs:
    """Integers of 32 bits in flash; names have at most 15 characters. `commit` makes changes last."""

    def __init__(self):
        self._nvs = esp32.NVS(_NAMESPACE)

    def get(self, key, default=None):
        """Return an integer."""
        try:
            return self._nvs.get_i32(key) & 0xFFFFFFFF
        except OSError:
            return default

    def set(self, key, value):
        """Set a u32; the flash has signed ones only."""
        self._nvs.set_i32(key, value - (value >> 31 << 32))

    def commit(self):
        """Write what was set."""
        self._nvs.commit()


class Wifi:
    """The station interface."""

    def __init__(self):
        self._wlan = None

    async def connect(self, ssid, psk, timeout_s, on_progress=None):
        """Join, or raise WifiError. `on_progress` is called once the radio is on and once it is joined."""
        self.stop()
        wlan = self._wlan = network.WLAN(network.STA_IF)
        wlan.active(1)
        if on_progress:
            on_progress()
        wlan.connect(ssid, psk)
        begun = time.ticks_ms()
        while not wlan.isconnected():
            why = _FAILURES.get(wlan.status())
            if why is None and time.ticks_diff(time.ticks_ms(), begun) >= timeout_s * 1000:
                why = "timeout"
            if why:
                self.stop()
                raise WifiError(why)
            await asyncio.sleep_ms(_POLL_MS)
        if on_progress:
            on_progress()

    def is_up(self):
        """Whether the node is joined now."""
        return bool(self._wlan and self._wlan.isconnected())

    def rssi_dbm(self):
        """Return the signal strength, None without connection."""
        try:
            return self._wlan.status("rssi") if self._wlan and self._wlan.isconnected() else None
        except OSError:
            return None

    def stop(self):
        """Turn the radio off."""
        if self._wlan:
            try:
                self._wlan.disconnect()
            except OSError:
                pass
            self._wlan.active(0)
            self._wlan = None
