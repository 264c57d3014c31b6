import { describe, expect, it } from "vitest";
import { emptyings, withGaps } from "../src/charts";
import { marksOf, walkingHint } from "../src/crew/hint";
import { id } from "../src/i18n/id";
import type { Plan } from "../src/api/types";
import { binScale, landmarkScale, planBounds, roadLines } from "../src/map/base";
import { boxOf, leaderEnd, overlap, placeAt, placeCallouts, placeForms } from "../src/map/placement";
import { type LonLat, bearing, isInside, offset } from "../src/words/places";

const ORIGIN: LonLat = [112.9067, -7.6414];
/** The point `eastM`, `northM` metres from the middle of the square. */
const at = (eastM: number, northM: number): LonLat => [ORIGIN[0] + eastM / 110_337, ORIGIN[1] + northM / 110_594];

describe("directions", () => {
  it("are eighths of a turn from north, clockwise", () => {
    const eighths = [[0, 40], [40, 40], [40, 0], [40, -40], [0, -40], [-40, -40], [-40, 0], [-40, 40]].map(([e, n]) => bearing(ORIGIN, at(e ?? 0, n ?? 0)).eighth);
    expect(eighths).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  it("round the distance to five metres", () => {
    expect(bearing(ORIGIN, at(30, 40)).distanceM).toBe(50); // 3-4-5 triangle
    expect(bearing(ORIGIN, at(0, 12)).distanceM).toBe(10);
  });

  it("lead from the nearest landmark", () => {
    const plan: Plan = {
      type: "FeatureCollection",
      features: [
        { type: "Feature", geometry: { type: "Point", coordinates: at(0, 50) }, properties: { role: "gate", id: "g", name_id: "Gerbang utara" } },
        { type: "Feature", geometry: { type: "Point", coordinates: at(0, 0) }, properties: { role: "depot", id: "d", name_id: "Pos" } },
        { type: "Feature", geometry: { type: "Point", coordinates: at(21, 50) }, properties: { role: "bin", id: "b", name_id: "Tong" } },
      ],
    };
    const name = (names: { name_id?: string }): string => names.name_id ?? "";
    expect(walkingHint(at(20, 50), marksOf(plan), name, id)).toBe("20 m ke timur dari Gerbang utara");
    expect(walkingHint(at(3, 46), marksOf(plan), name, id)).toBe("di dekat Gerbang utara");
    expect(walkingHint(at(3, 46), [], name, id)).toBeNull();
  });
});

describe("the plan", () => {
  it("tells which zone a bin stands in", () => {
    const ring: LonLat[] = [at(0, 0), at(10, 0), at(10, 10), at(0, 10), at(0, 0)];
    expect(isInside(at(5, 5), ring)).toBe(true);
    expect(isInside(at(15, 5), ring)).toBe(false);
    expect(isInside(at(5, 5), [])).toBe(false);
  });

  it("fades a street only where it ends loose", () => {
    const road = (name: string, line: LonLat[]): Plan["features"][number] => ({ type: "Feature", geometry: { type: "LineString", coordinates: line }, properties: { role: "road", id: name } });
    const lines = roadLines({ type: "FeatureCollection", features: [road("a", [at(-100, 0), at(100, 0)]), road("b", [at(0, 1), at(0, 120)])] });
    const faded = (name: string): number => lines.features.filter((f) => f.properties.id === name && f.properties.opacity < 1).length;
    expect(faded("a")).toBe(16); // both ends, eight steps each
    expect(faded("b")).toBe(8); // it starts on the other street
    const solid = lines.features.find((f) => f.properties.id === "a" && f.properties.opacity === 1);
    expect(Math.hypot(...Object.values(offset(solid?.geometry.coordinates[0] as LonLat, at(-100, 0))))).toBeCloseTo(26, 0);
  });

  it("has no bounds when it holds nothing to look at", () => {
    expect(planBounds({ type: "FeatureCollection", features: [] }, true)).toBeNull();
  });

  it("scales bins along one curve, flat at both ends", () => {
    expect([10, 15, 16.5, 18, 20, 22].map(binScale)).toEqual([0.45, 0.45, 0.7, 1, 1.35, 1.35]);
    expect(binScale(17.25)).toBeCloseTo(0.85, 5);
    expect([10, 16, 17, 18, 22].map(landmarkScale)).toEqual([0.75, 0.75, 0.875, 1, 1]);
  });
});

describe("words beside marks", () => {
  const view = { x: 0, y: 0, width: 400, height: 400 };
  const word = { x: 200, y: 200, width: 80, height: 20, clear: 12 };

  it("stand to the right of the mark while that is free", () => {
    expect(placeCallouts([word], [], view)[0]?.anchor).toBe("left");
  });

  it("move away from a bin, and stay within the view", () => {
    const binBox = { x: 220, y: 190, width: 20, height: 20 };
    const [moved] = placeCallouts([word], [binBox], view);
    expect(moved && overlap(boxOf(word, moved), binBox)).toBe(0);
    const edge = { ...word, x: 390 };
    const [inside] = placeCallouts([edge], [], view);
    expect(inside && overlap(boxOf(edge, inside), view)).toBe(1600);
  });

  it("do not cover each other", () => {
    const two = [word, { ...word, x: 210, y: 204 }];
    const [a, b] = placeCallouts(two, [], view);
    expect(a && b && overlap(boxOf(two[0] as typeof word, a), boxOf(two[1] as typeof word, b))).toBe(0);
  });

  it("slide or step aside where bins leave a narrow gap", () => {
    // Bins in two rows above and below, and a column to each side: only a word that moves off its mark's row is clear.
    const bins = [-60, -36, -12, 12, 36, 60].flatMap((dx) => [-29, 29].map((dy) => ({ x: 200 + dx - 9, y: 200 + dy - 9, width: 18, height: 18 })));
    const beside = [-34, 34].map((dx) => ({ x: 200 + dx - 9, y: 191, width: 18, height: 18 }));
    const all = [...bins, ...beside];
    const [moved] = placeCallouts([word], all, view);
    expect(moved && all.map((bin) => overlap(boxOf(word, moved), bin))).toEqual(all.map(() => 0));
  });

  it("leave a landmark free, but lie on it rather than on a bin", () => {
    const right = { x: 215, y: 190, width: 20, height: 20 };
    const [free] = placeCallouts([word], [], view, [right]);
    expect(free && overlap(boxOf(word, free), right)).toBe(0);
    const around = [{ x: 0, y: 0, width: 400, height: 180 }, { x: 0, y: 220, width: 400, height: 180 }, { x: 0, y: 180, width: 190, height: 40 }];
    const [onIt] = placeCallouts([word], around, view, [{ x: 210, y: 180, width: 190, height: 40 }]);
    expect(onIt && around.map((bin) => overlap(boxOf(word, onIt), bin))).toEqual([0, 0, 0]);
  });

  it("fall on whole pixels, wherever their mark is", () => {
    for (const [x, y] of [[200.5, 200.5], [133.31, 77.77], [250, 180.25]]) {
      const odd = { ...word, x: x as number, y: y as number, width: 81, height: 21 };
      const [place] = placeCallouts([odd], [{ x: 213, y: 190, width: 20, height: 20 }], view);
      const box = boxOf(odd, place as NonNullable<typeof place>);
      expect([box.x % 1, box.y % 1].map((part) => Math.abs(part - Math.round(part)))).toEqual([expect.closeTo(0, 9), expect.closeTo(0, 9)]);
    }
  });

  it("leave their note out only where a bin would cover them", () => {
    const forms = [{ ...word, height: 36 }, word];
    expect(placeForms([forms], [], view)[0]?.form).toBe(0);
    const rows = [{ x: 0, y: 150, width: 400, height: 38 }, { x: 0, y: 212, width: 400, height: 38 }]; // 24 px between them
    const [short] = placeForms([forms], rows, view);
    expect(short?.form).toBe(1);
    expect(short && rows.map((row) => overlap(boxOf(word, short), row))).toEqual([0, 0]);
    expect(placeForms([[word]], [{ x: 0, y: 0, width: 400, height: 400 }], view)[0]?.form).toBe(0); // a crew has one form
  });

  it("are tied to their mark by a line when they had to go far", () => {
    expect(leaderEnd(word, placeAt("left", word.clear))).toBeNull();
    expect(leaderEnd(word, placeAt("left", word.clear + 26))).toEqual({ x: 238, y: 200 }); // its near edge, level with the mark
    expect(leaderEnd(word, placeAt("bottom-right", word.clear + 26))).toEqual({ x: 200 - 38 * 0.8, y: 200 - 38 * 0.8 });
  });

  it("touch their mark with the side that the anchor names", () => {
    const box = boxOf(word, placeAt("right", word.clear));
    expect(box.x + box.width).toBe(word.x - word.clear);
  });
});

describe("chart series", () => {
  it("keep a gap a gap, and join what merely comes slower than the window", () => {
    const minutes = [0, 10, 20, 30, 120, 130].map((m) => m * 60_000);
    const { x, y } = withGaps(minutes, [1, null, 3, 4, 5, 6], 35 * 60);
    expect(y).toEqual([1, 3, 4, null, 5, 6]);
    expect(x[3]).toBe((30 * 60 + 120 * 60) / 2);
  });

  it("keep zero as a value", () => {
    expect(withGaps([0, 1000], [0, null], 60).y).toEqual([0]);
  });

  it("find emptyings by their fall, not across a gap", () => {
    const series = { x: [1, 2, 3, 4, 5], y: [90, 5, null, 80, 60] };
    expect(emptyings(series, 30)).toEqual([2]);
  });
});
