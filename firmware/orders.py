"""What comes from above besides acks: configuration, commands, updates. Each takes effect once."""

from binascii import crc32

from firmware import wire

IDENTIFY_MAX_S = 60
"""A lamp that blinks longer costs the battery more than it helps."""


class Orders:
    """Takes messages while the link is up; what needs much memory waits in `config` and `update` until it is down."""

    def __init__(self, nvs, settings, record, up_s):
        self.reboot = False
        self.identify_s = 0
        self.resend = []
        """What to send again, each (boot, first seq); after the talk, or an ack on its way would undo it."""
        self.config = None
        """A configuration to look at, as a dict of cfg and set."""
        self.update = None
        """An offer or a halt to look at."""
        self._nvs = nvs
        self._settings = settings
        self._record = record
        self._up_s = up_s

    @property
    def done(self):
        """Number of the last command that was taken."""
        return self._nvs.get("cmd", 0)

    def take(self, kind, payload):
        """Take one message; raises wire.WireError when it breaks the protocol."""
        if kind == "cmd":
            self._command(wire.decode_cmd(payload))
            return
        seen = crc32(payload)
        if kind == "config" and seen != self._record.seen_cfg:
            # Retained: it comes at every connect, and one that was refused needs no second look.
            self._record.seen_cfg = seen
            cfg, changes = wire.decode_config(payload)
            if cfg != self._settings.refused and cfg > self._settings.version:  # an older one is no news
                self.config = {"cfg": cfg, "set": changes}
        elif kind == "ota":
            message = wire.decode_ota_down(payload)
            if "data" not in message and message.get("offer") not in (self._nvs.get("ver"), self._nvs.get("want")):
                self.update = message

    def _command(self, message):
        number = message["id"]
        if number <= self.done:
            return
        # noted first: a command that ends in a reset must not come again after it
        self._nvs.set("cmd", number)
        self._nvs.commit()
        name = message["cmd"]
        if name == "reboot":
            self.reboot = True
        elif name == "identify":
            self.identify_s = min(message["s"], IDENTIFY_MAX_S)
        elif name == "resend":
            self.resend.append((message["boot"], message["from"]))
        elif name == "interval":
            self._record.override_s = message["s"]
            self._record.override_until_s = self._up_s() + message["for_s"]
