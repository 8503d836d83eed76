import { Cron } from "croner";
import type { CronSchedule } from "../deploy/inspect.ts";

const DAYS = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

/** A minute of the hour derived from a cron's name, for schedules that leave it to the deployment. */
function spreadMinute(name: string): number {
  let sum = 0;
  for (const letter of name) sum = (sum * 31 + letter.charCodeAt(0)) % 60;
  return sum;
}

function cronString(name: string, schedule: Exclude<CronSchedule, { type: "interval" }>): string {
  if (schedule.type === "cron") return schedule.cron;
  const minute = schedule.minuteUTC ?? spreadMinute(name);
  switch (schedule.type) {
    case "hourly":
      return `${minute} * * * *`;
    case "daily":
      return `${minute} ${schedule.hourUTC} * * *`;
    case "weekly":
      return `${minute} ${schedule.hourUTC} * * ${DAYS.indexOf(schedule.dayOfWeek)}`;
    case "monthly":
      return `${minute} ${schedule.hourUTC} ${schedule.day} * *`;
  }
}

function intervalMs(schedule: Extract<CronSchedule, { type: "interval" }>): number {
  return 1000 * ((schedule.seconds ?? 0) + 60 * (schedule.minutes ?? 0) + 3600 * (schedule.hours ?? 0));
}

/**
 * When a cron fires next, in milliseconds since 1970, always UTC.
 * @param previousMs its last due time; an interval keeps that rhythm, and with null it begins now
 * @throws for a cron string that cannot be read or never fires
 */
export function nextRun(
  name: string,
  schedule: CronSchedule,
  nowMs: number,
  previousMs: number | null,
): number {
  if (schedule.type === "interval") {
    const step = intervalMs(schedule);
    if (!(step > 0)) throw new Error(`Cron "${name}": the interval must be longer than zero.`);
    if (previousMs === null) return nowMs;
    const missed = Math.floor(Math.max(0, nowMs - previousMs) / step);
    return previousMs + (missed + 1) * step;
  }
  const text = cronString(name, schedule);
  if (text.trim().split(/\s+/).length !== 5) {
    throw new Error(
      `Cron "${name}": ${JSON.stringify(text)} must have five fields: minute hour day month weekday.`,
    );
  }
  let next: Date | null;
  try {
    next = new Cron(text, { timezone: "UTC" }).nextRun(new Date(nowMs));
  } catch (error) {
    throw new Error(
      `Cron "${name}": ${JSON.stringify(text)} is not a cron string: ${(error as Error).message}`,
      { cause: error },
    );
  }
  if (next === null) throw new Error(`Cron "${name}": ${JSON.stringify(text)} never fires.`);
  return next.getTime();
}
