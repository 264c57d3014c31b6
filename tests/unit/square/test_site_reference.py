"""The shipped square against published boundaries (reference data that a clone may not have)."""

import json
import os
from pathlib import Path

import pytest

from square.geometry import contains
from square.site import load_site

REPOSITORY = Path(__file__).parents[3]
DATA = Path(os.environ.get("RESIK_REFERENCE_DATA", REPOSITORY.parent / "shared" / "data")) / "geo_pasuruan"

pytestmark = [
    pytest.mark.reference,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no boundary data in {DATA}; set RESIK_REFERENCE_DATA"),
]


def areas_at(file, name, lonlat):
    """Names of the areas of a boundary file that hold a point."""
    features = json.loads((DATA / file).read_text(encoding="utf-8"))["features"]
    return [
        f["properties"][name]
        for f in features
        for polygon in f["geometry"]["coordinates"]
        if contains([[(p[0], p[1]) for p in ring] for ring in polygon], lonlat)
    ]


@pytest.fixture(scope="module")
def site():
    return load_site("alun-alun-pasuruan")


@pytest.mark.parametrize(
    ("file", "name"), [("kelurahan_35.75.geojson", "nama"), ("kecamatan_panggungrejo_villages.geojson", "village")]
)
def test_centre_is_in_kebonsari(site, file, name):
    """Two independent boundary sets put the centre of the square into Kebonsari."""
    assert areas_at(file, name, site.centre) == ["Kebonsari"]


def test_adm4_is_the_code_of_the_centre(site):
    """The code of the site is the code of the kelurahan that holds its centre."""
    assert areas_at("kelurahan_35.75.geojson", "kode", site.centre) == [site.adm4]


def test_every_asset_is_in_kebonsari_or_its_neighbour(site):
    """No bin or station lies farther out than Kebonsari and Bangilan, whose border runs east of the square."""
    for asset in site.assets.values():
        (village,) = areas_at("kecamatan_panggungrejo_villages.geojson", "village", asset.lonlat)
        assert village in ("Kebonsari", "Bangilan"), asset.id


def test_swapped_centre_is_nowhere(site):
    """Latitude and longitude exchanged lie in no kelurahan of the city."""
    lon, lat = site.centre
    assert areas_at("kelurahan_35.75.geojson", "nama", (lat, lon)) == []
