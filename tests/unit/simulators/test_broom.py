"""Idle crews sweep: the zone that waits longest, one crew a zone, again after some hours."""

import pytest

from simulators.broom import Broom
from square.site import load_site

SITE = load_site("alun-alun-pasuruan")
MORNING_S = 1_795_482_000.0
"""2026-11-24 08:00 at the square, when every zone may be worked in."""


def make_broom(litter_l=0.0):
    swept = []

    def sweep(zone):
        swept.append(zone)
        return 7.0

    return Broom(SITE, sweep, lambda _zone: litter_l), swept


def test_every_zone_gets_its_turn_and_then_rests():
    """As many zones as the site has, each once; nothing more for three hours, then the first again."""
    broom, swept = make_broom()
    for number in range(len(SITE.zones)):
        zone = broom.take(MORNING_S)
        assert broom.done(zone, MORNING_S + number) == 7.0
    assert swept == [zone.id for zone in SITE.zones]
    assert broom.take(MORNING_S + 3 * 3600 - 1) is None
    assert broom.take(MORNING_S + 3 * 3600) == SITE.zones[0].id


def test_nobody_sweeps_where_work_is_not_allowed():
    """At noon people pray before the mosque: its zones wait, the others do not."""
    broom, _ = make_broom()
    noon_s = MORNING_S + 4 * 3600
    zones = [zone for _ in SITE.zones if (zone := broom.take(noon_s)) is not None]
    closed = {zone.id for zone in SITE.zones if not zone.hours.is_allowed(noon_s, SITE.zone_info)}
    assert closed
    assert set(zones) == {zone.id for zone in SITE.zones} - closed


def test_two_crews_do_not_sweep_one_zone():
    """What is in hand is not given out again, until it is left."""
    broom, swept = make_broom()
    first, second = broom.take(MORNING_S), broom.take(MORNING_S)
    assert first != second
    broom.leave(first)
    assert broom.take(MORNING_S) == first
    assert swept == []


def test_more_litter_takes_longer_up_to_a_limit():
    """Four minutes for a clean zone, four seconds more a litre, never more than 45 minutes."""
    clean, dirty, awful = (make_broom(litter_l)[0].work_s("zona-tugu") for litter_l in (0.0, 30.0, 10_000.0))
    assert (clean, dirty, awful) == (240, 360, 2700)


@pytest.mark.parametrize("zone", [zone.id for zone in SITE.zones])
def test_a_zone_lies_on_the_square(zone):
    """The place of a zone is within 400 m of the depot."""
    broom, _ = make_broom()
    assert SITE.frame.distance_m(broom.place(zone), SITE.depot.lonlat) < 400
