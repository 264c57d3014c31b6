"""A site folder of a few lines, and ways to break it."""

from pathlib import Path

SITE = """\
schema = 1
id = "small"
name_id = "Kecil"
name_en = "Small"
timezone = "Asia/Jakarta"
source = "test"
rest_hours = ["18:00-06:00"]

[frame]
origin_lon = 112.9
origin_lat = -7.64

[reporting]
bin_interval_s = 600
air_interval_s = 300

[rules]
half_pct = 50
filling_pct = 70
full_pct = 85
overflow_pct = 100
full_clear_pct = 60
emptied_drop_pct = 30
soon_full_h = 2
silent_factor = 3
bad_air_pm25_ugm3 = 55.4
bad_air_clear_pm25_ugm3 = 50
verify_within_s = 1800
walk_speed_mps = 1.0
empty_bin_s = 180
cart_volume_l = 600

[[shift]]
id = "pagi"
name_id = "Pagi"
name_en = "Morning"
start = "06:00"
end = "12:00"

[[shift]]
id = "siang"
name_id = "Siang"
name_en = "Afternoon"
start = "12:00"
end = "18:00"
"""
CREWS = """\
[[crew]]
id = "pagi-1"
name = "Slamet"
shift = "pagi"
source = "test"

[[crew]]
id = "siang-1"
name = "Sri"
shift = "siang"
source = "test"
"""
DEVICES = """\
[[device]]
id = "rsk-b001"
kind = "bin"
asset = "bin-001"
model = "test"
status = "active"

[[device]]
id = "rsk-b002"
kind = "bin"
asset = "bin-002"
model = "test"
interval_s = 60
status = "active"

[[device]]
id = "rsk-a01"
kind = "air"
asset = "air-01"
model = "test"
status = "active"

[[device]]
id = "rsk-b000"
kind = "bin"
asset = "bin-001"
model = "test"
status = "retired"

[[device]]
id = "rsk-b009"
kind = "bin"
model = "test"
status = "spare"
"""
PLAN = """\
{"type": "FeatureCollection", "features": [
{"type": "Feature",
 "properties": {"role": "zone", "id": "zone-west", "name_id": "Barat", "name_en": "West", "accuracy_m": 1,
  "source": "test", "closed_hours": ["fri 11:00-13:00"]},
 "geometry": {"type": "Polygon", "coordinates": [[[112.899, -7.641], [112.9, -7.641], [112.9, -7.639],
  [112.899, -7.639], [112.899, -7.641]]]}},
{"type": "Feature",
 "properties": {"role": "zone", "id": "zone-east", "name_id": "Timur", "name_en": "East", "accuracy_m": 1,
  "source": "test"},
 "geometry": {"type": "Polygon", "coordinates": [[[112.9, -7.641], [112.901, -7.641], [112.901, -7.639],
  [112.9, -7.639], [112.9, -7.641]]]}},
{"type": "Feature",
 "properties": {"role": "bin", "id": "bin-001", "name_id": "Satu", "name_en": "One", "accuracy_m": 1,
  "source": "test",
  "volume_l": 120, "waste_kind": "mixed",
  "empty_mm": 980,
  "full_mm": 240},
 "geometry": {"type": "Point", "coordinates": [112.8995, -7.64]}},
{"type": "Feature",
 "properties": {"role": "bin", "id": "bin-002", "name_id": "Dua", "name_en": "Two", "accuracy_m": 1,
  "source": "test",
  "volume_l": 240, "waste_kind": "organic",
  "empty_mm": 1120, "full_mm": 260,
  "service_hours": ["05:00-07:00", "22:00-02:00"]},
 "geometry": {"type": "Point", "coordinates": [112.9005, -7.64]}},
{"type": "Feature",
 "properties": {"role": "air", "id": "air-01", "name_id": "Udara", "name_en": "Air", "accuracy_m": 1,
  "source": "test", "height_m": 3},
 "geometry": {"type": "Point", "coordinates": [112.9004, -7.64]}},
{"type": "Feature",
 "properties": {"role": "path", "id": "path-1", "name_id": "Jalur", "name_en": "Path", "accuracy_m": 1,
  "source": "test"},
 "geometry": {"type": "LineString", "coordinates": [[112.8995, -7.64], [112.9, -7.64], [112.9005, -7.64]]}},
{"type": "Feature",
 "properties": {"role": "depot", "id": "depot", "name_id": "Pos", "name_en": "Depot", "accuracy_m": 1,
  "source": "test"},
 "geometry": {"type": "Point", "coordinates": [112.9, -7.64]}}
]}
"""
TEXTS = {"site.toml": SITE, "plan.geojson": PLAN, "crews.toml": CREWS, "devices.toml": DEVICES}


def write_site(folder: Path, *edits: tuple[str, str, str]) -> Path:
    """Write the small site with edits (file, old text, new text); each old text MUST occur."""
    texts = dict(TEXTS)
    for name, old, new in edits:
        assert old in texts[name], (name, old)
        texts[name] = texts[name].replace(old, new, 1)
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def line_of(folder: Path, name: str, text: str, occurrence: int = 1) -> int:
    """1-based line of the n-th occurrence of a text in a file."""
    lines = [i for i, line in enumerate((folder / name).read_text().splitlines(), 1) if text in line]
    return lines[occurrence - 1]
