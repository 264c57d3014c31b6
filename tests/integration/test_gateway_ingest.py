"""What the gateway sends is what ingest reads: the real encoder against the real decoder."""

from pathlib import Path

from firmware import wire
from gateway.disk import DiskWatch
from gateway.forward import Forwarder
from gateway.messages import read_message
from gateway.spool import Spool
from ingest.decode import decode_batch
from square.registry import Registry

NOW_MS = 1_795_488_752_250
NOW_S = NOW_MS // 1000


def test_every_kind_of_row_is_understood(tmp_path: Path) -> None:
    """Timed and un-timed readings, status, will and poison arrive as what they are, under the ids that ingest acks."""
    registry = Registry.load("alun-alun-pasuruan")
    device = next(d.id for d in registry if d.status == "active" and d.kind == "bin")
    spool = Spool(tmp_path / "spool.sqlite3", now_ms=NOW_MS, disk=DiskWatch(tmp_path, 0, 0))
    timed = wire.encode_up(7, [{"seq": 1, "ts": NOW_S, "distance_mm": 700, "quality": 4}], 1, 50)
    untimed = wire.encode_up(8, [{"seq": 1, "up_s": 40, "distance_mm": 0}], 1, 50)
    spool.put([
        read_message(wire.topic_up(registry.site, device, kind), payload.encode(), NOW_MS)
        for kind, payload in (
            ("bin", timed),
            ("bin", untimed),
            ("status", '{"v":1,"boot":8,"up_s":50,"fw":"1.0.0","interval_s":600,"queue":0}'),
            ("will", '{"v":1,"boot":8}'),
            ("bin", "{"),
        )
    ])  # fmt: skip
    sent: list[bytes] = []
    Forwarder(spool, gateway_id="gw-utama", publish=sent.append, now_ms=lambda: NOW_MS).step(0)
    batch = decode_batch(sent[0], registry)
    assert (batch.gateway, batch.spool) == ("gw-utama", spool.id)
    readings = {placed.row_id: placed.reading for placed in batch.readings}
    assert (readings[1].ts_ms, readings[1].boot, readings[1].seq) == (NOW_S * 1000 + 8, 7, 1)
    # booted at arrival - 50 s, measured 40 s later: 10 s ago, in whole seconds, + (8 + 1) % 1000 ms
    assert (readings[2].ts_ms, readings[2].boot) == ((NOW_S - 10) * 1000 + 9, 8)
    assert readings[2].flags & 4, "bit 2: the gateway's clock"
    assert [(row_id, status.kind, status.up_s) for row_id, status in batch.statuses] == [
        (3, "status", 50),
        (4, "will", None),
    ]
    assert [(dead.row_id, dead.code, dead.device) for dead in batch.dead] == [(5, "bad-json", device)]
    spool.close()
