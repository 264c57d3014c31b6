"""The way to the broker: Wi-Fi, the time, then TLS and MQTT: a certificate cannot be judged without a date."""

import gc
from binascii import crc32

from firmware import wire
from firmware.core.files import read
from firmware.modules import forget
from firmware.net import LinkError

JOIN_S = 20
"""What joining Wi-Fi may take [s]."""

KEEPALIVE_S = 900
"""A node that stays awake speaks, or pings, well within it; one that sleeps says goodbye before."""


class Link:
    """One client; made anew when the configuration changed."""

    def __init__(self, board, files, settings, record, keeper, progress, on_message):
        self.cfg = None
        """Version of the configuration that the link was opened with."""
        self._board = board
        self._files = files
        self._settings = settings
        self._record = record
        self._keeper = keeper
        self._progress = progress
        self._on_message = on_message
        self._client = None
        self._unsure = None

    async def join(self):
        """Wi-Fi and the time; False when the link is open already."""
        if self.is_open():
            return False
        board = self._board
        self._settings.attempt()
        config = self._settings.active
        if not board.wifi.is_up():
            await board.wifi.connect(config.wifi_ssid, config.wifi_psk, JOIN_S, lambda: self._progress("wifi"))
        await self._keeper.ask(config.ntp_host, self._progress)
        return True

    async def open(self, kinds):
        """Connect and subscribe to the kinds of down messages; the broker may have forgotten us, so always both."""
        settings = self._settings
        config = settings.active
        client = self._client
        if client is None or self.cfg != settings.version:
            client = self._client = self._make(config)
            self.cfg = settings.version
        gc.collect()
        await client.connect()
        await client.subscribe([wire.topic_down(config.site, config.device, kind) for kind in kinds])
        self._keeper.trust(config.broker_tls)

    def _make(self, config):
        from firmware.net import mqtt

        context = None
        if config.broker_tls:
            from firmware.net import stream

            context = stream.context(read(self._files, "/ca.der"))
        secret = read(self._files, "/secret")
        return mqtt.MqttClient(
            config.broker_host,
            config.broker_port,
            config.device,
            user=config.device if secret else None,
            password=secret,
            will=(wire.topic_up(config.site, config.device, "will"), b'{"v":1,"boot":%d}' % self._record.boot),
            tls=context,
            server_name=config.broker_name,
            keepalive_s=KEEPALIVE_S,
            on_message=self._on_message,
            on_progress=self._progress,
        )

    def is_open(self):
        """Whether there is a link that nothing was heard against, made with the configuration in force."""
        return self._client is not None and self._client.is_up() and self.cfg == self._settings.version

    def close(self):
        """Drop the link at once, and its code: the next one begins with a status, which takes the room."""
        if self._client is not None:
            self._client.close()
            self._client = None
            forget("net.mqtt", "net.packets", "net.stream")

    async def leave(self):
        """Say goodbye, so that the broker keeps the will to itself."""
        if self._client is not None:
            await self._client.disconnect()

    async def ping(self):
        """Make sure that the broker still answers."""
        await self._live().ping()

    def _live(self):
        if self._client is None:
            raise LinkError("write", "closed")
        return self._client

    async def publish(self, kind, payload):
        """Publish an up message; marked as a repeat when the same was on its way as the link broke."""
        config = self._settings.active
        mark = (kind, len(payload), crc32(payload))
        again = mark == self._unsure
        self._unsure = mark
        await self._live().publish(wire.topic_up(config.site, config.device, kind), payload, again=again)
        self._unsure = None
