import { expect, test } from "vitest";
import { canonicalJson, describeSpecChange, machineSpec, specHash } from "./machineSpec.ts";
import { parseRuntimeConfig, type RuntimeConfig, type RuntimeConfigInput } from "./runtimeConfig.ts";

type Provider = RuntimeConfig["provider"];
const input = (change: Partial<RuntimeConfigInput["provider"]> = {}): Provider => {
  const parsed = parseRuntimeConfig({
    provider: {
      appName: "app",
      organizationSlug: "org",
      image: `registry.fly.io/app@sha256:${"a".repeat(64)}`,
      regions: ["fra"],
      env: { MODEL: "m", LEVEL: "1" },
      ...change,
    },
  });
  if (!parsed.ok) throw new Error(parsed.problems.join("\n"));
  return parsed.config.provider;
};
const changed = async (change: Partial<RuntimeConfigInput["provider"]>): Promise<boolean> =>
  (await specHash(input())) !== (await specHash(input(change)));

test.each<[string, Partial<RuntimeConfigInput["provider"]>]>([
  ["image", { image: `registry.fly.io/app@sha256:${"b".repeat(64)}` }],
  ["guest", { guest: { memoryMb: 1_024 } }],
  ["volume", { volume: { sizeGb: 1 } }],
  ["env", { env: { MODEL: "n", LEVEL: "1" } }],
  ["env", { env: { MODEL: "m" } }],
  ["minSecretsVersion", { minSecretsVersion: 7 }],
  // The image may be another stack's, promoted by digest: it does not tell.
  ["appName", { appName: "other" }],
])("a change of %s needs new machines, and is named in the decision log", async (name, change) => {
  expect(await changed(change)).toBe(true);
  expect(describeSpecChange(machineSpec(input()), machineSpec(input(change)))).toBe(name);
});

test.each<[string, Partial<RuntimeConfigInput["provider"]>]>([
  ["regions", { regions: ["iad", "fra"] }],
  ["apiUrl", { apiUrl: "https://machines.example" }],
  ["the order in which env was written", { env: { LEVEL: "1", MODEL: "m" } }],
])("%s needs none", async (_name, change) => {
  expect(await changed(change)).toBe(false);
  expect(describeSpecChange(machineSpec(input()), machineSpec(input(change)))).toBe("nothing");
});

test("several changes are named together", () => {
  const after = machineSpec(input({ guest: { cpus: 2 }, env: {} }));
  expect(describeSpecChange(machineSpec(input()), after)).toBe("guest, env");
});

test("the canonical text of a value does not depend on the order of its keys, but on that of its lists", () => {
  expect(canonicalJson({ b: [2, 1], a: { d: null, c: "x" } })).toBe('{"a":{"c":"x","d":null},"b":[2,1]}');
  expect(canonicalJson([1, 2])).not.toBe(canonicalJson([2, 1]));
  expect(canonicalJson({ "1": "a" })).not.toBe(canonicalJson(["a"]));
});

test("a hash is 16 hex digits, and the one of earlier releases where the image names the app", async () => {
  expect(await specHash(input())).toMatch(/^[0-9a-f]{16}$/);
  const { image, guest, volume, env, minSecretsVersion } = input();
  const text = canonicalJson({ image, guest, volume, env, minSecretsVersion });
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  expect(await specHash(input())).toBe(Buffer.from(digest).toString("hex").slice(0, 16));
});
