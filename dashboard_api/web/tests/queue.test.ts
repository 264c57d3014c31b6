import { beforeEach, describe, expect, it } from "vitest";
import { ApiError } from "../src/api/client";
import { type Action, ActionQueue, type KeyValue, shownState } from "../src/crew/queue";

const noAnswer = (): ApiError => new ApiError(0, "no-network", "", "");
const conflict = (state: string | null): ApiError => new ApiError(409, "task-conflict", "berubah", "changed", { error: { code: "task-conflict", ...(state === null ? {} : { state }) } });

class Memory implements KeyValue {
  values = new Map<string, string>();
  isFull = false;
  getItem = (key: string): string | null => this.values.get(key) ?? null;
  setItem = (key: string, value: string): void => {
    if (this.isFull) throw new Error("QuotaExceededError");
    this.values.set(key, value);
  };
}

describe("the queue of a crew member", () => {
  let memory: Memory;
  let sent: Action[];
  let answer: (action: Action) => Error | null;
  let keys: number;
  const open = (): ActionQueue =>
    new ActionQueue(
      memory,
      "queue",
      async (action) => {
        const error = answer(action);
        if (error) throw error;
        sent.push(action);
      },
      () => `key-${++keys}`,
      () => undefined,
    );

  beforeEach(() => {
    memory = new Memory();
    sent = [];
    answer = () => null;
    keys = 0;
  });

  it("loses nothing when the page closes without signal", async () => {
    answer = noAnswer;
    const before = open();
    before.add(7, "accept", 1);
    before.add(7, "done", 2);
    expect(await before.flush()).toBe(false);

    answer = () => null;
    const after = open();
    expect(await after.flush()).toBe(true);
    expect(sent.map(({ taskId, kind, key }) => [taskId, kind, key])).toEqual([[7, "accept", "key-1"], [7, "done", "key-2"]]);
    expect(open().actions).toEqual([]);
  });

  it("uses one key for all tries of one action", async () => {
    let tries = 0;
    const seen: string[] = [];
    answer = (action) => {
      seen.push(action.key);
      return ++tries < 3 ? new ApiError(503, "down", "", "") : null;
    };
    const queue = open();
    queue.add(1, "accept", 1);
    await queue.flush();
    await queue.flush();
    await queue.flush();
    expect(seen).toEqual(["key-1", "key-1", "key-1"]);
    expect(sent).toHaveLength(1);
  });

  it("does not queue the same word twice", () => {
    const queue = open();
    queue.add(1, "accept", 1);
    queue.add(1, "accept", 2);
    expect(queue.actions).toHaveLength(1);
  });

  it("keeps order: a later word waits for the earlier one", async () => {
    answer = (action) => (action.taskId === 1 ? noAnswer() : null);
    const queue = open();
    queue.add(1, "accept", 1);
    queue.add(2, "accept", 2);
    expect(await queue.flush()).toBe(false);
    expect(sent).toEqual([]);
  });

  it("counts a conflict as success when the task already is where the word would bring it", async () => {
    answer = () => conflict("claimed");
    const queue = open();
    queue.add(1, "done", 1);
    expect(await queue.flush()).toBe(true);
    expect(queue.actions).toEqual([]);
  });

  it("keeps a real conflict with its state until it has been read, and lets other tasks pass", async () => {
    answer = (action) => (action.taskId === 1 ? conflict("cancelled") : null);
    const queue = open();
    queue.add(1, "accept", 1);
    queue.add(1, "done", 2);
    queue.add(2, "accept", 3);
    expect(await queue.flush()).toBe(true);
    expect(sent.map(({ taskId }) => taskId)).toEqual([2]);
    // "done" rested on the refused "accept" and is gone with it
    expect(queue.actions).toHaveLength(1);
    expect(queue.actions[0]?.refused).toMatchObject({ reason: "conflict", state: "cancelled" });
    queue.dismiss("key-1");
    expect(open().actions).toEqual([]);
  });

  it("explains a task that is gone, and a conflict that does not tell its state", async () => {
    answer = (action) => (action.taskId === 1 ? new ApiError(404, "gone", "", "") : conflict(null));
    const queue = open();
    queue.add(1, "accept", 1);
    queue.add(2, "accept", 2);
    await queue.flush();
    expect(queue.actions.map(({ refused }) => refused?.reason)).toEqual(["gone", "conflict"]);
  });

  it("works without storage, and with garbage in it", async () => {
    memory.isFull = true;
    const queue = open();
    queue.add(1, "accept", 1);
    expect(await queue.flush()).toBe(true);
    expect(sent).toHaveLength(1);

    memory = new Memory();
    memory.values.set("queue", '[{"key":1},null,"x"]');
    expect(open().actions).toEqual([]);
    memory.values.set("queue", "{");
    expect(open().actions).toEqual([]);
  });
});

describe("the shown state of a task", () => {
  const waiting = (kind: Action["kind"], refused: Action["refused"] = null): Action => ({ key: "k", taskId: 1, kind, atWallMs: 0, refused });

  it("is moved on by what waits to be sent, and says so", () => {
    expect(shownState("assigned", [waiting("accept")], 1)).toEqual({ state: "accepted", isUnsent: true });
    expect(shownState("accepted", [waiting("done")], 1)).toEqual({ state: "claimed", isUnsent: true });
  });

  it("never moves back behind what the server knows, and ignores refusals and other tasks", () => {
    expect(shownState("verified", [waiting("done")], 1).state).toBe("verified");
    expect(shownState("cancelled", [waiting("accept")], 1).state).toBe("cancelled");
    expect(shownState("assigned", [waiting("accept", { reason: "conflict", state: null, messageId: "", messageEn: "" })], 1)).toEqual({ state: "assigned", isUnsent: false });
    expect(shownState("assigned", [waiting("accept")], 2)).toEqual({ state: "assigned", isUnsent: false });
  });
});
