/** When a push is due, as people write it and as tables show it: what a table shows can be given to `--schedule`. */
import type { PushSchedule } from "../../runtime/convex/policy/schedule.ts";
import { usageError } from "../errors.ts";

export const SCHEDULE_FORMS =
  "'manual', 'daily 09:00', 'weekly Mon 09:00', 'monthly 15 09:00' or 'monthly last 09:00'";

const weekdays = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

export function scheduleText(schedule: PushSchedule): string {
  switch (schedule.kind) {
    case "manual":
      return "manual";
    case "daily":
      return `daily ${schedule.time}`;
    case "weekly":
      return `weekly ${weekdays[schedule.weekday - 1] ?? schedule.weekday} ${schedule.time}`;
    case "monthly":
      return `monthly ${schedule.dayOfMonth} ${schedule.time}`;
  }
}

/** 1 Monday … 7 Sunday, as a number or a name of which the first three letters count. */
function weekdayOf(text: string): number | null {
  if (/^\d$/.test(text)) return Number(text);
  const index = weekdays.findIndex((name) => name.toLowerCase() === text.slice(0, 3).toLowerCase());
  return index === -1 ? null : index + 1;
}

function dayOf(text: string): number | "last" | null {
  if (text.toLowerCase() === "last") return "last";
  return /^\d{1,2}$/.test(text) ? Number(text) : null;
}

/** Its form alone; whether time and day exist is the backend's policy. @throws CliError that shows the forms. */
export function parseSchedule(flag: string, text: string): PushSchedule {
  const [kind = "", ...rest] = text.trim().split(/\s+/);
  const [first = "", time = ""] = rest;
  switch (`${kind.toLowerCase()} ${rest.length}`) {
    case "manual 0":
      return { kind: "manual" };
    case "daily 1":
      return { kind: "daily", time: first };
    case "weekly 2": {
      const weekday = weekdayOf(first);
      if (weekday !== null) return { kind: "weekly", weekday, time };
      break;
    }
    case "monthly 2": {
      const dayOfMonth = dayOf(first);
      if (dayOfMonth !== null) return { kind: "monthly", dayOfMonth, time };
      break;
    }
  }
  throw usageError(`${flag} must be ${SCHEDULE_FORMS}, got '${text}'.`);
}
