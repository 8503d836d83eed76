/** When a failed message is tried again, and when it is given up. */
import type { RuntimeConfig } from "./runtimeConfig.ts";

export type RetryPolicy = RuntimeConfig["retry"];

/**
 * Delay after failed attempt `attempt` (1 = the first), ms: `min(maxDelay, base * factor^(attempt-1))` plus up
 * to jitterRatio of it.
 *
 * @param random a number in [0, 1): how much of the jitter is added.
 */
export function retryDelayMs(policy: RetryPolicy, attempt: number, random: number): number {
  // The exponent is capped: beyond it every allowed factor has long passed maxDelayMs or stays 1.
  const exponent = Math.min(Math.max(attempt, 1) - 1, 100);
  const delay = Math.min(policy.maxDelayMs, policy.baseDelayMs * policy.backoffFactor ** exponent);
  return Math.round(delay + delay * policy.jitterRatio * random);
}

/** How an attempt ended without an answer. */
export type Setback =
  /** The turn failed and said so. */
  | { kind: "error"; permanent: boolean }
  /** The lease ran out or its worker died: the wait for that was the delay, so it is tried again at once. */
  | { kind: "crash" }
  /** Planned: a drain or deploy. The attempt is given back. */
  | { kind: "release" };

export type RetryDecision =
  { kind: "retry"; delayMs: number; attempts: number } | { kind: "give_up"; attempts: number };

/** `attempts` counts the one that just ended, since a claim counts it when it begins. */
export function decideRetry(
  policy: RetryPolicy,
  message: { attempts: number; maxAttempts: number },
  setback: Setback,
  random: number,
): RetryDecision {
  const { attempts, maxAttempts } = message;
  switch (setback.kind) {
    case "release":
      return { kind: "retry", delayMs: 0, attempts: Math.max(0, attempts - 1) };
    case "crash":
      return attempts >= maxAttempts
        ? { kind: "give_up", attempts }
        : { kind: "retry", delayMs: 0, attempts };
    case "error":
      return setback.permanent || attempts >= maxAttempts
        ? { kind: "give_up", attempts }
        : { kind: "retry", delayMs: retryDelayMs(policy, attempts, random), attempts };
  }
}
