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

/** Extra distances between mark and word, tried when nearer places cover something [px]. */
const FAR_PX: readonly number[] = [0, 13, 26];
/** How far a word slides along the side that touches its mark, in shares of its own size. */
const SLIDES: readonly number[] = [0, 0.25, -0.25];
/** What a step away from its mark costs a word, in shares of its own size: much less than to cover something. */
const FAR_COST = 0.03;
const SLIDE_COST = 0.01;
/** A landmark that a word lies on is left out by the map: better that than a bin on the word. */
const LANDMARK_COST = 0.4;
/** A word this much further from its mark than the nearest place gets a line to it [px]. */
const LEADER_PX = 6;
/** A word that lies on obstacles with more than this takes its smallest form, and then finds more room [px²]. */
const CROWDED_PX2 = 4;
/** The first word that is placed knows nothing of the last: in a second round it does. */
const ROUNDS = 2;

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

function slid({ anchor, offset: [x, y] }: Place, { width, height }: Callout, share: number): Place {
  const isBeside = anchor === "left" || anchor === "right";
  return { anchor, offset: isBeside ? [x, y + share * height] : [x + share * width, y] };
}

/** Moves a word by less than a pixel, so that its own pixels fall on those of the screen: else its letters lose strokes. */
function onPixels(callout: Callout, { anchor, offset }: Place): Place {
  const { x, y } = boxOf(callout, { anchor, offset });
  return { anchor, offset: [offset[0] + Math.round(x) - x, offset[1] + Math.round(y) - y] };
}

function covered(box: Box, obstacles: readonly Box[]): number {
  return obstacles.reduce((sum, obstacle) => sum + overlap(box, obstacle), 0);
}

/**
 * One place per callout: the first in order of preference among those that cover the least of the
 * obstacles, of the other words and marks, of the landmarks, and of the outside of the view.
 */
export function placeCallouts(callouts: readonly Callout[], obstacles: readonly Box[], view: Box, landmarks: readonly Box[] = []): Place[] {
  const marksOf = (own: number): Box[] => callouts.flatMap((c, at) => (at === own ? [] : [{ x: c.x - c.clear, y: c.y - c.clear, width: 2 * c.clear, height: 2 * c.clear }]));
  const chosen: Place[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    callouts.forEach((callout, index) => {
      const others = chosen.flatMap((place, at) => (at === index ? [] : [boxOf(callouts[at] as Callout, place)]));
      const hard = [...obstacles, ...marksOf(index)];
      const area = callout.width * callout.height;
      let best = placeAt("left", callout.clear);
      let bestCost = Infinity;
      FAR_PX.forEach((farPx, far) => {
        for (const share of SLIDES) {
          for (const anchor of ANCHORS) {
            const place = onPixels(callout, slid(placeAt(anchor, callout.clear + farPx), callout, share));
            const box = boxOf(callout, place);
            let cost = (area - overlap(box, view)) * 2 + area * (far * FAR_COST + (share === 0 ? 0 : SLIDE_COST));
            cost += covered(box, hard) + covered(box, others) * 1.5 + covered(box, landmarks) * LANDMARK_COST;
            if (cost < bestCost - 1) [best, bestCost] = [place, cost];
          }
        }
      });
      chosen[index] = best;
    });
  }
  return chosen;
}

/** Where the line from a mark ends at its word, null for a word so near that it needs none [px]. */
export function leaderEnd(callout: Callout, place: Place): { x: number; y: number } | null {
  const box = boxOf(callout, place);
  const x = Math.min(Math.max(callout.x, box.x), box.x + box.width);
  const y = Math.min(Math.max(callout.y, box.y), box.y + box.height);
  return Math.hypot(x - callout.x, y - callout.y) > callout.clear + LEADER_PX ? { x, y } : null;
}

export interface PlacedForm extends Place {
  /** Index of the form. */
  form: number;
}

/** Places words that have several forms, the largest first: each in its first, or in its last where that would lie on an obstacle. */
export function placeForms(words: readonly (readonly Callout[])[], obstacles: readonly Box[], view: Box, landmarks: readonly Box[] = []): PlacedForm[] {
  const whole = words.map((forms) => forms[0] as Callout);
  const forms = placeCallouts(whole, obstacles, view, landmarks).map((place, index) => {
    const isCrowded = covered(boxOf(whole[index] as Callout, place), obstacles) > CROWDED_PX2;
    return isCrowded ? (words[index] as readonly Callout[]).length - 1 : 0;
  });
  const chosen = words.map((all, index) => all[forms[index] as number] as Callout);
  return placeCallouts(chosen, obstacles, view, landmarks).map((place, index) => ({ ...place, form: forms[index] as number }));
}
