// The base map: the site plan as a MapLibre style. No tile server and no glyph server is needed;
// the labels use the font of the page, which MapLibre rasterises itself when a style has no `glyphs`.

import type { ExpressionSpecification, LayerSpecification, StyleSpecification } from "maplibre-gl";
import type { Plan, PlanFeature, Site } from "../api/types";
import type { LonLat } from "../words/places";
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

/** West, south, east, north of what the first view must show: every asset and everything built around it. */
export function planBounds(plan: Plan): [number, number, number, number] | null {
  const points: LonLat[] = [];
  const collect = (value: unknown): void => {
    if (!Array.isArray(value)) return;
    if (typeof value[0] === "number") points.push(value as LonLat);
    else value.forEach(collect);
  };
  for (const feature of plan.features) {
    if (["bin", "air", "umbrella", "tugu", "granite", "gate"].includes(feature.properties.role)) collect(feature.geometry.coordinates);
  }
  if (points.length === 0) return null;
  const lons = points.map((p) => p[0]);
  const lats = points.map((p) => p[1]);
  return [Math.min(...lons), Math.min(...lats), Math.max(...lons), Math.max(...lats)];
}

export function baseStyle(site: Site, p: Palette, name: (props: PlanFeature["properties"]) => string): StyleSpecification {
  const lat = site.centre[1];
  const area = (id: string, roles: string[], fill: string, edge: string): LayerSpecification[] => [
    { id, type: "fill", source: "plan", filter: role(...roles), paint: { "fill-color": fill, "fill-antialias": true } },
    { id: `${id}-edge`, type: "line", source: "plan", filter: ["all", role(...roles), ["==", ["geometry-type"], "Polygon"]], paint: { "line-color": edge, "line-width": 1 } },
  ];
  const isMosque: ExpressionSpecification = ["in", ["coalesce", ["get", "kind"], ""], ["literal", ["mosque", "minaret", "tomb"]]];

  const tiles: StyleSpecification["sources"] = site.tiles_url
    ? { tiles: { type: "raster", tiles: [site.tiles_url], tileSize: 256, maxzoom: 19, attribution: site.tiles_attribution ?? "" } }
    : {};
  const tileLayers: LayerSpecification[] = site.tiles_url
    ? [{ id: "tiles", type: "raster", source: "tiles", paint: { "raster-saturation": -0.7, "raster-opacity": 0.55 } }]
    : [];

  return {
    version: 8,
    sources: {
      ...tiles,
      plan: { type: "geojson", data: site.plan as never, maxzoom: 16 },
      ribs: { type: "geojson", data: umbrellaRibs(site.plan), maxzoom: 16 },
      labels: { type: "geojson", data: labelPoints(site.plan, name), maxzoom: 16 },
      routes: { type: "geojson", data: EMPTY, maxzoom: 16 },
      crews: { type: "geojson", data: EMPTY, maxzoom: 16 },
      air: { type: "geojson", data: EMPTY, maxzoom: 16 },
      bins: { type: "geojson", data: EMPTY, maxzoom: 16 },
    },
    layers: [
      { id: "ground", type: "background", paint: { "background-color": p.ground } },
      ...tileLayers,
      {
        id: "road-edge",
        type: "line",
        source: "plan",
        filter: role("road"),
        layout: { "line-cap": "butt", "line-join": "round" },
        paint: { "line-color": p.roadEdge, "line-width": metres(["+", ["coalesce", ["get", "width_m"], 7], 0.8], lat, 3) },
      },
      {
        id: "road",
        type: "line",
        source: "plan",
        filter: role("road"),
        layout: { "line-cap": "butt", "line-join": "round" },
        paint: { "line-color": p.road, "line-width": metres(["coalesce", ["get", "width_m"], 7], lat, 2) },
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
          "icon-size": ["interpolate", ["linear"], ["zoom"], 16, 0.75, 18, 1],
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
        id: "air",
        type: "symbol",
        source: "air",
        layout: { "icon-image": ["get", "sprite"], "icon-anchor": "bottom", "icon-allow-overlap": true, "icon-padding": 1 },
      },
      {
        id: "crews",
        type: "symbol",
        source: "crews",
        layout: { "icon-image": ["get", "sprite"], "icon-anchor": "bottom", "icon-allow-overlap": true, "icon-padding": 1 },
      },
      {
        id: "selected",
        type: "circle",
        source: "bins",
        filter: ["==", ["get", "id"], ""],
        paint: { "circle-radius": 21, "circle-color": p.accent, "circle-opacity": 0.16, "circle-stroke-color": p.accent, "circle-stroke-width": 2.5 },
      },
      {
        id: "bins",
        type: "symbol",
        source: "bins",
        layout: {
          "icon-image": ["get", "sprite"],
          "symbol-sort-key": ["get", "order"],
          "icon-size": ["interpolate", ["linear"], ["zoom"], 15, 0.45, 16.5, 0.7, 18, 1, 20, 1.35],
          "icon-allow-overlap": true,
          "icon-padding": 0,
        },
      },
    ],
  };
}
