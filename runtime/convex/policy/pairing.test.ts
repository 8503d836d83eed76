import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  afterFailure,
  attemptsExhausted,
  type AttemptFacts,
  decideConsume,
  effectiveStatus,
  isPairingCodeShape,
  PAIRING_FAILURES_MAX,
  PAIRING_RANDOM_BYTES,
  PAIRING_WINDOW_MS,
  pairingCodeFrom,
} from "./pairing.ts";

const pending = { status: "pending" as const, expiresAt: 1_000 };

describe("using a code", () => {
  test.each([
    [null, 0, "Pairing code not found"],
    [{ status: "used" as const, expiresAt: 1_000 }, 0, "Pairing code already used or expired"],
    [{ status: "expired" as const, expiresAt: 1_000 }, 0, "Pairing code already used or expired"],
    [pending, 1_000, "Pairing code expired"],
  ])("%j at %i: %s", (code, now, error) => {
    expect(decideConsume(code, now)).toEqual({ ok: false, error });
  });

  test("a pending code works until the moment it lapses", () => {
    expect(decideConsume(pending, 999)).toEqual({ ok: true });
    expect(effectiveStatus(pending, 999)).toBe("pending");
    expect(effectiveStatus(pending, 1_000)).toBe("expired");
  });
});

test("any random bytes make a code that /start and a deep link accept", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: PAIRING_RANDOM_BYTES, maxLength: PAIRING_RANDOM_BYTES }),
      (random) => {
        const code = pairingCodeFrom(random);
        expect(code).toHaveLength(PAIRING_RANDOM_BYTES);
        expect(isPairingCodeShape(code)).toBe(true);
      },
    ),
  );
});

test.each(["abc", "a b c d", "x".repeat(129), "äbcd", ""])("%j is no code", (code) => {
  expect(isPairingCodeShape(code)).toBe(false);
});

test("failures exhaust a window and a new window forgives them", () => {
  let attempts: AttemptFacts | null = null;
  for (let failure = 0; failure < PAIRING_FAILURES_MAX; failure += 1) {
    expect(attemptsExhausted(attempts, failure)).toBe(false);
    attempts = afterFailure(attempts, failure);
  }
  expect(attemptsExhausted(attempts, 10)).toBe(true);
  expect(attemptsExhausted(attempts, PAIRING_WINDOW_MS)).toBe(false);
  expect(afterFailure(attempts, PAIRING_WINDOW_MS)).toEqual({
    windowStartedAt: PAIRING_WINDOW_MS,
    failed: 1,
  });
});
