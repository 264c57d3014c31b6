// The live square: what the server said last, and how sure we are that it is still true.

import { SvelteMap } from "svelte/reactivity";
import { type ApiError, fetchSite, fetchState } from "../api/client";
import { type Connection, SquareStream, type StreamKind } from "../api/stream";
import type { AirState, BinState, ClockState, Crew, Health, Incident, PlanFeature, Site, SquareState, Task } from "../api/types";
import { STALE_AFTER_MS } from "../map/level";
import { type LonLat, isInside } from "../words/places";
import type { Present } from "../words/sentences";
import { SquareClock } from "./clock.svelte";

export interface Asset {
  id: string;
  kind: "bin" | "air";
  lonLat: LonLat;
  properties: PlanFeature["properties"];
  /** The zone it stands in, by geometry; the plan does not repeat it on the asset. */
  zone: PlanFeature["properties"] | null;
}

/** Closed tasks stay on screen for this long after they closed [ms of square time]. */
const CLOSED_SHOWN_MS = 2 * 3_600_000;

const FLUSH_EVERY_MS = 250;

class Square {
  site = $state.raw<Site | null>(null);
  connection = $state<Connection>("connecting");
  error = $state.raw<ApiError | null>(null);
  /** Square time of the last news, for the banner of a lost connection. */
  newsMs = $state<number | null>(null);
  isLoaded = $state(false);
  readonly clock = new SquareClock();
  readonly bins = new SvelteMap<string, BinState>();
  readonly air = new SvelteMap<string, AirState>();
  readonly incidents = new SvelteMap<number, Incident>();
  readonly tasks = new SvelteMap<number, Task>();
  readonly crews = new SvelteMap<string, Crew>();
  health = $state.raw<Health | null>(null);

  readonly isLive = $derived(this.connection === "live");
  readonly assets: Map<string, Asset> = $derived(assetsOf(this.site));
  readonly timeZone = $derived(this.site?.timezone ?? "Asia/Jakarta");
  readonly staleAfterMs = $derived((this.site?.rules["stale_after_s"] ?? STALE_AFTER_MS / 1000) * 1000);
  readonly present: Present = $derived({
    nowMs: this.clock.nowMs,
    timeZone: this.timeZone,
    isLive: this.isLive,
    shifts: this.site?.shifts ?? [],
  });

  #stream: SquareStream | null = null;
  #waiting: [StreamKind, unknown][] = [];
  #flushTimer: ReturnType<typeof setTimeout> | null = null;
  #flushedAt = -Infinity;
  #siteTimer: ReturnType<typeof setTimeout> | null = null;

  start(): void {
    this.clock.run();
    this.#stream = new SquareStream("/api/v1/stream", fetchState, {
      onState: (state) => this.#replace(state),
      onChange: (kind, data) => this.#queue(kind, data),
      onConnection: (connection, error) => {
        this.connection = connection;
        this.error = error;
      },
    });
    this.#stream.start();
    void this.#loadSite();
    addEventListener("online", () => this.retryNow());
  }

  retryNow(): void {
    if (!this.site) void this.#loadSite();
    if (this.connection !== "live") this.#stream?.retryNow();
  }

  async #loadSite(): Promise<void> {
    if (this.#siteTimer) clearTimeout(this.#siteTimer);
    try {
      this.site = await fetchSite();
    } catch {
      this.#siteTimer = setTimeout(() => void this.#loadSite(), 4000);
    }
  }

  #replace(state: SquareState): void {
    this.#waiting = []; // older than this state
    this.clock.anchor(state.clock);
    fill(this.bins, state.bins, (bin) => bin.asset_id);
    fill(this.air, state.air, (air) => air.asset_id);
    fill(this.incidents, state.incidents, (incident) => incident.id);
    fill(this.tasks, state.tasks, (task) => task.id);
    fill(this.crews, state.crews, (crew) => String(crew.id));
    this.health = state.health;
    this.newsMs = state.clock.now_ms;
    this.isLoaded = true;
  }

  /** A busy square sends dozens of changes a second; the page is redrawn at most four times in that time. */
  #queue(kind: StreamKind, data: unknown): void {
    this.#waiting.push([kind, data]);
    if (this.#flushTimer) return;
    const sinceMs = performance.now() - this.#flushedAt;
    if (sinceMs >= FLUSH_EVERY_MS) this.#flush();
    else this.#flushTimer = setTimeout(() => this.#flush(), FLUSH_EVERY_MS - sinceMs);
  }

  #flush(): void {
    this.#flushTimer = null;
    this.#flushedAt = performance.now();
    const changes = this.#waiting;
    this.#waiting = [];
    for (const [kind, data] of changes) this.#change(kind, data);
    this.newsMs = this.clock.read();
  }

  #change(kind: StreamKind, data: unknown): void {
    switch (kind) {
      case "bin":
        this.bins.set((data as BinState).asset_id, data as BinState);
        break;
      case "air":
        this.air.set((data as AirState).asset_id, data as AirState);
        break;
      case "incident":
        this.#incident(data as Incident);
        break;
      case "task":
        this.tasks.set((data as Task).id, data as Task);
        this.#forgetOldTasks();
        break;
      case "crew":
        this.crews.set(String((data as Crew).id), data as Crew);
        break;
      case "clock":
        this.clock.anchor(data as ClockState);
        break;
      case "health":
        this.health = data as Health;
        break;
    }
  }

  #incident(incident: Incident): void {
    if (incident.state === "closed") this.incidents.delete(incident.id);
    else this.incidents.set(incident.id, incident);
  }

  /** The answer to an acknowledgement arrives before its event does. */
  applyIncident(incident: Incident): void {
    this.#incident(incident);
  }

  #forgetOldTasks(): void {
    const limit = this.clock.read() - CLOSED_SHOWN_MS;
    for (const [id, task] of this.tasks) if (task.closed_ms !== null && task.closed_ms < limit) this.tasks.delete(id);
  }
}

function fill<K, V>(map: SvelteMap<K, V>, values: readonly V[], key: (value: V) => K): void {
  const keep = new Set(values.map(key));
  for (const known of map.keys()) if (!keep.has(known)) map.delete(known);
  for (const value of values) map.set(key(value), value);
}

export function assetsOf(site: Site | null): Map<string, Asset> {
  const assets = new Map<string, Asset>();
  const zones = (site?.plan.features ?? []).filter((feature) => feature.properties.role === "zone" && feature.geometry.type === "Polygon");
  for (const feature of site?.plan.features ?? []) {
    const { role, id } = feature.properties;
    if ((role !== "bin" && role !== "air") || feature.geometry.type !== "Point") continue;
    const key = String(id ?? feature.id ?? "");
    const lonLat = feature.geometry.coordinates as LonLat;
    const zone = zones.find((z) => isInside(lonLat, (z.geometry.coordinates as LonLat[][])[0] ?? []))?.properties ?? null;
    if (key) assets.set(key, { id: key, kind: role, lonLat, properties: feature.properties, zone });
  }
  return assets;
}

export const square = new Square();
