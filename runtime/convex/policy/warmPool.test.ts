import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { RuntimeConfig } from "./runtimeConfig.ts";
import { nextWarmChange, warmTarget } from "./warmPool.ts";

type Pool = RuntimeConfig["scaling"]["warmPool"];
const WORKDAYS = [1, 2, 3, 4, 5];
const office = (timeZone: string, change: Partial<Pool["schedule"][number]> = {}) => ({
  weekdays: WORKDAYS,
  from: "08:00",
  to: "18:00",
  timeZone,
  size: 3,
  ...change,
});
const pool = (schedule: Pool["schedule"], change: Partial<Pool> = {}): Pool => ({
  size: 0,
  mode: "suspend",
  stoppedTtlMs: 3_600_000,
  schedule,
  ...change,
});
const at = (iso: string): number => Date.parse(iso);
const prepared = (schedule: Pool["schedule"], iso: string): number =>
  warmTarget(pool(schedule), at(iso)).prepare;
const changeAfter = (schedule: Pool["schedule"], iso: string): string | null => {
  const next = nextWarmChange(pool(schedule), at(iso));
  return next === null ? null : new Date(next).toISOString().replace(":00.000Z", "Z");
};

describe("three warm on weekdays 8 to 18", () => {
  // 23 November 2026 is a Monday; Rome is one hour ahead of UTC in winter.
  test.each([
    ["2026-11-23T06:59:59Z", 0],
    ["2026-11-23T07:00:00Z", 3],
    ["2026-11-23T16:59:59Z", 3],
    ["2026-11-23T17:00:00Z", 0],
    ["2026-11-28T10:00:00Z", 0],
    ["2026-11-29T10:00:00Z", 0],
  ])("at %s there are %i", (iso, size) => {
    expect(prepared([office("Europe/Rome")], iso)).toBe(size);
  });

  test("local time counts, also where the weekday is another than in UTC", () => {
    // Monday 08:30 in Auckland is still Sunday in UTC; Friday 18:30 in Los Angeles is Saturday there.
    expect(prepared([office("Pacific/Auckland")], "2026-11-22T19:30:00Z")).toBe(3);
    expect(prepared([office("America/Los_Angeles")], "2026-11-28T01:30:00Z")).toBe(3);
    expect(prepared([office("America/Los_Angeles")], "2026-11-28T02:00:00Z")).toBe(0);
    // Kathmandu is 5:45 ahead.
    expect(prepared([office("Asia/Kathmandu")], "2026-11-23T02:14:59Z")).toBe(0);
    expect(prepared([office("Asia/Kathmandu")], "2026-11-23T02:15:00Z")).toBe(3);
  });

  test("eight o'clock stays eight o'clock when the clocks change", () => {
    // Rome goes to summer time on 29 March 2026 and back on 25 October 2026.
    expect(changeAfter([office("Europe/Rome")], "2026-03-27T17:30:00Z")).toBe("2026-03-30T06:00Z");
    expect(changeAfter([office("Europe/Rome")], "2026-10-23T16:30:00Z")).toBe("2026-10-26T07:00Z");
  });
});

describe("windows at the edges of days", () => {
  const night = office("Europe/Rome", { weekdays: [5], from: "22:00", to: "02:00" });

  test("one over midnight belongs to the day on which it opens", () => {
    expect(prepared([night], "2026-11-27T20:59:59Z")).toBe(0);
    expect(prepared([night], "2026-11-27T21:00:00Z")).toBe(3);
    expect(prepared([night], "2026-11-28T00:59:59Z")).toBe(3);
    expect(prepared([night], "2026-11-28T01:00:00Z")).toBe(0);
    expect(prepared([night], "2026-11-27T00:30:00Z")).toBe(0);
  });

  test("in the night in which the clocks go forward it is an hour shorter, backward an hour longer", () => {
    const saturday = office("Europe/Rome", { weekdays: [6], from: "22:00", to: "04:00" });
    const minutesOpen = (from: string, hours: number): number =>
      Array.from({ length: hours * 60 }, (_, minute) =>
        warmTarget(pool([saturday]), at(from) + minute * 60_000),
      ).filter(({ prepare }) => prepare > 0).length;
    expect(minutesOpen("2026-11-28T12:00:00Z", 24)).toBe(6 * 60);
    expect(minutesOpen("2026-03-28T12:00:00Z", 24)).toBe(5 * 60);
    expect(minutesOpen("2026-10-24T12:00:00Z", 24)).toBe(7 * 60);
  });

  test("24:00 is the end of the day, and an edge that the clocks skip comes as much later", () => {
    const evening = office("UTC", { weekdays: [7], from: "20:00", to: "24:00" });
    expect(prepared([evening], "2026-11-22T23:59:59Z")).toBe(3);
    expect(prepared([evening], "2026-11-23T00:00:00Z")).toBe(0);
    expect(changeAfter([evening], "2026-11-22T21:00:00Z")).toBe("2026-11-23T00:00Z");
    const skipped = office("Europe/Rome", { weekdays: [7], from: "02:30", to: "05:00" });
    expect(changeAfter([skipped], "2026-03-28T23:00:00Z")).toBe("2026-03-29T01:30Z");
    expect(prepared([skipped], "2026-03-29T01:30:00Z")).toBe(3);
  });

  test("from and to at the same time are a whole day", () => {
    const whole = office("UTC", { weekdays: [1], from: "09:00", to: "09:00" });
    expect(prepared([whole], "2026-11-23T08:59:00Z")).toBe(0);
    expect(prepared([whole], "2026-11-23T09:00:00Z")).toBe(3);
    expect(prepared([whole], "2026-11-24T08:59:00Z")).toBe(3);
    expect(prepared([whole], "2026-11-24T09:00:00Z")).toBe(0);
  });
});

test("the largest open window wins, and the fixed size is kept but never made ahead of need", () => {
  const schedule = [office("UTC"), office("UTC", { size: 5, from: "12:00", to: "13:00" })];
  const kept = (iso: string) => warmTarget(pool(schedule, { size: 2 }), at(iso));
  expect(kept("2026-11-23T07:00:00Z")).toEqual({ keep: 2, prepare: 0 });
  expect(kept("2026-11-23T11:00:00Z")).toEqual({ keep: 3, prepare: 3 });
  expect(kept("2026-11-23T12:30:00Z")).toEqual({ keep: 5, prepare: 5 });
});

test("without a pool, or without a schedule, nothing is ever asked for", () => {
  const none = pool([office("UTC")], { mode: "none", size: 4 });
  expect(warmTarget(none, at("2026-11-23T12:00:00Z"))).toEqual({ keep: 0, prepare: 0 });
  expect(nextWarmChange(none, at("2026-11-23T12:00:00Z"))).toBeNull();
  expect(nextWarmChange(pool([]), at("2026-11-23T12:00:00Z"))).toBeNull();
});

test("between now and the next change the target stays what it is, whatever the zone and the windows", () => {
  const time = fc
    .tuple(fc.integer({ min: 0, max: 23 }), fc.constantFrom(0, 15, 30, 59))
    .map(([hour, minute]) => `${String(hour).padStart(2, "0")}:${String(minute).padStart(2, "0")}`);
  const window = fc.record({
    weekdays: fc.uniqueArray(fc.integer({ min: 1, max: 7 }), { minLength: 1 }),
    from: time,
    to: time,
    timeZone: fc.constantFrom("UTC", "Europe/Rome", "America/New_York", "Asia/Kolkata", "Pacific/Chatham"),
    size: fc.integer({ min: 1, max: 5 }),
  });
  // Around the autumn change of both Rome (25 October) and New York (1 November).
  const now = fc.integer({ min: at("2026-10-20T00:00:00Z"), max: at("2026-11-10T00:00:00Z") });
  fc.assert(
    fc.property(
      fc.array(window, { minLength: 1, maxLength: 3 }),
      now,
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (schedule, nowMs, share) => {
        const change = nextWarmChange(pool(schedule), nowMs);
        expect(change).not.toBeNull();
        expect(change ?? 0).toBeGreaterThan(nowMs);
        const between = nowMs + Math.floor(((change ?? 0) - nowMs) * share);
        expect(warmTarget(pool(schedule), between)).toEqual(warmTarget(pool(schedule), nowMs));
      },
    ),
    { numRuns: 300 },
  );
});
