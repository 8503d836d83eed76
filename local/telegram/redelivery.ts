/** When a refused update is sent again. Times in milliseconds. */

const RETRY_AFTER_LIMIT_S = 3_600;
const RESEND_LIMIT_MIN_S = 60;
const RESEND_LIMIT_MAX_S = 120;
const UPDATE_LIFE_MS = 24 * 3_600_000;

export type RedeliveryDecision = { kind: "retry"; at: number } | { kind: "expired" };

/**
 * Telegram's rule, as its server's source has it: `Retry-After` wins (at most an hour); otherwise the first retry
 * follows at once and later ones after 2, 4, 8 … s up to a random 60 to 120 s; an update that could only be retried
 * after its 24 hours is dropped.
 *
 * @param failures failed attempts before this one.
 * @param random from 0 to 1.
 * @param timeScale divides every wait, so that a test need not sleep.
 */
export function decideRedelivery(input: {
  failures: number;
  retryAfterSeconds: number | undefined;
  createdAt: number;
  now: number;
  random: number;
  timeScale: number;
}): RedeliveryDecision {
  const delayMs = (delaySeconds(input) * 1000) / input.timeScale;
  const at = input.now + delayMs;
  return at > input.createdAt + updateLifeMs(input.timeScale) ? { kind: "expired" } : { kind: "retry", at };
}

/** How long an undelivered update is kept. */
export function updateLifeMs(timeScale: number): number {
  return UPDATE_LIFE_MS / timeScale;
}

function delaySeconds(input: {
  failures: number;
  retryAfterSeconds: number | undefined;
  random: number;
}): number {
  if (input.retryAfterSeconds !== undefined && input.retryAfterSeconds > 0) {
    return Math.min(input.retryAfterSeconds, RETRY_AFTER_LIMIT_S);
  }
  if (input.failures === 0) return 0;
  const limit = RESEND_LIMIT_MIN_S + input.random * (RESEND_LIMIT_MAX_S - RESEND_LIMIT_MIN_S);
  return Math.min(limit, 2 ** Math.min(input.failures, 20));
}

/** Seconds of a `Retry-After` header; only the delay form is understood, as by Telegram. */
export function parseRetryAfter(header: string | null): number | undefined {
  return header !== null && /^\d{1,9}$/.test(header.trim()) ? Number(header) : undefined;
}
