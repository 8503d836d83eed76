import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkProfile, completeSecretRefs } from "./profile.ts";

const profile = { agentKey: "support", soulMd: "You help.", skills: [], secretsRef: [], bridgeFunctions: [] };
const call = (key: string, parametersJson: string) => ({ key, description: "", parametersJson });

describe("the refs of a profile", () => {
  test("gain those that every agent needs, each once, the given ones first", () => {
    expect(completeSecretRefs(["fly.apiToken", "a"], undefined)).toEqual(["fly.apiToken", "a", "convex.url"]);
  });

  test("gain the bridge's only while it is enabled, under its own names when it has some", () => {
    expect(completeSecretRefs([], { enabled: false })).toEqual(["convex.url", "fly.apiToken"]);
    expect(completeSecretRefs([], { enabled: true })).toEqual([
      "convex.url",
      "fly.apiToken",
      "agent-bridge.serviceKey",
      "agent-bridge.baseUrlMapJson",
    ]);
    const named = { enabled: true, serviceKeySecretRef: "a", appBaseUrlMapJsonSecretRef: "b" };
    expect(completeSecretRefs([], named)).toEqual(["convex.url", "fly.apiToken", "a", "b"]);
  });

  test("completing twice is completing once", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ minLength: 1 })), fc.boolean(), (given, enabled) => {
        const once = completeSecretRefs(given, { enabled });
        expect(completeSecretRefs(once, { enabled })).toEqual(once);
        expect(new Set(once).size).toBe(once.length);
        expect(once).toEqual(expect.arrayContaining(given));
      }),
    );
  });
});

describe("what a profile may hold", () => {
  test.each(["support", "a", "9.a_b-c", "a".repeat(128)])("the key %s is accepted", (agentKey) => {
    expect(checkProfile({ ...profile, agentKey })).toBeNull();
  });

  test.each(["", ".a", "a b", "a/b", "a".repeat(129)])("the key %j is refused", (agentKey) => {
    expect(checkProfile({ ...profile, agentKey })).toBe(
      "agentKey must start with a letter or digit and hold at most 128 letters, digits, '.', '_' or '-'",
    );
  });

  test.each(["soulMd", "clientMd"] as const)("%s up to 100,000 characters", (field) => {
    expect(checkProfile({ ...profile, [field]: "x".repeat(100_000) })).toBeNull();
    expect(checkProfile({ ...profile, [field]: "x".repeat(100_001) })).toBe(
      `${field} has 100001 characters, the limit is 100000`,
    );
  });

  test.each(["skills", "secretsRef"] as const)("%s up to 200 entries", (field) => {
    const entries = (length: number) => Array.from({ length }, (_, i) => `e${i}`);
    expect(checkProfile({ ...profile, [field]: entries(200) })).toBeNull();
    expect(checkProfile({ ...profile, [field]: entries(201) })).toBe(
      `${field} has 201 entries, the limit is 200`,
    );
  });

  test("a bridge function has a key and a JSON Schema object", () => {
    const withCall = (key: string, json: string) =>
      checkProfile({ ...profile, bridgeFunctions: [call(key, json)] });
    expect(withCall("orders.list", '{"type":"object"}')).toBeNull();
    expect(withCall("orders list", "{}")).toBe("bridgeFunctions: 'orders list' is not a function key");
    for (const json of ["", "[]", "null", "1", "{"]) {
      expect(withCall("orders", json)).toBe(
        "bridgeFunctions: parametersJson of 'orders' must be a JSON Schema object",
      );
    }
  });
});
