import * as fc from "fast-check";
import { expect, test } from "vitest";
import { parseKeyRing } from "./keyRing.ts";

const KEY = Buffer.alloc(32, 7).toString("base64");
const ring = (value: unknown): string => JSON.stringify(value);
const WANTED = 'expected {"active":"<id>","keys":{"<id>":"<base64 of 32 bytes>"}}';

test("a ring with its active key is taken as it is", () => {
  const value = { active: "k2", keys: { k1: KEY, k2: KEY } };
  expect(parseKeyRing(ring(value))).toEqual({ ok: true, ring: value });
});

test.each([undefined, "", "  \n"])("a missing variable says how to set it (%j)", (text) => {
  expect(parseKeyRing(text)).toEqual({
    ok: false,
    problem: "SECRETS_KEY_RING is not set. Run `pulumi up` for this stack.",
  });
});

test("text that is not JSON is refused without a quote of it", () => {
  expect(parseKeyRing(KEY)).toEqual({ ok: false, problem: `SECRETS_KEY_RING is not JSON; ${WANTED}` });
});

test.each<[string, unknown]>([
  ["a short key", { active: "k1", keys: { k1: Buffer.alloc(16).toString("base64") } }],
  ["a key a byte short", { active: "k1", keys: { k1: Buffer.alloc(31).toString("base64") } }],
  ["a long key", { active: "k1", keys: { k1: Buffer.alloc(33).toString("base64") } }],
  ["a key that is not base64", { active: "k1", keys: { k1: "?".repeat(44) } }],
  ["a field too many", { active: "k1", keys: { k1: KEY }, extra: 1 }],
  ["no active key", { keys: { k1: KEY } }],
  ["a list", [KEY]],
])("the wrong shape is refused: %s", (_name, value) => {
  expect(parseKeyRing(ring(value))).toEqual({
    ok: false,
    problem: `SECRETS_KEY_RING has the wrong shape; ${WANTED}`,
  });
});

test.each(["k9", "constructor", "__proto__"])(
  "an active key that is not among the keys is refused: %s",
  (active) => {
    expect(parseKeyRing(ring({ active, keys: { k1: KEY } }))).toEqual({
      ok: false,
      problem: "SECRETS_KEY_RING names an active key that is not among its keys",
    });
  },
);

test("no problem ever quotes any part of the value", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 24, maxLength: 40 }), fc.boolean(), (bytes, asJson) => {
      const secret = Buffer.from(bytes).toString("base64");
      const parsed = parseKeyRing(asJson ? ring({ active: "k0", keys: { k1: secret } }) : secret);
      expect(parsed.ok).toBe(false);
      expect(JSON.stringify(parsed)).not.toContain(secret.slice(0, 12));
    }),
  );
});
