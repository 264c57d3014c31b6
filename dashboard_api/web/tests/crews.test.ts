import { describe, expect, it } from "vitest";
import { placeOfCrew } from "../src/map/crews";
import { moved, offset, type LonLat } from "../src/words/places";
import type { Crew } from "../src/api/types";
import { MINUTE_MS, NOW_MS, task } from "./fixtures";

const PLACES: Record<string, LonLat> = { "bin-001": [112.9067, -7.6414], "bin-002": [112.9072, -7.641] };
const placeOf = (id: string): LonLat | undefined => PLACES[id];
const crew = (changes: Partial<Crew> = {}): Crew => ({ id: "siang-1", name: "Slamet", shift: "siang", on_shift: true, lon: null, lat: null, position_ms: null, open_tasks: 1, ...changes });
const own = { crew_id: "siang-1" };

describe("where a crew member is drawn", () => {
  it("takes a reported position first, and shows nobody off shift", () => {
    expect(placeOfCrew(crew({ lon: 1, lat: 2 }), [], placeOf)).toEqual([1, 2]);
    expect(placeOfCrew(crew({ on_shift: false, lon: 1, lat: 2 }), [], placeOf)).toBeNull();
  });

  it("stands beside the bin of the oldest accepted task, else of the newest claim", () => {
    const tasks = [
      task({ ...own, asset_id: "bin-002", state: "claimed", accepted_ms: NOW_MS - 9 * MINUTE_MS, claimed_ms: NOW_MS - MINUTE_MS }),
      task({ ...own, asset_id: "bin-001", state: "accepted", accepted_ms: NOW_MS }),
    ];
    const at = placeOfCrew(crew(), tasks, placeOf);
    const { eastM, northM } = offset(PLACES["bin-001"]!, at!);
    expect(eastM).toBeCloseTo(7, 3);
    expect(northM).toBeCloseTo(-7, 3);
    expect(placeOfCrew(crew(), tasks.slice(0, 1), placeOf)).toEqual(moved(PLACES["bin-002"]!, 7, -7));
  });

  it("shows nothing without a job, and nobody at another's", () => {
    expect(placeOfCrew(crew(), [], placeOf)).toBeNull();
    expect(placeOfCrew(crew(), [task({ crew_id: "siang-2", asset_id: "bin-001", state: "accepted" })], placeOf)).toBeNull();
    expect(placeOfCrew(crew(), [task({ ...own, asset_id: "bin-001", state: "assigned" })], placeOf)).toBeNull();
  });
});
