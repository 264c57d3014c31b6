// Where something is, for a person who walks.

const M_PER_DEG_LAT = 110_594; // at 7.6 degrees south
const M_PER_DEG_LON = 110_337;

export type LonLat = [number, number];

/** East and north of `to` seen from `from` [m]. */
export function offset(from: LonLat, to: LonLat): { eastM: number; northM: number } {
  return { eastM: (to[0] - from[0]) * M_PER_DEG_LON, northM: (to[1] - from[1]) * M_PER_DEG_LAT };
}

/** The place `eastM` and `northM` metres from `from`. */
export function moved(from: LonLat, eastM: number, northM: number): LonLat {
  return [from[0] + eastM / M_PER_DEG_LON, from[1] + northM / M_PER_DEG_LAT];
}

export interface Bearing {
  distanceM: number;
  /** Eighth of a turn clockwise from north: 0 north, 2 east, 4 south, 6 west. */
  eighth: number;
}

/** Distance rounded to 5 m and the compass eighth, straight line. */
export function bearing(from: LonLat, to: LonLat): Bearing {
  const { eastM, northM } = offset(from, to);
  const turn = Math.atan2(eastM, northM) / (2 * Math.PI);
  return { distanceM: Math.round(Math.hypot(eastM, northM) / 5) * 5, eighth: ((Math.round(turn * 8) % 8) + 8) % 8 };
}

/** Whether a point lies inside a ring (even-odd rule); the edge counts as either. */
export function isInside(at: LonLat, ring: readonly LonLat[]): boolean {
  let inside = false;
  for (let i = 0, j = ring.length - 1; i < ring.length; j = i, i += 1) {
    const [xi, yi] = ring[i] as LonLat;
    const [xj, yj] = ring[j] as LonLat;
    if (yi > at[1] !== yj > at[1] && at[0] < ((xj - xi) * (at[1] - yi)) / (yj - yi) + xi) inside = !inside;
  }
  return inside;
}
