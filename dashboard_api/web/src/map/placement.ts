// Where the word of an air station or the name of a crew goes: beside its mark, on the side where it covers least.
// Pure, in screen pixels. MapLibre's own label placement would drop a word that does not fit; these must stay.

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Callout {
  /** Place of the mark [px]. */
  x: number;
  y: number;
  width: number;
  height: number;
  /** Half the size of the mark itself, which the word keeps clear of [px]. */
  clear: number;
}

/** MapLibre's `icon-anchor`: the side of the word that touches the mark. */
export type Anchor = "left" | "right" | "bottom" | "top" | "bottom-left" | "bottom-right" | "top-left" | "top-right";

const ANCHORS: readonly Anchor[] = ["left", "right", "bottom", "top", "bottom-left", "bottom-right", "top-left", "top-right"];

/** Extra distance between mark and word that is tried when every near place covers something [px]. */
const FAR_PX = 13;

export interface Place {
  anchor: Anchor;
  /** As `icon-offset` [px]. */
  offset: [number, number];
}

/** Place of a word on one side of its mark, `reachPx` away from the mark's middle. */
export function placeAt(anchor: Anchor, reachPx: number): Place {
  const x = anchor.includes("left") ? 1 : anchor.includes("right") ? -1 : 0;
  const y = anchor.includes("top") ? 1 : anchor.includes("bottom") ? -1 : 0;
  const reach = x !== 0 && y !== 0 ? reachPx * 0.8 : reachPx;
  return { anchor, offset: [x * reach, y * reach] };
}

export function boxOf({ x, y, width, height }: Callout, { anchor, offset }: Place): Box {
  const left = anchor.includes("left") ? 0 : anchor.includes("right") ? width : width / 2;
  const top = anchor.includes("top") ? 0 : anchor.includes("bottom") ? height : height / 2;
  return { x: x + offset[0] - left, y: y + offset[1] - top, width, height };
}

export function overlap(a: Box, b: Box): number {
  const w = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x);
  const h = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y);
  return w > 0 && h > 0 ? w * h : 0;
}

/**
 * One place per callout: the first in order of preference among those that cover the least of the
 * obstacles, of the words placed before, and of the outside of the view.
 */
export function placeCallouts(callouts: readonly Callout[], obstacles: readonly Box[], view: Box): Place[] {
  const placed: Box[] = [];
  const marks = callouts.map((c) => ({ x: c.x - c.clear, y: c.y - c.clear, width: 2 * c.clear, height: 2 * c.clear }));
  return callouts.map((callout, index) => {
    const places = [0, FAR_PX].flatMap((far) => ANCHORS.map((anchor) => ({ place: placeAt(anchor, callout.clear + far), isFar: far > 0 })));
    let best = placeAt("left", callout.clear);
    let bestCost = Infinity;
    for (const { place, isFar } of places) {
      const box = boxOf(callout, place);
      const area = box.width * box.height;
      let cost = (area - overlap(box, view)) * 2 + (isFar ? area * 0.03 : 0);
      for (const obstacle of obstacles) cost += overlap(box, obstacle);
      for (const other of placed) cost += overlap(box, other) * 1.5;
      marks.forEach((mark, at) => {
        if (at !== index) cost += overlap(box, mark);
      });
      if (cost < bestCost - 1) [best, bestCost] = [place, cost];
    }
    placed.push(boxOf(callout, best));
    return best;
  });
}
