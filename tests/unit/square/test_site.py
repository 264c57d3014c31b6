"""Loading a site folder."""

import math
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest

from square.errors import SiteError
from square.geometry import contains, fill_pct_of
from square.site import load_site, resolve_site, shipped_site, shipped_sites
from tests.unit.square.small_site import write_site

PASURUAN = "alun-alun-pasuruan"


@pytest.fixture(scope="module")
def pasuruan():
    return load_site(PASURUAN)


@pytest.fixture
def small(tmp_path):
    return load_site(write_site(tmp_path / "small"))


def wib(site, text):
    return datetime.fromisoformat(text).replace(tzinfo=site.zone_info).timestamp()


def test_load_site_reads_all_four_files(small):
    """Names, rules, bins with zone and geometry, shifts, crews and devices come from the folder."""
    assert (small.id, small.name_id, small.name_en, small.timezone, small.adm4) == (
        "small", "Kecil", "Small", "Asia/Jakarta", None,
    )  # fmt: skip
    assert small.centre == (112.9, -7.64)
    assert [(b.id, b.zone, b.volume_l, b.empty_mm, b.full_mm) for b in small.bins] == [
        ("bin-001", "zone-west", 120, 980, 240),
        ("bin-002", "zone-east", 240, 1120, 260),
    ]
    assert [(a.id, a.zone, a.height_m) for a in small.air_stations] == [("air-01", "zone-east", 3)]
    assert [(s.id, s.start, s.end) for s in small.shifts] == [("pagi", "06:00", "12:00"), ("siang", "12:00", "18:00")]
    assert [(c.id, c.name, c.shift) for c in small.crews] == [("pagi-1", "Slamet", "pagi"), ("siang-1", "Sri", "siang")]
    assert small.rules.full_pct == 85
    assert small.shift_plan.handover_min == 15


def test_load_site_device_interval_defaults_by_kind(small):
    """A device without an interval reports at the default of its kind; an own interval wins."""
    assert {d.id: d.interval_s for d in small.devices} == {
        "rsk-b001": 600, "rsk-b002": 60, "rsk-a01": 300, "rsk-b000": 600, "rsk-b009": 600,
    }  # fmt: skip


def test_bin_inherits_hours_from_its_zone(small):
    """bin-001 gives no hours and follows the Friday closing of its zone; bin-002 keeps its own windows."""
    assert [str(w) for w in small.bin("bin-001").hours.closed] == ["fri 11:00-13:00"]
    assert [str(w) for w in small.bin("bin-002").hours.allowed] == ["05:00-07:00", "22:00-02:00"]
    assert small.bin("bin-002").hours.closed == ()


def test_without_tps_carts_return_to_the_depot(small):
    """A plan without a transfer point unloads at the depot."""
    assert small.tps == small.depot


def test_crews_on_shift(small):
    """At 11:59 the morning crew is on duty, at 12:00 the afternoon crew, at night nobody."""
    assert [c.id for c in small.crews_on_shift(wib(small, "2026-11-24T11:59"))] == ["pagi-1"]
    assert [c.id for c in small.crews_on_shift(wib(small, "2026-11-24T12:00"))] == ["siang-1"]
    assert small.crews_on_shift(wib(small, "2026-11-24T19:00")) == ()


def test_bin_refuses_other_assets(small):
    """Asking for an air station or an unknown id as a bin is a KeyError."""
    for asset_id in ("air-01", "bin-999"):
        with pytest.raises(KeyError):
            small.bin(asset_id)


@pytest.mark.parametrize(
    ("fill_pct", "level"),
    [(None, "unknown"), (0, "empty"), (49.9, "empty"), (50, "half"), (69.9, "half"), (70, "filling"),
     (84.9, "filling"), (85, "full"), (99.9, "full"), (100, "overflow"), (120, "overflow")],
)  # fmt: skip
def test_level_of_thresholds(small, fill_pct, level):
    """Each level starts exactly at its threshold; no value is no level, never empty."""
    assert small.rules.level_of(fill_pct) == level


def test_feature_collection_is_a_copy_with_zones(small):
    """Bins and stations carry their zone; changing the result does not change the site."""
    plan = small.feature_collection()
    zones = {f["properties"]["id"]: f["properties"].get("zone") for f in plan["features"]}
    assert zones["bin-001"] == "zone-west"
    assert zones["depot"] is None
    plan["features"][0]["properties"]["id"] = "changed"
    assert small.feature_collection()["features"][0]["properties"]["id"] == "zone-west"


def test_shipped_site_unknown_name():
    """An unknown name is refused with the names that exist."""
    with pytest.raises(SiteError, match=PASURUAN):
        shipped_site("alun-alun-atlantis")


def test_resolve_site_prefers_an_existing_path(tmp_path, monkeypatch):
    """A folder in the working directory that is named like a shipped site is the one that is meant."""
    assert resolve_site(PASURUAN) == shipped_site(PASURUAN)
    monkeypatch.chdir(tmp_path)
    (tmp_path / PASURUAN).mkdir()
    assert resolve_site(PASURUAN) == Path(PASURUAN)


@pytest.mark.parametrize("folder", [Path(PASURUAN), PASURUAN])
def test_load_site_by_shipped_name(folder):
    """The name works as text and as the path that a settings class makes of it."""
    assert PASURUAN in shipped_sites()
    assert load_site(folder).id == PASURUAN


def test_pasuruan_has_what_the_square_has(pasuruan):
    """48 bins, 6 stations, 4 gates, 6 umbrellas, one tugu, two crews on each of three shifts."""
    roles = Counter(f["properties"]["role"] for f in pasuruan.feature_collection()["features"])
    assert (roles["bin"], roles["air"], roles["gate"], roles["umbrella"], roles["tugu"]) == (48, 6, 4, 6, 1)
    assert roles["water_tower"] == roles["playground"] == roles["terminal"] == 1
    assert Counter(c.shift for c in pasuruan.crews) == {"pagi": 2, "siang": 2, "malam": 2}


def test_pasuruan_says_that_it_is_assumed(pasuruan):
    """No feature of the shipped plan pretends to be surveyed."""
    for feature in pasuruan.feature_collection()["features"]:
        assert feature["properties"]["source"].startswith("assumed")
        assert feature["properties"]["accuracy_m"] >= 10


def test_pasuruan_every_bin_is_a_short_walk_away(pasuruan):
    """From the depot every bin is reached, over less than 500 m and within 15 m of a path."""
    for asset in pasuruan.bins:
        assert pasuruan.walking.distance_m(pasuruan.depot.lonlat, asset.lonlat) < 500
        assert pasuruan.walking.nearest(*asset.lonlat)[1] < 15
    assert math.isfinite(pasuruan.walking.distance_m(pasuruan.depot.lonlat, pasuruan.tps.lonlat))


def test_pasuruan_assets_lie_in_their_zone_only(pasuruan):
    """Each bin and station lies in exactly one zone, the one that it is given."""
    for asset in pasuruan.assets.values():
        assert [z.id for z in pasuruan.zones if contains(z.rings, asset.lonlat)] == [asset.zone]


def test_pasuruan_bins_can_be_emptied_during_some_shift(pasuruan):
    """On an ordinary day and on a Friday every bin has at least four hours in which a crew on duty may empty it."""
    for day in ("2026-11-19", "2026-11-20"):
        quarters = [wib(pasuruan, f"{day}T00:00") + 900 * i for i in range(96)]
        staffed = [at_s for at_s in quarters if pasuruan.crews_on_shift(at_s)]
        for asset in pasuruan.bins:
            assert sum(asset.hours.is_allowed(at_s, pasuruan.zone_info) for at_s in staffed) >= 16


def test_pasuruan_sensors_can_see_full(pasuruan):
    """No bin calls itself full closer than 200 mm, the blind zone of common ultrasonic sensors; empty reads 0 %."""
    for asset in pasuruan.bins:
        assert asset.full_mm >= 200
        assert fill_pct_of(asset, asset.empty_mm) == 0
