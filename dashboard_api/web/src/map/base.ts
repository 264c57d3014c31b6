// The base map: the site plan as a MapLibre style. No tile server and no glyph server is needed;
// the labels use the font of the page, which MapLibre rasterises itself when a style has no `glyphs`.

import type { ExpressionSpecification, LayerSpecification, StyleSpecification } from "maplibre-gl";
import type { Plan, PlanFeature, Site } from "../api/types";
import { type LonLat, offset } from "../words/places";
import type { Palette } from "./palette";
import type { Landmark } from "./sprites";

export const EMPTY = { type: "FeatureCollection" as const, features: [] };

/** Screen pixels per metre at zoom 0 for a latitude [px/m]; doubles with each zoom level. */
export function pxPerMetreAtZoom0(latDeg: number): number {
  return 512 / (40_075_016.686 * Math.cos((latDeg * Math.PI) / 180));
}

function metres(value: ExpressionSpecification | number, lat: number, minPx: number): ExpressionSpecification {
  const k = pxPerMetreAtZoom0(lat);
  const at = (zoom: number): ExpressionSpecification => ["max", minPx, ["*", value, k * 2 ** zoom]];
  return ["interpolate", ["exponential", 2], ["zoom"], 12, at(12), 22, at(22)];
}

type Stops = readonly [number, number][];

/** Scale of a sprite by zoom; `binScale` and `landmarkScale` are the same curves for code that needs the number. */
const BIN_STOPS: Stops = [
  [15, 0.45],
  [16.5, 0.7],
  [18, 1],
  [20, 1.35],
];
const LANDMARK_STOPS: Stops = [
  [16, 0.75],
  [18, 1],
];
const byZoom = (stops: Stops): ExpressionSpecification => ["interpolate", ["linear"], ["zoom"], ...stops.flat()] as unknown as ExpressionSpecification;
const BIN_SIZE = byZoom(BIN_STOPS);

function scaleAt(stops: Stops, zoom: number): number {
  let [fromZoom, fromScale] = stops[0] as [number, number];
  for (const [atZoom, scale] of stops) {
    if (zoom <= atZoom) return atZoom === fromZoom ? scale : fromScale + ((scale - fromScale) * (zoom - fromZoom)) / (atZoom - fromZoom);
    [fromZoom, fromScale] = [atZoom, scale];
  }
  return fromScale;
}

export const binScale = (zoom: number): number => scaleAt(BIN_STOPS, zoom);
export const landmarkScale = (zoom: number): number => scaleAt(LANDMARK_STOPS, zoom);

const role = (...roles: string[]): ExpressionSpecification => ["in", ["get", "role"], ["literal", roles]];

const LANDMARK_OF_ROLE: Record<string, Landmark> = {
  tugu: "tugu",
  water_tower: "tower",
  toilet: "toilet",
  gate: "gate",
  terminal: "terminal",
  playground: "playground",
  depot: "depot",
  tps: "tps",
};

const LANDMARK_OF_KIND: Record<string, Landmark> = { mosque: "mosque", tomb: "tomb" };

/** The icon of a feature, from its role and, for buildings, its kind. */
export function landmarkOf(properties: PlanFeature["properties"]): Landmark | null {
  const { role: of } = properties;
  return of === "building" ? (LANDMARK_OF_KIND[String(properties["kind"])] ?? null) : (LANDMARK_OF_ROLE[of] ?? null);
}

type Ring = LonLat[];

function outerRing(feature: PlanFeature): Ring {
  return feature.geometry.type === "Polygon" ? ((feature.geometry.coordinates as Ring[])[0] ?? []) : [];
}

function middle(feature: PlanFeature): LonLat | null {
  if (feature.geometry.type === "Point") return feature.geometry.coordinates as LonLat;
  const ring = outerRing(feature).slice(0, -1);
  if (ring.length === 0) return null;
  const west = Math.min(...ring.map((p) => p[0]));
  const east = Math.max(...ring.map((p) => p[0]));
  const south = Math.min(...ring.map((p) => p[1]));
  const north = Math.max(...ring.map((p) => p[1]));
  return [(west + east) / 2, (south + north) / 2];
}

const point = (at: LonLat, properties: Record<string, unknown>) => ({
  type: "Feature" as const,
  geometry: { type: "Point" as const, coordinates: at },
  properties,
});

/** How early a label may take its place: lower wins. Roles that are not named here have no label. */
const LABEL_RANK: Record<string, number> = { tugu: 1, building: 4, water_tower: 2, terminal: 3, gate: 4, playground: 5, depot: 6, tps: 6, vendor_row: 7, toilet: 7 };
const LABEL_RANK_OF_KIND: Record<string, number> = { mosque: 1, tomb: 2, shops: 8, minaret: 8 };

function labelRank({ role: of, kind }: PlanFeature["properties"]): number | undefined {
  if (of === "building" && kind === "depot") return undefined; // the depot point carries the name
  return (of === "building" ? LABEL_RANK_OF_KIND[String(kind)] : undefined) ?? LABEL_RANK[of];
}

/** Labels of areas and points: one point each, in the language asked for. Umbrellas and lawns stay unnamed, they would crowd. */
export function labelPoints(plan: Plan, name: (p: PlanFeature["properties"]) => string) {
  const features = plan.features.flatMap((feature) => {
    const rank = labelRank(feature.properties);
    const at = middle(feature);
    if (rank === undefined || at === null) return [];
    const icon = landmarkOf(feature.properties);
    return [point(at, { label: name(feature.properties), rank, role: feature.properties.role, ...(icon ? { icon: `landmark/${icon}` } : {}) })];
  });
  return { type: "FeatureCollection" as const, features };
}

/** Ribs of the large umbrellas: lines from the mast to each corner, so that they read as umbrellas from above. */
export function umbrellaRibs(plan: Plan) {
  const features = plan.features
    .filter((feature) => feature.properties.role === "umbrella")
    .flatMap((feature) => {
      const centre = middle(feature);
      const ring = outerRing(feature);
      const corners = ring.slice(0, -1);
      const step = Math.max(1, Math.round(corners.length / 8));
      if (!centre) return [];
      return corners
        .filter((_, index) => index % step === 0)
        .map((corner) => ({ type: "Feature" as const, geometry: { type: "LineString" as const, coordinates: [centre, corner] }, properties: {} }));
    });
  return { type: "FeatureCollection" as const, features };
}

const FADE_M = 26;
const FADE_STEPS = 8;

/**
 * Streets, whose loose ends fade out: the plan stops there, the street does not. An end that meets
 * another street (within 6 m of one of its segments) is not loose.
 */
export function roadLines(plan: Plan) {
  const roads = plan.features.filter((feature) => feature.properties.role === "road" && feature.geometry.type === "LineString");
  const lines = roads.map((feature) => feature.geometry.coordinates as LonLat[]);
  const features = roads.flatMap((feature, index) => {
    let line = lines[index] as LonLat[];
    const pieces: { coordinates: LonLat[]; opacity: number }[] = [];
    for (const isEnd of [false, true]) {
      if (isEnd) line = [...line].reverse();
      const tip = line[0];
      const next = line[1];
      if (tip && next && !lines.some((other, at) => at !== index && meets(tip, other))) {
        const { eastM, northM } = offset(tip, next);
        const lengthM = Math.hypot(eastM, northM);
        const share = Math.min(FADE_M, lengthM * 0.8) / lengthM;
        const along = (k: number): LonLat => [tip[0] + (next[0] - tip[0]) * share * k, tip[1] + (next[1] - tip[1]) * share * k];
        for (let k = 0; k < FADE_STEPS; k += 1) pieces.push({ coordinates: [along(k / FADE_STEPS), along((k + 1) / FADE_STEPS)], opacity: (k + 0.5) / FADE_STEPS });
        line = [along(1), ...line.slice(1)];
      }
      if (isEnd) line = [...line].reverse();
    }
    pieces.push({ coordinates: line, opacity: 1 });
    return pieces.map(({ coordinates, opacity }) => ({
      type: "Feature" as const,
      geometry: { type: "LineString" as const, coordinates },
      properties: { ...feature.properties, opacity },
    }));
  });
  return { type: "FeatureCollection" as const, features };
}

function meets(at: LonLat, line: readonly LonLat[]): boolean {
  return line.some((b, i) => {
    const a = line[i - 1];
    if (!a) return false;
    const ab = offset(a, b);
    const ap = offset(a, at);
    const square = ab.eastM ** 2 + ab.northM ** 2 || 1;
    const k = Math.max(0, Math.min(1, (ap.eastM * ab.eastM + ap.northM * ab.northM) / square));
    return Math.hypot(ap.eastM - k * ab.eastM, ap.northM - k * ab.northM) < 6;
  });
}

/**
 * West, south, east, north of the first view: everything that people orient by on a wide screen; on a narrow one
 * the square itself with its forecourt, since the whole length of the pilgrims' path would make it tiny.
 */
export function planBounds(plan: Plan, isNarrow: boolean): [number, number, number, number] | null {
  const wide = ["bin", "air", "umbrella", "tugu", "granite", "gate", "water_tower", "terminal"];
  const narrow = ["umbrella", "granite", "gate"];
  const roles = isNarrow ? narrow : wide;
  const points: LonLat[] = [];
  const collect = (value: unknown): void => {
    if (!Array.isArray(value)) return;
    if (typeof value[0] === "number") points.push(value as LonLat);
    else value.forEach(collect);
  };
  for (const feature of plan.features) {
    const { role: of, kind } = feature.properties;
    if (roles.includes(of) || (!isNarrow && (kind === "mosque" || kind === "tomb"))) collect(feature.geometry.coordinates);
  }
  if (points.length === 0) return isNarrow ? planBounds(plan, false) : null;
  const lons = points.map((p) => p[0]);
  const lats = points.map((p) => p[1]);
  return [Math.min(...lons), Math.min(...lats), Math.max(...lons), Math.max(...lats)];
}

/** MapLibre writes an attribution as HTML; what comes from settings is text. */
export function asText(value: string): string {
  return value.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}

export function baseStyle(site: Site, p: Palette, name: (props: PlanFeature["properties"]) => string): StyleSpecification {
  const lat = site.centre[1];
  const area = (id: string, roles: string[], fill: string, edge: string): LayerSpecification[] => [
    { id, type: "fill", source: "plan", filter: role(...roles), paint: { "fill-color": fill, "fill-antialias": true } },
    { id: `${id}-edge`, type: "line", source: "plan", filter: ["all", role(...roles), ["==", ["geometry-type"], "Polygon"]], paint: { "line-color": edge, "line-width": 1 } },
  ];
  const isMosque: ExpressionSpecification = ["in", ["coalesce", ["get", "kind"], ""], ["literal", ["mosque", "minaret", "tomb"]]];

  const tiles: StyleSpecification["sources"] = site.tiles_url
    ? { tiles: { type: "raster", tiles: [site.tiles_url], tileSize: 256, maxzoom: 19, attribution: asText(site.tiles_attribution ?? "") } }
    : {};
  const tileLayers: LayerSpecification[] = site.tiles_url
    ? [{ id: "tiles", type: "raster", source: "tiles", paint: { "raster-saturation": -0.7, "raster-opacity": 0.55 } }]
    : [];

  return {
    version: 8,
    sources: {
      ...tiles,
      plan: { type: "geojson", data: site.plan as never, maxzoom: 16 },
      roads: { type: "geojson", data: roadLines(site.plan), maxzoom: 16 },
      ribs: { type: "geojson", data: umbrellaRibs(site.plan), maxzoom: 16 },
      labels: { type: "geojson", data: labelPoints(site.plan, name), maxzoom: 16 },
      routes: { type: "geojson", data: EMPTY, maxzoom: 16 },
      leaders: { type: "geojson", data: EMPTY, maxzoom: 16 },
      words: { type: "geojson", data: EMPTY, maxzoom: 16 },
      marks: { type: "geojson", data: EMPTY, maxzoom: 16 },
      selected: { type: "geojson", data: EMPTY, maxzoom: 16 },
      bins: { type: "geojson", data: EMPTY, maxzoom: 16 },
    },
    layers: [
      { id: "ground", type: "background", paint: { "background-color": p.ground } },
      ...tileLayers,
      {
        id: "road-edge",
        type: "line",
        source: "roads",
        layout: { "line-cap": "butt", "line-join": "round" },
        paint: { "line-opacity": ["get", "opacity"], "line-color": p.roadEdge, "line-width": metres(["+", ["coalesce", ["get", "width_m"], 7], 0.8], lat, 3) },
      },
      {
        id: "road",
        type: "line",
        source: "roads",
        layout: { "line-cap": "butt", "line-join": "round" },
        paint: { "line-opacity": ["get", "opacity"], "line-color": p.road, "line-width": metres(["coalesce", ["get", "width_m"], 7], lat, 2) },
      },
      ...area("granite", ["granite"], p.granite, p.graniteEdge),
      ...area("terminal", ["terminal"], p.granite, p.graniteEdge),
      ...area("grass", ["grass"], p.grass, p.grassEdge),
      {
        id: "path",
        type: "line",
        source: "plan",
        filter: role("path"),
        layout: { "line-cap": "round", "line-join": "round" },
        paint: { "line-color": p.path, "line-width": metres(["coalesce", ["get", "width_m"], 2], lat, 1) },
      },
      ...area("playground", ["playground"], p.playground, p.graniteEdge),
      ...area("vendor", ["vendor_row"], p.vendor, p.buildingEdge),
      {
        id: "building",
        type: "fill",
        source: "plan",
        filter: role("building", "toilet"),
        paint: { "fill-color": ["case", isMosque, p.mosque, p.building] },
      },
      {
        id: "building-edge",
        type: "line",
        source: "plan",
        filter: role("building", "toilet"),
        paint: { "line-color": ["case", isMosque, p.mosqueEdge, p.buildingEdge], "line-width": 1.2 },
      },
      ...area("landmark", ["water_tower"], p.landmark, p.buildingEdge),
      ...area("tugu", ["tugu"], p.tugu, p.buildingEdge),
      {
        id: "zone-edge",
        type: "line",
        source: "plan",
        filter: role("zone"),
        minzoom: 17.5,
        paint: { "line-color": p.zoneEdge, "line-width": 1, "line-dasharray": [1, 4], "line-opacity": 0.55 },
      },
      {
        id: "tree",
        type: "circle",
        source: "plan",
        filter: role("tree"),
        paint: {
          "circle-color": p.tree,
          "circle-opacity": 0.75,
          "circle-radius": metres(["/", ["coalesce", ["get", "crown_m"], 5], 2], lat, 1.5),
          "circle-pitch-alignment": "map",
        },
      },
      ...area("umbrella", ["umbrella"], p.umbrella, p.umbrellaEdge),
      { id: "ribs", type: "line", source: "ribs", paint: { "line-color": p.umbrellaEdge, "line-width": 0.8, "line-opacity": 0.8 } },
      {
        id: "routes",
        type: "line",
        source: "routes",
        layout: { "line-cap": "round", "line-join": "round" },
        paint: { "line-color": p.accent, "line-width": 2, "line-dasharray": [0.5, 2.4], "line-opacity": 0.8 },
      },
      {
        id: "road-label",
        type: "symbol",
        source: "plan",
        filter: role("road"),
        layout: {
          "symbol-placement": "line",
          "text-field": ["coalesce", ["get", "name_id"], ""],
          "text-font": ["Resik Sans"],
          "text-size": 12,
          "text-letter-spacing": 0.04,
        },
        paint: { "text-color": p.ink2, "text-halo-color": p.road, "text-halo-width": 1.5 },
      },
      {
        id: "label",
        type: "symbol",
        source: "labels",
        layout: {
          "symbol-sort-key": ["get", "rank"],
          "icon-image": ["coalesce", ["get", "icon"], ""],
          "icon-size": byZoom(LANDMARK_STOPS),
          "text-field": ["step", ["zoom"], ["case", ["<=", ["get", "rank"], 3], ["get", "label"], ""], 17.6, ["case", ["<=", ["get", "rank"], 6], ["get", "label"], ""], 19, ["get", "label"]],
          "text-font": ["Resik Sans Semibold"],
          "text-size": ["interpolate", ["linear"], ["zoom"], 16, 11, 19, 13],
          "text-max-width": 9,
          "text-variable-anchor-offset": ["top", [0, 0.9], "bottom", [0, -0.9], "left", [1, 0], "right", [-1, 0]],
          "text-optional": true,
          "text-padding": 3,
          "icon-padding": 1,
        },
        paint: { "text-color": p.ink2, "text-halo-color": p.halo, "text-halo-width": 1.6 },
      },
      {
        id: "selected",
        type: "circle",
        source: "selected",
        paint: { "circle-radius": 21, "circle-color": p.accent, "circle-opacity": 0.16, "circle-stroke-color": p.accent, "circle-stroke-width": 2.5 },
      },
      { id: "leaders", type: "line", source: "leaders", paint: { "line-color": p.ink2, "line-width": 1.2, "line-opacity": 0.8 } },
      // The words lie under every mark, so that no word covers a bin.
      {
        id: "words",
        type: "symbol",
        source: "words",
        layout: {
          "icon-image": ["get", "sprite"],
          "icon-anchor": ["get", "anchor"],
          "icon-offset": ["get", "offset"],
          "icon-allow-overlap": true,
          "icon-padding": 1,
        },
      },
      {
        id: "marks",
        type: "symbol",
        source: "marks",
        layout: { "icon-image": ["get", "sprite"], "icon-allow-overlap": true, "icon-padding": 1 },
      },
      {
        id: "bins",
        type: "symbol",
        source: "bins",
        layout: {
          "icon-image": ["get", "sprite"],
          "symbol-sort-key": ["get", "order"],
          "icon-size": BIN_SIZE,
          "icon-allow-overlap": true,
          "icon-ignore-placement": true,
        },
      },
      {
        // Keeps labels off the bins: an empty sprite of the size of the disc, since the drawn one has a wide margin for its ring.
        id: "bin-room",
        type: "symbol",
        source: "bins",
        layout: { "icon-image": "bin-room", "icon-size": BIN_SIZE, "icon-allow-overlap": true, "icon-padding": 0 },
      },
    ],
  };
}
