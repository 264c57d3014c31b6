"""Two days without a broker, between a real node and a real store, gateway and ingest being real, too."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.firmware.node import rig
from tests.firmware.node.square import BINS, SITE, Square

pytestmark = pytest.mark.service

HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def square(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Square]:
    """Return broker, gateway, ingest and store."""
    made = Square(tmp_path_factory.mktemp("square"))
    yield made
    made.close()


def test_two_days_without_a_broker(tmp_path: Path, square: Square) -> None:
    """48 h of readings reach the store: none lost, none twice, the newest first, the rest in order."""
    device = BINS[0]
    now_ms = int(time.time() * 1000)
    from_ms = now_ms - 52 * HOUR_MS  # at night six rounds are three hours, and nobody takes readings of the future
    settings = rig.config(device, site=SITE, floor_s=from_ms // 1000 - 86_400)
    node = rig.node(tmp_path / "node", settings, port=square.broker.port, unix_ms=from_ms)
    node.boot()  # the clock is right, and the gateway has met this node
    node.folder.set_net(broker={"host": "127.0.0.1", "port": 1})
    made = 1 + sum(1 for _ in node.boots_until(from_ms + 48 * HOUR_MS))
    assert made > 200
    node.folder.set_net(broker={"host": "127.0.0.1", "port": square.broker.port})
    arrived = len(square.stored(device, from_ms, now_ms))
    assert arrived == 1, "nothing came through during the outage"
    for _ in range(6):
        node.boot()
        made += 1
    square.settle()
    stored = square.stored(device, from_ms, now_ms)
    assert len(stored) == made, "one point for each reading: none lost, none twice"
    assert {boot for boot, _ in stored} == {stored[0][0]}
    assert [seq for _, seq in sorted(stored)] == list(range(1, made + 1))
    order = [seq for name, seq in square.arrived() if name == device]
    assert order[0] == 1
    assert order[1] == made - 5, "the first that came after the outage is the newest of them"
    rest = [seq for seq in order if seq < made - 5]
    assert rest == sorted(rest), "the backlog came in order"
