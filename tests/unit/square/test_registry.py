"""The registry: which device sits on which asset."""

import pytest

from square.errors import SiteError
from square.registry import Registry
from square.site import load_site
from tests.unit.square.small_site import write_site


@pytest.fixture
def registry(tmp_path):
    return Registry.load(write_site(tmp_path / "small"))


def test_placement_gives_asset_zone_kind_interval(registry):
    """An active device leads to its asset, zone, kind and interval."""
    placement = registry.placement("rsk-b002")
    assert (placement.asset.id, placement.zone, placement.kind, placement.device.interval_s) == (
        "bin-002", "zone-east", "bin", 60,
    )  # fmt: skip
    assert registry.site == "small"


@pytest.mark.parametrize("device_id", ["rsk-b000", "rsk-b009", "rsk-b404", ""])
def test_placement_none_for_devices_that_are_not_listened_to(registry, device_id):
    """Retired, spare and unknown devices have no placement."""
    assert registry.placement(device_id) is None


def test_device_knows_every_status(registry):
    """A retired or spare device is still known as such; an unknown one is not."""
    assert registry.device("rsk-b000").status == "retired"
    assert registry.device("rsk-b009").status == "spare"
    assert registry.device("rsk-b404") is None
    assert len(registry) == 5
    assert [d.id for d in registry] == ["rsk-b001", "rsk-b002", "rsk-a01", "rsk-b000", "rsk-b009"]


def test_placement_of_inverts_placement():
    """On the shipped square asset -> device -> asset is the identity for every asset."""
    site = load_site("alun-alun-pasuruan")
    registry = Registry.from_site(site)
    assert {p.asset.id for p in registry.placements()} == set(site.assets)
    for asset_id in site.assets:
        placement = registry.placement_of(asset_id)
        assert registry.placement(placement.device.id).asset.id == asset_id


def test_placement_of_an_asset_without_device(tmp_path):
    """A bin whose sensor is in repair has no placement, and its device none either."""
    folder = write_site(tmp_path / "small", ("devices.toml", 'interval_s = 60\nstatus = "active"', 'status = "repair"'))
    registry = Registry.load(folder)
    assert registry.placement_of("bin-002") is None
    assert registry.placement("rsk-b002") is None


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('asset = "bin-002"', 'asset = "bin-777"', 11),
        ('status = "retired"', 'status = "active"', 26),
        ('id = "rsk-b009"', 'id = "rsk-a01"', 31),
    ],
    ids=["unknown-asset", "asset-used-twice", "repeated-id"],
)
def test_load_refuses_unknown_and_repeated(tmp_path, old, new, line):
    """Unknown asset, two active devices on one asset and a repeated id are refused with file and line."""
    with pytest.raises(SiteError) as caught:
        Registry.load(write_site(tmp_path / "small", ("devices.toml", old, new)))
    assert (caught.value.file.name, caught.value.line) == ("devices.toml", line)


def test_a_sensor_of_another_make_is_found_by_the_identity_of_its_maker(tmp_path):
    """The identity leads to the device and its codec; ids of ours and retired sensors are no such identity."""
    folder = write_site(tmp_path / "small")
    file = folder / "devices.toml"
    text = file.read_text()
    old = 'id = "rsk-b000"\n'
    text = text.replace(old, old + 'foreign = "70b3d57ed0000000"\ncodec = "senml"\n')
    text = text.replace(
        'id = "rsk-b002"\n', 'id = "rsk-b002"\nforeign = "70b3d57ed0001234"\ncodec = "dragino-ldds75"\n'
    )
    file.write_text(text)
    registry = Registry.load(folder)
    placement = registry.placement_of_foreign("70b3d57ed0001234")
    assert (placement.device.id, placement.device.codec, placement.asset.id) == (
        "rsk-b002",
        "dragino-ldds75",
        "bin-002",
    )
    assert registry.placement_of_foreign("rsk-b001") is None
    assert registry.placement_of_foreign("70b3d57ed0000000") is None
    assert registry.device("rsk-b001").codec is None
