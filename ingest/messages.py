"""The shapes of what comes over the wire, typed for msgspec: the second, independent form of docs/protocol.md.

Written from the specification and not from :mod:`firmware.wire`; the contract tests hold the two against each other.
Unknown fields are ignored, null means missing, a float is never an integer.
"""

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta, Raw

U32 = Annotated[int, Meta(ge=0, le=4_294_967_295)]
Seq = Annotated[int, Meta(ge=1, le=4_294_967_295)]
Millis = Annotated[int, Meta(ge=0, le=9_223_372_036_854)]
Ngm3 = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Ppt = Annotated[int, Meta(ge=-1_000_000_000, le=1_000_000_000)]
CellMv = Annotated[int, Meta(ge=0, le=5_000)]
TempCdeg = Annotated[int, Meta(ge=-4_000, le=12_500)]
BatteryMv = Annotated[int, Meta(ge=0, le=20_000)]
RssiDbm = Annotated[int, Meta(ge=-130, le=0)]
ShortText = Annotated[str, Meta(max_length=32)]
State = Literal["ok", "obstructed", "lid-open", "tilted", "water", "no-echo", "sensor-fault"]


class Body(msgspec.Struct, gc=False):
    """Identity, time and the fields that every reading may have."""

    seq: Seq
    ts: U32 | None = None
    up_s: U32 | None = None
    state: State | None = None
    quality: Annotated[int, Meta(ge=0, le=4)] | None = None
    battery_mv: BatteryMv | None = None
    rssi_dbm: RssiDbm | None = None


class BinBody(Body, gc=False):
    """A reading of a bin as the device sent it. Units are in the names."""

    distance_mm: Annotated[int, Meta(ge=0, le=10_000)] | None = None
    fill_pct: Annotated[int, Meta(ge=0, le=100)] | None = None
    temp_cdeg: TempCdeg | None = None
    tilt_deg: Annotated[int, Meta(ge=0, le=180)] | None = None
    weight_g: Annotated[int, Meta(ge=0, le=500_000)] | None = None


class AirBody(Body, gc=False):
    """A reading of an air station as the device sent it. Units are in the names."""

    pm1_ngm3: Ngm3 | None = None
    pm25_ngm3: Ngm3 | None = None
    pm10_ngm3: Ngm3 | None = None
    temp_cdeg: TempCdeg | None = None
    rh_cpct: Annotated[int, Meta(ge=0, le=10_000)] | None = None
    no2_ppt: Ppt | None = None
    o3_ppt: Ppt | None = None
    voc_raw: Annotated[int, Meta(ge=0, le=65_535)] | None = None
    nh3_mv: CellMv | None = None
    h2s_mv: CellMv | None = None
    pressure_pa: Annotated[int, Meta(ge=30_000, le=120_000)] | None = None


class StatusBody(msgspec.Struct):
    """A status message or a last will as the device sent it. A field that breaks its rule is dropped, see decode."""

    v: Literal[1]
    boot: U32
    up_s: U32 | None = None
    fw: ShortText | None = None
    mpy: ShortText | None = None
    node_class: Literal["bin", "air"] | None = msgspec.field(default=None, name="class")
    reset: Literal["power-on", "deep-sleep", "watchdog", "hard", "soft", "brown-out"] | None = None
    interval_s: Annotated[int, Meta(ge=1, le=86_400)] | None = None
    battery_mv: BatteryMv | None = None
    days_left: Annotated[int, Meta(ge=0, le=36_500)] | None = None
    rssi_dbm: RssiDbm | None = None
    queue: U32 | None = None
    dropped: U32 | None = None
    heap_free: U32 | None = None
    crash: Annotated[str, Meta(max_length=64, pattern="^[A-Za-z0-9 .:_-]*$")] | None = None
    crashes: U32 | None = None
    faults: U32 | None = None
    no_ack: U32 | None = None
    tls_refused: U32 | None = None
    cfg: U32 | None = None
    cfg_bad: ShortText | None = None
    cmd: U32 | None = None
    ota: ShortText | None = None
    ota_ver: U32 | None = None
    ota_at: U32 | None = None


class UplinkBody(msgspec.Struct):
    """What a sensor of another make sent: the bytes of a frame and its port, or a document."""

    port: Annotated[int, Meta(ge=0, le=255)] = 0
    data: Annotated[str, Meta(max_length=2_000)] | None = None
    doc: Raw = Raw(b"")
    rssi_dbm: RssiDbm | None = None


class Row(msgspec.Struct):
    """One row of a batch; ``body`` is looked at when the device is known. Which fields are set depends on ``kind``."""

    id: Annotated[int, Meta(ge=1)]
    device: str
    kind: Literal["bin", "air", "uplink", "status", "will", "poison"]
    arrived_ms: Millis
    boot: U32 = 0
    seq: U32 = 0
    ts_ms: Millis = 0
    time: Literal["device", "anchor"] = "device"
    body: Raw = Raw(b"")
    uplink: Raw = Raw(b"")
    code: str = ""
    raw: str = ""
    topic: str = ""


class ReadingRow(msgspec.Struct, gc=False, tag_field="kind", kw_only=True):
    """A row with a reading in it, body and all: the fast form of :class:`Row`, which it refuses at least as much as."""

    kind: ClassVar[str]
    id: Annotated[int, Meta(ge=1)]
    device: str
    boot: U32 = 0
    seq: U32 = 0
    ts_ms: Millis = 0
    arrived_ms: Millis
    time: Literal["device", "anchor"] = "device"
    # Not for readings, but a row in which one of these is no text is refused whatever its kind.
    code: str = ""
    raw: str = ""
    topic: str = ""
    body: BinBody | AirBody


class BinRow(ReadingRow, gc=False, tag="bin", kw_only=True):
    """A reading of a bin."""

    kind = "bin"
    body: BinBody


class AirRow(ReadingRow, gc=False, tag="air", kw_only=True):
    """A reading of an air station."""

    kind = "air"
    body: AirBody


class OtherRow(msgspec.Struct, gc=False, tag_field="kind"):
    """A row of another kind, which is read as :class:`Row`."""

    kind: ClassVar[None] = None


class UplinkRow(OtherRow, gc=False, tag="uplink"):
    """What a sensor of another make sent."""


class StatusRow(OtherRow, gc=False, tag="status"):
    """A status message."""


class WillRow(OtherRow, gc=False, tag="will"):
    """A last will."""


class PoisonRow(OtherRow, gc=False, tag="poison"):
    """What the gateway could not read."""


AnyRow = BinRow | AirRow | UplinkRow | StatusRow | WillRow | PoisonRow


class BatchMessage(msgspec.Struct):
    """A batch in which every reading is sound as far as its types and ranges go."""

    v: int
    gw: str
    spool: str
    batch: str
    sent_ms: int
    rows: list[AnyRow]


class LooseBatch(msgspec.Struct):
    """A batch whose rows are to be read one by one."""

    v: int
    gw: str
    spool: str
    batch: str
    sent_ms: int
    rows: list[Raw]


class LooseVersion(msgspec.Struct):
    """Only the version, whatever else there is."""

    v: Any = None


class LooseRow(msgspec.Struct):
    """What may be saved of a row in the wrong shape."""

    id: Any = None
    device: Any = None
    kind: Any = None
    boot: Any = None
    seq: Any = None
