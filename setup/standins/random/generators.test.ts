import { randomInt } from "node:crypto";

import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { defaultRules, idSpellings, randomText, rulesProblem } from "./generators.ts";

const minimum = fc.nat({ max: 5 });

describe("randomText", () => {
  it("holds the length, every minimum and only allowed characters", () => {
    const property = fc.property(
      fc.record({
        minLower: minimum,
        minUpper: minimum,
        minNumeric: minimum,
        minSpecial: minimum,
        more: fc.nat(20),
      }),
      fc.string({ unit: fc.constantFrom("#", "-", "_"), minLength: 1, maxLength: 3 }),
      ({ more, ...minimums }, overrideSpecial) => {
        const length = Math.max(
          1,
          Object.values(minimums).reduce((sum, count) => sum + count, more),
        );
        const text = randomText({ ...defaultRules, ...minimums, length, overrideSpecial }, randomInt);
        const count = (pattern: RegExp): number => text.match(pattern)?.length ?? 0;
        expect(text).toHaveLength(length);
        expect(count(/[a-z]/g)).toBeGreaterThanOrEqual(minimums.minLower);
        expect(count(/[A-Z]/g)).toBeGreaterThanOrEqual(minimums.minUpper);
        expect(count(/[0-9]/g)).toBeGreaterThanOrEqual(minimums.minNumeric);
        expect(count(/[^a-zA-Z0-9]/g)).toBeGreaterThanOrEqual(minimums.minSpecial);
        expect(
          text.split("").every((letter) => /[a-zA-Z0-9]/.test(letter) || overrideSpecial.includes(letter)),
        ).toBe(true);
      },
    );
    fc.assert(property, { numRuns: 200 });
  });

  it("leaves out the kinds that are switched off", () => {
    const rules = { ...defaultRules, length: 200, upper: false, numeric: false, special: false };
    expect(randomText(rules, randomInt)).toMatch(/^[a-z]{200}$/);
  });

  it("takes its characters from the given chance alone", () => {
    const rules = { ...defaultRules, length: 6, minNumeric: 2 };
    expect(randomText(rules, () => 0)).toBe(randomText(rules, () => 0));
    expect(randomText({ ...rules, minNumeric: 0 }, (below) => below - 1)).toBe("??????");
  });
});

describe("rulesProblem", () => {
  it.each([
    [{ length: 0 }, "length must be a whole number of at least 1"],
    [{ length: 1.5 }, "length must be a whole number of at least 1"],
    [{ length: 3, minLower: 2, minUpper: 2 }, "length must be at least 4"],
    [
      { length: 8, lower: false, upper: false, numeric: false, special: false },
      "at least one of lower, upper, numeric and special must be true",
    ],
  ])("%o: %s", (rules, problem) => {
    expect(rulesProblem({ ...defaultRules, ...rules })).toContain(problem);
  });

  it("has nothing against sound rules", () => {
    expect(rulesProblem({ ...defaultRules, length: 4, minLower: 2, minUpper: 2 })).toBeUndefined();
  });
});

describe("idSpellings", () => {
  it("spells the same bytes in every way, prefix first", () => {
    expect(idSpellings(Uint8Array.of(0xff, 0xee), "app-")).toEqual({
      b64Std: "app-/+4=",
      b64Url: "app-_-4",
      dec: "app-65518",
      hex: "app-ffee",
    });
  });
});
