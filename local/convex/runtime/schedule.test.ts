import { describe, expect, it } from "vitest";
import type { CronSchedule } from "../deploy/inspect.ts";
import { nextRun } from "./schedule.ts";

const at = (text: string): number => Date.parse(`${text}Z`);
const next = (schedule: CronSchedule, now: string): string =>
  new Date(nextRun("name", schedule, at(now), null)).toISOString();

describe("cron schedules", () => {
  it("begin an interval at once and then keep its rhythm, skipping what was missed", () => {
    const schedule: CronSchedule = { type: "interval", minutes: 10 };
    const start = at("2026-01-01T00:00:00");
    expect(nextRun("name", schedule, start, null)).toBe(start);
    expect(nextRun("name", schedule, start + 5, start)).toBe(start + 600_000);
    expect(nextRun("name", schedule, start + 3_000_123, start)).toBe(start + 3_600_000);
  });

  it.each<[string, CronSchedule, string]>([
    ["hourly", { type: "hourly", minuteUTC: 17 }, "2026-01-31T23:17:00.000Z"],
    ["daily", { type: "daily", hourUTC: 6, minuteUTC: 0 }, "2026-02-01T06:00:00.000Z"],
    ["weekly", { type: "weekly", dayOfWeek: "monday", hourUTC: 0, minuteUTC: 5 }, "2026-02-02T00:05:00.000Z"],
    ["monthly", { type: "monthly", day: 31, hourUTC: 0, minuteUTC: 0 }, "2026-03-31T00:00:00.000Z"],
    ["cron string", { type: "cron", cron: "*/20 * * * *" }, "2026-01-31T23:20:00.000Z"],
  ])("compute the next %s run in UTC", (_name, schedule, expected) => {
    expect(next(schedule, "2026-01-31T23:05:30")).toBe(expected);
  });

  it("choose one minute for a schedule that names none, always the same for the same cron", () => {
    expect(next({ type: "hourly" }, "2026-01-01T00:00:00")).toBe(
      next({ type: "hourly" }, "2026-01-01T00:00:00"),
    );
  });

  it.each(["", "* * * *", "* * * * * *", "61 * * * *", "every day at 5 o'clock", "0 0 31 2 *"])(
    "refuse the cron string %j, naming the cron",
    (cron) => {
      expect(() => nextRun("my cron", { type: "cron", cron }, 0, null)).toThrow(/Cron "my cron"/);
    },
  );
});
