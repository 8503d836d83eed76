import { expect, test } from "vitest";
import { createProvider, requireProviderConfig } from "../../runtime/convex/machines/createProvider.ts";
import { parseRuntimeConfig, type RuntimeConfig } from "../../runtime/convex/policy/runtimeConfig.ts";

type Provider = RuntimeConfig["provider"];
const parsed = parseRuntimeConfig({
  provider: {
    appName: "app",
    organizationSlug: "org",
    image: `registry.fly.io/app@sha256:${"a".repeat(64)}`,
    regions: ["fra"],
    guest: {},
  },
});
const provider = (change: Partial<Provider>): Provider => {
  if (!parsed.ok) throw new Error(parsed.problems.join("\n"));
  return { ...parsed.config.provider, ...change };
};

test("fly is the provider that the config names", () => {
  expect(createProvider(provider({}), "token").kind).toBe("fly");
});

test.each(["aws", "Fly", ""])("any other kind is refused in the contract's words: '%s'", (kind) => {
  expect(() => createProvider(provider({ kind }), "token")).toThrow(`Unsupported provider '${kind}'`);
});

test.each<[string, Partial<Provider>]>([
  ["appName", { appName: "" }],
  ["organizationSlug", { organizationSlug: "" }],
  ["image", { image: "" }],
  ["regions", { regions: [] }],
])("a missing %s is named, before the ones after it", (field, change) => {
  expect(() => createProvider(provider({ ...change }), "token")).toThrow(
    `Missing providerConfig.${field}. Pass providerConfig explicitly when starting/reconciling workers.`,
  );
});

test("an empty config names its kind first", () => {
  expect(() => requireProviderConfig({})).toThrow("Unsupported provider ''");
});
