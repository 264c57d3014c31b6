"""What stalls throw away, and when."""

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from simulators.chance import stream
from simulators.demand import Demand, value
from simulators.ground import Ground
from simulators.places import PLACE_KINDS, Places
from simulators.scenario_sections import Quiet, Visits
from simulators.stalls import MIX, PARAMETERS, Litter, Stalls
from simulators.waste import KINDS
from square.occasions import Occasions
from tests.unit.simulators.wide_site import shipped


@pytest.fixture(scope="module")
def places() -> Places:
    return Places.of(Ground.of(shipped()))


def hour_of(text: str) -> int:
    return int(datetime.fromisoformat(f"{text}+07:00").timestamp() // 3600)


def items(text: str, *, rain_mmph: float = 0.0, visits: Visits | None = None) -> np.ndarray:
    """Return the expected items of one stall in each minute of an hour."""
    demand = Demand(shipped(), Occasions(), visits or Visits(), lambda _at_s: rain_mmph)
    return demand.stall_items(hour_of(text))


def draw(places: Places, per_minute: np.ndarray, seed: int = 1) -> Litter:
    return Stalls(places).draw(stream(seed, "test"), per_minute)


def test_stalls_sell_in_their_hours_and_tidy_up_after_them():
    """Nothing at night; scraps by day and evening; a burst after 15:00 and after 23:00."""
    assert items("2026-11-24T04:00").sum() == 0
    assert items("2026-11-24T10:00").sum() == pytest.approx(value("stall_items"))
    assert items("2026-11-24T19:00").sum() == pytest.approx(value("stall_items"))
    closing = items("2026-11-24T15:00")
    assert closing.sum() == pytest.approx(value("stall_items") + value("stall_closing_items"))
    assert closing[:20].mean() > 5 * closing[20:].mean()
    assert items("2026-11-24T23:00").sum() == pytest.approx(value("stall_closing_items"))


def test_ramadan_rain_and_a_closed_square_mean_less():
    """Few hawkers on a day of fasting, as many vendors in the evening; little is sold in the rain; none when closed."""
    assert items("2027-03-01T10:00").sum() == pytest.approx(value("ramadan_day_factor") * value("stall_items"))
    assert items("2027-03-01T19:00").sum() == pytest.approx(value("stall_items"))
    assert items("2026-11-24T10:00", rain_mmph=20.0).sum() < 0.2 * value("stall_items")
    assert items("2026-11-24T10:00", visits=Visits(quiet=(Quiet(0.0, 4e9, 0.0),))).sum() == 0
    assert items("2026-11-24T10:00", visits=Visits(per_day_factor=0.5)).sum() == pytest.approx(value("stall_items") / 2)
    assert items("2026-11-24T10:00", visits=Visits(per_day_factor=9.0)).sum() == pytest.approx(value("stall_items"))


def test_what_is_drawn_is_what_is_expected(places):
    """Number, kinds and places: near the food places, by the mix, the expected number within 4 standard errors."""
    drawn = draw(places, np.full(60, 100.0))
    stalls = PARAMETERS["stalls_per_place"].value * (places.kind == PLACE_KINDS.index("food")).sum()
    expected = stalls * 6000.0
    assert abs(len(drawn.second) - expected) < 4 * np.sqrt(expected)
    shares = np.bincount(drawn.kind, minlength=len(KINDS)) / len(drawn.kind)
    mix = np.array([MIX.get(kind.name, 0.0) for kind in KINDS])
    assert shares == pytest.approx(mix / mix.sum(), abs=0.01)
    assert set(drawn.point.tolist()) <= set(places.spots[places.kind == PLACE_KINDS.index("food")].ravel().tolist())
    assert (np.diff(drawn.second) >= 0).all()
    assert 0 <= drawn.second[0] <= drawn.second[-1] < 3600
    assert drawn.mass_mg.min() >= 1


def test_no_stall_throws_nothing(places):
    """An hour without selling is legal, and so is a square where nobody sells."""
    assert len(draw(places, np.zeros(60)).second) == 0
    hungry = replace(places, kind=np.zeros_like(places.kind))
    assert len(draw(hungry, np.full(60, 5.0)).second) == 0
