"""Takes an update from offer to trial, all but its bytes: head first, its signature, then every file, then the switch.

What is on flash decides where a download goes on, so a power cut at any moment costs one block. The slot that runs
is never written to. Works in boots that have something to do, before a link is up: beside one there is no memory.
"""

import hashlib
import os
import sys

from firmware.core import files as flash
from firmware.core import manifest, slots
from firmware.core.manifest import MAX_VERSION, Refused
from firmware.core.slots import IMAGE_HEAD, PIECE_BYTES
from firmware.wire import UPDATE_TYPES

PARKED = "/ota.head"
HEAD_ROOM_BYTES = 12288
"""Flash for a head that comes down: before it is judged, nothing makes room for it [bytes]."""

NO_SPACE = 28
"""Error number of a full file system."""


def _nothing():
    pass


def _free_bytes():
    facts = os.statvfs("/")
    return facts[0] * facts[3]


def _is_full(error):
    return bool(error.args) and error.args[0] == NO_SPACE


class Updater:
    """`partition` makes the HAL's adapter of the idle firmware partition; `config` knows kind and low_mv.

    `battery_mv` is the last voltage measured, None when unknown. `feed` is called while something takes long.
    """

    def __init__(self, files, nvs, partition, config, feed=None, free_bytes=None, mpy=None):
        self.battery_mv = None
        self.whole = None
        """What is on flash, signed and whole, and waits for `apply`."""
        self._files = files
        self._nvs = nvs
        self._partition = partition
        self._config = config
        self._feed = feed or _nothing
        self._free_bytes = free_bytes or _free_bytes
        self._mpy = mpy or slots.mpy_text(getattr(sys.implementation, "_mpy", 0))

    def _forget(self):
        """Drop what belongs to this order alone; files that are right may be of use to the next one."""
        self.whole = None
        flash.discard(self._files, PARKED + ".part")

    # -- what comes down -----------------------------------------------------------------------

    def take(self, message):
        """Take a decoded message of down/ota; of one with data only that it speaks of another length."""
        if "offer" in message:
            self.offer(message)
        elif "halt" in message:
            self._halt(message["halt"])
        elif message["ver"] == self._nvs.get("want", 0):
            self._refuse("truncated" if message["of"] < self._nvs.get("wsize", 0) else "size", message["ver"])

    def offer(self, message):
        """Begin a download, unless this version is unwanted here; the last good offer wins."""
        nvs = self._nvs
        version = message["offer"]
        kind = UPDATE_TYPES.index(message["type"])
        if nvs.get("trial", 0) or nvs.get("img", 0):
            return  # the other slot is the way back: not a byte of it changes now
        if version == nvs.get("imgok" if kind else "ver", 0):
            return
        if version == nvs.get("otaver", 0) and not self._is_open(nvs.get("ota", 0)):
            return
        floor = max(nvs.get("floor", 0), nvs.get("ver", 0)) if not kind else nvs.get("imgok", 0)
        if message["class"] != self._config.kind:
            self._refuse("class", version)
        elif not floor < version <= MAX_VERSION or version == nvs.get("imgbad" if kind else "bad", 0):
            self._refuse("version", version)
        elif self._is_low():
            self._refuse("battery", version, self._config.low_mv)
        elif (version, kind, message["size"]) != (nvs.get("want", 0), nvs.get("wtype", 0), nvs.get("wsize", 0)):
            self._forget()  # a head of another version: judged as this one's, it would be its end
            slots.put(nvs, ("want", 0), ("wtype", kind), ("wsize", message["size"]), ("want", version))

    def _is_low(self):
        return self.battery_mv is not None and self.battery_mv < self._config.low_mv

    def _is_open(self, outcome):
        """Whether a version with this outcome may be offered again: a battery gets charged, the rest stays as it is."""
        if outcome == slots.BATTERY:
            return self.battery_mv is None or self.battery_mv >= self._nvs.get("otamv", 0)
        return outcome < slots.ROLLED_BACK

    def _halt(self, version):
        nvs = self._nvs
        if nvs.get("want", 0) == version:
            self._forget()
            slots.put(nvs, ("ota", 0), ("otaver", 0), ("want", 0))
        elif nvs.get("otaver", 0) == version and nvs.get("ota", 0) > slots.ROLLED_BACK:
            slots.put(nvs, ("ota", 0), ("otaver", 0))

    # -- what is there -------------------------------------------------------------------------

    def look(self):
        """Judge what is on flash, and return what takes the bytes that are missing (see intake).

        None when there is nothing to ask for; then `whole` tells whether all is there.
        """
        self.whole = None
        if not slots.under_way(self._nvs) or self._is_low():
            return None
        try:
            return self._look()
        except Refused as error:
            self._refuse(error.why, self._nvs.get("want", 0), error.need_mv)
        except OSError as error:
            if _is_full(error):
                self._refuse("space", self._nvs.get("want", 0))
        except MemoryError:
            pass  # the flash knows how far it is; the next boot begins with a fresh heap
        return None

    def _look(self):
        """Find how far the download is. Whole means that everything was checked again, from flash."""
        files = self._files
        nvs = self._nvs
        update_type = nvs.get("wtype", 0)
        parked = self._parked()
        head = parked or flash.read(files, IMAGE_HEAD if update_type else self._idle_folder() + "/head", 8192) or b""
        try:
            if parked and not self._is_genuine(parked):
                raise Refused("signature")
            found = manifest.parse(head)
            manifest.check(
                found,
                (nvs.get("want", 0), UPDATE_TYPES[update_type], nvs.get("wsize", 0)),
                self._config.kind,
                self._mpy,
                self.battery_mv if parked else None,
            )
        except Refused:
            if parked:
                raise
            return self._head()
        stage = self._make_stage(found)
        if parked:
            stage.begin(head)
            flash.discard(files, PARKED + ".part")
        intake = stage.open()
        if intake:
            if stage.missing_bytes() > self._free_bytes():
                raise Refused("space")
        elif not self._is_genuine(head):
            return self._head()  # the flash lost a bit: it comes again
        else:
            self.whole = stage
        return intake

    def _head(self):
        if self._free_bytes() < HEAD_ROOM_BYTES:
            raise Refused("space")
        from firmware.intake import Head, Intake

        return Intake(self._files, "", Head(self._files, PARKED, self._nvs.get("wsize", 0)), bytearray(1), 0)

    def _parked(self):
        """Return a head that came down and was not judged yet; None while it is not whole."""
        size = self._nvs.get("wsize", 0)
        head = flash.read(self._files, PARKED + ".part", 8192) or b""
        if len(head) < min(PIECE_BYTES, size):
            return None
        length = manifest.head_bytes(head)
        if length > size:
            raise Refused("truncated")
        return head[:length] if length <= len(head) else None

    # -- the switch ----------------------------------------------------------------------------

    def apply(self):
        """Put the update on trial; True: now comes a hard reset."""
        stage = self.whole
        if stage is None:
            return False
        version = self._nvs.get("want", 0)
        self._forget()
        try:
            stage.activate(1 - self._running_slot())
        except OSError as error:
            # the bootloader found no image in it, or the flash is full
            slots.put(self._nvs, ("img", 0))
            self._refuse("space" if _is_full(error) else "hash", version)
            return False
        return True

    # -- inside --------------------------------------------------------------------------------

    def _running_slot(self):
        return 1 if self._nvs.get("slot", 0) == 1 else 0

    def _idle_folder(self):
        return "/" + "ba"[self._running_slot()]

    def _make_stage(self, found):
        if self._nvs.get("wtype", 0):
            from firmware.imaging import ImageStage

            return ImageStage(self._files, self._partition(), self._nvs, found, self._feed)
        from firmware.staging import SlotStage

        return SlotStage(self._files, self._idle_folder(), self._nvs, found, self._feed)

    def _is_genuine(self, head):
        text, signature = manifest.split(head)
        key = flash.read(self._files, "/ota.pub", 65) or b""
        from firmware.core import p256

        return p256.verify(key, hashlib.sha256(text).digest(), signature, self._feed)

    def _refuse(self, why, version, need_mv=0):
        pairs = [("ota", slots.OUTCOMES.index("refused-" + why)), ("otaver", version), ("otamv", need_mv)]
        if version == self._nvs.get("want", 0):
            self._forget()
            pairs.append(("want", 0))
        slots.put(self._nvs, *pairs)
