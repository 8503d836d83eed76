import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  clampPriority,
  compareOrder,
  headState,
  isScheduledPlace,
  rankOf,
  SCHEDULED_PLACE_FLOOR,
  scheduledPlace,
} from "./order.ts";

/** Any time until the year 2286, ms. */
const anyTime = fc.integer({ min: 0, max: 9_999_999_999_999 });
const anyKey = fc.record({
  rank: fc.integer({ min: 0, max: 3 }),
  dueAt: fc.integer({ min: 0, max: 3 }),
  createdAt: fc.integer({ min: 0, max: 3 }),
});

describe("priority", () => {
  test("is clamped and rounded, and falls back when none is asked for", () => {
    const asked = [undefined, Number.NaN, -5, 0, 49.6, 100, 101, Number.POSITIVE_INFINITY];
    expect(asked.map((priority) => clampPriority(priority, 50, 100))).toEqual([
      50, 50, 0, 0, 50, 100, 100, 100,
    ]);
  });

  test("is a whole number in 0..max whatever is asked", () => {
    fc.assert(
      fc.property(
        fc.option(fc.double(), { nil: undefined }),
        fc.integer({ min: 1, max: 100 }),
        (asked, max) => {
          const priority = clampPriority(asked, 50, max);
          expect(Number.isInteger(priority) && priority >= 0 && priority <= max).toBe(true);
        },
      ),
    );
  });

  test("a higher one has a lower rank, never below 0", () => {
    expect([0, 50, 100].map(rankOf)).toEqual([100, 50, 0]);
  });
});

describe("places in line", () => {
  test("a scheduled message stands behind every ordinary place, the earliest first, to the millisecond", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1e9 }), anyTime, (place, dueAt) => {
        expect(isScheduledPlace(place)).toBe(false);
        expect(scheduledPlace(dueAt)).toBeGreaterThan(place);
        expect(isScheduledPlace(scheduledPlace(dueAt))).toBe(true);
        expect(scheduledPlace(dueAt + 1) - scheduledPlace(dueAt)).toBe(1);
        expect(Number.isSafeInteger(scheduledPlace(dueAt))).toBe(true);
      }),
    );
  });

  test("the floor itself is a scheduled place", () => {
    expect([SCHEDULED_PLACE_FLOOR - 1, SCHEDULED_PLACE_FLOOR].map(isScheduledPlace)).toEqual([false, true]);
  });
});

describe("a head at rest", () => {
  test("is ready from the moment it is due, and paused whatever its time", () => {
    expect([999, 1_000, 1_001].map((dueAt) => headState(false, { dueAt }, 1_000))).toEqual([
      "ready",
      "ready",
      "delayed",
    ]);
    expect([999, 1_001].map((dueAt) => headState(true, { dueAt }, 1_000))).toEqual(["paused", "paused"]);
  });
});

describe("order across conversations", () => {
  test("priority before due time before creation", () => {
    const first = { rank: 0, dueAt: 9, createdAt: 9 };
    const second = { rank: 1, dueAt: 1, createdAt: 9 };
    const third = { rank: 1, dueAt: 2, createdAt: 1 };
    const fourth = { rank: 1, dueAt: 2, createdAt: 2 };
    expect([fourth, second, first, third].sort(compareOrder)).toEqual([first, second, third, fourth]);
  });

  test("is total: antisymmetric, transitive, and 0 for equals alone", () => {
    fc.assert(
      fc.property(anyKey, anyKey, anyKey, (a, b, c) => {
        expect(Math.sign(compareOrder(a, b))).toBe(0 - Math.sign(compareOrder(b, a)));
        if (compareOrder(a, b) <= 0 && compareOrder(b, c) <= 0) {
          expect(compareOrder(a, c)).toBeLessThanOrEqual(0);
        }
        expect(compareOrder(a, b) === 0).toBe(JSON.stringify(a) === JSON.stringify(b));
      }),
    );
  });
});
