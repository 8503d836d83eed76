import { describe, expect, test } from "vitest";
import { DOCUMENT_DEPTH_MAX, hasHalfPair, shapeProblem } from "./shape.ts";

describe("half of a surrogate pair", () => {
  const text = (value: string): string => JSON.stringify({ value });

  test.each(["\ud83d", "a\udc4d", "\ud83d\ud83d\ude00", "\\\ud83d", "\\\\\ud83d"])(
    "is found: %j",
    (value) => {
      expect(hasHalfPair(text(value))).toBe(true);
    },
  );

  test.each(["", "\ud83d\ude00", "\\ud83d", "\\\\ud83d", "\u0007 \u2028"])("is not found: %j", (value) => {
    expect(hasHalfPair(text(value))).toBe(false);
  });
});

describe("the shape of a value", () => {
  const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)]);
  const problem = (value: unknown): string | null => shapeProblem(value as never, DOCUMENT_DEPTH_MAX);

  test("has limits for arrays, objects and depth", () => {
    expect(problem(Array.from({ length: 8_192 }, () => 0))).toBeNull();
    expect(problem({ a: Array.from({ length: 8_193 }, () => 0) })).toMatch(/Array length is too long \(8193/);
    const fields = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`f${i}`, 0]));
    expect(problem(fields(1_024))).toBeNull();
    expect(problem([fields(1_025)])).toMatch(/too many fields \(1025/);
    expect(problem(nested(16))).toBeNull();
    expect(problem(nested(17))).toBe("Value is too nested");
  });
});
