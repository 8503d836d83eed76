import { Worker } from "node:worker_threads";
import { describe, expect, test } from "vitest";
import { simulate } from "./simulate.ts";
import type { Share, ShareResult } from "./thread.ts";

/** Every run of the suite walks the same seeds; `npm run test:sim -- --seed N` walks others. */
const RUNS = 2_000;
const FIRST_SEED = 1;
/** Each batch is a test of its own, so that a slow machine stays far from the time limit. */
const BATCH = 500;
/** A run replaces the clock and the randomness of its whole thread: runs share a thread only in turn. */
const THREADS = 2;

async function runShare(share: Share): Promise<ShareResult> {
  const thread = new Worker(new URL("./thread.ts", import.meta.url), { workerData: share });
  try {
    return await new Promise<ShareResult>((resolve, reject) => {
      thread.once("message", resolve);
      thread.once("error", reject);
      thread.once("exit", (code) => reject(new Error(`a thread ended with ${code} before its result`)));
    });
  } finally {
    await thread.terminate();
  }
}

describe("the queue under faults", () => {
  test.each(Array.from({ length: RUNS / BATCH }, (_, batch) => FIRST_SEED + batch * BATCH))(
    `holds its invariants at every step and drains: ${BATCH} runs from seed %i`,
    async (from) => {
      const shares = Array.from({ length: THREADS }, (_, thread) =>
        runShare({ from: from + thread, runs: BATCH / THREADS, step: THREADS }),
      );
      const results = await Promise.all(shares);
      expect(results.flatMap(({ failures }) => failures)).toEqual([]);
      expect(results.reduce((sum, { runs }) => sum + runs, 0)).toBe(BATCH);
      expect(results.reduce((sum, { messages }) => sum + messages, 0)).toBeGreaterThan(BATCH * 10);
    },
  );

  test("a seed replays exactly", async () => {
    const [first, second, other] = [await simulate(7), await simulate(7), await simulate(8)];
    expect(second.trace).toEqual(first.trace);
    expect(other.trace).not.toEqual(first.trace);
  });
});
