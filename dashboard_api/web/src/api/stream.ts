// The live stream: opens first, buffers, then loads the state, so that no change falls between the two.
//
// EventSource reconnects by itself and sends Last-Event-ID; this class adds what the browser does not do:
// a watchdog for a connection that is open but says nothing, a restart after the browser gave up
// (it does so on any answer other than 200), and the `reset` event.

import { ApiError } from "./client";
import type { SquareState } from "./types";

export type Connection = "connecting" | "live" | "retrying";
export type StreamKind = "bin" | "air" | "incident" | "task" | "crew" | "clock" | "health";
const KINDS: readonly StreamKind[] = ["bin", "air", "incident", "task", "crew", "clock", "health"];

/** A `clock` event comes every 10 s of wall time; three missing ones mean that the line is dead. */
const SILENCE_LIMIT_MS = 35_000;
const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 20_000;

export interface StreamHandlers {
  onState(state: SquareState): void;
  onChange(kind: StreamKind, data: unknown): void;
  onConnection(connection: Connection, error: ApiError | null): void;
}

interface Pending {
  kind: StreamKind;
  data: unknown;
  /** Its own id, or the one of the event before it: the browser hands that on. NaN when no id came yet. */
  id: number;
  isOwnId: boolean;
}

export class SquareStream {
  #source: EventSource | null = null;
  #pending: Pending[] | null = null;
  #generation = 0;
  #loads = 0;
  #retryMs = RETRY_MIN_MS;
  #retryTimer: ReturnType<typeof setTimeout> | null = null;
  #watchdog: ReturnType<typeof setInterval> | null = null;
  #heardAt = 0;
  #lastId = "";

  constructor(
    private readonly url: string,
    private readonly loadState: () => Promise<SquareState>,
    private readonly handlers: StreamHandlers,
  ) {}

  start(): void {
    this.#watchdog = setInterval(() => this.#checkSilence(), 5_000);
    this.handlers.onConnection("connecting", null);
    this.#open();
  }

  stop(): void {
    this.#generation += 1;
    if (this.#watchdog) clearInterval(this.#watchdog);
    if (this.#retryTimer) clearTimeout(this.#retryTimer);
    this.#source?.close();
  }

  /** Used by the "try again" button and when the browser says that it is online again. */
  retryNow(): void {
    if (this.#retryTimer) clearTimeout(this.#retryTimer);
    this.#retryMs = RETRY_MIN_MS;
    this.#open();
  }

  #open(): void {
    this.#retryTimer = null;
    this.#source?.close();
    const generation = ++this.#generation;
    const source = new EventSource(this.url);
    this.#source = source;
    this.#pending = [];
    this.#heardAt = performance.now();
    let isFirst = true;

    source.addEventListener("open", () => {
      this.#heardAt = performance.now();
      // A re-open by the browser resumes by Last-Event-ID; only our own first open needs the whole state.
      if (isFirst) void this.#reload(generation);
      else if (this.#pending === null) this.handlers.onConnection("live", null);
      isFirst = false;
    });
    source.addEventListener("reset", () => {
      this.#pending ??= [];
      void this.#reload(generation);
    });
    for (const kind of KINDS) {
      source.addEventListener(kind, (event: MessageEvent<string>) => this.#receive(kind, event));
    }
    source.addEventListener("error", () => {
      if (generation !== this.#generation) return;
      this.handlers.onConnection("retrying", null);
      if (source.readyState === EventSource.CLOSED) this.#retryLater();
    });
  }

  async #reload(generation: number): Promise<void> {
    // Of two loads under way only the later one counts: an older snapshot must not overwrite newer events.
    const load = ++this.#loads;
    try {
      const state = await this.loadState();
      if (generation !== this.#generation || load !== this.#loads) return;
      this.handlers.onState(state);
      for (const { kind, data, id, isOwnId } of this.#pending ?? []) {
        // A change is in the state when its id is. What has no id (a value aged, health) came after the id before it:
        // at the state's own id nobody knows which was first, and telling it twice is harmless.
        if (Number.isNaN(id) || id > state.event_id || (!isOwnId && id === state.event_id)) this.handlers.onChange(kind, data);
      }
      this.#pending = null;
      this.#retryMs = RETRY_MIN_MS;
      this.handlers.onConnection("live", null);
    } catch (error) {
      if (generation !== this.#generation || load !== this.#loads) return;
      this.handlers.onConnection("retrying", error instanceof ApiError ? error : null);
      this.#retryLater();
    }
  }

  #receive(kind: StreamKind, event: MessageEvent<string>): void {
    this.#heardAt = performance.now();
    // The greeting has an id and no event, so the first event, always a clock, may carry an id that is not its own.
    const isOwnId = event.lastEventId !== this.#lastId && kind !== "clock" && kind !== "health";
    this.#lastId = event.lastEventId;
    let data: unknown;
    try {
      data = JSON.parse(event.data);
    } catch {
      return; // one unreadable event is skipped; the next state load repairs what it said
    }
    if (this.#pending) {
      this.#pending.push({ kind, data, id: event.lastEventId === "" ? NaN : Number(event.lastEventId), isOwnId });
    } else this.handlers.onChange(kind, data);
  }

  #retryLater(): void {
    this.#source?.close();
    if (this.#retryTimer) return;
    const jitter = 0.5 + Math.random();
    this.#retryTimer = setTimeout(() => this.#open(), this.#retryMs * jitter);
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MAX_MS);
  }

  #checkSilence(): void {
    if (this.#retryTimer || performance.now() - this.#heardAt < SILENCE_LIMIT_MS) return;
    this.handlers.onConnection("retrying", null);
    this.#retryLater();
  }
}
