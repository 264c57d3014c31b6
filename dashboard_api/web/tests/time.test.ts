import { describe, expect, it } from "vitest";
import { en } from "../src/i18n/en";
import { id } from "../src/i18n/id";
import { ago, clockTime, dayMarks, exact, markWord, moment, nextShiftStart, shortDate, span, zoneWord } from "../src/words/time";
import { HOUR_MS, MINUTE_MS, NOW_MS, SHIFTS } from "./fixtures";

const ZONE = "Asia/Jakarta";

describe("clock times", () => {
  it("are written with a point in Indonesian and a colon in English, in the zone of the square", () => {
    expect(clockTime(NOW_MS, "id", ZONE)).toBe("16.20");
    expect(clockTime(NOW_MS, "en", ZONE)).toBe("16:20");
  });

  it("write midnight as 00.00, never 24.00", () => {
    expect(clockTime(Date.UTC(2026, 10, 24, 17, 0), "id", ZONE)).toBe("00.00");
  });

  it("name the day when it is not today, by the calendar of the square and not by 24 hours", () => {
    expect(moment(NOW_MS + HOUR_MS, NOW_MS, id, ZONE)).toBe("17.20");
    expect(moment(NOW_MS + 8 * HOUR_MS, NOW_MS, id, ZONE)).toBe("besok 00.20"); // 8 h later, but after midnight
    expect(moment(NOW_MS - 17 * HOUR_MS, NOW_MS, en, ZONE)).toBe("yesterday 23:20");
    expect(moment(NOW_MS + 96 * HOUR_MS, NOW_MS, id, ZONE)).toContain("28 Nov");
  });

  it("say the zone by the abbreviation that people use", () => {
    expect(zoneWord("Asia/Jakarta")).toBe("WIB");
    expect(zoneWord("Asia/Makassar")).toBe("WITA");
    expect(exact(NOW_MS, id, ZONE)).toBe("Selasa, 24 November 2026 16.20.00 WIB");
  });
});

describe("marks of a time axis", () => {
  const endS = NOW_MS / 1000;
  const marks = (days: number, most: number): number[] => dayMarks(endS - days * 86_400, endS, ZONE, most);

  it("are midnights of the square, thinned to what there is room for", () => {
    for (const s of marks(7, 10)) expect(clockTime(s * 1000, "id", ZONE)).toBe("00.00");
    expect(marks(7, 10)).toHaveLength(7);
    const month = marks(31, 6);
    expect(month.length).toBeLessThanOrEqual(6);
    expect(new Set(month.slice(1).map((s, index) => s - (month[index] ?? 0)))).toEqual(new Set([6 * 86_400]));
  });

  it("are the first of a month over a year", () => {
    const year = marks(365, 12);
    expect(year).toHaveLength(12);
    expect(markWord(year[0] ?? 0, 365, id, ZONE)).toBe("Des");
    expect(markWord(year[1] ?? 0, 365, id, ZONE)).toBe("Jan 2026");
    expect(marks(365, 5).length).toBeLessThanOrEqual(5);
  });

  it("are named as finely as the span allows", () => {
    const midnight = Date.UTC(2026, 10, 23, 17) / 1000;
    expect(markWord(midnight, 7, id, ZONE)).toBe("Sel, 24");
    expect(markWord(midnight, 31, id, ZONE)).toBe("24 Nov");
    expect(markWord(midnight, 31, en, ZONE)).toBe("24 Nov");
  });

  it("are none when there is no midnight in between", () => {
    expect(dayMarks(endS - 3600, endS, ZONE, 8)).toEqual([]);
  });
});

describe("ages and spans", () => {
  it("count a moment in the near future as now, since clocks differ a little", () => {
    expect(ago(NOW_MS + 5_000, NOW_MS, id)).toBe("baru saja");
    expect(ago(NOW_MS - 44_000, NOW_MS, id)).toBe("baru saja");
  });

  it("grow from minutes over hours to days", () => {
    expect(ago(NOW_MS - 3 * MINUTE_MS, NOW_MS, id)).toBe("3 mnt lalu");
    expect(ago(NOW_MS - 130 * MINUTE_MS, NOW_MS, id)).toBe("2 jam 10 mnt lalu");
    expect(ago(NOW_MS - 9 * HOUR_MS, NOW_MS, id)).toBe("9 jam lalu");
    expect(ago(NOW_MS - 72 * HOUR_MS, NOW_MS, en)).toBe("3 days ago");
  });

  it("never round down to nothing", () => {
    expect(span(10_000, id)).toBe("1 mnt");
    expect(span(59.6 * MINUTE_MS, id)).toBe("1 jam");
  });
});

describe("the next shift", () => {
  it("is today's when it has not begun, else tomorrow's first", () => {
    const at = (hhmm: string, day = 24): number => Date.UTC(2026, 10, day, Number(hhmm.slice(0, 2)) - 7, Number(hhmm.slice(3)));
    expect(nextShiftStart(SHIFTS, at("01:40"), ZONE)).toBe(at("04:30"));
    expect(nextShiftStart(SHIFTS, at("16:20"), ZONE)).toBe(at("04:30", 25));
    expect(nextShiftStart(SHIFTS, at("11:30"), ZONE)).toBe(at("11:30"));
  });

  it("is unknown without shifts", () => {
    expect(nextShiftStart([], NOW_MS, ZONE)).toBeNull();
    expect(nextShiftStart([{ start: "pagi" }], NOW_MS, ZONE)).toBeNull();
  });
});

describe("the date in the header", () => {
  it("names the year only when it is not the present one", () => {
    const wall = Date.UTC(2026, 10, 24);
    expect(shortDate(Date.UTC(2026, 2, 5, 4), id, "Asia/Jakarta", wall)).not.toContain("2026");
    expect(shortDate(Date.UTC(2019, 9, 11, 4), id, "Asia/Jakarta", wall)).toContain("2019");
  });
});
