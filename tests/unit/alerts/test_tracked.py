"""One asset as the engine tracks it, from readings to the row that is stored and back."""

import msgspec

from alerts.domain.policy import Policy
from alerts.plan import AssetPlan
from alerts.tracked import Tracked
from square.calendar import ServiceHours
from tests.unit.alerts.readings import CENTRE, SITE, T0_MS, bin_reading

POLICY = Policy()
PLAN = AssetPlan("bin-001", "bin", CENTRE, "rsk-001", 600, ServiceHours())


def test_a_stuck_sensor_is_stored_as_such_and_stays_so_over_a_restart() -> None:
    """The row says stuck without a fill; who restores it goes on counting where the other stopped."""
    tracked = Tracked(PLAN, T0_MS)
    for k in range(145):
        reading = bin_reading(10 * k, 90.0)
        tracked.take(msgspec.structs.replace(reading, values={**reading.values, "distance_mm": 280.0}), T0_MS, POLICY)
        if k == 143:
            tracked.evaluate(POLICY)
            before = tracked.row(SITE, T0_MS)
            restored = Tracked(PLAN, T0_MS)
            restored.restore(before, {}, POLICY)
            assert (before["state"], before["level"], before["values"]["fill_pct"]) == ("ok", "full", 90.0)
    restored.take(msgspec.structs.replace(reading, values={**reading.values, "distance_mm": 280.0}), T0_MS, POLICY)
    for one in (tracked, restored):
        faults = [verdict.detail["state"] for verdict in one.evaluate(POLICY) if verdict.rule == "fault"]
        row = one.row(SITE, T0_MS)
        assert (row["state"], row["level"], row["full_at_ms"], faults) == ("stuck", "unknown", None, ["stuck"])
        assert "fill_pct" not in row["values"]
        assert one.fill_pct is None
