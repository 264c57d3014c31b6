"""From the parts that config.json names to raw values, role by role."""

import time

from firmware.drivers import SensorError, sleep_ms

WARM_STEP_S = 10
"""A fan warms up for half a minute; the watchdog hears of it so often [s]."""

ROLES = ("temp", "climate", "tilt", "water", "lid", "heat", "distance", "voc", "nh3", "h2s")
"""In this order: temperature and humidity before those whose values need them."""

DRIVERS = ("VL53L1X", "DS18B20", "SHT31", "BME280", "LIS3DH", "PMS5003", "SPS30", "SGP40")
"""Classes of drivers whose modules have their name in small letters; written out, as the build keeps names in texts."""

WAKING = ("tilt", "heat", "water")

TILTED_DEG = 30
"""Further is an alarm already (core/bins)."""

_wait_us = getattr(time, "sleep_us", None) or (lambda us: time.sleep(us / 1000000))


class Sensing:
    """`board` is the HAL. A part that cannot even be set up is a part that does not answer."""

    def __init__(self, board, parts, progress, sleep_ms=sleep_ms):
        self.faults = {}
        """Role -> code of every part that gave nothing in the last reading."""
        self.values = {}
        """Role -> what the others gave."""
        self._board = board
        self._parts = parts
        self._progress = progress
        self._sleep_ms = sleep_ms
        self._made = {}
        self._pings = 0

    async def read(self, pings):
        """Read every part once; return `values`."""
        self.faults = {}
        self.values = {}
        self._pings = pings
        if "battery" in self._parts:
            await self._read("battery", self.values)  # before any load
        power = self._parts.get("power")
        if power is None:
            await self._read_all()
            return self.values
        switch = self._board.pin_out(power["pin"])
        switch(1)
        try:
            await self._sleep_ms(power["settle_ms"])
            await self._read_all()
        finally:
            switch(0)
        return self.values

    async def _read_all(self):
        fan = self._parts.get("pm")
        if fan is not None:
            await self._switch_fan(fan, on=True)
        for role in ROLES:
            if role in self._parts:
                await self._read(role, self.values)
        if fan is not None:
            for second in range(fan.get("warm_s", 30)):
                if "pm" in self.faults:
                    break
                await self._sleep_ms(1000)
                if second % WARM_STEP_S == 0:
                    self._progress("warm")
            if "pm" not in self.faults:
                await self._read("pm", self.values)
            await self._switch_fan(fan, on=False)

    def rest(self):
        """Before a sleep: turn heaters off and arm what may end it, [(pin, level)] of those at rest now."""
        if "voc" in self._made:
            try:
                self._made["voc"].off()
            except SensorError:
                pass  # a part that does not answer was reported with the reading
        pins = []
        for role in WAKING:
            spec = self._parts.get(role)
            if spec is None or role in self.faults or self.values.get(role) is True:
                continue  # what is alarmed already, or broken, would end every sleep at once
            if spec["type"] != "lis3dh":
                pins.append((spec["pin"], spec["active"]))
            elif "int" in spec and self.values.get(role, 180) <= TILTED_DEG:
                try:
                    self._part(role).arm(TILTED_DEG)
                    pins.append((spec["int"], 1))
                except (SensorError, OSError):
                    self.faults[role] = "no-answer"
        return pins

    async def _read(self, role, values):
        try:
            values[role] = await self._ask(role, values)
        except SensorError as error:
            self.faults[role] = error.code
        except (OSError, ValueError):  # the bus or pin itself: wrongly wired, or taken
            self.faults[role] = "no-answer"
        self._progress("sense " + role)

    async def _ask(self, role, values):
        part = self._part(role)
        if role == "distance":
            return await part.read(self._pings)
        if role == "voc":
            climate = values.get("climate")
            return await (part.read(climate[0], climate[1]) if climate else part.read())
        return await part.read()

    async def _switch_fan(self, spec, *, on):
        try:
            part = self._part("pm")
            if spec["type"] == "sps30":
                await (part.start() if on else part.stop())
            elif on:
                part.wake()
            else:
                part.sleep()
        except SensorError as error:
            self.faults["pm"] = error.code
        except (OSError, ValueError):
            self.faults["pm"] = "no-answer"

    def _part(self, role):
        part = self._made.get(role)
        if part is None:
            part = self._made[role] = self._make(self._parts[role])
        return part

    def _make(self, spec):
        board = self._board
        nap = self._sleep_ms
        kind = spec.get("type", "adc")
        if kind in ("switch", "contact"):
            pin = board.pin_in(spec["pin"], "down" if spec["active"] else "up")
            return _driver("contact", "Contact")(pin, spec["active"], nap)
        if kind == "adc":
            return _driver("voltage", "Voltage")(board.adc(spec["pin"]), spec.get("ratio_milli", 1000))
        if kind in ("jsn-sr04t", "hc-sr04"):
            echo = board.pin_in(spec["echo"])
            trigger = board.pin_out(spec["trig"])
            return _driver("ultrasonic", "Ultrasonic")(
                trigger, lambda limit_us: board.pulse_us(echo, 1, limit_us), _wait_us, echo, nap
            )
        driver = _driver(kind, DRIVERS[DRIVERS.index(kind.upper())])
        if kind == "ds18b20":
            return driver(board.onewire(spec["pin"]), sleep_ms=nap)
        bus = board.uart(spec["bus"]) if kind == "pms5003" else board.i2c(spec["bus"])
        if kind == "pms5003":
            return driver(bus, board.pin_out(spec["set"]) if "set" in spec else None, nap)
        return driver(bus, spec["addr"], nap) if "addr" in spec else driver(bus, sleep_ms=nap)


def _driver(module, name):
    """Load a driver; it is unloaded with all others once the parts are read."""
    return getattr(__import__("firmware.drivers." + module, None, None, (module,)), name)
