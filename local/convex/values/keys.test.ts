import { compareValues, type Value } from "convex/values";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { afterKey, afterPrefix, encodeKey, fieldAt } from "./keys.ts";

const leaf: fc.Arbitrary<Value> = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.double({ noNaN: true }),
  fc.string({ unit: "grapheme" }),
  fc.constantFrom("", "\0", "a\0", "a\0b", "a", "ab"),
  fc.uint8Array({ maxLength: 6 }).map((bytes) => new Uint8Array(bytes).buffer),
);
const value: fc.Arbitrary<Value> = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    leaf,
    fc.array(tie("value"), { maxLength: 3 }),
    fc.dictionary(fc.stringMatching(/^[a-c]{1,2}$/), tie("value"), { maxKeys: 3 }),
  ),
})).value;
const field = fc.oneof(value, fc.constant(undefined));

describe("ordered key encoding", () => {
  it("orders any two values, a missing one included, as Convex does", () => {
    fc.assert(
      fc.property(field, field, (a, b) => {
        expect(Math.sign(encodeKey([a]).compare(encodeKey([b])))).toBe(Math.sign(compareValues(a, b)));
      }),
      { numRuns: 2_000 },
    );
  });

  it("compares several fields one after the other", () => {
    fc.assert(
      fc.property(field, field, field, field, (a, b, c, d) => {
        const expected = compareValues(a, c) || compareValues(b, d);
        expect(Math.sign(encodeKey([a, b]).compare(encodeKey([c, d])))).toBe(Math.sign(expected));
      }),
      { numRuns: 2_000 },
    );
  });

  it("keeps every key with a prefix below the end of that prefix, and no other key between", () => {
    fc.assert(
      fc.property(field, field, field, (a, b, other) => {
        const prefix = encodeKey([a]);
        expect(encodeKey([a, b]).compare(afterPrefix(prefix))).toBe(-1);
        const outside = encodeKey([other]);
        const inside = outside.compare(prefix) >= 0 && outside.compare(afterPrefix(prefix)) < 0;
        expect(inside).toBe(compareValues(a, other) === 0);
      }),
    );
  });

  it("separates the zeros and orders infinities outermost", () => {
    const ascending = [-Infinity, -1, -0, 0, Number.MIN_VALUE, 1, Infinity, NaN].map((one) =>
      encodeKey([one]),
    );
    expect([...ascending].sort((a, b) => a.compare(b))).toEqual(ascending);
    expect(afterKey(ascending[0]!).compare(ascending[1]!)).toBe(-1);
  });
});

describe("field paths", () => {
  it("reads nested fields and calls anything on the way that is not an object missing", () => {
    expect(fieldAt({ a: { b: 1 } }, "a.b")).toBe(1);
    expect(fieldAt({ a: { b: 1 } }, "a.c")).toBeUndefined();
    expect(fieldAt({ a: [1] }, "a.0")).toBeUndefined();
    expect(fieldAt({ a: null }, "a.b")).toBeUndefined();
    expect(fieldAt({}, "constructor")).toBeUndefined();
  });
});
