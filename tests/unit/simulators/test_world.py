"""The shipped site as a world: every kind of place is known, sensors follow the truth, time may jump."""

import asyncio
from dataclasses import replace

import pytest

from firmware import wire
from simulators.scenario import load_scenario
from simulators.scenario_sections import MishapRates, PlannedMishap, Visits, WeatherOverrides
from simulators.service import Simulator, read_passwords
from simulators.settings import SimulatorSettings
from simulators.world import CATCH_UP_MAX_S, World
from square.clock import FixedClock
from square.errors import SettingsError
from square.geometry import fill_pct_of
from square.registry import Registry
from square.settings import load_settings
from square.site import load_site

SITE = load_site("alun-alun-pasuruan")
REGISTRY = Registry.from_site(SITE)
NOW_S = 1_795_500_000.0


def world(**options) -> World:
    options = {"seed": 3, "start_s": NOW_S, "initial_fill_pct": (5, 75)} | options
    return World(SITE, **options)


def test_sensors_see_the_true_fill():
    """Fill computed from the echo is near the truth for every bin: rarely lower, since the nearest thing answers."""
    square = world()
    errors = []
    for placement in REGISTRY.placements():
        if placement.kind != "bin":
            continue
        reading = square.sense(placement)(NOW_S)
        wire.decode_reading("bin", {"seq": 1, "ts": 1, **reading})
        if "distance_mm" in reading:
            seen = fill_pct_of(placement.asset, reading["distance_mm"])
            errors.append(seen - square.model.fill_of(placement.asset.id))
    assert len(errors) > 40
    assert -6 < min(errors) < max(errors) < 14
    assert 0 < sum(errors) / len(errors) < 6


def test_emptying_reaches_the_sensor():
    """After a crew emptied a bin its sensor reads near empty; an unknown bin is survived."""
    square = world(initial_fill_pct=(90, 95))
    placement = next(p for p in REGISTRY.placements() if p.kind == "bin")
    sense = square.sense(placement)
    assert square.empty(placement.asset.id, NOW_S) > 0
    assert fill_pct_of(placement.asset, sense(NOW_S)["distance_mm"]) < 10
    assert square.empty("bin-nowhere", NOW_S) is None
    assert square.emptied == 1
    square.advance(NOW_S + 60)
    assert [(e.kind, e.target) for e in square.happened if e.kind == "emptied"] == [("emptied", placement.asset.id)]


def test_sweeping_reaches_the_ground():
    """After a crew swept a zone no litter lies there; an unknown zone is survived."""
    square = world(initial_fill_pct=(112, 112))
    square.advance(NOW_S + 4 * 3600)
    dirtiest = int(square.model.litter_l.argmax())
    assert square.sweep(square.model.zones[dirtiest], NOW_S + 4 * 3600) > 0
    assert square.model.litter_l[dirtiest] == 0
    assert square.sweep("zona-nowhere", NOW_S + 4 * 3600) is None


def test_a_scenario_changes_the_square():
    """The crowd, weather and mishaps of a scenario are those of the world; its official dates count."""
    scenario = replace(
        load_scenario("quiet-tuesday"),
        visits=Visits(per_day_factor=20.0),
        weather=WeatherOverrides(is_dry=True, temp_shift_c=5.0),
        mishaps=MishapRates(planned=(PlannedMishap(NOW_S + 90, "tipped", SITE.bins[0].id),)),
    )
    busy, quiet = (world(scenario=one, initial_fill_pct=(0, 0)) for one in (scenario, None))
    for square in (busy, quiet):
        square.advance(NOW_S + 3600)
    assert busy.model.totals.generated_mg > 5 * quiet.model.totals.generated_mg
    assert busy.model.weather.at(NOW_S).temp_c == pytest.approx(quiet.model.weather.at(NOW_S).temp_c + 5, abs=0.01)
    assert ("tipped", SITE.bins[0].id) in [(e.kind, e.target) for e in busy.happened]
    assert busy.model.bin_truth(0).tilted_deg == 90


def test_a_day_fills_the_square_without_losing_a_milligram():
    """Over a day of the shipped site bins fill, and the balance of waste is exact."""
    square = world(initial_fill_pct=(0, 0))
    square.advance(NOW_S + 86_400)
    totals = square.model.totals
    assert totals.generated_mg == sum(totals[1:])
    assert totals.in_bins_mg > 20_000_000


def test_clock_jumps_are_bounded():
    """Backwards moves the world without waste; far ahead lives only the last week."""
    square = world()
    before = square.model.totals
    square.advance(NOW_S - 1e6)
    assert square.model.totals == before
    square.advance(NOW_S + 400 * 86_400)
    visitors_kg = (square.model.totals.generated_mg - before.generated_mg) / 1e6
    assert 0 < visitors_kg < CATCH_UP_MAX_S / 86_400 * 500


def settings(tmp_path, **options) -> SimulatorSettings:
    return load_settings(SimulatorSettings, "simulator", None, state_file=tmp_path / "world.json", **options)


def test_world_and_unacked_readings_survive_a_restart(tmp_path):
    """Fill levels, settled claims and un-acknowledged readings come back; boots are new."""
    first = Simulator(settings(tmp_path), SITE, FixedClock(NOW_S))
    runner = next(iter(first.fleet.runners.values()))
    runner.node.measure(NOW_S)
    first.claims.take([{"id": 5, "asset_id": SITE.bins[0].id, "claimed_ms": int(NOW_S * 1000)}])
    first.save()
    second = Simulator(settings(tmp_path), SITE, FixedClock(NOW_S + 100))
    again = second.fleet.runners[runner.node.identity.device_id].node
    assert again.queue.save() == runner.node.queue.save()
    assert again.boot != runner.node.boot
    assert second.world.model.snapshot() == first.world.model.snapshot()
    assert second.world.emptied == 1
    assert second.claims.take([{"id": 5, "asset_id": SITE.bins[0].id, "claimed_ms": int(NOW_S * 1000)}]) == 0


OLD_STATES = ("", "[]", '{"version": 99}', '{"version": 1, "world": {}}', '{"version": 2, "world": {}}')


@pytest.mark.parametrize("text", OLD_STATES)
def test_a_damaged_state_is_a_clear_error(tmp_path, text):
    """A state file that is no world of this version names itself and the remedy; it is not overwritten."""
    (tmp_path / "world.json").write_text(text)
    with pytest.raises(SettingsError, match="move it away"):
        Simulator(settings(tmp_path), SITE, FixedClock(NOW_S))
    assert (tmp_path / "world.json").read_text() == text


def test_passwords_come_from_one_file_each(tmp_path):
    """A missing or empty secret names the device; no folder means no users."""
    (tmp_path / "rsk-b001").write_text("word\n")
    (tmp_path / "rsk-b002").write_text("\n")
    assert read_passwords(tmp_path, ["rsk-b001"]) == {"rsk-b001": "word"}
    assert read_passwords(None, ["rsk-b001"]) == {}
    for missing in ("rsk-b002", "rsk-b003"):
        with pytest.raises(SettingsError, match=missing):
            read_passwords(tmp_path, [missing])


def test_crew_links_are_waited_for(tmp_path, caplog):
    """A links file that is missing, half written or empty is not there yet; each fault of it is logged once."""
    path = tmp_path / "links.json"
    square = Simulator(settings(tmp_path), SITE, FixedClock(NOW_S))
    assert square.links(path) == {}
    for text, lines in (('{"a": ', 1), ("{}", 1), ("[]", 2), ('{"a": 5}', 2)):
        path.write_text(text)
        for _ in range(3):
            assert square.links(path) == {}
        assert len(caplog.records) == lines
    path.write_text('{"pagi-1": "t0ken"}')
    assert square.links(path) == {"pagi-1": "t0ken"}


def test_fill_range_must_be_ordered(tmp_path):
    """A first fill range upside down is refused with a sentence."""
    with pytest.raises(SettingsError, match="initial_fill_min_pct"):
        settings(tmp_path, initial_fill_min_pct=80, initial_fill_max_pct=20)


def test_health_counts_what_conservation_needs(tmp_path):
    """The health page has made, published, acked, waiting and bins_emptied, and they add up."""
    simulator = Simulator(settings(tmp_path), SITE, FixedClock(NOW_S))
    for runner in simulator.fleet.runners.values():
        runner.node.measure(NOW_S)
    counts = simulator.health().counts
    assert counts["made"] == counts["nodes"] == len(REGISTRY.placements())
    assert counts["made"] == counts["acked"] + counts["waiting"] + counts["dropped"]
    assert counts["published"] == counts["bins_emptied"] == 0


def test_crews_begin_again_when_their_links_change(tmp_path, monkeypatch):
    """Links that appear late are taken, and links that were replaced are used from then on."""
    from simulators import service

    tokens, clients, left_open = [], [], []

    class Pages:
        def __init__(self, client):
            assert str(client.base_url) == "http://office"
            left_open.extend(earlier for earlier in clients if not earlier.is_closed)
            clients.append(client)

        async def page(self, token):
            tokens.append(token)
            return {"crew": {}, "tasks": []}

    monkeypatch.setattr(service, "CrewApi", Pages)
    monkeypatch.setattr(service, "LOOK_AT_LINKS_S", 0.01)
    path = tmp_path / "links.json"
    simulator = Simulator(settings(tmp_path, api_url="http://office", crew_links_file=path), SITE, FixedClock(NOW_S))

    async def until(token):
        for _ in range(300):
            if token in tokens:
                return
            await asyncio.sleep(0.01)
        pytest.fail(f"{token} was never used: {tokens}")

    async def scenario():
        crews = asyncio.create_task(simulator._crews())
        await asyncio.sleep(0.05)
        assert tokens == []
        path.write_text('{"pagi-1": "first"}')
        await until("first")
        path.write_text('{"pagi-1": "second"}')
        await until("second")
        crews.cancel()
        await asyncio.gather(crews, return_exceptions=True)

    asyncio.run(scenario())
    assert left_open == []
    assert [client.is_closed for client in clients] == [True, True]
