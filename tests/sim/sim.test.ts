import { describe, expect, test } from "vitest";
import { simulate } from "./simulate.ts";

/** Every run of the suite walks the same seeds; `npm run test:sim -- --seed N` walks others. */
const RUNS = 2_000;
const FIRST_SEED = 1;
const BATCHES = 8;

describe("the queue under faults", () => {
  const perBatch = RUNS / BATCHES;
  test.each(Array.from({ length: BATCHES }, (_, batch) => FIRST_SEED + batch * perBatch))(
    `holds its invariants at every step and drains: ${perBatch} runs from seed %i`,
    async (from) => {
      const failures: string[] = [];
      let messages = 0;
      for (let seed = from; seed < from + perBatch; seed += 1) {
        const result = await simulate(seed);
        messages += result.messages;
        if (result.problems.length > 0) failures.push(`seed ${seed}: ${result.problems.join("; ")}`);
      }
      expect(failures).toEqual([]);
      expect(messages).toBeGreaterThan(perBatch * 10);
    },
  );

  test("a seed replays exactly", async () => {
    const [first, second, other] = [await simulate(7), await simulate(7), await simulate(8)];
    expect(second.trace).toEqual(first.trace);
    expect(other.trace).not.toEqual(first.trace);
  });
});
