import { describe, expect, it } from "vitest";

import { changedKeys, hasSecret, hasUnknown, reveal, secret, secretStrings, unknown } from "./values.ts";

const nested = { plain: "a", list: [secret({ token: "hidden", count: 3 })] };

describe("property values", () => {
  it("reveals secrets at any depth", () => {
    expect(reveal(nested)).toEqual({ plain: "a", list: [{ token: "hidden", count: 3 }] });
  });

  it("lists the strings that are secret, and only these", () => {
    expect(secretStrings(nested)).toEqual(["hidden"]);
  });

  it("finds a secret at any depth", () => {
    expect(hasSecret(nested)).toBe(true);
    expect(hasSecret({ list: [{ plain: "a" }] })).toBe(false);
  });

  it("finds an unknown at any depth", () => {
    expect(hasUnknown({ list: ["a", unknown] })).toBe(true);
    expect(hasUnknown(nested)).toBe(false);
  });

  it("does not wrap a secret twice", () => {
    expect(secret(secret("a"))).toEqual(secret("a"));
  });
});

describe("changedKeys", () => {
  it("names added, removed and changed properties", () => {
    const olds = { same: [1, { a: "b" }], changed: "x", removed: true };
    const news = { same: [1, { a: "b" }], changed: "y", added: 1 };
    expect(changedKeys(olds, news)).toEqual(["added", "changed", "removed"]);
  });

  it("sees a change inside a secret, but not that a value became one", () => {
    expect(changedKeys({ key: secret("a") }, { key: secret("b") })).toEqual(["key"]);
    expect(changedKeys({ key: "a" }, { key: secret("a") })).toEqual([]);
  });

  it("takes an unknown for a change", () => {
    expect(changedKeys({ key: "a" }, { key: unknown })).toEqual(["key"]);
  });
});
