// What a crew member said, kept until the server has heard it. No browser API in here: storage and
// sender come in as arguments, so that the rules can be tested without a phone.
//
// An action is written down before it is sent, carries one key for all its tries, and leaves the queue only
// when the server has answered. "No answer" and "the server is in trouble" mean: keep and try again.
// A refusal is kept as well, with its reason, until the crew member has read it.

import { ApiError } from "../api/client";
import type { TaskState } from "../api/types";

export type ActionKind = "accept" | "done";

export interface Action {
  key: string;
  taskId: number;
  kind: ActionKind;
  atWallMs: number;
  /** Set when the server refused: what the task's state was, or why it could not be done. */
  refused: Refusal | null;
}

export interface Refusal {
  reason: "conflict" | "gone" | "refused";
  state: string | null;
  messageId: string;
  messageEn: string;
}

export interface KeyValue {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
}

export type Send = (action: Action) => Promise<void>;

/** A state the action wanted, or one beyond it: then somebody has already said the same. */
const REACHED: Record<ActionKind, readonly string[]> = {
  accept: ["accepted", "claimed", "verified"],
  done: ["claimed", "verified"],
};

function stateOf(error: ApiError): string | null {
  const body = error.body as { error?: { state?: unknown } } | null;
  const state = body?.error?.state;
  return typeof state === "string" ? state : null;
}

export class ActionQueue {
  #actions: Action[];
  #isFlushing = false;

  constructor(
    private readonly storage: KeyValue,
    private readonly storageKey: string,
    private readonly send: Send,
    private readonly newKey: () => string,
    private readonly onChange: (actions: readonly Action[]) => void,
  ) {
    this.#actions = this.#load();
    onChange(this.#actions);
  }

  get actions(): readonly Action[] {
    return this.#actions;
  }

  /** Writes the action down. The same word about the same task is not written twice. */
  add(taskId: number, kind: ActionKind, atWallMs: number): void {
    const others = this.#actions.filter((one) => !(one.taskId === taskId && one.refused !== null));
    if (others.some((one) => one.taskId === taskId && one.kind === kind)) return;
    this.#save([...others, { key: this.newKey(), taskId, kind, atWallMs, refused: null }]);
  }

  /** The crew member has read the refusal. */
  dismiss(key: string): void {
    this.#save(this.#actions.filter((one) => one.key !== key));
  }

  /** Sends in the order in which things were said; stops at the first that gets no answer. True when nothing waits. */
  async flush(): Promise<boolean> {
    if (this.#isFlushing) return false;
    this.#isFlushing = true;
    try {
      for (;;) {
        const next = this.#actions.find((one) => one.refused === null);
        if (!next) return true;
        try {
          await this.send(next);
          this.dismiss(next.key);
        } catch (error) {
          if (!(error instanceof ApiError)) throw error;
          if (error.isRetryable) return false;
          this.#refuse(next, error);
        }
      }
    } finally {
      this.#isFlushing = false;
    }
  }

  #refuse(action: Action, error: ApiError): void {
    const state = stateOf(error);
    if (error.status === 409 && state !== null && REACHED[action.kind].includes(state)) {
      this.dismiss(action.key);
      return;
    }
    const reason = error.status === 409 ? "conflict" : error.status === 404 ? "gone" : "refused";
    const refused: Refusal = { reason, state, messageId: error.messageId, messageEn: error.messageEn };
    // A later word about the same task rests on this one: "done" makes no sense after a refused "accept".
    this.#save(
      this.#actions
        .filter((one) => one.key === action.key || one.taskId !== action.taskId)
        .map((one) => (one.key === action.key ? { ...one, refused } : one)),
    );
  }

  #save(actions: Action[]): void {
    this.#actions = actions;
    try {
      this.storage.setItem(this.storageKey, JSON.stringify(actions));
    } catch {
      // A full or forbidden storage: the queue then lives as long as the page.
    }
    this.onChange(actions);
  }

  #load(): Action[] {
    try {
      const read: unknown = JSON.parse(this.storage.getItem(this.storageKey) ?? "[]");
      return Array.isArray(read) ? read.filter(isAction) : [];
    } catch {
      return [];
    }
  }
}

function isAction(value: unknown): value is Action {
  const one = value as Partial<Action> | null;
  return typeof one?.key === "string" && typeof one.taskId === "number" && (one.kind === "accept" || one.kind === "done");
}

/** What the crew member sees: the server's state, moved on by what waits to be sent. */
export function shownState(state: TaskState, waiting: readonly Action[], taskId: number): { state: TaskState; isUnsent: boolean } {
  const mine = waiting.filter((one) => one.taskId === taskId && one.refused === null);
  if (mine.some((one) => one.kind === "done") && (state === "assigned" || state === "accepted")) return { state: "claimed", isUnsent: true };
  if (mine.some((one) => one.kind === "accept") && state === "assigned") return { state: "accepted", isUnsent: true };
  return { state, isUnsent: mine.length > 0 };
}

/** 128 random bits in hex. `crypto.randomUUID` exists on secure origins only; a phone on the office network may see plain HTTP. */
export function randomKey(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
