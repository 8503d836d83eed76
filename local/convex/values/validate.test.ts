import { v, type GenericValidator, type Value } from "convex/values";
import { describe, expect, it } from "vitest";
import type { ValidatorJson } from "./describe.ts";
import { explainMismatch } from "./validate.ts";

function explain(validator: GenericValidator, value: Value): string | null {
  // `json` is what exportArgs() serialises; the public types hide it.
  const { json } = validator as unknown as { json: ValidatorJson };
  return explainMismatch(json, value, (id) =>
    id.startsWith("m") ? "messages" : id.startsWith("u") ? "users" : null,
  );
}

describe("validators", () => {
  it.each<[string, GenericValidator, Value]>([
    ["any", v.any(), { a: [1n] }],
    ["null", v.null(), null],
    ["number", v.number(), 1.5],
    ["int64", v.int64(), 3n],
    ["boolean", v.boolean(), false],
    ["string", v.string(), ""],
    ["bytes", v.bytes(), new ArrayBuffer(2)],
    ["literal", v.literal("a"), "a"],
    ["int64 literal", v.literal(7n), 7n],
    ["id", v.id("messages"), "m1"],
    ["array", v.array(v.number()), [1, 2]],
    ["union", v.union(v.string(), v.null()), null],
    ["record", v.record(v.string(), v.number()), { a: 1 }],
    ["record of ids", v.record(v.id("users"), v.boolean()), { u1: true }],
    ["object with an absent optional field", v.object({ a: v.optional(v.string()) }), {}],
  ])("accept %s", (_name, validator, value) => {
    expect(explain(validator, value)).toBeNull();
  });

  it.each<[string, GenericValidator, Value, string]>([
    ["a number for int64", v.int64(), 3, "Value does not match validator."],
    ["a missing field", v.object({ a: v.string() }), {}, "Object is missing the required field `a`."],
    [
      "an extra field",
      v.object({}),
      { b: 1 },
      "Object contains extra field `b` that is not in the validator.",
    ],
    ["a foreign id", v.id("messages"), "u1", 'Found ID "u1" from table `users`'],
    ["a text that is no id", v.id("messages"), "x", "Value does not match validator."],
    ["a wrong record value", v.record(v.string(), v.number()), { a: "b" }, "Path: .a"],
    ["a wrong record key", v.record(v.id("users"), v.number()), { m1: 1 }, "Path: .m1"],
    [
      "a nested fault",
      v.object({ list: v.array(v.object({ n: v.number() })) }),
      { list: [{ n: 1 }, { n: "x" }] },
      "Path: .list[1].n",
    ],
    [
      "none of a union",
      v.union(v.literal("a"), v.literal("b")),
      "c",
      'Validator: v.union(v.literal("a"), v.literal("b"))',
    ],
    [
      "a prototype's property as a field",
      v.object({ toString: v.string() }),
      {},
      "missing the required field `toString`",
    ],
  ])("refuse %s and say where", (_name, validator, value, expected) => {
    expect(explain(validator, value)).toContain(expected);
  });
});
