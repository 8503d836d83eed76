import * as fc from "fast-check";
import { expect, test } from "vitest";
import { canonicalJson, changedFields } from "./configDiff.ts";
import { parseRuntimeConfig, type RuntimeConfig } from "./runtimeConfig.ts";

function config(changes: Record<string, unknown> = {}): RuntimeConfig {
  const parsed = parseRuntimeConfig({
    provider: {
      appName: "app",
      organizationSlug: "org",
      image: `registry.fly.io/app@sha256:${"a".repeat(64)}`,
      regions: ["fra", "ams"],
      env: { A: "1", B: "2" },
    },
    ...changes,
  });
  if (!parsed.ok) throw new Error(parsed.problems.join("\n"));
  return parsed.config;
}

/** The same value with the keys of every object in reverse. */
function reversed(value: unknown): unknown {
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map(reversed);
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, inner]) => [key, reversed(inner)]),
  );
}

test("the order of keys is no difference, at any depth", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      expect(canonicalJson(reversed(value))).toBe(canonicalJson(value));
      expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
    }),
  );
});

test("the order of a list is a difference: regions are tried in order", () => {
  const { provider } = config();
  const swapped = { ...config(), provider: { ...provider, regions: ["ams", "fra"] } };
  expect(changedFields(config(), swapped)).toEqual(["provider"]);
});

test("equal configs have no changed field, the first config has all", () => {
  expect(changedFields(config(), reversed(config()) as RuntimeConfig)).toEqual([]);
  expect(changedFields(undefined, config())).toEqual(Object.keys(config()));
});

test("every top-level field that differs is named, and no other", () => {
  expect(changedFields(config(), config({ scaling: { maxWorkers: 9 }, queue: { maxPriority: 60 } }))).toEqual(
    ["queue", "scaling"],
  );
});
