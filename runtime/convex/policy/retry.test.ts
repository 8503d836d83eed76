import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decideRetry, retryDelayMs, type RetryPolicy } from "./retry.ts";

const policy: RetryPolicy = {
  maxAttempts: 5,
  baseDelayMs: 1_000,
  maxDelayMs: 120_000,
  backoffFactor: 2,
  jitterRatio: 0.1,
};

const anyPolicy = fc
  .record({
    maxAttempts: fc.integer({ min: 1, max: 50 }),
    baseDelayMs: fc.integer({ min: 0, max: 3_600_000 }),
    maxDelayMs: fc.integer({ min: 0, max: 86_400_000 }),
    backoffFactor: fc.double({ min: 1, max: 10, noNaN: true }),
    jitterRatio: fc.double({ min: 0, max: 1, noNaN: true }),
  })
  .filter(({ baseDelayMs, maxDelayMs }) => baseDelayMs <= maxDelayMs);
const anyRandom = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const anyAttempt = fc.integer({ min: 1, max: 1_000 });

describe("the delay", () => {
  test("doubles from the base and stops at the maximum", () => {
    const delays = [1, 2, 3, 7, 8, 50].map((attempt) => retryDelayMs(policy, attempt, 0));
    expect(delays).toEqual([1_000, 2_000, 4_000, 64_000, 120_000, 120_000]);
  });

  test("gains at most the jitter's share", () => {
    expect(retryDelayMs(policy, 1, 0.5)).toBe(1_050);
    expect(retryDelayMs(policy, 20, 0.999_999)).toBe(132_000);
  });

  test("is bounded, finite and whole for every policy, attempt and random number", () => {
    fc.assert(
      fc.property(anyPolicy, anyAttempt, anyRandom, (any, attempt, random) => {
        const delay = retryDelayMs(any, attempt, random);
        expect(Number.isInteger(delay)).toBe(true);
        expect(delay).toBeGreaterThanOrEqual(any.baseDelayMs);
        expect(delay).toBeLessThanOrEqual(Math.ceil(any.maxDelayMs * (1 + any.jitterRatio)));
      }),
    );
  });

  test("never shrinks from one attempt to the next, nor with more jitter", () => {
    fc.assert(
      fc.property(anyPolicy, anyAttempt, anyRandom, anyRandom, (any, attempt, a, b) => {
        expect(retryDelayMs(any, attempt + 1, a)).toBeGreaterThanOrEqual(retryDelayMs(any, attempt, a));
        const [less, more] = [Math.min(a, b), Math.max(a, b)];
        expect(retryDelayMs(any, attempt, more)).toBeGreaterThanOrEqual(retryDelayMs(any, attempt, less));
      }),
    );
  });
});

describe("a setback", () => {
  test("an error waits for its delay while attempts are left", () => {
    expect(
      decideRetry(policy, { attempts: 2, maxAttempts: 5 }, { kind: "error", permanent: false }, 0),
    ).toEqual({ kind: "retry", delayMs: 2_000, attempts: 2 });
  });

  test("an error on the last attempt, or a permanent one, gives up", () => {
    const last = { attempts: 5, maxAttempts: 5 };
    expect(decideRetry(policy, last, { kind: "error", permanent: false }, 0)).toEqual({
      kind: "give_up",
      attempts: 5,
    });
    expect(
      decideRetry(policy, { attempts: 1, maxAttempts: 5 }, { kind: "error", permanent: true }, 0),
    ).toEqual({ kind: "give_up", attempts: 1 });
  });

  test("a crash is tried again at once and counts", () => {
    const crash = { kind: "crash" } as const;
    expect(decideRetry(policy, { attempts: 4, maxAttempts: 5 }, crash, 0)).toEqual({
      kind: "retry",
      delayMs: 0,
      attempts: 4,
    });
    expect(decideRetry(policy, { attempts: 5, maxAttempts: 5 }, crash, 0).kind).toBe("give_up");
  });

  test("a release gives the attempt back and never gives up", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 50 }),
        fc.integer({ min: 1, max: 50 }),
        (attempts, maxAttempts) => {
          expect(decideRetry(policy, { attempts, maxAttempts }, { kind: "release" }, 0)).toEqual({
            kind: "retry",
            delayMs: 0,
            attempts: Math.max(0, attempts - 1),
          });
        },
      ),
    );
  });

  test("a message that only fails is begun exactly maxAttempts times", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 50 }),
        fc.array(fc.constantFrom("error", "crash", "release"), { maxLength: 200 }),
        anyRandom,
        (maxAttempts, kinds, random) => {
          let attempts = 0;
          let counted = 0;
          for (const kind of kinds) {
            const setback = kind === "error" ? { kind, permanent: false } : { kind };
            if (kind !== "release") counted += 1;
            const decision = decideRetry(policy, { attempts: attempts + 1, maxAttempts }, setback, random);
            expect(decision.kind).toBe(counted >= maxAttempts && kind !== "release" ? "give_up" : "retry");
            if (decision.kind === "give_up") return;
            ({ attempts } = decision);
            expect(attempts).toBe(counted);
          }
        },
      ),
    );
  });
});
