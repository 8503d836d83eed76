import { Temporal } from "temporal-polyfill";
import type { RuntimeConfig } from "./runtimeConfig.ts";

type WarmPool = RuntimeConfig["scaling"]["warmPool"];
type WarmWindow = WarmPool["schedule"][number];

/** `24:00` is the end of the day: 1440. */
function minuteOfDay(time: string): number {
  const [hours = "0", minutes = "0"] = time.split(":");
  return Number(hours) * 60 + Number(minutes);
}

function isInside(window: WarmWindow, nowMs: number): boolean {
  const local = Temporal.Instant.fromEpochMilliseconds(nowMs).toZonedDateTimeISO(window.timeZone);
  const minute = local.hour * 60 + local.minute;
  const from = minuteOfDay(window.from);
  const to = minuteOfDay(window.to);
  if (from < to) return window.weekdays.includes(local.dayOfWeek) && minute >= from && minute < to;
  // A window over midnight belongs to the weekday on which it opens.
  const yesterday = local.dayOfWeek === 1 ? 7 : local.dayOfWeek - 1;
  return (
    (window.weekdays.includes(local.dayOfWeek) && minute >= from) ||
    (window.weekdays.includes(yesterday) && minute < to)
  );
}

export interface WarmTarget {
  /** Idle workers kept instead of destroyed. */
  keep: number;
  /** Of those, how many are made ahead of need: only windows ask for that, so that idle costs nothing. */
  prepare: number;
}

/** How many warm workers are wanted now; the largest matching window wins. */
export function warmTarget(pool: WarmPool, nowMs: number): WarmTarget {
  if (pool.mode === "none") return { keep: 0, prepare: 0 };
  const open = pool.schedule.filter((window) => isInside(window, nowMs));
  const prepare = open.reduce((largest, window) => Math.max(largest, window.size), 0);
  return { keep: Math.max(pool.size, prepare), prepare };
}

/** The instant of a minute of a local day; one that the clocks skip comes as much later. */
function edgeAt(date: Temporal.PlainDate, minute: number, timeZone: string): number {
  // 24:00 is the next day's midnight.
  const day = date.add({ days: Math.floor(minute / 1_440) });
  const plainTime = { hour: Math.floor((minute % 1_440) / 60), minute: minute % 60 };
  return day.toZonedDateTime({ timeZone, plainTime }).epochMilliseconds;
}

/** When a window next opens or closes, ms; null without a schedule. */
export function nextWarmChange(pool: WarmPool, nowMs: number): number | null {
  if (pool.mode === "none") return null;
  let next: number | null = null;
  for (const window of pool.schedule) {
    const { weekdays, timeZone } = window;
    const from = minuteOfDay(window.from);
    const to = minuteOfDay(window.to);
    const today = Temporal.Instant.fromEpochMilliseconds(nowMs).toZonedDateTimeISO(timeZone).toPlainDate();
    // From yesterday, whose window may still be open, to today's weekday next week: every edge comes round.
    for (let day = -1; day <= 7; day++) {
      const date = today.add({ days: day });
      if (!weekdays.includes(date.dayOfWeek)) continue;
      const closes = edgeAt(from < to ? date : date.add({ days: 1 }), to, timeZone);
      for (const at of [edgeAt(date, from, timeZone), closes]) {
        if (at > nowMs && (next === null || at < next)) next = at;
      }
    }
  }
  return next;
}
