import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decideSpend, nextUtcDay, splitByDay, usedToday, utcDay } from "./spend.ts";

const HOUR = 3_600_000;
const NOON = Date.UTC(2026, 10, 23, 12);
const MIDNIGHT = Date.UTC(2026, 10, 24);

describe("machine time by UTC day", () => {
  test("a running time over midnight is booked on both days", () => {
    expect(splitByDay(MIDNIGHT - 2 * HOUR, MIDNIGHT + HOUR)).toEqual([
      { day: "2026-11-23", ms: 2 * HOUR },
      { day: "2026-11-24", ms: HOUR },
    ]);
    expect(splitByDay(NOON, NOON)).toEqual([]);
    expect(splitByDay(NOON, NOON - 1)).toEqual([]);
  });

  test("the parts are the whole, each within its day, however long it ran; their number is bounded", () => {
    const start = fc.integer({ min: NOON - 400 * 24 * HOUR, max: NOON });
    fc.assert(
      fc.property(start, fc.integer({ min: 0, max: 400 * 24 * HOUR }), (from, length) => {
        const parts = splitByDay(from, from + length);
        expect(parts.reduce((sum, part) => sum + part.ms, 0)).toBe(length);
        expect(parts.length).toBeLessThanOrEqual(41);
        expect(new Set(parts.map((part) => part.day)).size).toBe(parts.length);
      }),
    );
  });

  test("of a machine that has run since yesterday only today counts", () => {
    expect(usedToday(HOUR, [NOON - 20 * HOUR, NOON - HOUR], NOON)).toBe(HOUR + 12 * HOUR + HOUR);
    expect(usedToday(0, [NOON + 5], NOON)).toBe(0);
  });

  test("a day ends at UTC midnight", () => {
    expect(utcDay(MIDNIGHT - 1)).toBe("2026-11-23");
    expect(utcDay(MIDNIGHT)).toBe("2026-11-24");
    expect(nextUtcDay(MIDNIGHT - 1)).toBe(MIDNIGHT);
    expect(nextUtcDay(MIDNIGHT)).toBe(MIDNIGHT + 24 * HOUR);
  });
});

describe("the ceiling", () => {
  test("reached exactly at the limit, until the day ends", () => {
    expect(decideSpend(2, 2 * HOUR, 1, NOON)).toEqual({ reached: true, untilMs: MIDNIGHT });
    expect(decideSpend(2, 2 * HOUR - 1, 0, NOON)).toEqual({ reached: false, reachedAt: null });
  });

  test("before it, the moment at which running machines will reach it is named", () => {
    expect(decideSpend(2, HOUR, 4, NOON)).toEqual({ reached: false, reachedAt: NOON + HOUR / 4 });
    // Tomorrow's machine time is tomorrow's.
    expect(decideSpend(24, 0, 1, NOON)).toEqual({ reached: false, reachedAt: null });
    expect(decideSpend(24, 0, 3, NOON)).toEqual({ reached: false, reachedAt: NOON + 8 * HOUR });
  });

  test("no limit is never reached", () => {
    expect(decideSpend(null, 1_000 * HOUR, 50, NOON)).toEqual({ reached: false, reachedAt: null });
  });

  test("at the moment that it names it is reached", () => {
    const limit = fc.double({ min: 0.001, max: 500, noNaN: true });
    const running = fc.integer({ min: 1, max: 500 });
    fc.assert(
      fc.property(limit, running, fc.integer({ min: 0, max: 24 * HOUR }), (hours, machines, used) => {
        const verdict = decideSpend(hours, used, machines, NOON);
        if (verdict.reached || verdict.reachedAt === null) return;
        const later = used + machines * (verdict.reachedAt - NOON);
        expect(decideSpend(hours, later, machines, verdict.reachedAt).reached).toBe(true);
      }),
    );
  });
});
