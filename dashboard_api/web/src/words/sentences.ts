// States as sentences. Pure: everything comes in as arguments, text goes out.

import type { AirState, BinState, Crew, Incident, Shift, Task } from "../api/types";
import type { Dictionary } from "../i18n/id";
import { type AirCategory, type BinStyle, airCategory, isStale } from "../map/level";
import { decimal, whole } from "./numbers";
import { ago, moment, nextShiftStart, span } from "./time";

const HOUR_MS = 3_600_000;
/** Below this a lithium cell has little left [mV]. */
export const BATTERY_LOW_MV = 3450;

export interface Present {
  nowMs: number;
  timeZone: string;
  isLive: boolean;
  shifts: readonly Shift[];
}

/** How much the forecast promises, from the width of its P10-P90 band. */
export function sureness(p10Ms: number | null, p90Ms: number | null): "high" | "medium" | "low" {
  if (p10Ms === null || p90Ms === null) return "low";
  const widthMs = p90Ms - p10Ms;
  if (widthMs <= HOUR_MS) return "high";
  return widthMs <= 3 * HOUR_MS ? "medium" : "low";
}

/** One word or two: "Penuh", "Tutup terbuka", "Senyap". */
export function binWord(style: BinStyle, t: Dictionary): string {
  return style.fault ? (t.fault[style.fault] ?? t.level.fault) : t.level[style.look];
}

/** The forecast alone, for a table cell: "17.40", "besok 07.10", or null when there is none. */
export function forecastWord(bin: BinState, style: BinStyle, now: Present, t: Dictionary): string | null {
  const isShown = style.look === "empty" || style.look === "half" || style.look === "filling";
  if (!isShown || bin.full_at_ms === null || bin.full_at_ms < now.nowMs) return null;
  return moment(bin.full_at_ms, now.nowMs, t, now.timeZone);
}

/** The state of a bin as one sentence. */
export function binSentence(bin: BinState, style: BinStyle, now: Present, t: Dictionary): string {
  if (bin.ts_ms === null) return bin.device_id === null ? t.bin.noDevice : t.bin.neverHeard;
  const age = ago(bin.ts_ms, now.nowMs, t);
  switch (style.look) {
    case "silent":
      return t.bin.silent(age);
    case "stale":
      return t.bin.stale(age);
    case "fault":
      return t.bin.fault(binWord(style, t));
    case "unknown":
      return t.bin.fault(t.level.unknown);
    case "overflow":
      return t.bin.overflow;
    case "full":
      return t.bin.full;
    default:
      break;
  }
  if (bin.full_at_ms === null) return t.bin.noForecast;
  const left = bin.full_at_ms - now.nowMs;
  if (left <= 0) return t.bin.fullSoon;
  if (left > 48 * HOUR_MS) return t.bin.farAway;
  return t.bin.fullAbout(moment(bin.full_at_ms, now.nowMs, t, now.timeZone), t.sure[sureness(bin.full_at_p10_ms, bin.full_at_p90_ms)]);
}

/** "Antara 16.50 dan 18.30", or null without a band. */
export function bandSentence(bin: BinState, now: Present, t: Dictionary): string | null {
  const { full_at_p10_ms: p10, full_at_p90_ms: p90 } = bin;
  if (p10 === null || p90 === null || p90 - p10 < 60_000 || p90 < now.nowMs) return null;
  return t.bin.between(moment(Math.max(p10, now.nowMs), now.nowMs, t, now.timeZone), moment(p90, now.nowMs, t, now.timeZone));
}

export function airWord(category: AirCategory, t: Dictionary): string {
  return t.air.category[category];
}

/** The word on the map. Before there is a class, the concentration itself: it is measured, an index of it would not be. */
export function airLabel(air: AirState, category: AirCategory, t: Dictionary): string {
  if (category === "pending" && air.pm25_ugm3 !== null) return `${t.air.pm25} ${t.air.ugm3(whole(air.pm25_ugm3))}`;
  return airWord(category, t);
}

export function airSentence(air: AirState, now: Present, t: Dictionary): string {
  if (air.ts_ms === null) return t.air.neverHeard;
  if (air.silent || isStale(air, now.nowMs, now.isLive)) return t.air.silent(ago(air.ts_ms, now.nowMs, t));
  const category = airCategory(air, now.nowMs, now.isLive);
  if (air.ispu === null || category === "unknown" || category === "pending") return t.air.noIspu;
  return `${t.air.ispu(whole(air.ispu), airWord(category, t))} · ${t.air.indicative}.`;
}

/** Why nobody has this task yet. */
export function waitingSentence(reason: string | null, now: Present, t: Dictionary): string {
  const next = nextShiftStart(now.shifts, now.nowMs, now.timeZone);
  const when = next === null ? null : moment(next, now.nowMs, t, now.timeZone);
  switch (reason) {
    case "no-crew-on-shift":
      return when === null ? t.waiting.noCrew : t.waiting.noCrewUntil(when);
    case "outside-service-hours":
      return when === null ? t.waiting.outside : t.waiting.outsideUntil(when);
    case "crews-busy":
      return t.waiting.busy;
    case null:
    case "":
      return t.task.open;
    default:
      return t.waiting.other(reason);
  }
}

/** The state of a task in words, with the name of whoever has it. */
export function taskSentence(task: Task, crewName: string | null, now: Present, t: Dictionary): string {
  const who = crewName ?? t.task.someone;
  switch (task.state) {
    case "open":
      return waitingSentence(task.waiting_reason, now, t);
    case "assigned":
      return t.task.assigned(who);
    case "accepted":
      return t.task.accepted(who);
    case "claimed":
      return t.task.claimed(who);
    case "verified":
      return task.fill_before_pct === null || task.fill_after_pct === null
        ? t.task.verified
        : t.task.verifiedDrop(whole(task.fill_before_pct), whole(task.fill_after_pct));
    case "unverified":
      return t.task.unverified;
    case "cancelled":
      return t.task.cancelled;
    default:
      return task.state;
  }
}

/** "tenggat 17.10" or "lewat tenggat 12 mnt"; null when the task no longer has a due time that matters. */
export function dueSentence(task: Task, now: Present, t: Dictionary): string | null {
  const isRunning = task.state === "open" || task.state === "assigned" || task.state === "accepted";
  if (!isRunning || task.due_ms === null) return null;
  const left = task.due_ms - now.nowMs;
  return left >= 0 ? t.task.due(moment(task.due_ms, now.nowMs, t, now.timeZone)) : t.task.late(span(-left, t));
}

/** What an incident says: the rule, made precise by its detail where that helps. */
export function incidentWord(incident: Incident, t: Dictionary): string {
  if (incident.rule === "fault") {
    const state = incident.detail?.["state"];
    if (typeof state === "string" && t.fault[state]) return t.fault[state];
  }
  return t.rule[incident.rule] ?? incident.rule;
}

/** "untuk teknisi": the role that looks after an incident, or null when it names none. */
export function ownerSentence(incident: Incident, t: Dictionary): string | null {
  const owner = incident.detail?.["owner"];
  return typeof owner === "string" && owner ? t.action.owner(t.action.owners[owner] ?? owner) : null;
}

// A silent gateway hides everything else: nothing below it can be believed.
const RULE_RANK = ["gateway-silent", "overflow", "full", "bad-air", "fault", "soon-full", "silent"];

/** Open before acknowledged, then by rule, then the oldest first. */
export function rankIncidents(incidents: readonly Incident[]): Incident[] {
  const rank = (incident: Incident): number => {
    const at = RULE_RANK.indexOf(incident.rule);
    return (incident.state === "open" ? 0 : 100) + (at < 0 ? RULE_RANK.length : at);
  };
  const isOpen = incidents.filter((i) => i.state !== "closed");
  const overflowing = new Set(isOpen.filter((i) => i.rule === "overflow").map((i) => i.asset_id));
  // An overflowing bin is full, too: one bin, one line
  return isOpen.filter((i) => i.rule !== "full" || !overflowing.has(i.asset_id)).sort((a, b) => rank(a) - rank(b) || a.opened_ms - b.opened_ms || a.id - b.id);
}

export function batterySentence(mv: number | null, t: Dictionary): string | null {
  if (mv === null) return null;
  const volts = t.bin.volts(decimal(mv / 1000, 2, t.lang));
  return mv < BATTERY_LOW_MV ? `${volts}, ${t.bin.batteryLow}` : volts;
}

/** "Tidak ada petugas bertugas sampai 04.30", or null when somebody is on shift. */
export function noCrewSentence(crews: readonly Crew[], now: Present, t: Dictionary): string | null {
  if (crews.some((crew) => crew.on_shift)) return null;
  const next = nextShiftStart(now.shifts, now.nowMs, now.timeZone);
  return next === null ? t.crew.nobody : t.crew.nobodyUntil(moment(next, now.nowMs, t, now.timeZone));
}
