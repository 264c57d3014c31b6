"""The node's own MQTT client, TLS and NTP."""


class LinkError(Exception):
    """The link failed at `step`: dns, link, connack, suback, puback, ping, packet, read, write, ntp, tls."""

    retryable = True

    def __init__(self, step, why):
        super().__init__("%s: %s" % (step, why))
        self.step = step
        self.why = why


class Refused(LinkError):  # noqa: N818 - says who said no
    """The broker said no: a CONNACK code, or 128 for a subscription. Only 3 (not available) passes by itself."""

    def __init__(self, step, code):
        super().__init__(step, "refused %d" % code)
        self.code = code
        self.retryable = code == 3


class TlsRefused(LinkError):  # noqa: N818 - says who said no
    """We said no: the other end is not proved to be our broker. Nothing was sent to it."""

    retryable = False
