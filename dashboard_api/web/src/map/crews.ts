// Where crews are drawn. Pure.

import type { Crew, Task } from "../api/types";
import { type LonLat, moved } from "../words/places";

/** Beside the bin, not on it [m]: no mark may cover a bin. */
const BESIDE_M = 7;

/**
 * Where a crew member is, as far as the office may know: a reported position, else the job in hand, else the bin of the
 * last claim. The job level is all that the privacy rules allow without a report. Null: nothing to show.
 */
export function placeOfCrew(crew: Crew, tasks: Iterable<Task>, placeOf: (assetId: string) => LonLat | undefined): LonLat | null {
  if (!crew.on_shift) return null;
  if (crew.lon !== null && crew.lat !== null) return [crew.lon, crew.lat];
  const own = [...tasks].filter((task) => task.crew_id === crew.id);
  const accepted = own.filter((task) => task.state === "accepted").sort((a, b) => (a.accepted_ms ?? 0) - (b.accepted_ms ?? 0))[0];
  const claimed = own.filter((task) => task.claimed_ms !== null).sort((a, b) => (b.claimed_ms ?? 0) - (a.claimed_ms ?? 0))[0];
  const job = accepted ?? claimed;
  const at = job && placeOf(job.asset_id);
  return at ? moved(at, BESIDE_M, -BESIDE_M) : null;
}
