import { describe, expect, test } from "vitest";
import {
  CATCH_UP_MAX_MS,
  decideDue,
  latestSlot,
  nextSlot,
  type PushSchedule,
  scheduleProblems,
} from "./schedule.ts";

const at = (iso: string): number => Date.parse(iso);
const daily = (time: string): PushSchedule => ({ kind: "daily", time });

describe("slots at the edges of daylight saving", () => {
  test("a slot in the gap fires as much later as the clock jumped", () => {
    expect(nextSlot(daily("02:30"), "Europe/Rome", at("2026-03-28T12:00:00Z"))).toEqual({
      key: "2026-03-29T02:30[Europe/Rome]",
      at: at("2026-03-29T01:30:00Z"),
    });
  });

  test("a slot shown twice fires once, the first time", () => {
    const first = nextSlot(daily("02:30"), "Europe/Rome", at("2026-10-24T12:00:00Z"));
    expect(first?.at).toBe(at("2026-10-25T00:30:00Z"));
    expect(nextSlot(daily("02:30"), "Europe/Rome", first?.at ?? 0)?.at).toBe(at("2026-10-26T01:30:00Z"));
  });

  test("minutes past midnight belong to their own day", () => {
    expect(nextSlot(daily("00:15"), "America/New_York", at("2026-07-01T03:00:00Z"))?.at).toBe(
      at("2026-07-01T04:15:00Z"),
    );
  });

  test("09:30 fires at 09:30 in a zone with a three-quarter hour", () => {
    expect(nextSlot(daily("09:30"), "Asia/Kathmandu", at("2026-01-01T00:00:00Z"))?.at).toBe(
      at("2026-01-01T03:45:00Z"),
    );
  });

  test("a half-hour shift (Lord Howe) moves a slot by half an hour", () => {
    expect(nextSlot(daily("02:15"), "Australia/Lord_Howe", at("2026-10-03T12:00:00Z"))?.at).toBe(
      at("2026-10-03T15:45:00Z"),
    );
  });

  test("a date that the zone skipped has no slot", () => {
    const before = nextSlot(daily("09:00"), "Pacific/Apia", at("2011-12-29T18:00:00Z"));
    expect(before?.key).toBe("2011-12-29T09:00[Pacific/Apia]");
    const after = nextSlot(daily("09:00"), "Pacific/Apia", before?.at ?? 0);
    expect(after?.key).toBe("2011-12-31T09:00[Pacific/Apia]");
  });
});

describe("weeks and months", () => {
  test("weekday 1 is Monday, in the job's zone", () => {
    const slot = nextSlot(
      { kind: "weekly", weekday: 1, time: "00:30" },
      "Asia/Tokyo",
      at("2026-11-20T00:00:00Z"),
    );
    expect(slot?.at).toBe(at("2026-11-22T15:30:00Z"));
  });

  test("the 31st skips shorter months, the last day does not", () => {
    const from = at("2026-01-31T12:00:00Z");
    expect(nextSlot({ kind: "monthly", dayOfMonth: 31, time: "08:00" }, "UTC", from)?.key).toBe(
      "2026-03-31T08:00[UTC]",
    );
    expect(nextSlot({ kind: "monthly", dayOfMonth: "last", time: "08:00" }, "UTC", from)?.key).toBe(
      "2026-02-28T08:00[UTC]",
    );
    expect(
      nextSlot({ kind: "monthly", dayOfMonth: 29, time: "08:00" }, "UTC", at("2028-02-01T00:00:00Z"))?.key,
    ).toBe("2028-02-29T08:00[UTC]");
  });

  test("manual jobs have no slots", () => {
    expect(nextSlot({ kind: "manual" }, "UTC", 0)).toBeNull();
    expect(latestSlot({ kind: "manual" }, "UTC", 0)).toBeNull();
  });
});

describe("after an outage", () => {
  const job = daily("09:00");
  const nextRunAt = at("2026-05-01T09:00:00Z");

  test("a slot that has just come is dispatched, and the next one follows", () => {
    expect(decideDue(job, "UTC", nextRunAt, nextRunAt)).toEqual({
      kind: "dispatch",
      slot: { key: "2026-05-01T09:00[UTC]", at: nextRunAt },
      missed: 0,
      nextRunAt: at("2026-05-02T09:00:00Z"),
    });
  });

  test("of three missed days only the last is made up for", () => {
    const decision = decideDue(job, "UTC", nextRunAt, at("2026-05-03T10:00:00Z"));
    expect(decision).toMatchObject({ kind: "dispatch", missed: 2, slot: { key: "2026-05-03T09:00[UTC]" } });
  });

  test("half a day late is too late, and the job goes on", () => {
    const decision = decideDue(job, "UTC", nextRunAt, nextRunAt + CATCH_UP_MAX_MS);
    expect(decision).toMatchObject({
      kind: "too_late",
      lateMs: CATCH_UP_MAX_MS,
      nextRunAt: at("2026-05-02T09:00:00Z"),
    });
  });

  test("a job that is not due yet stays", () => {
    expect(decideDue(job, "UTC", nextRunAt, nextRunAt - 1)).toEqual({ kind: "not_due", nextRunAt });
  });
});

describe("a schedule's problems", () => {
  test.each<[PushSchedule, string, string[]]>([
    [daily("24:00"), "UTC", ["Invalid time '24:00', expected HH:mm"]],
    [daily("9:30"), "UTC", ["Invalid time '9:30', expected HH:mm"]],
    [daily("09:30"), "Mars/Olympus", ["Invalid timezone 'Mars/Olympus'"]],
    [daily("09:30"), "+02:00", ["Invalid timezone '+02:00'"]],
    [daily("x"), "", ["Invalid timezone ''", "Invalid time 'x', expected HH:mm"]],
    [
      { kind: "weekly", weekday: 0, time: "09:30" },
      "UTC",
      ["Invalid weekday '0', expected 1 (Monday) to 7 (Sunday)"],
    ],
    [
      { kind: "monthly", dayOfMonth: 32, time: "09:30" },
      "UTC",
      ["Invalid dayOfMonth '32', expected 1 to 31 or \"last\""],
    ],
    [{ kind: "manual" }, "Europe/Rome", []],
    [{ kind: "monthly", dayOfMonth: "last", time: "23:59" }, "Asia/Kolkata", []],
  ])("%j in %s", (schedule, timeZone, problems) => {
    expect(scheduleProblems(schedule, timeZone)).toEqual(problems);
  });
});
