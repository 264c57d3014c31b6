"""One asset as the engine tracks it: the pure estimators joined to the row that is stored and shown."""

from typing import Any

import msgspec

from alerts.domain import air, estimate
from alerts.domain.estimate import Key
from alerts.domain.policy import Policy
from alerts.domain.rules import Verdict, air_verdicts, bin_verdicts
from alerts.plan import AssetPlan
from alerts.views import View, air_view, bin_view, unheard
from ingest.readings import Reading
from square.intervals import expected_interval_s

Row = dict[str, Any]


class _Kept(msgspec.Struct):
    """What is stored of a tracked asset beside its columns."""

    expected_from_ms: int
    newest: Key | None
    is_late: bool
    bin: estimate.BinMemory | None = None
    air_newest: Key | None = None
    air_state: str = "ok"


class Tracked:
    """One asset: takes readings, answers with its row and with what the rules say.

    Parameters
    ----------
    plan : AssetPlan
        The asset.
    expected_from_ms : int
        When it became part of the plan [ms]: an asset that never reports is silent from then on.
    """

    def __init__(self, plan: AssetPlan, expected_from_ms: int) -> None:
        self.plan = plan
        self.expected_from_ms = expected_from_ms
        self.newest: Key | None = None
        self.is_late = False
        """Whether the newest reading was already old when it came: it opens no work."""
        self.is_silent = False
        self.announced_s: int | None = None
        """Interval that its device announced last [s]."""
        self.dirty_hours: set[int] = set()
        self.estimate: estimate.BinEstimate | None = None
        self._values: dict[str, Any] = {}
        self._bin = estimate.BinMemory()
        self._air = air.AirMemory()
        self._air_estimate: air.AirEstimate | None = None

    # ------------------------------------------------------------------ readings

    def take(self, reading: Reading, now_ms: int, policy: Policy) -> bool:
        """Take a reading; False when it was known already or is too old to matter."""
        key: Key = (reading.ts_ms, reading.seq, reading.boot)
        if self.plan.kind == "bin":
            fill_pct, distance_mm = reading.values.get("fill_pct"), reading.values.get("distance_mm")
            sample = estimate.Sample(reading.ts_ms, reading.seq, reading.boot, fill_pct, reading.state, distance_mm)
            if not estimate.take(self._bin, sample, policy):
                return False
        else:
            hour_ms = air.take(self._air, key, reading.values, reading.state)
            if hour_ms is None:
                return False
            self.dirty_hours.add(hour_ms)
        if self.newest is None or key > self.newest:
            self.newest = key
            self.is_late = now_ms - reading.ts_ms > policy.late_s * 1000
            self._values = {**reading.values, "quality": reading.quality, "flags": reading.flags}
        return True

    def doubt(self, claimed_ms: int) -> bool:
        """Take a claim that no reading bears out; whether it changes what an obstructed sensor means."""
        if self.estimate is None or not self.estimate.is_heaped:
            return False
        estimate.doubt(self._bin, claimed_ms)
        return True

    def evaluate(self, policy: Policy) -> list[Verdict]:
        """Judge by the readings taken so far; silence is judged apart."""
        if self.plan.kind == "bin":
            self.estimate = estimate.estimate(self._bin, policy)
            return [] if self.estimate is None else bin_verdicts(self.estimate, policy)
        self._air_estimate = air.estimate(self._air, self.interval_s, policy)
        if self._air_estimate is None or self.newest is None:
            return []
        return air_verdicts(self._air_estimate, state=self._air.state, at_ms=self.newest[0], policy=policy)

    @property
    def interval_s(self) -> int:
        """By which silence and age are judged [s]."""
        return expected_interval_s(self.plan.interval_s, self.announced_s)

    @property
    def fill_pct(self) -> float | None:
        """Fill [%] that may be believed now, None without one."""
        return None if self.estimate is None else self.estimate.fill_pct

    # ------------------------------------------------------------------ rows

    def row(self, site_id: str, now_ms: int) -> Row:
        """Return the columns of ``asset_states``."""
        row: Row = {
            "site": site_id,
            **unheard(self.plan.id, self.plan.kind, self.plan.device_id),
            "silent": self.is_silent,
            "updated_ms": now_ms,
            "memory": msgspec.json.encode(self._kept()).decode(),
        }
        if self.newest is not None:
            row["ts_ms"], row["seq"] = self.newest[0], self.newest[1]
        row["values"] = self._bin_columns(row) if self.plan.kind == "bin" else self._air_columns(row)
        return row

    def _bin_columns(self, row: Row) -> dict[str, Any]:
        values = dict(self._values)
        found = self.estimate
        if found is None:
            return values
        values.pop("fill_pct", None)
        if found.fill_pct is not None:
            values["fill_pct"] = round(found.fill_pct, 1)
        row["state"], row["level"] = found.state, found.level
        row["fill_rate_pct_h"] = None if found.rate is None else round(found.rate.pct_h, 2)
        row["full_at_ms"] = found.full.at_ms
        row["full_at_p10_ms"], row["full_at_p90_ms"] = found.full.p10_ms, found.full.p90_ms
        row["emptied_at_ms"] = found.emptied_ms
        return values

    def _air_columns(self, row: Row) -> dict[str, Any]:
        values = dict(self._values)
        found = self._air_estimate
        if found is None:
            return values
        row["state"] = self._air.state
        values["mean_1h_pm25_ugm3"] = _rounded(found.mean_1h_pm25_ugm3)
        values["mean_24h_pm25_ugm3"] = _rounded(found.mean_24h_pm25_ugm3)
        values["mean_24h_pm10_ugm3"] = _rounded(found.mean_24h_pm10_ugm3)
        if found.index is not None:
            values["ispu"] = round(found.index.value)
            values["ispu_category"] = found.index.category
            values["ispu_parameter"] = found.index.parameter
        return values

    def view(self, row: Row, now_ms: int) -> View:
        """Return the object that the map gets."""
        shape = bin_view if self.plan.kind == "bin" else air_view
        return shape(row, self.interval_s, now_ms)

    def take_dirty_hours(self, site_id: str) -> list[Row]:
        """Return the rows of ``air_hours`` that changed, and forget that they did."""
        rows = [
            {
                "site": site_id,
                "asset_id": self.plan.id,
                "hour_ms": hour_ms,
                "data": msgspec.json.encode(self._air.hours[hour_ms]).decode(),
            }
            for hour_ms in sorted(self.dirty_hours)
            if hour_ms in self._air.hours
        ]
        self.dirty_hours.clear()
        return rows

    # ------------------------------------------------------------------ memory

    def _kept(self) -> _Kept:
        kept = _Kept(self.expected_from_ms, self.newest, self.is_late)
        if self.plan.kind == "bin":
            kept.bin = self._bin
        else:
            kept.air_newest, kept.air_state = self._air.newest, self._air.state
        return kept

    def restore(self, row: Row, hours: dict[int, str], policy: Policy) -> None:
        """Go on from stored columns and hourly sums."""
        kept = msgspec.json.decode(row["memory"], type=_Kept)
        self.expected_from_ms, self.newest, self.is_late = kept.expected_from_ms, kept.newest, kept.is_late
        self.is_silent = bool(row["silent"])
        self._values = row["values"]
        if kept.bin is not None:
            self._bin = kept.bin
        self._air = air.AirMemory(
            newest=kept.air_newest,
            state=kept.air_state,
            hours={hour_ms: msgspec.json.decode(data, type=air.Hour) for hour_ms, data in hours.items()},
        )
        self.evaluate(policy)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
