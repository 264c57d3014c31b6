// Preparing series for a chart without adding anything that was not measured. Pure.

export interface ChartSeries {
  /** Unix seconds, as uPlot wants them. */
  x: number[];
  y: (number | null)[];
}

/**
 * Windows without data are dropped, and a null is put where two neighbours lie more than
 * `gapS` apart: a gap stays a gap, and a sensor slower than the window does not fall into dots.
 */
export function withGaps(tsMs: readonly number[], values: readonly (number | null)[], gapS: number): ChartSeries {
  const x: number[] = [];
  const y: (number | null)[] = [];
  let last: number | null = null;
  tsMs.forEach((ms, index) => {
    const value = values[index] ?? null;
    if (value === null || !Number.isFinite(value)) return;
    const s = ms / 1000;
    if (last !== null && s - last > gapS) {
      x.push((last + s) / 2);
      y.push(null);
    }
    x.push(s);
    y.push(value);
    last = s;
  });
  return { x, y };
}

/** Moments [s] at which the level fell by at least `dropPct` from one value to the next, gaps excluded. */
export function emptyings(series: ChartSeries, dropPct: number): number[] {
  const found: number[] = [];
  for (let i = 1; i < series.x.length; i += 1) {
    const before = series.y[i - 1];
    const after = series.y[i];
    if (before != null && after != null && before - after >= dropPct) found.push(series.x[i] as number);
  }
  return found;
}
