import type { BinState, Incident, Shift, Task } from "../src/api/types";
import type { Present } from "../src/words/sentences";

/** Tuesday 24 November 2026, 16:20:00 WIB. */
export const NOW_MS = Date.UTC(2026, 10, 24, 9, 20, 0);
export const MINUTE_MS = 60_000;
export const HOUR_MS = 3_600_000;

export const SHIFTS: Shift[] = [
  { id: "pagi", name_id: "Pagi", name_en: "Morning", start: "04:30", end: "11:30" },
  { id: "siang", name_id: "Siang", name_en: "Afternoon", start: "11:30", end: "18:00" },
];

export const present = (nowMs = NOW_MS, isLive = true): Present => ({ nowMs, timeZone: "Asia/Jakarta", isLive, shifts: SHIFTS });

/** A bin that was heard two minutes ago and is 40 % full. */
export function bin(changes: Partial<BinState> = {}): BinState {
  return {
    asset_id: "bin-001",
    device_id: "rsk-b001",
    ts_ms: NOW_MS - 2 * MINUTE_MS,
    fill_pct: 40,
    level: "empty",
    state: "ok",
    silent: false,
    stale: false,
    battery_mv: 3700,
    temp_c: 31,
    quality: 4,
    flags: 0,
    fill_rate_pct_h: 5,
    full_at_ms: null,
    full_at_p10_ms: null,
    full_at_p90_ms: null,
    emptied_at_ms: null,
    ...changes,
  };
}

export function task(changes: Partial<Task> = {}): Task {
  return {
    id: 1,
    incident_id: 1,
    asset_id: "bin-001",
    kind: "empty",
    state: "open",
    crew_id: null,
    created_ms: NOW_MS - HOUR_MS,
    assigned_ms: null,
    accepted_ms: null,
    claimed_ms: null,
    closed_ms: null,
    due_ms: null,
    waiting_reason: null,
    fill_before_pct: null,
    fill_after_pct: null,
    ...changes,
  };
}

export function incident(changes: Partial<Incident> = {}): Incident {
  return {
    id: 1,
    asset_id: "bin-001",
    rule: "full",
    severity: "high",
    state: "open",
    opened_ms: NOW_MS - HOUR_MS,
    acked_ms: null,
    acked_by: null,
    closed_ms: null,
    detail: {},
    ...changes,
  };
}
