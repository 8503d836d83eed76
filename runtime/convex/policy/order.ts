/**
 * The order of messages: across conversations by priority, due time and creation; inside a conversation by
 * place in line.
 */

/** Ascending indexes serve rank 0 (priority 100) first. */
export const RANK_OF_LOWEST = 100;

/**
 * Places in line at or above this belong to messages scheduled for later: they queue behind everything that is
 * due, earliest first, and get a real place when their time comes. Real places stay far below it, and the sum
 * with any time in ms stays exact (below 2^53).
 */
export const SCHEDULED_PLACE_FLOOR = 1e15;

/** Whole priority in 0..max; `fallback` when none is asked for. */
export function clampPriority(asked: number | undefined, fallback: number, max: number): number {
  const priority = asked === undefined || Number.isNaN(asked) ? fallback : Math.round(asked);
  return Math.min(max, Math.max(0, priority));
}

export function rankOf(priority: number): number {
  return RANK_OF_LOWEST - priority;
}

/** The place of a message that is due at `dueAt`, before it is due. */
export function scheduledPlace(dueAt: number): number {
  return SCHEDULED_PLACE_FLOOR + dueAt;
}

export function isScheduledPlace(place: number): boolean {
  return place >= SCHEDULED_PLACE_FLOOR;
}

export type HeadState = "ready" | "delayed" | "paused";

/** State of a conversation's head while no turn runs. */
export function headState(paused: boolean, next: { dueAt: number }, now: number): HeadState {
  if (paused) return "paused";
  return next.dueAt <= now ? "ready" : "delayed";
}

export type OrderKey = { rank: number; dueAt: number; createdAt: number };

/** Negative when `a` is served first. */
export function compareOrder(a: OrderKey, b: OrderKey): number {
  return a.rank - b.rank || a.dueAt - b.dueAt || a.createdAt - b.createdAt;
}
