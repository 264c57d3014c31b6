"""The simulator as a service: what its settings say together, before anything starts."""

import pytest

import square.site
from simulators.crew import Task
from simulators.errors import ScenarioError
from simulators.real_site import build_fleet_site
from simulators.scenario import load_scenario
from simulators.service import Simulator, run
from simulators.settings import SimulatorSettings
from square.clock import FixedClock
from square.errors import SettingsError
from square.site import load_site

SITE = load_site("alun-alun-pasuruan")


def simulator(tmp_path, **settings):
    scenario = load_scenario("tired-crews")
    return Simulator(
        SimulatorSettings(scenario="tired-crews", state_file=tmp_path / "world.json", **settings),
        SITE,
        FixedClock(scenario.start_s),
    )


def test_a_scenario_of_another_site_is_refused(tmp_path):
    """Its bins and crews would not be there: one sentence names both sites."""
    other = build_fleet_site(tmp_path / "site", 3, interval_s=600)
    with pytest.raises(SettingsError, match=r"alun-alun-pasuruan.*set the same"):
        run(SimulatorSettings(site=str(other), scenario="quiet-tuesday"))


def test_a_scenario_that_does_not_exist_is_refused():
    """As at the command line."""
    with pytest.raises(ScenarioError):
        run(SimulatorSettings(scenario="no-such"))


def test_the_site_of_a_scenario_is_read_once(tmp_path, monkeypatch):
    """It was read to check the scenario: nothing reads it again."""
    read = []
    real = square.site.read_site
    monkeypatch.setattr(square.site, "read_site", lambda path: read.append(path) or real(path))
    settings = SimulatorSettings(scenario="tired-crews", state_file=tmp_path / "world.json")
    Simulator(settings, SITE, FixedClock(1_795_500_000.0))
    assert len(read) == 1


def test_the_scenario_gives_the_first_fill(tmp_path):
    """A new world begins with the scenario's fill, whatever the settings' range is."""
    low, high = load_scenario("tired-crews").initial_fill_pct
    one = simulator(tmp_path, initial_fill_min_pct=99.0, initial_fill_max_pct=99.0)
    fill = one.world.model.fill_pct
    assert low - 1 <= fill.min() <= fill.max() <= high + 1


def test_a_lie_survives_a_restart(tmp_path):
    """A claim that was a lie is settled in the state: after a restart its bin is as full as before."""
    task: Task = {"id": 7, "asset_id": SITE.bins[0].id, "claimed_ms": 1}
    one = simulator(tmp_path)
    before = one.world.model.fill_of(SITE.bins[0].id)
    one.claims.ignore(task)
    one.save()
    again = simulator(tmp_path)
    assert again.claims.take([task]) == 0
    assert again.world.model.fill_of(SITE.bins[0].id) == before


def test_litter_is_found_by_the_zone(tmp_path):
    """What crews ask before they sweep is what lies there, and sweeping takes it."""
    one = simulator(tmp_path)
    one.world.model.advance(one.world.model.at_s + 6 * 3600)
    one._clock.set(one.world.model.at_s)
    litter = {zone.id: one._litter_l(zone.id) for zone in SITE.zones}
    assert sum(litter.values()) == pytest.approx(float(one.world.model.litter_l.sum()))
    dirtiest = max(litter, key=litter.get)
    assert litter[dirtiest] > 0
    assert one.world.sweep(dirtiest, one.world.model.at_s) == pytest.approx(litter[dirtiest])
    assert one._litter_l(dirtiest) == 0
