/** A smoke run is a row of steps; the first that fails ends it. */
import type { Io } from "../io.ts";

export interface Step {
  name: string;
  ok: boolean;
  ms: number;
  detail: string;
}

/** A step that did not hold, in words for the operator. */
export class SmokeFailure extends Error {
  override name = "SmokeFailure";
}

export class StepList {
  readonly steps: Step[] = [];
  readonly #io: Pick<Io, "now">;
  readonly #note: (text: string) => void;

  constructor(io: Pick<Io, "now">, note: (text: string) => void) {
    this.#io = io;
    this.#note = note;
  }

  /** Runs a step and keeps what it says. @throws SmokeFailure when it does not hold. */
  async run<T extends { detail: string }>(name: string, act: () => Promise<T>): Promise<T> {
    const start = this.#io.now();
    const keep = (ok: boolean, detail: string): void => {
      const step = { name, ok, ms: this.#io.now() - start, detail };
      this.steps.push(step);
      this.#note(`${ok ? "✓" : "✗"} ${name}: ${detail}`);
    };
    try {
      const held = await act();
      keep(true, held.detail);
      return held;
    } catch (error) {
      if (error instanceof SmokeFailure) keep(false, error.message);
      throw error;
    }
  }
}
