// The crew member's tasks: fetched every ten seconds, kept for the next visit, moved on by the queue.

import { ApiError, request } from "../api/client";
import type { CrewPage, CrewTask, Plan, Site } from "../api/types";
import { SquareClock } from "../state/clock.svelte";
import { type Action, type ActionKind, ActionQueue, randomKey, shownState } from "./queue";

const POLL_MS = 10_000;

type Names = Record<string, { name_id?: string; name_en?: string }>;

interface Ground {
  plan: Plan;
  zones: Names;
}

interface Kept {
  page: CrewPage;
  wallMs: number;
}

export interface ShownTask {
  task: CrewTask;
  state: CrewTask["state"];
  isUnsent: boolean;
  refusal: Action | null;
}

const store = {
  getItem(key: string): string | null {
    try {
      return localStorage.getItem(key);
    } catch {
      return null;
    }
  },
  setItem(key: string, value: string): void {
    localStorage.setItem(key, value);
  },
};

function remember(key: string, value: unknown): void {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // full or forbidden: the page works on, only without a memory
  }
}

function recall<T>(key: string): T | null {
  try {
    return JSON.parse(localStorage.getItem(key) ?? "null") as T | null;
  } catch {
    return null;
  }
}

export class Desk {
  page = $state.raw<CrewPage | null>(null);
  plan = $state.raw<Plan | null>(null);
  zones = $state.raw<Names>({});
  /** Wall time of the shown list [ms]. */
  loadedWallMs = $state<number | null>(null);
  isOffline = $state(false);
  isInvalid = $state(false);
  actions = $state.raw<readonly Action[]>([]);
  readonly clock = new SquareClock();

  readonly #base: string;
  readonly #keepKey: string;
  readonly #queue: ActionQueue;
  #timer: ReturnType<typeof setTimeout> | null = null;

  readonly tasks: ShownTask[] = $derived(
    (this.page?.tasks ?? []).map((task) => {
      const { state, isUnsent } = shownState(task.state, this.actions, task.id);
      return { task, state, isUnsent, refusal: this.actions.find((one) => one.taskId === task.id && one.refused !== null) ?? null };
    }),
  );
  readonly waiting = $derived(this.actions.filter((one) => one.refused === null).length);
  /** Refusals about tasks that have no card of their own any more: closed meanwhile, or gone from the list. */
  readonly strayRefusals = $derived(
    this.actions.flatMap((action) => {
      const refused = action.refused;
      const task = (this.page?.tasks ?? []).find((one) => one.id === action.taskId) ?? null;
      const hasCard = task !== null && (task.state === "assigned" || task.state === "accepted" || task.state === "claimed");
      return refused === null || hasCard ? [] : [{ key: action.key, refused, task }];
    }),
  );

  constructor(token: string) {
    this.#base = `/api/v1/crew/${encodeURIComponent(token)}`;
    this.#keepKey = `resik.petugas.${fingerprint(token)}`;
    this.#queue = new ActionQueue(
      store,
      `${this.#keepKey}.queue`,
      (action) => this.#send(action),
      randomKey,
      (actions) => {
        this.actions = actions;
      },
    );
    const kept = recall<Kept>(this.#keepKey);
    if (kept) {
      this.page = kept.page;
      this.loadedWallMs = kept.wallMs;
      // The clock of the kept list ran on while the page was closed.
      this.clock.anchor({ ...kept.page.clock, now_ms: kept.page.clock.now_ms + (Date.now() - kept.wallMs) * kept.page.clock.speed });
    }
    this.#lay(recall<Ground>("resik.ground"));
  }

  start(): void {
    this.clock.run();
    void this.#round();
    void this.#loadPlan();
    addEventListener("online", () => this.now());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.now();
    });
  }

  say(taskId: number, kind: ActionKind): void {
    this.#queue.add(taskId, kind, Date.now());
    this.now();
  }

  dismiss(key: string): void {
    this.#queue.dismiss(key);
  }

  now(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    void this.#round();
  }

  async #round(): Promise<void> {
    try {
      await this.#queue.flush();
      const page = await request<CrewPage>(this.#base);
      this.page = page;
      this.loadedWallMs = Date.now();
      this.clock.anchor(page.clock);
      this.isOffline = false;
      this.isInvalid = false;
      remember(this.#keepKey, { page, wallMs: this.loadedWallMs } satisfies Kept);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 404) this.isInvalid = true;
      else this.isOffline = true;
    } finally {
      if (this.#timer) clearTimeout(this.#timer);
      if (!this.isInvalid) this.#timer = setTimeout(() => void this.#round(), document.visibilityState === "visible" ? POLL_MS : 6 * POLL_MS);
    }
  }

  async #send(action: Action): Promise<void> {
    await request(`${this.#base}/tasks/${action.taskId}/${action.kind}`, { method: "POST", headers: { "Idempotency-Key": action.key } });
  }

  #lay(ground: Ground | null): void {
    this.plan = ground?.plan ?? null;
    this.zones = ground?.zones ?? {};
  }

  /** The sketch and the walking hints need the plan; without it the page works, only plainer. */
  async #loadPlan(): Promise<void> {
    try {
      const site = await request<Site>("/api/v1/site");
      const features = site.plan.features.filter((feature) => !["bin", "air", "zone", "tree"].includes(feature.properties.role));
      const zones: Names = {};
      for (const { properties } of site.plan.features) {
        if (properties.role === "zone" && properties.id) zones[properties.id] = { name_id: properties.name_id, name_en: properties.name_en };
      }
      const ground: Ground = { plan: { type: "FeatureCollection", features }, zones };
      this.#lay(ground);
      remember("resik.ground", ground);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
    }
  }
}

/** A short non-secret name for the link, so that the token itself is not written to storage (FNV-1a). */
export function fingerprint(token: string): string {
  let hash = 0x811c9dc5;
  for (const char of token) hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  return hash.toString(16).padStart(8, "0");
}
