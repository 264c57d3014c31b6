// "20 m ke timur dari Gerbang utara": how to find a bin without a map.

import type { Plan, PlanFeature } from "../api/types";
import type { Dictionary } from "../i18n/id";
import { type LonLat, bearing } from "../words/places";

const MARK_ROLES = ["tugu", "gate", "water_tower", "playground", "terminal", "tps", "depot"];
const MARK_KINDS = ["mosque", "tomb", "tic", "culinary"];
/** Closer than this is "near", without a direction [m]. */
const NEAR_M = 12;

export interface Mark {
  at: LonLat;
  names: PlanFeature["properties"];
}

/** Places that everybody on the square knows, one point each. */
export function marksOf(plan: Plan): Mark[] {
  return plan.features.flatMap((feature) => {
    const { role, kind } = feature.properties;
    if (!MARK_ROLES.includes(role) && !(role === "building" && MARK_KINDS.includes(String(kind)))) return [];
    if (feature.geometry.type === "Point") return [{ at: feature.geometry.coordinates as LonLat, names: feature.properties }];
    const ring = (feature.geometry.coordinates as LonLat[][])[0]?.slice(0, -1) ?? [];
    if (ring.length === 0) return [];
    const sum = ring.reduce<LonLat>((acc, p) => [acc[0] + p[0], acc[1] + p[1]], [0, 0]);
    return [{ at: [sum[0] / ring.length, sum[1] / ring.length] as LonLat, names: feature.properties }];
  });
}

/** The nearest mark, and where the bin is from it; null without marks. */
export function walkingHint(to: LonLat, marks: readonly Mark[], name: (names: Mark["names"]) => string, t: Dictionary): string | null {
  let best: { mark: Mark; distanceM: number; eighth: number } | null = null;
  for (const mark of marks) {
    const { distanceM, eighth } = bearing(mark.at, to);
    if (!best || distanceM < best.distanceM) best = { mark, distanceM, eighth };
  }
  if (!best) return null;
  if (best.distanceM < NEAR_M) return t.petugas.at(name(best.mark.names));
  return t.petugas.walk(best.distanceM, t.petugas.directions[best.eighth] ?? "", name(best.mark.names));
}
