import { describe, expect, it } from "vitest";
import type { AirState, Level } from "../src/api/types";
import { FAULTS, airCategory, binStyle, concern, isStale, ringSixths, spriteName } from "../src/map/level";
import { HOUR_MS, MINUTE_MS, NOW_MS, bin } from "./fixtures";

const LEVELS: Level[] = ["empty", "half", "filling", "full", "overflow", "unknown"];

describe("what a bin looks like", () => {
  it("is its level while the reading is fresh and the sensor is fine", () => {
    expect(binStyle(bin({ fill_pct: 12, level: "empty" }), NOW_MS, true)).toEqual({ look: "empty", fault: null, bucketPct: 10, ring: 0 });
    expect(binStyle(bin({ fill_pct: 91, level: "full" }), NOW_MS, true).look).toBe("full");
  });

  it("is never a level when the level is not known, whatever else the record says", () => {
    const known = new Set(["empty", "half", "filling", "full", "overflow"]);
    for (const level of LEVELS) {
      const doubts = [
        bin({ level, ts_ms: null }),
        bin({ level, silent: true }),
        bin({ level, stale: true }),
        bin({ level, fill_pct: null }),
        ...FAULTS.map((state) => bin({ level, state })),
        bin({ level, state: "a-state-of-next-year" }),
      ];
      for (const doubt of doubts) {
        const style = binStyle(doubt, NOW_MS, true);
        expect(known.has(style.look), JSON.stringify(doubt)).toBe(false);
        expect(style.bucketPct).toBe(0); // nor does a gauge claim one
      }
    }
  });

  it("is an overflow when a heap blinds the sensor, and only as long as that is news", () => {
    const heap = { level: "overflow" as const, state: "obstructed", fill_pct: null };
    expect(binStyle(bin(heap), NOW_MS, true)).toEqual({ look: "overflow", fault: null, bucketPct: 100, ring: 0 });
    expect(binStyle(bin({ ...heap, stale: true }), NOW_MS, true).look).toBe("stale");
    expect(binStyle(bin({ ...heap, level: "unknown" }), NOW_MS, true).look).toBe("fault");
  });

  it("turns stale by itself when the connection is lost and the value ages", () => {
    const old = bin({ ts_ms: NOW_MS - 25 * MINUTE_MS });
    expect(binStyle(old, NOW_MS, true).look).toBe("empty"); // the server is the judge while it is heard
    expect(binStyle(old, NOW_MS, false).look).toBe("stale");
    expect(isStale({ ts_ms: NOW_MS - 5 * MINUTE_MS, stale: false }, NOW_MS, false)).toBe(false);
  });

  it("keeps the gauge within the disc", () => {
    expect(binStyle(bin({ fill_pct: 117, level: "overflow" }), NOW_MS, true).bucketPct).toBe(100);
    expect(binStyle(bin({ fill_pct: 0, level: "empty" }), NOW_MS, true).bucketPct).toBe(0);
  });

  it("has a longer ring the sooner it is full, and none once it is full", () => {
    const hours = [0.2, 0.8, 1.5, 2.5, 4, 7, 20];
    const rings = hours.map((h) => ringSixths(NOW_MS + h * HOUR_MS, NOW_MS));
    expect(rings).toEqual([6, 5, 4, 3, 2, 1, 0]);
    expect(ringSixths(null, NOW_MS)).toBe(0);
    expect(binStyle(bin({ fill_pct: 90, level: "full", full_at_ms: NOW_MS }), NOW_MS, true).ring).toBe(0);
  });

  it("shares a sprite with every bin that looks the same, and with no other", () => {
    const name = (fill: number): string => spriteName(binStyle(bin({ fill_pct: fill }), NOW_MS, true));
    expect(name(41)).toBe(name(39));
    expect(name(41)).not.toBe(name(46));
    const faults = FAULTS.map((state) => spriteName(binStyle(bin({ state }), NOW_MS, true)));
    expect(new Set(faults).size).toBe(FAULTS.length);
  });

  it("is drawn above what matters less", () => {
    expect(concern("overflow")).toBeGreaterThan(concern("full"));
    expect(concern("full")).toBeGreaterThan(concern("empty"));
    expect(concern("unknown")).toBeGreaterThan(concern("empty"));
  });
});

describe("air", () => {
  const air = (changes: Partial<AirState>): AirState => ({
    asset_id: "air-01", device_id: null, ts_ms: NOW_MS, pm25_ugm3: null, pm10_ugm3: null, rh_pct: null, temp_c: null,
    mean_24h_pm25_ugm3: null, ispu: null, ispu_category: null, silent: false, stale: false, indicative: true, ...changes,
  });

  it("takes the server's word in any spelling", () => {
    expect(airCategory(air({ ispu_category: "Sangat Tidak Sehat" }), NOW_MS, true)).toBe("sangat-tidak-sehat");
    expect(airCategory(air({ ispu_category: "tidak_sehat" }), NOW_MS, true)).toBe("tidak-sehat");
  });

  it("counts a bound to the lower class when only the index is given", () => {
    const of = (ispu: number): string => airCategory(air({ ispu }), NOW_MS, true);
    expect([of(50), of(50.05), of(100), of(200), of(300), of(300.1)]).toEqual(["baik", "sedang", "sedang", "tidak-sehat", "sangat-tidak-sehat", "berbahaya"]);
  });

  it("is unknown when silent, stale or never heard, whatever the last index was", () => {
    for (const doubt of [{ silent: true }, { stale: true }, { ts_ms: null }]) {
      expect(airCategory(air({ ispu: 30, ispu_category: "Baik", ...doubt }), NOW_MS, true)).toBe("unknown");
    }
  });

  it("is pending while it is heard but has no 24-hour mean, and never a class made from a minute value", () => {
    expect(airCategory(air({ pm25_ugm3: 4 }), NOW_MS, true)).toBe("pending");
  });
});
