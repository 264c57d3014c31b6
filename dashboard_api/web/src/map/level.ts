// What a bin looks like, decided in one place for the map, the list, the legend and the charts.
// The rule behind it: what we do not know is grey. A level is only shown as a level while the
// reading behind it is fresh and the sensor says "ok".

import type { AirState, BinState } from "../api/types";

export type Look = "empty" | "half" | "filling" | "full" | "overflow" | "stale" | "silent" | "unknown" | "fault";
export type Fault = "obstructed" | "lid-open" | "tilted" | "water" | "no-echo" | "sensor-fault" | "stuck";

export const FAULTS: readonly Fault[] = ["obstructed", "lid-open", "tilted", "water", "no-echo", "sensor-fault", "stuck"];

export interface BinStyle {
  look: Look;
  fault: Fault | null;
  /** Gauge height in steps of 5 %; 0 when nothing may be claimed about the fill. */
  bucketPct: number;
  /** Forecast ring in sixths of a turn: 0 = none, 6 = full within half an hour. */
  ring: number;
}

/** Without news for this long, a value shown while the connection is lost counts as stale [ms of square time]: two reports of a bin. */
export const STALE_AFTER_MS = 20 * 60_000;

const HOUR_MS = 3_600_000;

/** True when the server says so, or when the connection is lost and the value has aged past the limit here. */
export function isStale(state: { ts_ms: number | null; stale: boolean }, nowMs: number, isLive: boolean, limitMs = STALE_AFTER_MS): boolean {
  return state.stale || (!isLive && state.ts_ms !== null && nowMs - state.ts_ms > limitMs);
}

/** How far the forecast ring is closed. Sooner is longer. */
export function ringSixths(fullAtMs: number | null, nowMs: number): number {
  if (fullAtMs === null) return 0;
  const hours = (fullAtMs - nowMs) / HOUR_MS;
  if (hours <= 0.5) return 6;
  if (hours <= 1) return 5;
  if (hours <= 2) return 4;
  if (hours <= 3) return 3;
  if (hours <= 5) return 2;
  if (hours <= 8) return 1;
  return 0;
}

export function binStyle(bin: BinState, nowMs: number, isLive: boolean, limitMs = STALE_AFTER_MS): BinStyle {
  const blank = { fault: null, bucketPct: 0, ring: 0 };
  if (bin.ts_ms === null) return { ...blank, look: "unknown" };
  if (bin.silent) return { ...blank, look: "silent" };
  const bucketPct = bin.fill_pct === null ? 0 : Math.max(0, Math.min(100, Math.round(bin.fill_pct / 5) * 5));
  if (isStale(bin, nowMs, isLive, limitMs)) return { ...blank, look: "stale" };
  // A heap above the rim blinds the sensor: the server says overflow, without a number.
  const isHeaped = bin.state === "obstructed" && bin.level === "overflow" && bin.fill_pct === null;
  if (isHeaped) return { look: "overflow", fault: null, bucketPct: 100, ring: 0 };
  if (bin.state !== null && bin.state !== "ok") {
    const fault = FAULTS.find((known) => known === bin.state) ?? "sensor-fault";
    return { ...blank, look: "fault", fault };
  }
  if (bin.fill_pct === null || bin.level === "unknown") return { ...blank, look: "unknown" };
  const isDue = bin.level === "full" || bin.level === "overflow";
  return { look: bin.level, fault: null, bucketPct, ring: isDue ? 0 : ringSixths(bin.full_at_ms, nowMs) };
}

/** Name of the sprite of a style; equal styles share a sprite. */
export function spriteName(style: BinStyle): string {
  return `bin/${style.look}/${style.fault ?? "-"}/${style.bucketPct}/${style.ring}`;
}

/** Order of concern, highest first; also the drawing order, so that a full bin is never under an empty one. */
const CONCERN: Record<Look, number> = { overflow: 8, full: 7, fault: 6, filling: 5, silent: 4, stale: 3, unknown: 2, half: 1, empty: 0 };
export const concern = (look: Look): number => CONCERN[look];

/** The five classes of the regulation; `pending` = heard, but no 24 h mean yet; `unknown` = not heard. */
export type AirCategory = "baik" | "sedang" | "tidak-sehat" | "sangat-tidak-sehat" | "berbahaya" | "pending" | "unknown";

/** Category word of the server, in any spelling, as one of ours; by index when the word is missing (P.14/2020 bounds). */
export function airCategory(air: AirState, nowMs: number, isLive: boolean): AirCategory {
  if (air.ts_ms === null || air.silent || isStale(air, nowMs, isLive)) return "unknown";
  const word = (air.ispu_category ?? "").trim().toLowerCase().replace(/[\s_]+/g, "-");
  if (word === "baik" || word === "sedang" || word === "tidak-sehat" || word === "sangat-tidak-sehat" || word === "berbahaya") return word;
  if (air.ispu === null) return "pending";
  if (air.ispu <= 50) return "baik";
  if (air.ispu <= 100) return "sedang";
  if (air.ispu <= 200) return "tidak-sehat";
  if (air.ispu <= 300) return "sangat-tidak-sehat";
  return "berbahaya";
}
