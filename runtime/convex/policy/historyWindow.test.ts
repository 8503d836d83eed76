import * as fc from "fast-check";
import { expect, test } from "vitest";
import { estimateTokens, historyOldestAt } from "./historyWindow.ts";

test("four characters are a token, and a begun token counts", () => {
  expect(["", "a", "abcd", "abcde"].map(estimateTokens)).toEqual([0, 1, 1, 2]);
});

test("the parts never cost less than the whole, so that a window of rows keeps to its budget", () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (a, b) => {
      expect(estimateTokens(a) + estimateTokens(b)).toBeGreaterThanOrEqual(estimateTokens(a + b));
    }),
  );
});

test("the window reaches back its days", () => {
  const now = Date.parse("2026-03-31T12:00:00Z");
  expect(historyOldestAt({ historyTokensMax: 0, historyDaysMax: 30 }, now)).toBe(
    Date.parse("2026-03-01T12:00:00Z"),
  );
});
