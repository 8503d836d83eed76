import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { waitFor } from "./waitFor.ts";

beforeEach(() => {
  vi.useFakeTimers({ now: 1_800_000_000_000 });
});
afterEach(() => {
  vi.useRealTimers();
});

/** Waits for something that is there after `readyAfterMs`. */
async function waited(patienceMs: number, readyAfterMs: number) {
  const startedAt = Date.now();
  let looks = 0;
  let answeredAfterMs = -1;
  const answer = waitFor(
    patienceMs,
    async () => {
      looks += 1;
      return Date.now() - startedAt >= readyAfterMs;
    },
    (found) => found,
  ).then((found) => {
    answeredAfterMs = Date.now() - startedAt;
    return found;
  });
  await vi.advanceTimersByTimeAsync(patienceMs * 2);
  return { found: await answer, looks, answeredAfterMs };
}

test("what is there at once costs one look, and no patience is one look", async () => {
  expect(await waited(25_000, 0)).toEqual({ found: true, looks: 1, answeredAfterMs: 0 });
  expect(await waited(0, 1)).toEqual({ found: false, looks: 1, answeredAfterMs: 0 });
});

test("a wait for nothing ends with its patience, and costs a call a second rather than several", async () => {
  const { found, looks, answeredAfterMs } = await waited(25_000, Number.POSITIVE_INFINITY);
  expect(found).toBe(false);
  expect(answeredAfterMs).toBe(25_000);
  expect(looks).toBeLessThanOrEqual(25);
});

test.each([
  [500, 400],
  [1_900, 400],
  [5_000, 1_200],
  [24_000, 2_000],
])("what is there after %i ms is found at most %i ms later", async (readyAfterMs, lateMs) => {
  const { found, answeredAfterMs } = await waited(30_000, readyAfterMs);
  expect(found).toBe(true);
  expect(answeredAfterMs - readyAfterMs).toBeLessThanOrEqual(lateMs);
});
