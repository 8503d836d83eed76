/** When a request is sent again. Pure: time and chance come in as arguments. */

export interface RetryOptions {
  /** Sendings in all. Default 4. */
  attemptsMax: number;
  /** Delay after the first failure, ms; doubles with each. Default 250. */
  baseDelayMs: number;
  /** Upper bound of a delay of ours, ms. Default 8000. */
  maxDelayMs: number;
  /** A Retry-After beyond this is left to the caller, ms. Default 60000. */
  retryAfterMaxMs: number;
}

export const retryDefaults: RetryOptions = {
  attemptsMax: 4,
  baseDelayMs: 250,
  maxDelayMs: 8_000,
  retryAfterMaxMs: 60_000,
};

export interface Failure {
  /** 0: no answer. */
  status: number;
  retryAfterMs: number | null;
}

export type RetryDecision = { again: false } | { again: true; delayMs: number };

/**
 * 429 means that nothing was done: any request may be repeated. After a 5xx or without an answer the request may have
 * been carried out: only one that may happen twice is repeated. All else will be refused again.
 *
 * @param attempt the one that failed, from 1
 * @param chance in [0, 1): spreads the repetitions of many clients over half of the delay
 */
export function decideRetry(
  failure: Failure,
  attempt: number,
  idempotent: boolean,
  options: RetryOptions,
  chance: number,
): RetryDecision {
  const refusedUndone = failure.status === 429;
  const perhapsDone = failure.status === 0 || failure.status >= 500;
  if (attempt >= options.attemptsMax || !(refusedUndone || (perhapsDone && idempotent))) {
    return { again: false };
  }
  if (failure.retryAfterMs !== null) {
    return failure.retryAfterMs > options.retryAfterMaxMs
      ? { again: false }
      : { again: true, delayMs: failure.retryAfterMs };
  }
  return { again: true, delayMs: backoffMs(attempt, options, chance) };
}

/** Doubling delays, of which half is left to chance. */
export function backoffMs(attempt: number, options: RetryOptions, chance: number): number {
  const full = Math.min(options.maxDelayMs, options.baseDelayMs * 2 ** (attempt - 1));
  return Math.round(full / 2 + (full / 2) * chance);
}

/** Retry-After in seconds or as an HTTP date. null when absent or malformed. */
export function parseRetryAfter(header: string | null, now: number): number | null {
  if (header === null) return null;
  const ms = /^\d+$/.test(header.trim()) ? Number(header) * 1_000 : Date.parse(header) - now;
  return Number.isNaN(ms) ? null : Math.max(0, ms);
}
