import { expect, test } from "vitest";
import { parseGoDuration } from "./duration.ts";

test.each([
  ["30s", 30_000],
  ["8760h0m0s", 31_536_000_000],
  ["1.5m", 90_000],
  ["300ms", 300],
  ["0", 0],
  ["1h30m", 5_400_000],
])("%s is %d ms", (text, ms) => expect(parseGoDuration(text)).toBe(ms));

test.each(["", "30", "s", "-5s", "1d", "5 s", "5s5"])("'%s' is no duration", (text) => {
  expect(parseGoDuration(text)).toBeNull();
});
