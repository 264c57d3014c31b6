"""AirGradient: the JSON document of the local server and of its MQTT messages.

Names: `docs/local-server.md` of https://github.com/airgradienthq/arduino. Right after its boot a monitor has nothing
measured and sends the document without those keys; newer firmware adds keys and sends decimals. `pm02` is PM2.5.
"""

from typing import Any, Final

import msgspec

from ingest.makers.report import Report, Said, scaled, unreadable

_SCALES: Final = {
    "pm01": ("pm1_ngm3", 1000),
    "pm02": ("pm25_ngm3", 1000),
    "pm10": ("pm10_ngm3", 1000),
    "atmp": ("temp_cdeg", 100),
    "rhum": ("rh_cpct", 100),
    "tvoc_raw": ("voc_raw", 1),
    "tvocRaw": ("voc_raw", 1),
    "wifi": ("rssi_dbm", 1),
}
_MARKS: Final = _SCALES.keys() | {"serialno"}
"""One of them at least is in every document of measures; over MQTT the serial number stands in the topic instead."""

_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


def decode_measures(_port: int, data: bytes) -> Report:
    """Read the document of the current measures."""
    try:
        document = _decode_object(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise unreadable(f"not a JSON object: {str(error)[:200]}") from error
    if not isinstance(document.get("serialno", ""), str) or not document.keys() & _MARKS:
        raise unreadable("this is not the document of the current measures")
    said: Said = {
        name: value
        for name, value in document.items()
        if isinstance(value, int | float | str) and not isinstance(value, bool)
    }
    fields = scaled(document, _SCALES)
    return Report(said, fields)
