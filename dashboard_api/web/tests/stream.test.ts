import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ApiError } from "../src/api/client";
import { SquareStream } from "../src/api/stream";
import type { SquareState } from "../src/api/types";

class FakeSource extends EventTarget {
  static readonly CLOSED = 2;
  static all: FakeSource[] = [];
  readyState = 0;
  constructor(readonly url: string) {
    super();
    FakeSource.all.push(this);
  }
  close(): void {
    this.readyState = 2;
  }
  open(): void {
    this.readyState = 1;
    this.dispatchEvent(new Event("open"));
  }
  say(kind: string, data: unknown, id = ""): void {
    this.dispatchEvent(new MessageEvent(kind, { data: JSON.stringify(data), lastEventId: id }));
  }
  fail(readyState: number): void {
    this.readyState = readyState;
    this.dispatchEvent(new Event("error"));
  }
}

const state = (eventId: number): SquareState => ({ event_id: eventId }) as SquareState;
const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0);

describe("the live stream", () => {
  let log: string[];
  let answers: ((state: SquareState) => void)[];
  let refuse: ((error: unknown) => void)[];
  let stream: SquareStream;
  const source = (): FakeSource => FakeSource.all.at(-1) as FakeSource;

  beforeEach(() => {
    vi.useFakeTimers();
    vi.stubGlobal("EventSource", FakeSource);
    FakeSource.all = [];
    log = [];
    answers = [];
    refuse = [];
    stream = new SquareStream("/stream", () => new Promise((resolve, reject) => (answers.push(resolve), refuse.push(reject))), {
      onState: (s) => log.push(`state ${s.event_id}`),
      onChange: (kind, data) => log.push(`${kind} ${JSON.stringify(data)}`),
      onConnection: (connection) => log.push(connection),
    });
    stream.start();
  });

  afterEach(() => {
    stream.stop();
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it("loses no change between the state and the stream, and applies none twice", async () => {
    source().open();
    source().say("bin", "already in the state", "10");
    source().say("bin", "newer", "11");
    answers[0]?.(state(10));
    await settle();
    source().say("bin", "later", "12");
    expect(log).toEqual(["connecting", "state 10", 'bin "newer"', "live", 'bin "later"']);
  });

  it("takes what has no id of its own unless the state is newer", async () => {
    source().open();
    source().say("clock", "greeting", "10"); // the id of the greeting, which no event has
    source().say("bin", "aged at 10", "10");
    source().say("bin", "changed", "11");
    source().say("bin", "aged at 11", "11");
    answers[0]?.(state(10));
    await settle();
    expect(log.slice(2)).toEqual(['clock "greeting"', 'bin "aged at 10"', 'bin "changed"', 'bin "aged at 11"', "live"]);
    source().say("reset", {});
    source().say("bin", "aged at 11 again", "11");
    source().say("bin", "changed again", "12");
    source().say("health", "trouble", "12");
    log = [];
    answers[1]?.(state(12));
    await settle();
    expect(log).toEqual(["state 12", 'health "trouble"', "live"]);
  });

  it("loads the state again on reset, and lets only the later of two loads count", async () => {
    source().open();
    source().say("reset", {});
    source().say("bin", "between", "21");
    answers[1]?.(state(20));
    await settle();
    source().say("bin", "after", "22");
    answers[0]?.(state(5)); // the slow first answer arrives last
    await settle();
    expect(log).toEqual(["connecting", "state 20", 'bin "between"', "live", 'bin "after"']);
  });

  it("leaves a short break to the browser, which resumes by itself", async () => {
    source().open();
    answers[0]?.(state(1));
    await settle();
    source().fail(0);
    source().open();
    await settle();
    expect(FakeSource.all).toHaveLength(1);
    expect(answers).toHaveLength(1); // no second load: Last-Event-ID brings what was missed
    expect(log.slice(-2)).toEqual(["retrying", "live"]);
  });

  it("starts anew after the browser gave up, more and more slowly", async () => {
    vi.spyOn(Math, "random").mockReturnValue(0.5); // jitter factor 1
    source().fail(FakeSource.CLOSED);
    await vi.advanceTimersByTimeAsync(999);
    expect(FakeSource.all).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(FakeSource.all).toHaveLength(2);
    source().fail(FakeSource.CLOSED);
    await vi.advanceTimersByTimeAsync(1_999);
    expect(FakeSource.all).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(1);
    expect(FakeSource.all).toHaveLength(3);
  });

  it("starts anew when the state cannot be loaded", async () => {
    source().open();
    refuse[0]?.(new ApiError(503, "down", "", ""));
    await settle();
    expect(log.at(-1)).toBe("retrying");
    await vi.advanceTimersByTimeAsync(2_000);
    expect(FakeSource.all).toHaveLength(2);
  });

  it("does not trust a connection that says nothing", async () => {
    source().open();
    answers[0]?.(state(1));
    await settle();
    await vi.advanceTimersByTimeAsync(30_000);
    source().say("clock", {});
    await vi.advanceTimersByTimeAsync(30_000);
    expect(log).not.toContain("retrying");
    await vi.advanceTimersByTimeAsync(10_000);
    expect(log).toContain("retrying");
  });

  it("skips an event that is not JSON and goes on", async () => {
    source().open();
    answers[0]?.(state(1));
    await settle();
    source().dispatchEvent(new MessageEvent("bin", { data: "{", lastEventId: "2" }));
    source().say("bin", "good", "3");
    expect(log.at(-1)).toBe('bin "good"');
  });
});
