// The drawn map. Loaded lazily: everything in this file and MapLibre itself arrive after the first paint.

import { type GeoJSONSource, Map as MapLibre, AttributionControl, setWorkerUrl } from "maplibre-gl";
import workerUrl from "maplibre-gl/dist/maplibre-gl-worker.mjs?worker&url";
import "maplibre-gl/dist/maplibre-gl.css";
import type { PlanFeature, Site } from "../api/types";
import type { LonLat } from "../words/places";
import { EMPTY, baseStyle, binScale, labelPoints, landmarkScale, planBounds } from "./base";
import { type AirCategory, type BinStyle, concern, spriteName } from "./level";
import { type Theme, palette } from "./palette";
import { type Box, type Callout, leaderEnd, placeForms } from "./placement";
import { BIN_PX, LANDMARK_PX, type Landmark, MARK_PX, type WordSize, drawAir, drawBin, drawCrew, drawLandmark, drawWord, measureWord } from "./sprites";

setWorkerUrl(workerUrl);

export interface BinOnMap {
  id: string;
  at: LonLat;
  style: BinStyle;
}

export interface AirOnMap {
  id: string;
  at: LonLat;
  category: AirCategory;
  word: string;
  note: string;
}

export interface CrewOnMap {
  id: string;
  at: LonLat;
  name: string;
  stops: LonLat[];
}

export interface Padding {
  top: number;
  right: number;
  bottom: number;
  left: number;
}

export interface MapEvents {
  onSelect(asset: string | null): void;
  onHover(asset: string | null, x: number, y: number): void;
  onDrawn(bins: number): void;
}

type Name = (properties: PlanFeature["properties"]) => string;

const LANDMARKS: readonly Landmark[] = ["mosque", "tower", "tugu", "toilet", "gate", "terminal", "playground", "depot", "tps", "tomb"];
/** A gauge moves this many percent per frame on its way to a new level, so that any change ends within 300 ms. */
const EASE_STEPS = 6;
const EASE_FRAME_MS = 45;

/** A map with less room than this shows the square without the streets around it [px]. */
const NARROW_PX = 700;
/** Edge of the room that labels leave to a bin [CSS px]. */
const BIN_ROOM_PX = 27;

export function hasWebgl(): boolean {
  try {
    return document.createElement("canvas").getContext("webgl2") !== null;
  } catch {
    return false;
  }
}

export class SquareMapView {
  readonly #map: MapLibre;
  readonly #events: MapEvents;
  readonly #shown = new Map<string, number>(); // gauge height on screen, in percent
  readonly #sizes = new Map<string, WordSize>();
  readonly #ratio = Math.min(3, Math.max(1, Math.ceil(devicePixelRatio)));
  readonly #resize: ResizeObserver;
  #site: Site;
  #theme: Theme;
  #name: Name;
  #padding: Padding; // what always lies on the map
  #cover: Padding; // what lies on it now, an open detail included
  #bins: BinOnMap[] = [];
  #air: AirOnMap[] = [];
  #crews: CrewOnMap[] = [];
  #selected: LonLat | null = null;
  #isReady = false;
  #isMoved = false;
  #easing: ReturnType<typeof setTimeout> | null = null;

  constructor(container: HTMLElement, site: Site, theme: Theme, name: Name, label: string, padding: Padding, events: MapEvents) {
    this.#site = site;
    this.#theme = theme;
    this.#name = name;
    this.#events = events;
    this.#padding = padding;
    this.#cover = padding;
    this.#map = new MapLibre({
      container,
      style: baseStyle(site, palette(theme), name),
      center: site.centre,
      zoom: 17.5,
      minZoom: 8, // a replayed city spreads over kilometres
      maxZoom: 21,
      attributionControl: false,
      dragRotate: false,
      pitchWithRotate: false,
      touchPitch: false,
      fadeDuration: 0,
      renderWorldCopies: false,
      locale: { "Map.Title": label },
    });
    this.#map.touchZoomRotate.disableRotation();
    this.#map.keyboard.disableRotation();
    if (site.tiles_url) this.#map.addControl(new AttributionControl({ compact: true }), "bottom-right");
    this.#map.on("style.load", () => this.#dress());
    this.#map.on("idle", () => this.#report());
    this.#map.on("moveend", () => this.#drawWords());
    this.#map.on("movestart", (event) => {
      if ("originalEvent" in event && event.originalEvent) this.#isMoved = true;
    });
    this.#map.on("click", (event) => {
      events.onSelect(this.#assetAt(event.point.x, event.point.y));
    });
    this.#map.on("mousemove", (event) => {
      const asset = this.#assetAt(event.point.x, event.point.y);
      this.#map.getCanvas().style.cursor = asset ? "pointer" : "";
      events.onHover(asset, event.point.x, event.point.y);
    });
    this.#map.on("mouseout", () => events.onHover(null, 0, 0));
    this.#map.getCanvas().setAttribute("aria-label", label);
    this.fit(false);
    this.#resize = new ResizeObserver(() => {
      if (!this.#isMoved) this.fit(false);
    });
    this.#resize.observe(container);
  }

  remove(): void {
    if (this.#easing) clearTimeout(this.#easing);
    this.#resize.disconnect();
    this.#map.remove();
  }

  zoomBy(levels: number): void {
    this.#isMoved = true;
    this.#map.easeTo({ zoom: this.#map.getZoom() + levels, duration: 200 });
  }

  /** The whole square, clear of the panels that lie on the map. */
  fit(isEased = true): void {
    const room = this.#map.getContainer().clientWidth - this.#padding.left - this.#padding.right;
    const bounds = planBounds(this.#site.plan, room < NARROW_PX);
    if (!bounds) return;
    this.#map.fitBounds(bounds, { padding: this.#roomInside(this.#padding), duration: isEased ? 300 : 0, maxZoom: 19.5 });
    if (isEased) this.#isMoved = false;
  }

  setPadding(padding: Padding, cover: Padding): void {
    this.#cover = cover;
    const isSame = JSON.stringify(padding) === JSON.stringify(this.#padding);
    this.#padding = padding;
    if (!isSame && !this.#isMoved) this.fit(false);
  }

  setTheme(theme: Theme): void {
    if (theme === this.#theme) return;
    this.#theme = theme;
    this.#restyle();
  }

  setName(name: Name): void {
    this.#name = name;
    if (!this.#isReady) return;
    this.#source("labels").setData(labelPoints(this.#site.plan, name) as never);
  }

  setBins(bins: BinOnMap[]): void {
    this.#bins = bins;
    if (this.#isReady) this.#drawBins();
  }

  setAir(air: AirOnMap[]): void {
    this.#air = air;
    if (this.#isReady) this.#drawMarks();
  }

  setCrews(crews: CrewOnMap[]): void {
    this.#crews = crews;
    if (this.#isReady) this.#drawMarks();
  }

  /** Marks the selected place; null when nothing is selected. */
  select(at: LonLat | null): void {
    this.#selected = at;
    if (!this.#isReady) return;
    const features = at === null ? [] : [{ type: "Feature" as const, geometry: { type: "Point" as const, coordinates: at }, properties: {} }];
    this.#source("selected").setData({ type: "FeatureCollection", features });
    if (at === null) return;
    // Move only when the selected thing would lie under a panel.
    const { x, y } = this.#map.project(at);
    const room = this.#cover;
    const { clientWidth, clientHeight } = this.#map.getContainer();
    const margin = 24;
    const isClear = x > room.left + margin && x < clientWidth - room.right - margin && y > room.top + margin && y < clientHeight - room.bottom - margin;
    if (!isClear) {
      this.#isMoved = true;
      const offset: [number, number] = [(room.left - room.right) / 2, (room.top - room.bottom) / 2];
      this.#map.easeTo({ center: at, offset, duration: 300 });
    }
  }

  #roomInside(p: Padding): Padding {
    const { clientWidth, clientHeight } = this.#map.getContainer();
    const margin = clientWidth < NARROW_PX ? 16 : 32;
    const width = Math.max(0, clientWidth - 120);
    const height = Math.max(0, clientHeight - 120);
    return {
      left: Math.min(p.left + margin + (p.left > 0 ? 24 : 0), width / 2),
      right: Math.min(p.right + margin, width / 2),
      top: Math.min(p.top + margin, height / 2),
      bottom: Math.min(p.bottom + margin, height / 2),
    };
  }

  #source(id: string): GeoJSONSource {
    return this.#map.getSource(id) as GeoJSONSource;
  }

  #restyle(): void {
    this.#isReady = false;
    this.#map.setStyle(baseStyle(this.#site, palette(this.#theme), this.#name), { diff: false });
  }

  /** Sprites and live layers, after a style has loaded; the font first, since sprites hold text. */
  async #dress(): Promise<void> {
    await Promise.all([document.fonts.load('600 13px "Resik Sans"'), document.fonts.load('400 12px "Resik Sans Semibold"')]).catch(() => []);
    const p = palette(this.#theme);
    for (const kind of LANDMARKS) this.#sprite(`landmark/${kind}`, LANDMARK_PX, LANDMARK_PX, (ctx) => drawLandmark(ctx, kind, p));
    this.#sprite("bin-room", BIN_ROOM_PX, BIN_ROOM_PX, () => undefined);
    this.#isReady = true;
    this.#shown.clear();
    this.#drawBins();
    this.#drawMarks();
    this.select(this.#selected);
  }

  #sprite(name: string, width: number, height: number, draw: (ctx: CanvasRenderingContext2D) => void): void {
    if (this.#map.hasImage(name)) return;
    const canvas = document.createElement("canvas");
    canvas.width = width * this.#ratio;
    canvas.height = height * this.#ratio;
    const ctx = canvas.getContext("2d", { willReadFrequently: true });
    if (!ctx) return;
    ctx.scale(this.#ratio, this.#ratio);
    draw(ctx);
    this.#map.addImage(name, ctx.getImageData(0, 0, canvas.width, canvas.height), { pixelRatio: this.#ratio });
  }

  #drawBins(): void {
    if (this.#easing) clearTimeout(this.#easing);
    this.#easing = null;
    const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const p = palette(this.#theme);
    let isMoving = false;
    const features = this.#bins.map(({ id, at, style }) => {
      const target = style.bucketPct;
      const before = this.#shown.get(id);
      let level = target;
      if (before !== undefined && !isCalm && Math.abs(target - before) > 5) {
        const step = Math.max(5, Math.ceil(Math.abs(target - before) / EASE_STEPS / 5) * 5);
        level = before + Math.sign(target - before) * Math.min(step, Math.abs(target - before));
        isMoving ||= level !== target;
      }
      this.#shown.set(id, level);
      const drawn = level === target ? style : { ...style, bucketPct: level };
      const sprite = spriteName(drawn);
      this.#sprite(sprite, BIN_PX, BIN_PX, (ctx) => drawBin(ctx, drawn, p));
      return { type: "Feature" as const, geometry: { type: "Point" as const, coordinates: at }, properties: { id, sprite, order: concern(style.look) } };
    });
    this.#source("bins").setData({ type: "FeatureCollection", features });
    if (isMoving) this.#easing = setTimeout(() => this.#drawBins(), EASE_FRAME_MS);
  }

  #drawMarks(): void {
    const p = palette(this.#theme);
    const features = [
      ...this.#air.map(({ id, at, category }) => {
        const sprite = `air/${category}`;
        this.#sprite(sprite, MARK_PX, MARK_PX, (ctx) => drawAir(ctx, category, p));
        return { type: "Feature" as const, geometry: { type: "Point" as const, coordinates: at }, properties: { id, sprite } };
      }),
      ...this.#crews.map(({ at }) => {
        this.#sprite("crew", MARK_PX, MARK_PX, (ctx) => drawCrew(ctx, p));
        return { type: "Feature" as const, geometry: { type: "Point" as const, coordinates: at }, properties: { sprite: "crew" } };
      }),
    ];
    this.#source("marks").setData({ type: "FeatureCollection", features });
    const routes = this.#crews
      .filter(({ stops }) => stops.length > 0)
      .map(({ at, stops }) => ({ type: "Feature" as const, geometry: { type: "LineString" as const, coordinates: [at, ...stops] }, properties: {} }));
    this.#source("routes").setData(routes.length > 0 ? { type: "FeatureCollection", features: routes } : EMPTY);
    this.#drawWords();
  }

  /** Words beside the marks, each on its clearest side for the present zoom. */
  #drawWords(): void {
    if (!this.#isReady) return;
    const p = palette(this.#theme);
    const { clientWidth, clientHeight } = this.#map.getContainer();
    const { left, top, right, bottom } = this.#padding;
    const view = { x: left, y: top, width: clientWidth - left - right, height: clientHeight - top - bottom };
    const isInView = ({ at }: { at: LonLat }): boolean => {
      const { x, y } = this.#map.project(at);
      return x > view.x && x < view.x + view.width && y > view.y && y < view.y + view.height;
    };
    // A word without its mark in view would only say that something is cut off.
    const words = [
      ...this.#air.filter(isInView).map(({ id, at, category, word, note }) => {
        const swatch = category === "unknown" || category === "pending" ? null : p.air[category];
        return { id, at, forms: [note, ""].map((under) => this.#word(word, under, swatch, p.paper, p.ink, p.ink2)) };
      }),
      ...this.#crews.filter(isInView).map(({ at, name }) => ({ id: "", at, forms: [this.#word(name, "", null, p.accent, p.paper, p.paper)] })),
    ];
    const zoom = this.#map.getZoom();
    const bins = this.#bins.map(({ at }) => this.#around(at, BIN_ROOM_PX * binScale(zoom)));
    const landmarks = labelPoints(this.#site.plan, this.#name).features.flatMap(({ geometry, properties }) =>
      "icon" in properties ? [this.#around(geometry.coordinates, LANDMARK_PX * landmarkScale(zoom))] : [],
    );
    const callouts = words.map(({ at, forms }) => forms.map(({ size }) => ({ ...this.#xy(at), ...size, clear: MARK_PX / 2 + 1 })));
    const places = placeForms(callouts, bins, view, landmarks);
    const features = places.map(({ form, anchor, offset }, index) => {
      const { id, at, forms } = words[index] as (typeof words)[number];
      return { type: "Feature" as const, geometry: { type: "Point" as const, coordinates: at }, properties: { id, sprite: forms[form]?.sprite, anchor, offset } };
    });
    this.#source("words").setData({ type: "FeatureCollection", features });
    const leaders = places.flatMap((place, index) => {
      const { at } = words[index] as (typeof words)[number];
      const end = leaderEnd(callouts[index]?.[place.form] as Callout, place);
      if (end === null) return [];
      const coordinates = [at, this.#map.unproject([end.x, end.y]).toArray()];
      return [{ type: "Feature" as const, geometry: { type: "LineString" as const, coordinates }, properties: {} }];
    });
    this.#source("leaders").setData({ type: "FeatureCollection", features: leaders });
  }

  #around(at: LonLat, sizePx: number): Box {
    const { x, y } = this.#map.project(at);
    return { x: x - sizePx / 2, y: y - sizePx / 2, width: sizePx, height: sizePx };
  }

  #xy(at: LonLat): { x: number; y: number } {
    const { x, y } = this.#map.project(at);
    return { x, y };
  }

  #word(word: string, note: string, swatch: string | null, fill: string, ink: string, noteInk: string): { sprite: string; size: WordSize } {
    const sprite = `word/${fill}/${swatch ?? "-"}/${word}/${note}`;
    const known = this.#sizes.get(sprite);
    const size = known ?? measureWord(document.createElement("canvas").getContext("2d") as CanvasRenderingContext2D, word, note, swatch !== null);
    if (!known) this.#sizes.set(sprite, size);
    this.#sprite(sprite, size.width, size.height, (ctx) => drawWord(ctx, size, { word, note, swatch, fill, ink, noteInk }));
    return { sprite, size };
  }

  #assetAt(x: number, y: number): string | null {
    if (!this.#isReady) return null;
    const reach = 8; // a finger or a shaky hand still hits the bin
    const hits = this.#map.queryRenderedFeatures([[x - reach, y - reach], [x + reach, y + reach]], { layers: ["bins", "marks"] });
    let best: string | null = null;
    let bestPx = Infinity;
    for (const hit of hits) {
      if (hit.geometry.type !== "Point" || hit.properties["id"] === undefined) continue;
      const place = this.#map.project(hit.geometry.coordinates as LonLat);
      const px = Math.hypot(place.x - x, place.y - y);
      if (px < bestPx) [best, bestPx] = [String(hit.properties["id"]), px];
    }
    return best;
  }

  #report(): void {
    if (!this.#isReady) return;
    const ids = new Set(this.#map.queryRenderedFeatures({ layers: ["bins"] }).map((feature) => feature.properties["id"]));
    this.#events.onDrawn(ids.size);
  }
}
