"""The 2.x write path with influxdb-client against VictoriaMetrics, which answers ``/api/v2/write`` for real."""

import json
import time
from collections.abc import Iterator

import pytest
import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient

from ingest.errors import StoreRefused, StoreUnavailable
from ingest.store import Point
from ingest.stores import open_store
from ingest.stores.influx2 import Influx2Store
from tests.integration.v2_front import V2Front
from tests.services import Server, start_influxd, start_victoria, wait_until

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def victoria(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = start_victoria(tmp_path_factory.mktemp("victoria"))
    yield server
    server.stop()


def bin_point(number: int, ts_ms: int, **fields: float) -> Point:
    tags = {"site": "alun", "asset": f"bin-{number:04d}", "device": f"rsk-b{number:04d}", "zone": "utara"}
    return Point("bin", tags, ts_ms, {"fill_pct": 50.0, "boot": 7, "seq": 1} | fields)


def exported(server: Server, metric: str) -> dict[str, list[tuple[int, float]]]:
    """Read every sample back over VictoriaMetrics' own export, by asset."""
    urllib3.request("GET", f"{server.url}/internal/force_flush")
    reply = urllib3.request("GET", f"{server.url}/api/v1/export", fields={"match[]": metric})
    series = [json.loads(line) for line in reply.data.splitlines()]
    return {s["metric"]["asset"]: list(zip(s["timestamps"], s["values"], strict=True)) for s in series}


def test_the_client_writes_and_the_server_has_every_value_at_its_time(victoria: Server):
    """1,000 points through influxdb-client land with their values, and in this century: the precision is ms."""
    store = open_store(f"influx2+{victoria.url}/kota/resik", secret="any")
    assert isinstance(store, Influx2Store)
    assert isinstance(store._client, InfluxDBClient)
    now_ms = int(time.time() * 1000)
    result = store.write([bin_point(n, now_ms - n, fill_pct=n / 8) for n in range(1000)])
    assert (result.stored, result.rejected) == (1000, ())
    wait_until(lambda: len(exported(victoria, "bin_fill_pct")) == 1000, 10, "1000 series in the export")
    assert exported(victoria, "bin_fill_pct") == {f"bin-{n:04d}": [(now_ms - n, n / 8)] for n in range(1000)}
    store.close()


def test_a_value_that_the_server_would_turn_into_zero_never_leaves(victoria: Server):
    """VictoriaMetrics answers 204 to NaN and stores 0: our check stands before it."""
    store = open_store(f"influx2+{victoria.url}/kota/resik", secret="any")
    now_ms = int(time.time() * 1000)
    result = store.write([bin_point(1, now_ms, weight_kg=float("nan")), bin_point(2, now_ms, weight_kg=2.5)])
    assert [(r.index, r.code) for r in result.rejected] == [(0, "bad-field")]
    wait_until(lambda: len(exported(victoria, "bin_weight_kg")) == 1, 10, "the good point in the export")
    assert exported(victoria, "bin_weight_kg") == {"bin-0002": [(now_ms, 2.5)]}
    store.close()


def test_a_server_that_goes_away_is_unavailable(victoria: Server, tmp_path):
    """The synchronous client raises where its batching mode would have lost the points without a word."""
    server = start_victoria(tmp_path)
    store = open_store(f"influx2+{server.url}/kota/resik", secret="any")
    assert store.write([bin_point(1, int(time.time() * 1000))]).stored == 1
    server.stop()
    with pytest.raises(StoreUnavailable) as gone:
        store.write([bin_point(1, int(time.time() * 1000))])
    assert gone.value.retryable
    store.close()


def test_prepare_checks_token_and_bucket_with_a_read(tmp_path):
    """A wrong token and a missing bucket stop the start with the setting to change."""
    influxd = start_influxd(tmp_path)
    front = V2Front(influxd.url, token="benar")
    base = f"influx2+{front.url}/kota/resik"
    try:
        with pytest.raises(StoreRefused, match="store_token_file") as refused:
            open_store(base, secret="salah-sekali").prepare()
        assert "salah-sekali" not in str(refused.value)
        with pytest.raises(StoreRefused, match=r"bucket 'resik' is not there.*dbrp"):
            open_store(base, secret="benar").prepare()
    finally:
        front.stop()
        influxd.stop()


def test_hourly_points_reach_the_server_like_readings(victoria: Server):
    """A roll-up goes out through the same client in a batch with readings: each value at its own time."""
    store = open_store(f"influx2+{victoria.url}/kota/resik", secret="any")
    hour_ms = int(time.time() * 1000) // 3_600_000 * 3_600_000
    tags = {"site": "alun", "asset": "bin-0009", "device": "-", "zone": ""}
    hour = Point("bin_1h", tags, hour_ms, {"weight_kg_mean": 12.5, "weight_kg_count": 6.0})
    result = store.write([bin_point(9, hour_ms + 60_000, weight_kg=13.0), hour])
    assert (result.stored, result.rejected) == (2, ())
    wait_until(lambda: len(exported(victoria, "bin_1h_weight_kg_mean")) == 1, 10, "the hour in the export")
    assert exported(victoria, "bin_1h_weight_kg_mean") == {"bin-0009": [(hour_ms, 12.5)]}
    assert exported(victoria, "bin_weight_kg")["bin-0009"] == [(hour_ms + 60_000, 13.0)]
    store.close()
