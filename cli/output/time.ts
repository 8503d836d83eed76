/** Times and durations as people read and write them. */
import { usageError } from "../errors.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** `850 ms`, `12 s`, `3 min`, `2 h`, `5 d`. */
export function duration(ms: number): string {
  if (ms < SECOND) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 10 * SECOND) return `${(ms / SECOND).toFixed(1)} s`;
  if (ms < 2 * MINUTE) return `${Math.round(ms / SECOND)} s`;
  if (ms < 2 * HOUR) return `${Math.round(ms / MINUTE)} min`;
  if (ms < 2 * DAY) return `${Math.round(ms / HOUR)} h`;
  return `${Math.round(ms / DAY)} d`;
}

/** `12 s ago`, `in 3 min`; null stays null. */
export function ago(at: number | null, now: number): string | null {
  if (at === null) return null;
  return at > now ? `in ${duration(at - now)}` : `${duration(now - at)} ago`;
}

/** ISO to the second, UTC. */
export function when(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString().replace(/\.\d{3}Z$/, "Z");
}

const units: Record<string, number> = { ms: 1, s: SECOND, m: MINUTE, h: HOUR, d: DAY };

/**
 * Reads `900s`, `15m`, `2h`; a bare number is refused, since nobody agrees on its unit.
 * @param within shortest and longest, written likewise.
 */
export function parseDuration(flag: string, text: string, within?: readonly [string, string]): number {
  const match = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text);
  const factor = units[match?.[2] ?? ""];
  if (match === null || factor === undefined) {
    throw usageError(`${flag} must be a duration such as 90s, 15m or 2h, got '${text}'.`);
  }
  const ms = Number(match[1]) * factor;
  if (within !== undefined) {
    const [shortest, longest] = within.map((bound) => parseDuration(flag, bound)) as [number, number];
    if (ms < shortest || ms > longest) {
      throw usageError(`${flag} must be from ${within[0]} to ${within[1]}, got '${text}'.`);
    }
  }
  return ms;
}
