"""Sensors of other makes: their payloads into the fields of the wire. Pure.

:func:`decode` is the only way in. It never guesses: what is not certainly a measured value is absent, and what cannot
be read raises :class:`CodecError` with a code and a sentence. Makes, models and what comes out of them: docs/makers.md.
"""

from collections.abc import Callable, Mapping
from typing import Final

from ingest.makers import airgradient, decentlab, dragino, milesight, netvox, senml
from ingest.makers.report import CodecError, Report

Decode = Callable[[int, bytes], Report]

DECODERS: Final[Mapping[str, Decode]] = {
    "airgradient": airgradient.decode_measures,
    "decentlab-dl-mbx": decentlab.decode_mbx,
    "decentlab-dl-pm": decentlab.decode_pm,
    "dragino-ldds75": dragino.decode_ldds75,
    "milesight-am308": milesight.decoder("AM308", milesight.AM308),
    "milesight-em310-udl": milesight.decoder("EM310-UDL", milesight.EM310_UDL),
    "milesight-em400-mud": milesight.decoder("EM400-MUD", milesight.EM400_UDL),
    "milesight-em400-udl": milesight.decoder("EM400-UDL", milesight.EM400_UDL),
    "milesight-em500-udl": milesight.decoder("EM500-UDL", milesight.EM500_UDL),
    "milesight-vs350": milesight.decoder("VS350", milesight.VS350),
    "netvox-r718x": netvox.decode_r718x,
    "senml": senml.decode_pack,
}
"""Codec name, as devices.toml writes it -> the codec: LoRaWAN port (0 without one) and payload to report."""


def decode(codec: str, port: int, data: bytes) -> Report:
    """Read a payload.

    Parameters
    ----------
    codec
        A name of :data:`DECODERS`.
    port
        LoRaWAN port that it came on; 0 without one.
    data
        The payload as the device sent it.

    Raises
    ------
    CodecError
        With the code ``unknown-codec``, ``unknown-port``, ``no-sensor`` or ``bad-uplink``.
    """
    decoder = DECODERS.get(codec)
    if decoder is None:
        raise CodecError("unknown-codec", f"{codec[:40]!r} is none of {', '.join(DECODERS)}")
    return decoder(port, data)


__all__ = ["DECODERS", "CodecError", "Report", "decode"]
