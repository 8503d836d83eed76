/** Machine time per UTC day, and the ceiling on it. */

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;

/** `YYYY-MM-DD` of the UTC day of a time. */
export function utcDay(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

/** First ms of the UTC day after the one that holds `ms`. */
export function nextUtcDay(ms: number): number {
  return (Math.floor(ms / DAY_MS) + 1) * DAY_MS;
}

/** Splits a running time over the UTC days that it touches. Days beyond 40 are booked on the last one. */
export function splitByDay(fromMs: number, toMs: number): Array<{ day: string; ms: number }> {
  const parts: Array<{ day: string; ms: number }> = [];
  let start = fromMs;
  while (start < toMs) {
    const end = parts.length >= 40 ? toMs : Math.min(toMs, nextUtcDay(start));
    parts.push({ day: utcDay(start), ms: end - start });
    start = end;
  }
  return parts;
}

/** Machine time used today, ms: what is booked plus what running machines have used since. */
export function usedToday(bookedMs: number, runningSince: readonly number[], nowMs: number): number {
  const dayStart = nextUtcDay(nowMs) - DAY_MS;
  return runningSince.reduce((sum, since) => sum + Math.max(0, nowMs - Math.max(since, dayStart)), bookedMs);
}

export type SpendVerdict = { reached: false; reachedAt: number | null } | { reached: true; untilMs: number };

/**
 * Whether the day's machine-hours are used up; if not, when they will be should all running machines go on
 * (null: not today, or no limit), so that the guard closes in time.
 */
export function decideSpend(
  machineHoursPerDayMax: number | null,
  usedMs: number,
  runningMachines: number,
  nowMs: number,
): SpendVerdict {
  if (machineHoursPerDayMax === null) return { reached: false, reachedAt: null };
  const leftMs = machineHoursPerDayMax * HOUR_MS - usedMs;
  if (leftMs <= 0) return { reached: true, untilMs: nextUtcDay(nowMs) };
  if (runningMachines === 0) return { reached: false, reachedAt: null };
  const reachedAt = nowMs + Math.ceil(leftMs / runningMachines);
  return { reached: false, reachedAt: reachedAt < nextUtcDay(nowMs) ? reachedAt : null };
}
