"""A node of either kind: it wakes, measures, keeps, sends and sleeps; or does the same in a loop that stays awake."""

import asyncio

from firmware import wire
from firmware.core import memory  # its class of the record keeps it loaded anyhow
from firmware.modules import drop, forget, wipe

CONNECTS_PER_WAKE = 3
MARGIN_S = 5
"""Kept back of awake_max_s for going to sleep in order [s]."""

RECONNECT_S = 25
"""A further connect is not begun with less time left [s]."""

JITTER_MAX_S = 300
STATUS_BYTES = 8000
"""Free heap that a second status of one conversation takes; without it the next one tells what is new."""

IMAGE_TALKS = 3
PIN_WAKES = 5
"""So many wakes by a pin, less those by the timer, and pins are left alone for one sleep."""

LINKS = ("link", "uplink", "net", "net.")
SLOTS = "core.slots"


class Node:
    """One boot. Everything it works with is handed in."""

    def __init__(self, board, files, settings, queue, record, keeper, orders, about, progress):
        self.board = board
        self.files = files
        self.settings = settings
        self.queue = queue
        self.record = record
        self.keeper = keeper
        self.orders = orders
        self.about = about
        self.battery_mv = None
        self.interval_s = 600
        self.days_left = None
        self.sensor_faults = ()
        self.has_chores = False
        self.progress = progress
        self.uplink = None
        self.is_heard = False
        """Whether the gateway acknowledged a reading in this boot: whatever is on trial works."""
        self.pins = ()
        self.state = "ok"
        self._told = None
        self.talked_ms = 0

    # -- one reading -------------------------------------------------------------------------

    async def measure(self, woken_by_pin=False):
        """Make one reading and put it on flash; True when it should be sent now."""
        from firmware import measuring

        is_due = await measuring.measure(self)
        measuring.unload()
        del measuring
        self.settings.active.values["parts"] = self.board.parts = None  # not needed again before the next boot
        nvs = self.board.nvs
        return is_due or woken_by_pin or self.settings.trial or self._is_on_trial() or nvs.get("want", 0)

    def round_s(self):
        """Seconds from the begin of this round to that of the next one."""
        record = self.record
        is_ordered = record.override_s and self.keeper.up_s() < record.override_until_s
        return record.override_s if is_ordered else self.interval_s

    def save(self):
        """Put the record into RTC memory, with the clocks of now."""
        self.keeper.mark()
        self.board.rtc_write(memory.pack(self.record))

    # -- the conversation --------------------------------------------------------------------

    async def talk(self):
        """Reach the gateway and hand over what waits; whatever goes wrong, the readings stay where they are."""
        uplink = self.uplink
        if uplink is None:
            from firmware.uplink import Uplink

            uplink = self.uplink = Uplink(
                self.board, self.files, self.settings, self.queue, self.orders, self.record, self.keeper, self.progress
            )
        acks = uplink.acks
        time_s = self.settings.active.awake_max_s - MARGIN_S
        try:
            await asyncio.wait_for(self._try(uplink, self.keeper.elapsed_ms() + time_s * 1000), time_s)
        except asyncio.TimeoutError:
            self.failed("out of time")
        record = self.record
        if uplink.acks > acks or (uplink.link.is_open() and not self.queue.waiting):
            record.fails = record.tight = 0
        else:
            record.fails += 1
            self.hang_up()
            self.settings.failed_once()
        self.talked_ms = self.keeper.elapsed_ms()
        self.queue.flush()
        self.save()

    async def _try(self, uplink, until_ms):
        from firmware.net import LinkError, TlsRefused

        pause_s = 1
        for tries_left in range(0 if self.record.fails else CONNECTS_PER_WAKE - 1, -1, -1):
            try:
                await self._exchange(uplink, until_ms)
                return
            except TlsRefused as error:
                self.record.tls_refused += 1
                self.keeper.doubt()  # the time may be what was wrong: it is asked for again first
                self.failed(error)
                return
            except LinkError as error:
                self.failed(error)
                if not error.retryable:
                    return
            except (OSError, ValueError) as error:
                self.failed(error)
            except MemoryError as error:
                self.failed(error)
                self.record.tight = 1
                uplink.readings = max(1, uplink.readings // 2)
            if not tries_left or self.keeper.elapsed_ms() + (pause_s + RECONNECT_S) * 1000 > until_ms:
                return
            await asyncio.sleep(pause_s)
            pause_s *= 4

    def failed(self, error):
        """Note why the link failed, and drop it."""
        print("link", error)  # noqa: T201 - for whoever watches the serial line
        if self.uplink is not None:
            self.uplink.link.close()

    async def _exchange(self, uplink, until_ms):
        link = uplink.link
        status = None
        if await link.join():
            if not self.record.tight:  # else a reading has to get through first, with all the memory there is
                status = self._status()  # made now: beside TLS there is little room
                wipe()
            await link.open(wire.DOWN_KINDS)
        wait_s = min(
            self.settings.active.ack_wait_s, self.settings.active.watchdog_s // 2
        )  # nothing feeds it meanwhile
        acks = uplink.acks
        is_done = await uplink.send_newest(wait_s, until_ms)
        if status:
            await link.publish("status", status)
            status = None
        if is_done:
            await uplink.send_backlog(wait_s, until_ms)
        if uplink.acks > acks:
            self._is_acked()
        self.queue.flush()
        if self._told != self._news() and self.board.heap_free() > STATUS_BYTES:
            await link.publish("status", self._status())

    def _is_acked(self):
        """Note that the gateway has a reading of ours."""
        record = self.record
        record.since_sent = 0
        record.last_state = wire.STATES.index(self.state) + 1
        self.settings.confirm()
        self.is_heard = True
        nvs = self.board.nvs
        if nvs.get("fails", 0):
            nvs.set("fails", 0)
            nvs.commit()

    def _news(self):
        """Return what the server waits to hear: the status is told again when it changed."""
        get = self.board.nvs.get
        state = [get(name, 0) for name in ("ota", "otaver", "want", "trial", "img")]
        return self.settings.version, self.settings.bad, self.orders.done, state

    def _status(self):
        from firmware import health

        self._told = self._news()
        payload = health.status(self)
        del health
        drop("health", SLOTS)
        return payload

    # -- what was ordered --------------------------------------------------------------------

    async def obey(self):
        """Do what was ordered, now that the readings are safe."""
        orders = self.orders
        if orders.identify_s or orders.resend or orders.config or orders.update or orders.reboot:
            from firmware import deeds

            await deeds.do(self)
            del deeds
            forget("deeds")

    def hang_up(self):
        """Drop the link and all that it needs in memory."""
        if self.uplink is not None:
            self.uplink.link.close()
            self.uplink = None
            forget(*LINKS)

    async def leave(self):
        """Say goodbye, hang up, and keep what was on trial when it was heard."""
        if self.uplink is not None:
            await self.uplink.link.leave()
        self.hang_up()
        if self.is_heard and self._is_on_trial():
            # now: beside TLS there may be no memory for it, and the version would go for a fault that it has not
            from firmware.core import slots

            slots.confirm(self.board.nvs, self.board.partition)

    def _is_on_trial(self):
        get = self.board.nvs.get
        return get("trial", 0) or get("img", 0)

    def may_load(self):
        """Whether to go on with an update: the next boot does that and nothing else, for want of memory."""
        get = self.board.nvs.get
        is_loading = get("want", 0) and not self._is_on_trial()
        if self.record.next_seq % (1 << get("otamis", 0)):
            return False  # nobody answered lately: only every 2nd, 4th, 8th.. wake asks again
        low = self.battery_mv is not None and self.battery_mv < self.settings.active.critical_mv
        return is_loading and not low and not self.record.fails

    def end(self):
        """Make everything last that is not yet."""
        self.queue.flush()
        self.save()

    # -- a whole life ------------------------------------------------------------------------

    async def wake(self, by_pin):
        """One round: a reading, a talk, what was ordered, and sleep; a node that stays awake listens before it."""
        record = self.record
        # counted down, not to 0: a contact that rattles for days costs one more wake a round, not five
        record.pin_wakes = min(record.pin_wakes + 1, PIN_WAKES) if by_pin else max(record.pin_wakes - 1, 0)
        is_due = await self.measure(by_pin)
        wipe()
        if is_due:
            await self.talk()
            for _ in range(IMAGE_TALKS):
                if self.is_heard or not self.board.nvs.get("img", 0):
                    break  # else: a firmware image without an ack before the first sleep is gone
                await self.talk()
        await self.obey()
        if self.settings.active.sleep == "awake" and not self._is_on_trial():  # which is kept when the link is down
            from firmware import awake

            await awake.listen(self)
        await self.leave()
        sleep_s = self.round_s()
        if record.fails:  # each node for itself a little later: a broker that comes back is not stormed
            sleep_s += self.board.random_u32() % (min(JITTER_MAX_S, sleep_s // 4, 1 << min(record.fails, 16)) + 1)
        self.sleep(sleep_s * 1000)

    def sleep(self, round_ms):
        """Sleep so that the next round begins so long after this one, or go on with an update first."""
        record = self.record
        left_ms = max(1000, round_ms - self.keeper.elapsed_ms())
        record.next_up_s = self.keeper.up_s() + left_ms // 1000
        if self.has_chores or self.may_load():
            record.loads = 1
            left_ms = 1000
        record.sleep_s = left_ms // 1000
        record.battery_mv = self.battery_mv or 0
        self.end()
        self.board.deep_sleep(left_ms, self.pins if record.pin_wakes < PIN_WAKES else ())
