"""TLS that verifies, or nothing."""

import ssl

from firmware.net import TlsRefused


def context(ca_der):
    """Make a client context that trusts exactly one root, given as DER."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.verify_mode = ssl.CERT_REQUIRED  # MicroPython's default is no verification at all
    try:
        if not ca_der:
            raise ValueError("no root")
        made.load_verify_locations(cadata=ca_der)
    except (ValueError, OSError) as error:
        raise TlsRefused("tls", "ca.der: %s" % error)  # noqa: B904 - MicroPython has no `from`
    return made
