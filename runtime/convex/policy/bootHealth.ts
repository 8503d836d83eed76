/**
 * Workers that do not come up, one after the other: an image that crashes, a secret that is missing. Making the
 * next one at once would only spend machine time on the same end. During a rollout's gate the rollout judges.
 */

/** Hosts fail too: so many failures in a row cost no time. */
const FREE_FAILURES = 2;
const FIRST_HOLD_MS = 10_000;
/** Bounded, so that a mended cause is noticed without anybody's help. */
const HOLD_MAX_MS = 5 * 60_000;

export interface BootHealth {
  /** Boots that failed since one last succeeded. */
  failures: number;
  lastFailureAt: number;
  /** Why the latest one failed. */
  reason: string;
}

/** Whether so many failures in a row are worth an operator's attention. */
export const bootsFail = (health: BootHealth): boolean => health.failures > FREE_FAILURES;

/** Until when nothing is made or started, ms, and why; null: go on. */
export function bootHold(health: BootHealth | null, now: number): { until: number; why: string } | null {
  if (health === null || !bootsFail(health)) return null;
  const doublings = Math.min(16, health.failures - FREE_FAILURES - 1);
  const until = health.lastFailureAt + Math.min(HOLD_MAX_MS, FIRST_HOLD_MS * 2 ** doublings);
  if (now >= until) return null;
  return { until, why: `the last ${health.failures} workers did not come up (${health.reason})` };
}
