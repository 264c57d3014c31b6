"""`resik simulate belief`: from lines of the change log to what was believed."""

from click.testing import CliRunner

from alerts.views import bin_view, unheard
from resik.cli import main
from resik.simulate_belief import beliefs


def shown(at_ms, fill_pct):
    row = {**unheard("bin-1", "bin", None), "ts_ms": at_ms, "level": "half", "values": {"fill_pct": fill_pct}}
    return {"kind": "bin", "at_ms": at_ms, "payload": bin_view(row, 60, at_ms)}


def fault(at_ms, closed_ms=None):
    payload = {"id": 4, "asset_id": "bin-1", "rule": "fault", "closed_ms": closed_ms}
    return {"kind": "incident", "at_ms": at_ms, "payload": payload}


def test_the_last_word_of_a_minute_counts():
    """Changes are folded in order; a fault lasts until it is closed, and a value ages between changes."""
    log = [shown(60_500, 50.0), shown(61_000, 55.0), fault(300_500), fault(400_000, 400_000)]
    found = [
        (at_ms, rows[0].fill_pct, rows[0].is_faulty, rows[0].is_stale) for at_ms, rows in beliefs(log, {"bin-1": 60})
    ]
    assert found == [(120_000, 55.0, False, False), (360_000, 55.0, True, True), (420_000, 55.0, False, True)]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    """One sentence and exit code 2."""
    words = ["simulate", "belief", "--data", str(tmp_path / "no"), "--out", str(tmp_path / "b")]
    found = CliRunner().invoke(main, words)
    assert (found.exit_code, "no data folder" in found.output) == (2, True)
