/** Tokens per second and how many may be saved up. */
export interface Allowance {
  perSecond: number;
  burst: number;
}

/** Fly: one request a second per action and machine or app, three at once; reading one machine five, ten at once. */
const DEFAULT: Allowance = { perSecond: 1, burst: 3 };
const EXCEPTIONS: Record<string, Allowance> = {
  Machines_show: { perSecond: 5, burst: 10 },
  /** 100 a minute for a whole organization. */
  Apps_delete: { perSecond: 100 / 60, burst: 100 },
};

export const allowanceOf = (operation: string): Allowance => EXCEPTIONS[operation] ?? DEFAULT;

interface Bucket {
  tokens: number;
  atMs: number;
}

/** One step of a token bucket: what is left, and whether this request may pass. */
export function take(
  bucket: Bucket | undefined,
  allowance: Allowance,
  nowMs: number,
): { bucket: Bucket; passed: boolean } {
  const before = bucket ?? { tokens: allowance.burst, atMs: nowMs };
  const earned = (Math.max(0, nowMs - before.atMs) / 1_000) * allowance.perSecond;
  const tokens = Math.min(allowance.burst, before.tokens + earned);
  return tokens >= 1
    ? { bucket: { tokens: tokens - 1, atMs: nowMs }, passed: true }
    : { bucket: { tokens, atMs: nowMs }, passed: false };
}

/** A bucket idle for this long is full again, so it can be forgotten. */
const FORGET_AFTER_MS = 60_000;
const BUCKETS_BEFORE_SWEEP = 1_000;

export class RateLimiter {
  readonly #buckets = new Map<string, Bucket>();

  /** True when the call may go on. `identifier` is the machine id or, for calls on an app, its name. */
  allow(operation: string, identifier: string, nowMs: number): boolean {
    if (this.#buckets.size > BUCKETS_BEFORE_SWEEP) this.#sweep(nowMs);
    const key = `${operation} ${identifier}`;
    const { bucket, passed } = take(this.#buckets.get(key), allowanceOf(operation), nowMs);
    this.#buckets.set(key, bucket);
    return passed;
  }

  #sweep(nowMs: number): void {
    for (const [key, bucket] of this.#buckets) {
      if (nowMs - bucket.atMs > FORGET_AFTER_MS) this.#buckets.delete(key);
    }
  }
}
