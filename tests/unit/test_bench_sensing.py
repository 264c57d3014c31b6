"""The bench of the sensors counts what it says."""

import pytest

from bench.sensing import Seen, main, report


def test_bands_and_figures_are_those_of_the_readings():
    """Three readings: bias of all (1 - 2 + 4) / 3 = 1.0; the band from 75 has the one that is 4 too high."""
    seen = Seen(true_pct=[10.0, 30.0, 80.0], error_pct=[1.0, -2.0, 4.0])
    seen.states.update({"ok": 3, "no-echo": 1})
    text = report("x", seen).splitlines()
    assert text[0] == "x: 4 readings; ok 75.0 %, no-echo 25.0 %"
    assert text[2].split() == ["0", "to", "120", "3", "1.0", "2.4", "3.8"]
    assert text[-1].split() == ["75", "to", "120", "1", "4.0", "0.0", "4.0"]
    assert seen.within(50, 75).size == 0


@pytest.mark.parametrize("scenario", ["vandal-night"])
def test_it_runs_on_a_scenario_with_faults(capsys, scenario):
    """Half an hour gives three rounds of 48 readings, and the costs."""
    main([scenario, "--hours", "0.5"])
    text = capsys.readouterr().out
    assert f"{scenario}: 144 readings" in text
    assert "alone: " in text
