// Square time between two messages of the server: the last anchor, run on at its speed.

import type { ClockState } from "../api/types";

export class SquareClock {
  /** Square time, refreshed about once a second [ms]. */
  nowMs = $state(Date.now());
  speed = $state(1);
  simulated = $state(false);
  isSet = $state(false);
  #anchorMs = Date.now();
  #anchorWall = performance.now();

  anchor(clock: ClockState): void {
    this.#anchorMs = clock.now_ms;
    this.#anchorWall = performance.now();
    this.speed = clock.speed;
    this.simulated = clock.simulated;
    this.isSet = true;
    this.tick();
  }

  read(): number {
    return this.#anchorMs + (performance.now() - this.#anchorWall) * this.speed;
  }

  tick(): void {
    this.nowMs = this.read();
  }

  /** Returns the function that stops the ticking. */
  run(): () => void {
    const timer = setInterval(() => this.tick(), 1000);
    return () => clearInterval(timer);
  }
}
