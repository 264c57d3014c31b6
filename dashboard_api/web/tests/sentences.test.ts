import { describe, expect, it } from "vitest";
import { en } from "../src/i18n/en";
import { type Dictionary, id } from "../src/i18n/id";
import { binStyle } from "../src/map/level";
import {
  airLabel, airSentence, bandSentence, batterySentence, binSentence, binWord, dueSentence, forecastWord, incidentWord, noCrewSentence, ownerSentence, rankIncidents, sureness, taskSentence, waitingSentence,
} from "../src/words/sentences";
import { HOUR_MS, MINUTE_MS, NOW_MS, bin, incident, present, task } from "./fixtures";

const say = (state: ReturnType<typeof bin>, t: Dictionary = id, now = present()): string => binSentence(state, binStyle(state, now.nowMs, now.isLive), now, t);

describe("a bin as a sentence", () => {
  it("says when it will be full and how sure that is", () => {
    const at = NOW_MS + 80 * MINUTE_MS;
    const state = bin({ level: "filling", fill_pct: 75, full_at_ms: at, full_at_p10_ms: at - 40 * MINUTE_MS, full_at_p90_ms: at + 50 * MINUTE_MS });
    expect(say(state)).toBe("Penuh sekitar 17.40, cukup yakin.");
    expect(say(state, en)).toBe("Full around 17:40, fairly sure.");
    expect(bandSentence(state, present(), id)).toBe("Antara 17.00 dan 18.30");
  });

  it("does not give a forecast for what is already full, nor for what is unknown", () => {
    const at = NOW_MS + HOUR_MS;
    expect(say(bin({ level: "full", fill_pct: 90, full_at_ms: at }))).toBe("Penuh, perlu dikosongkan.");
    expect(say(bin({ silent: true, full_at_ms: at, ts_ms: NOW_MS - 5 * HOUR_MS }))).toBe("Senyap, kabar terakhir 5 jam lalu. Isi sekarang tidak diketahui.");
    const silent = bin({ silent: true, full_at_ms: at });
    expect(forecastWord(silent, binStyle(silent, NOW_MS, true), present(), id)).toBeNull();
  });

  it("tells a bin without a sensor from one that was never heard", () => {
    expect(say(bin({ ts_ms: null, device_id: null }))).toBe(id.bin.noDevice);
    expect(say(bin({ ts_ms: null }))).toBe(id.bin.neverHeard);
  });

  it("names the fault", () => {
    const open = bin({ state: "lid-open" });
    expect(say(open)).toBe("Tutup terbuka. Isi sekarang tidak diketahui.");
    expect(binWord(binStyle(open, NOW_MS, true), en)).toBe("Lid open");
  });

  it("treats 0 % as a value, and a forecast of the past as any moment", () => {
    expect(say(bin({ fill_pct: 0, full_at_ms: NOW_MS + 60 * HOUR_MS }))).toBe("Tidak akan penuh dalam dua hari.");
    expect(say(bin({ full_at_ms: NOW_MS - MINUTE_MS }))).toBe("Penuh sebentar lagi.");
    expect(say(bin())).toBe("Belum ada prakiraan penuh.");
  });

  it("is sure by the width of the band alone", () => {
    expect(sureness(0, HOUR_MS)).toBe("high");
    expect(sureness(0, 3 * HOUR_MS)).toBe("medium");
    expect(sureness(0, 4 * HOUR_MS)).toBe("low");
    expect(sureness(null, HOUR_MS)).toBe("low");
  });
});

describe("tasks and crews", () => {
  it("say why nobody comes and until when", () => {
    const night = present(Date.UTC(2026, 10, 23, 18, 40)); // 01:40 WIB
    expect(waitingSentence("no-crew-on-shift", night, id)).toBe("Menunggu: tidak ada petugas bertugas sampai 04.30");
    expect(waitingSentence("outside-service-hours", night, en)).toBe("Waiting: outside service hours until 04:30");
    expect(waitingSentence("crews-busy", night, id)).toBe(id.waiting.busy);
    expect(waitingSentence("no-crew-on-shift", { ...night, shifts: [] }, id)).toBe(id.waiting.noCrew);
    expect(waitingSentence("reason-of-next-year", night, id)).toBe("Menunggu: reason-of-next-year");
  });

  it("keep the crew's word apart from the sensor's", () => {
    expect(taskSentence(task({ state: "claimed" }), "Budi", present(), id)).toBe("Diklaim selesai oleh Budi, menunggu sensor");
    expect(taskSentence(task({ state: "verified", fill_before_pct: 91, fill_after_pct: 0 }), "Budi", present(), id)).toBe("Terverifikasi: 91 % menjadi 0 %");
    expect(taskSentence(task({ state: "assigned" }), null, present(), id)).toBe("Ditugaskan ke petugas, belum diterima");
  });

  it("mention a due time only while it can still be met or missed", () => {
    expect(dueSentence(task({ state: "open", due_ms: NOW_MS + 50 * MINUTE_MS }), present(), id)).toBe("tenggat 17.10");
    expect(dueSentence(task({ state: "assigned", due_ms: NOW_MS - 12 * MINUTE_MS }), present(), id)).toBe("lewat tenggat 12 mnt");
    expect(dueSentence(task({ state: "claimed", due_ms: NOW_MS - 12 * MINUTE_MS }), present(), id)).toBeNull();
  });

  it("say that nobody is on shift only when that is so", () => {
    const crew = { id: "a", name: "Sri", shift: "siang", on_shift: false, lon: null, lat: null, position_ms: null, open_tasks: 0 };
    expect(noCrewSentence([crew], present(), id)).toBe("Tidak ada petugas bertugas sampai besok 04.30");
    expect(noCrewSentence([crew, { ...crew, on_shift: true }], present(), id)).toBeNull();
  });
});

describe("air on the map", () => {
  const air = {
    asset_id: "air-01", device_id: null, ts_ms: NOW_MS, pm25_ugm3: 38.4, pm10_ugm3: null, rh_pct: null, temp_c: null,
    mean_24h_pm25_ugm3: null, ispu: null, ispu_category: null, silent: false, stale: false, indicative: true,
  };

  it("is the class in words, or the concentration while there is no class, or unknown", () => {
    expect(airLabel(air, "tidak-sehat", id)).toBe("Tidak sehat");
    expect(airLabel(air, "pending", id)).toBe("PM2.5 38 µg/m³");
    expect(airLabel({ ...air, pm25_ugm3: null }, "pending", id)).toBe("Belum 24 jam");
    expect(airLabel(air, "unknown", id)).toBe("Tidak diketahui"); // a silent station's last value is not shown as if it were now
  });

  it("is said to be indicative in the sentence", () => {
    expect(airSentence({ ...air, ispu: 107, ispu_category: "Tidak Sehat" }, present(), id)).toBe("ISPU 107, Tidak sehat · indikatif.");
    expect(airSentence(air, present(), id)).toBe(id.air.noIspu);
  });
});

describe("incidents", () => {
  it("are ranked: open first, then by what is worst, then by age", () => {
    const list = [
      incident({ id: 1, rule: "silent" }),
      incident({ id: 2, rule: "full", asset_id: "bin-002", opened_ms: NOW_MS }),
      incident({ id: 3, rule: "overflow", state: "acked" }),
      incident({ id: 4, rule: "full", asset_id: "bin-004" }),
      incident({ id: 5, rule: "overflow" }),
      incident({ id: 6, rule: "rule-of-next-year" }),
      incident({ id: 7, rule: "overflow", state: "closed" }),
    ];
    expect(rankIncidents(list).map((one) => one.id)).toEqual([5, 4, 2, 1, 6, 3]);
  });

  it("put a silent gateway first, in both languages: nothing below it can be believed", () => {
    const silent = incident({ id: 9, rule: "gateway-silent", asset_id: "gw-utama" });
    expect(incidentWord(silent, id)).toBe("Gerbang data senyap");
    expect(incidentWord(silent, en)).toBe("Gateway silent");
    expect(rankIncidents([incident({ id: 5, rule: "overflow" }), silent]).map((one) => one.id)).toEqual([9, 5]);
  });

  it("say whose they are, when they say so", () => {
    expect(ownerSentence(incident({ detail: { owner: "teknisi" } }), id)).toBe("untuk teknisi");
    expect(ownerSentence(incident({ detail: { owner: "teknisi" } }), en)).toBe("for the technician");
    expect(ownerSentence(incident({ detail: {} }), id)).toBeNull();
  });

  it("name the fault that the detail gives, and survive one that it does not", () => {
    expect(incidentWord(incident({ rule: "fault", detail: { state: "tilted" } }), id)).toBe("Miring atau terguling");
    expect(incidentWord(incident({ rule: "fault", detail: { state: 7 } }), id)).toBe("Perlu diperiksa");
    expect(incidentWord(incident({ rule: "fault", detail: null }), id)).toBe("Perlu diperiksa");
  });
});

describe("both languages", () => {
  /** Every leaf of a dictionary as "path: kind". */
  function leaves(value: unknown, path = ""): string[] {
    if (Array.isArray(value)) return [`${path}: list of ${value.length}`];
    if (typeof value !== "object" || value === null) return [`${path}: ${typeof value}`];
    return Object.entries(value).flatMap(([key, inner]) => leaves(inner, `${path}.${key}`));
  }

  it("have the same keys of the same kind, open tables included", () => {
    expect(leaves(en).sort()).toEqual(leaves(id).sort());
  });

  it("leave no text empty", () => {
    const texts = (value: unknown): string[] => (typeof value === "string" ? [value] : typeof value === "object" && value !== null ? Object.values(value).flatMap(texts) : []);
    for (const text of [...texts(id), ...texts(en)]) expect(text.trim()).not.toBe("");
  });

  it("write decimals their own way", () => {
    expect(batterySentence(3700, id)).toBe("3,70 V");
    expect(batterySentence(3700, en)).toBe("3.70 V");
    expect(batterySentence(3300, id)).toContain("lemah");
    expect(batterySentence(null, id)).toBeNull();
  });
});

describe("one bin, one line", () => {
  it("leaves out that an overflowing bin is full, and keeps it for every other bin", () => {
    const ranked = rankIncidents([
      incident({ id: 1, rule: "full", asset_id: "bin-001" }),
      incident({ id: 2, rule: "overflow", asset_id: "bin-001" }),
      incident({ id: 3, rule: "full", asset_id: "bin-002" }),
    ]);
    expect(ranked.map((one) => one.id)).toEqual([2, 3]);
  });
});
