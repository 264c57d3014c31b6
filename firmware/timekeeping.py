"""Uptime over deep sleep, and the time of day: believed only once a connection was made with it."""

import time

from firmware.modules import drop

SYNC_EVERY_S = 3600
"""An ESP32 loses up to 1 % while it sleeps; ingest forgives 120 s."""

RETRY_S = 900
TRUST_S = 10800
"""1 % of three hours is what ingest forgives: after that the uptime is told, and the gateway dates the reading."""

PAST = "past_s"
"""Name in NVS of a time that is surely past: noted once a day."""

DAY_S = 86400

SLEPT_MAX_S = 1209600
"""A longer sleep was none: the clock was set in between."""


class Timekeeper:
    """`record` is what RTC memory holds; it knows the uptime and the clock of the moment when it was saved."""

    def __init__(self, board, record, floor_s):
        self._board = board
        self._record = record
        self._floor_s = floor_s
        self._is_asked = False
        self._ticks = time.ticks_ms()
        self._elapsed_ms = 0
        slept_s = board.unix_s() - record.unix_s if record.unix_s else 0
        if not 0 <= slept_s <= SLEPT_MAX_S:
            slept_s = record.sleep_s
        self._begun_s = record.up_s + slept_s

    def elapsed_ms(self):
        """Time since this wake began; ticks wrap after 12 days, this does not."""
        ticks = time.ticks_ms()
        self._elapsed_ms += time.ticks_diff(ticks, self._ticks)
        self._ticks = ticks
        return self._elapsed_ms

    def up_s(self):
        """Time since the cold start, sleep included."""
        return self._begun_s + self.elapsed_ms() // 1000

    def now_s(self):
        """Seconds since 1970, or None while nobody vouches for the clock."""
        if not self._record.clock_ok:
            return None
        now_s = self._board.unix_s()
        return now_s if now_s >= self._floor_s else None

    def is_due(self):
        """Whether to ask for the time."""
        return self.now_s() is None or self.up_s() - self._record.synced_up_s >= SYNC_EVERY_S

    async def ask(self, host, progress):
        """Ask a time server when it is time to; without an answer certificates are judged as of the newest past."""
        if not self.is_due():
            return
        from firmware.net import LinkError, ntp

        try:
            unix_s = await ntp.query(host, self._floor_s, on_progress=progress)
        except LinkError as error:
            print("link", error)  # noqa: T201 - for whoever watches the serial line
            past_s = max(self._floor_s, self._board.nvs.get(PAST, 0))
            if self._board.unix_s() < past_s:
                self._set(past_s)
            self._record.synced_up_s += RETRY_S  # not at every wake: each costs 3 s of radio
            return
        finally:
            del ntp
            drop("net.ntp")
        self._set(unix_s)
        self._record.synced_up_s = self.up_s()
        self._is_asked = True

    def _set(self, unix_s):
        self._board.set_unix_s(unix_s)
        self.mark()  # the uptime is counted on this clock while the node sleeps

    def trust(self, proved):
        """Believe the clock: a broker was reached with it; `proved` by a certificate, whose dates bound it."""
        if self._is_asked:
            self._record.clock_ok = True
        now_s = self.now_s()
        if proved and now_s is not None and now_s >= self._board.nvs.get(PAST, 0) + DAY_S:
            self._board.nvs.set(PAST, now_s)
            self._board.nvs.commit()

    def doubt(self):
        """Doubt the clock: a certificate was refused, and the time may be why."""
        self._record.clock_ok = False

    def mark(self):
        """Note both clocks in the record, before it is saved."""
        self._record.up_s = self.up_s()
        self._record.unix_s = self._board.unix_s()
