import { expect, test } from "vitest";
import { decideRedelivery, parseRetryAfter } from "./redelivery.ts";

const base = { failures: 0, retryAfterSeconds: undefined, createdAt: 0, now: 0, random: 0, timeScale: 1 };
const delays = (random: number): number[] =>
  Array.from({ length: 9 }, (_, failures) => {
    const decision = decideRedelivery({ ...base, failures, random });
    return decision.kind === "retry" ? decision.at / 1000 : Number.NaN;
  });

test("the first retry follows at once, later ones double up to 60 to 120 seconds", () => {
  expect(delays(0)).toEqual([0, 2, 4, 8, 16, 32, 60, 60, 60]);
  expect(delays(1)).toEqual([0, 2, 4, 8, 16, 32, 64, 120, 120]);
});

test("Retry-After wins over the doubling, up to an hour", () => {
  expect(decideRedelivery({ ...base, failures: 5, retryAfterSeconds: 7 })).toEqual({
    kind: "retry",
    at: 7_000,
  });
  expect(decideRedelivery({ ...base, retryAfterSeconds: 99_999 })).toEqual({ kind: "retry", at: 3_600_000 });
});

test("an update that could only be retried after its 24 hours is dropped", () => {
  const day = 24 * 3_600_000;
  const late = { ...base, failures: 1, createdAt: 0 };
  expect(decideRedelivery({ ...late, now: day - 2_000 })).toEqual({ kind: "retry", at: day });
  expect(decideRedelivery({ ...late, now: day - 1_999 })).toEqual({ kind: "expired" });
});

test("a time scale shortens the waits and the update's life alike", () => {
  expect(decideRedelivery({ ...base, failures: 3, timeScale: 1_000 })).toEqual({ kind: "retry", at: 8 });
  expect(decideRedelivery({ ...base, now: 86_401, timeScale: 1_000 })).toEqual({ kind: "expired" });
});

test("only the delay form of Retry-After is understood", () => {
  expect([
    parseRetryAfter("12"),
    parseRetryAfter("Wed, 21 Oct 2026 07:28:00 GMT"),
    parseRetryAfter(null),
  ]).toEqual([12, undefined, undefined]);
});
