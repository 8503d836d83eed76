import * as fc from "fast-check";
import { expect, test } from "vitest";
import { decideRetry, parseRetryAfter, retryDefaults } from "./retry.ts";

const decide = (status: number, attempt: number, idempotent: boolean, retryAfterMs: number | null = null) =>
  decideRetry({ status, retryAfterMs }, attempt, idempotent, retryDefaults, 0.5);

test("after a 429 any request is sent again, when the API asked for", () => {
  expect(decide(429, 1, false, 3_000)).toEqual({ again: true, delayMs: 3_000 });
});

test("after a 5xx or no answer only what may happen twice is sent again", () => {
  for (const status of [0, 500, 503]) {
    expect(decide(status, 1, true).again).toBe(true);
    expect(decide(status, 1, false).again).toBe(false);
  }
});

test("what was refused for good is not sent again", () => {
  for (const status of [200, 400, 401, 403, 404, 409, 413]) expect(decide(status, 1, true).again).toBe(false);
});

test("a wait that is too long is left to the caller", () => {
  expect(decide(429, 1, true, retryDefaults.retryAfterMaxMs + 1)).toEqual({ again: false });
});

test("attempts and delays are bounded and delays grow, whatever happens", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 60 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (n, chance) => {
        const options = { ...retryDefaults, attemptsMax: 50 };
        const now = decideRetry({ status: 0, retryAfterMs: null }, n, true, options, chance);
        if (!now.again) return n >= 50;
        const full = Math.min(options.maxDelayMs, options.baseDelayMs * 2 ** (n - 1));
        return now.delayMs >= full / 2 - 1 && now.delayMs <= full;
      },
    ),
  );
  expect(decide(0, retryDefaults.attemptsMax, true).again).toBe(false);
});

test("Retry-After is read as seconds or as a date", () => {
  const now = Date.UTC(2027, 0, 1);
  expect(parseRetryAfter("7", now)).toBe(7_000);
  expect(parseRetryAfter(new Date(now + 5_000).toUTCString(), now)).toBe(5_000);
  expect(parseRetryAfter(new Date(now - 5_000).toUTCString(), now)).toBe(0);
  expect(parseRetryAfter("soon", now)).toBeNull();
  expect(parseRetryAfter(null, now)).toBeNull();
});
