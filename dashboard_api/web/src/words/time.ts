// Times of the square as words. Pure: the caller brings the present moment and the language.

import type { Dictionary } from "../i18n/id";

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

const formatters = new Map<string, Intl.DateTimeFormat>();

function formatter(key: string, locale: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  let found = formatters.get(key);
  if (!found) {
    found = new Intl.DateTimeFormat(locale, options);
    formatters.set(key, found);
  }
  return found;
}

const locale = (lang: string): string => (lang === "en" ? "en-GB" : "id-ID");

/** Abbreviation people use for an Indonesian zone; any other zone gets its IANA name. */
export function zoneWord(timeZone: string): string {
  const words: Record<string, string> = { "Asia/Jakarta": "WIB", "Asia/Pontianak": "WIB", "Asia/Makassar": "WITA", "Asia/Jayapura": "WIT" };
  return words[timeZone] ?? timeZone;
}

/** "17.40" in Indonesian, "17:40" in English. */
export function clockTime(ms: number, lang: string, timeZone: string, withSeconds = false): string {
  const parts = formatter(`t${lang}${timeZone}`, "en-GB", {
    timeZone,
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    hourCycle: "h23",
  }).formatToParts(ms);
  const part = (type: string): string => parts.find((p) => p.type === type)?.value ?? "00";
  const separator = lang === "en" ? ":" : ".";
  return [part("hour"), part("minute"), ...(withSeconds ? [part("second")] : [])].join(separator);
}

/** Days since 1970 in the zone of the square; equal numbers mean the same date on the wall calendar. */
export function dayNumber(ms: number, timeZone: string): number {
  const [day, month, year] = formatter(`d${timeZone}`, "en-GB", { timeZone, day: "2-digit", month: "2-digit", year: "numeric" })
    .format(ms)
    .split("/")
    .map(Number);
  return Math.round(Date.UTC(year ?? 1970, (month ?? 1) - 1, day ?? 1) / DAY_MS);
}

/**
 * Midnights [Unix s] for the time axis of a chart, at most `most` of them: every day, else every second, fourth, .. day;
 * over more than two months the first of every month, else of every second, third, .. one.
 */
export function dayMarks(fromS: number, toS: number, timeZone: string, most: number): number[] {
  const days: number[] = [];
  for (let s = Math.ceil(fromS / 3600) * 3600; s <= toS; ) {
    const isMidnight = dayNumber(s * 1000, timeZone) !== dayNumber((s - 3600) * 1000, timeZone);
    if (isMidnight) days.push(s);
    s += isMidnight ? 22 * 3600 : 3600; // a day may have 23 h somewhere
  }
  const isYear = toS - fromS > 62 * 86_400;
  const marks = isYear ? days.filter((s) => new Date(dayNumber(s * 1000, timeZone) * DAY_MS).getUTCDate() === 1) : days;
  const step = Math.ceil(marks.length / most);
  return marks.filter((_, index) => index % step === 0);
}

/** Word of a mark: "Sel, 24" within a week or so, "24 Nov" within two months, "Nov" in a year and "Jan 2027" where one begins. */
export function markWord(s: number, spanDays: number, t: Dictionary, timeZone: string): string {
  const isJanuary = new Date(dayNumber(s * 1000, timeZone) * DAY_MS).getUTCMonth() === 0;
  const format: Intl.DateTimeFormatOptions =
    spanDays <= 10
      ? { weekday: "short", day: "numeric" }
      : spanDays <= 62
        ? { day: "numeric", month: "short" }
        : { month: "short", ...(isJanuary ? { year: "numeric" } : {}) };
  return formatter(`k${t.lang}${timeZone}${Object.keys(format).join()}`, locale(t.lang), { timeZone, ...format }).format(s * 1000);
}

/** "17.40" today, "besok 07.10" tomorrow, "Sab, 28 Nov 07.10" otherwise. */
export function moment(ms: number, nowMs: number, t: Dictionary, timeZone: string): string {
  const time = clockTime(ms, t.lang, timeZone);
  const days = dayNumber(ms, timeZone) - dayNumber(nowMs, timeZone);
  if (days === 0) return time;
  if (days === 1) return t.time.tomorrow(time);
  if (days === -1) return t.time.yesterday(time);
  const date = formatter(`m${t.lang}${timeZone}`, locale(t.lang), { timeZone, weekday: "short", day: "numeric", month: "short" }).format(ms);
  return `${date} ${time}`;
}

/** Full date and time with seconds and zone, for a tooltip. */
export function exact(ms: number, t: Dictionary, timeZone: string): string {
  const date = formatter(`x${t.lang}${timeZone}`, locale(t.lang), { timeZone, weekday: "long", day: "numeric", month: "long", year: "numeric" }).format(ms);
  return `${date} ${clockTime(ms, t.lang, timeZone, true)} ${zoneWord(timeZone)}`;
}

/** "Sel, 24 Nov" for the header; with the year when it is another one than `wallMs` is in, as in a replay. */
export function shortDate(ms: number, t: Dictionary, timeZone: string, wallMs = Date.now()): string {
  const year = new Date(ms).getUTCFullYear() === new Date(wallMs).getUTCFullYear() ? undefined : ("numeric" as const);
  return formatter(`s${t.lang}${timeZone}${year ?? ""}`, locale(t.lang), { timeZone, weekday: "short", day: "numeric", month: "short", year }).format(ms);
}

/** Length of a span in words: minutes below 1 h, hours and minutes below 6 h, hours below 2 days, then days. */
export function span(ms: number, t: Dictionary): string {
  const minutes = Math.round(Math.abs(ms) / MINUTE_MS);
  if (minutes < 60) return t.time.minutes(Math.max(1, minutes));
  if (minutes < 6 * 60) {
    const rest = minutes % 60;
    return rest === 0 ? t.time.hours(minutes / 60) : t.time.hoursMinutes(Math.floor(minutes / 60), rest);
  }
  const hours = Math.round(Math.abs(ms) / HOUR_MS);
  if (hours < 48) return t.time.hours(hours);
  return t.time.days(Math.round(Math.abs(ms) / DAY_MS));
}

/** "3 mnt lalu". A moment less than 45 s ago, or slightly in the future (clock skew), is "baru saja". */
export function ago(ms: number, nowMs: number, t: Dictionary): string {
  const elapsed = nowMs - ms;
  return elapsed < 45_000 ? t.time.now : t.time.ago(span(elapsed, t));
}

/** Next start of any shift ("04:30" in the zone of the square) at or after nowMs, in ms; null without shifts. */
export function nextShiftStart(shifts: readonly { start: string }[], nowMs: number, timeZone: string): number | null {
  const [hour, minute, second] = clockTime(nowMs, "en", timeZone, true).split(":").map(Number) as [number, number, number];
  const sinceMidnightMs = ((hour * 60 + minute) * 60 + second) * 1000 + (((nowMs % 1000) + 1000) % 1000);
  const waits = shifts.flatMap(({ start }) => {
    const match = /^(\d{1,2})[:.](\d{2})$/.exec(start);
    if (!match) return [];
    const startMs = (Number(match[1]) * 60 + Number(match[2])) * MINUTE_MS;
    return [(startMs - sinceMidnightMs + DAY_MS) % DAY_MS];
  });
  return waits.length === 0 ? null : nowMs + Math.min(...waits);
}
