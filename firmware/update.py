"""Takes an update from offer to trial: head first, its signature, then every byte that is missing, then the switch.

What is on flash decides where a download goes on, so a power cut at any moment costs one block. The slot that runs
is never written to. Imported only when there is something to do.
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

    def __init__(self, files, nvs, partition, config, feed=None, public_key=None, free_bytes=None, mpy=None):
        self.battery_mv = None
        self.parked = False
        """Whether the next step is one for a boot without a link: a head to judge, or a bundle to check as a whole."""
        self.is_linked = False
        """Whether a link is up beside this: then what is on flash is not looked at, the code for it may be gone."""
        self.is_whole = False
        """Whether everything is on flash, signed and whole: then `apply`."""
        self._files = files
        self._nvs = nvs
        self._partition = partition
        self._config = config
        self._feed = feed or _nothing
        self._public_key = public_key
        self._free_bytes = free_bytes or _free_bytes
        self._mpy = mpy or slots.mpy_text(getattr(sys.implementation, "_mpy", 0))
        self._forget()

    def _forget(self):
        """Drop what is in memory; the flash knows the rest."""
        self._filled = self._head_size = 0
        self._stage = None
        self.is_whole = False
        self._looked = False

    # -- what comes down -----------------------------------------------------------------------

    def take(self, message):
        """Take a decoded message of down/ota."""
        if "offer" in message:
            self.offer(message)
        elif "halt" in message:
            self._halt(message["halt"])
        else:
            self._block(message)

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
            self._forget()
            flash.discard(self._files, PARKED)  # of another version: judged as this one's, it would be its end
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
            flash.discard(self._files, PARKED)
            slots.put(nvs, ("ota", 0), ("otaver", 0), ("want", 0))
        elif nvs.get("otaver", 0) == version and nvs.get("ota", 0) > slots.ROLLED_BACK:
            slots.put(nvs, ("ota", 0), ("otaver", 0))

    def _block(self, message):
        request = self.wanted()
        if request is None or message["ver"] != request["ver"] or message["at"] != request["at"]:
            return  # late, or twice
        if len(message["data"]) != request["n"]:
            return
        self._guard(self._take, message)

    def _take(self, message):
        size = self._nvs.get("wsize", 0)
        if message["of"] != size:
            raise Refused("truncated" if message["of"] < size else "size")
        if self._stage is None:
            self._take_head(message["data"])
        else:
            self._stage.take(message["data"])
            if self._stage.next() is not None:
                return
            if self.is_linked:
                self._forget()
                self.parked = True
            else:
                self._look()

    def _guard(self, action, argument):
        version = self._nvs.get("want", 0)
        try:
            action(argument)
        except Refused as error:
            self._refuse(error.why, version)
        except OSError as error:
            self._fail(error)
        except MemoryError:
            self._forget()  # the flash knows how far it is; the next wake begins with a fresh heap

    def _take_head(self, data):
        if not self._filled:
            size = manifest.head_bytes(data)
            if size > self._nvs.get("wsize", 0):
                raise Refused("truncated")
            self._head_size = size
        piece = memoryview(data)[: self._head_size - self._filled]
        with self._files.open(PARKED + ".part", "ab" if self._filled else "wb") as file:
            file.write(piece)  # beside a link there is no memory to judge it
        self._filled += len(piece)
        if self._filled < self._head_size:
            return
        self._filled = self._head_size = 0
        self._files.rename(PARKED + ".part", PARKED)
        self.parked = True

    def judge_parked(self):
        """Judge a head that was parked, now that there is memory for it."""
        self.parked = False
        head = flash.read(self._files, PARKED, 8192)
        flash.discard(self._files, PARKED)
        if head:
            self._guard(self._judge, head)

    def _judge(self, head):
        if not self._is_genuine(head):
            raise Refused("signature")
        found = manifest.parse(head)
        offer = (self._nvs.get("want", 0), UPDATE_TYPES[self._nvs.get("wtype", 0)], self._nvs.get("wsize", 0))
        try:
            manifest.check(found, offer, self._config.kind, self._mpy, self.battery_mv)
        except Refused as error:
            self._refuse(error.why, offer[0], found.min_mv)
            return
        stage = self._make_stage(found)
        stage.begin(head)
        stage.open()
        if stage.missing_bytes() > self._free_bytes():
            raise Refused("space")
        self._stage = stage
        if stage.next() is None:
            self._look()

    # -- what goes up --------------------------------------------------------------------------

    def wanted(self):
        """Return the next request to send, as a dict of ver, at and n; None when there is nothing to ask for."""
        if not slots.under_way(self._nvs) or self.is_whole or self.parked or self._is_low():
            return None
        if not self._looked:
            if self.is_linked:
                return None
            try:
                self._look()
            except Refused as error:
                self._refuse(error.why, self._nvs.get("want", 0))
                return None
            except (OSError, MemoryError) as error:
                self._fail(error)
                return None
            if self.is_whole:
                return None
        if self._stage is None:
            at = self._filled
            length = min((self._head_size or self._nvs.get("wsize", 0)) - at, PIECE_BYTES)
        else:
            at, length = self._stage.next() or (0, 0)
        return {"ver": self._nvs.get("want", 0), "at": at, "n": length}

    @property
    def has_stage(self):
        """Whether the head is judged, and files are what comes next."""
        return self._stage is not None

    # -- the switch ----------------------------------------------------------------------------

    def apply(self):
        """Put the update on trial; True: now comes a hard reset."""
        if not self.is_whole or self._stage is None:
            return False
        version = self._nvs.get("want", 0)
        try:
            self._stage.activate(self._nvs, 1 - self._running_slot())
        except OSError as error:
            # the bootloader found no image in it, or the flash is full
            slots.put(self._nvs, ("img", 0))
            self._forget()
            self._refuse("space" if _is_full(error) else "hash", version)
            return False
        self._forget()
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

        return SlotStage(self._files, self._idle_folder(), found, self._feed)

    def _look(self):
        """Find on flash how far the download is. Complete means that everything was checked again, from flash."""
        self._stage = None
        self._looked = True
        path = IMAGE_HEAD if self._nvs.get("wtype", 0) else self._idle_folder() + "/head"
        head = flash.read(self._files, path, 8192) or b""
        try:
            found = manifest.parse(head)
        except Refused:
            return
        if found.version != self._nvs.get("want", 0) or found.type != UPDATE_TYPES[self._nvs.get("wtype", 0)]:
            return
        if found.bundle_bytes != self._nvs.get("wsize", 0):
            return
        stage = self._make_stage(found)
        stage.open()
        if stage.next() is None:
            if not self._is_genuine(head):
                return  # the flash lost a bit: the head comes again
            self.is_whole = True
        self._stage = stage

    def _is_genuine(self, head):
        text, signature = manifest.split(head)
        key = self._public_key or flash.read(self._files, "/ota.pub", 65) or b""
        from firmware.core import p256

        return p256.verify(key, hashlib.sha256(text).digest(), signature, self._feed)

    def _refuse(self, why, version, need_mv=0):
        pairs = [("ota", slots.OUTCOMES.index("refused-" + why)), ("otaver", version), ("otamv", need_mv)]
        if version == self._nvs.get("want", 0):
            self._forget()
            pairs.append(("want", 0))
        slots.put(self._nvs, *pairs)

    def _fail(self, error):
        """End the update when the flash is full; any other trouble with it is left to the next try."""
        if _is_full(error):
            self._refuse("space", self._nvs.get("want", 0))
        else:
            self._forget()
