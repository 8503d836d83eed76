import fc from "fast-check";
import { expect, test } from "vitest";
import { bootHold } from "./bootHealth.ts";

const health = (failures: number) => ({ failures, lastFailureAt: 1_000, reason: "exit 1" });
const holdMs = (failures: number): number | null => {
  const hold = bootHold(health(failures), 1_000);
  return hold === null ? null : hold.until - 1_000;
};

test("two failures in a row cost no time; from the third on the wait doubles up to five minutes", () => {
  expect([0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(holdMs)).toEqual([
    null,
    null,
    null,
    10_000,
    20_000,
    40_000,
    80_000,
    160_000,
    300_000,
    300_000,
  ]);
});

test("the hold ends at its time, and says why it is there", () => {
  expect(bootHold(health(3), 10_999)).toEqual({
    until: 11_000,
    why: "the last 3 workers did not come up (exit 1)",
  });
  expect(bootHold(health(3), 11_000)).toBeNull();
  expect(bootHold(null, 0)).toBeNull();
});

test("however many failed, the wait is bounded and never shrinks", () => {
  fc.assert(
    fc.property(fc.integer({ min: 3, max: 1_000_000 }), (failures) => {
      const [shorter, longer] = [holdMs(failures) ?? 0, holdMs(failures + 1) ?? 0];
      expect(longer).toBeGreaterThanOrEqual(shorter);
      expect(longer).toBeLessThanOrEqual(300_000);
    }),
  );
});
