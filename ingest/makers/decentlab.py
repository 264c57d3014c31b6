"""Decentlab: a head of five bytes, then blocks of 16-bit words whose presence a bit of the head tells. Port 1.

Formats: the payload pages of the DL-MBX (ultrasonic distance) and DL-PM (particles), https://www.decentlab.com, and
https://github.com/decentlab/decentlab-decoders (read, not copied). A block that is not there has no values: not zero.
"""

from collections.abc import Sequence
from typing import Final

from ingest.makers.report import Report, Said, distance_fields, require_port, unreadable

PORT: Final = 1
PROTOCOL: Final = 2
_HEAD_BYTES: Final = 5
_NOTHING: Final = 0xFFFF
"""A word that no sensor of these devices can mean: its sensor did not answer."""

NO_TARGET_MM: Final = 9_999
"""What the MaxBotix sensor of a DL-MBX says when nothing is in its reach [mm]."""

Words = Sequence[int]
_PM_FIELDS: Final = {"pm1_ngm3": 0, "pm25_ngm3": 1, "pm10_ngm3": 3}
"""Wire field -> which word of the particle block; pm4 has none."""


def _blocks(port: int, data: bytes, model: str, lengths: Sequence[int]) -> tuple[int, list[Words | None]]:
    """Return the device id and the words of each block, None for one that is not there."""
    require_port(port, (PORT,), f"Decentlab {model}")
    if len(data) < _HEAD_BYTES:
        raise unreadable(f"a frame has at least {_HEAD_BYTES} bytes, this has {len(data)}")
    if data[0] != PROTOCOL:
        raise unreadable(f"the frame has protocol version {data[0]}, known is {PROTOCOL}")
    flags = int.from_bytes(data[3:5], "big")
    if flags >> len(lengths):
        raise unreadable(f"the flags {flags:#06x} name a block that a {model} does not have")
    present = [bool(flags >> bit & 1) for bit in range(len(lengths))]
    wanted = _HEAD_BYTES + 2 * sum(length for length, is_there in zip(lengths, present, strict=True) if is_there)
    if len(data) != wanted:
        raise unreadable(f"with the flags {flags:#06x} a frame has {wanted} bytes, this has {len(data)}")
    words = [int.from_bytes(data[at : at + 2], "big") for at in range(_HEAD_BYTES, wanted, 2)]
    blocks: list[Words | None] = []
    for length, is_there in zip(lengths, present, strict=True):
        blocks.append(words[:length] if is_there else None)
        words = words[length:] if is_there else words
    return int.from_bytes(data[1:3], "big"), blocks


def decode_mbx(port: int, data: bytes) -> Report:
    """Read a frame of a DL-MBX."""
    device_id, (echo, battery) = _blocks(port, data, "DL-MBX", (2, 1))
    said: Said = {"protocol_version": PROTOCOL, "device_id": device_id}
    fields: dict[str, int] = {}
    state = "ok"
    if echo is not None:
        distance_mm, samples = echo
        said |= {"distance_mm": distance_mm, "number_of_valid_samples": samples}
        if samples == 0 or distance_mm == NO_TARGET_MM:
            state = "no-echo"
        else:
            fields, state = distance_fields(distance_mm)
    _add_battery(battery, said, fields)
    return Report(said, fields, state)


def _particles(words: Words, said: Said, fields: dict[str, int]) -> None:
    names = ("pm1", "pm2_5", "pm4", "pm10")
    counts = ("n_pm0_5", "n_pm1", "n_pm2_5", "n_pm4", "n_pm10")
    said |= {name: word / 10 for name, word in zip(names, words[:4], strict=True) if word != _NOTHING}
    said["typical_particle_size_nm"] = words[4]
    said |= {name: word / 10 for name, word in zip(counts, words[5:], strict=True) if word != _NOTHING}
    # a tenth of a microgram is a hundred nanograms
    fields |= {name: words[at] * 100 for name, at in _PM_FIELDS.items() if words[at] != _NOTHING}


def decode_pm(port: int, data: bytes) -> Report:
    """Read a frame of a DL-PM."""
    device_id, (battery, particles, climate, pressure) = _blocks(port, data, "DL-PM", (1, 10, 2, 1))
    said: Said = {"protocol_version": PROTOCOL, "device_id": device_id}
    fields: dict[str, int] = {}
    if particles is not None:
        _particles(particles, said, fields)
    if climate is not None and _NOTHING not in climate:
        # the conversion of the SHT sensor, as the maker gives it
        said |= {
            "air_temperature": 175.72 * climate[0] / 65536 - 46.85,
            "air_humidity": 125 * climate[1] / 65536 - 6,
        }
        fields["temp_cdeg"] = round(17_572 * climate[0] / 65536 - 4_685)
        fields["rh_cpct"] = min(10_000, max(0, round(12_500 * climate[1] / 65536 - 600)))
    if pressure is not None and pressure[0] != _NOTHING:
        said["barometric_pressure_pa"] = fields["pressure_pa"] = pressure[0] * 2
    _add_battery(battery, said, fields)
    return Report(said, fields)


def _add_battery(words: Words | None, said: Said, fields: dict[str, int]) -> None:
    if words is not None and words[0] != _NOTHING:
        said["battery_v"] = words[0] / 1000
        fields["battery_mv"] = words[0]
