/** The runtime config is read where it is used: nothing carries it from one function to another. */
import { describe, expect, test } from "vitest";
import { api, internal } from "../_generated/api.js";
import {
  addWorker,
  configInput,
  createWorld,
  enqueue,
  fakeDeployment,
  messageOf,
  mustClaim,
  OWNER,
  START,
  testConfig,
} from "../testing/factory.setup.ts";

fakeDeployment();

const modules = import.meta.glob<Record<string, unknown>>(
  ["../**/*.ts", "!../**/*.test.ts", "!../testing/**", "!../_generated/**"],
  { eager: true },
);

/** Names of all fields, at any depth, that a function takes. */
function fieldsOf(fn: unknown): Set<string> {
  const found = new Set<string>();
  const walk = (type: unknown): void => {
    if (type === null || typeof type !== "object") return;
    for (const [key, value] of Object.entries(type)) {
      if (value !== null && typeof value === "object" && "fieldType" in value) found.add(key);
      walk(value);
    }
  };
  walk(JSON.parse((fn as { exportArgs: () => string }).exportArgs()));
  return found;
}

function namesIn(config: unknown, found = new Set<string>()): Set<string> {
  if (config === null || typeof config !== "object" || Array.isArray(config)) return found;
  for (const [name, value] of Object.entries(config)) namesIn(value, found.add(name));
  return found;
}

/** Names that a policy shares with something else: the kind of a part, a job's schedule, the app that is asked about, … */
const SHARED_NAMES = ["kind", "provider", "schedule", "image", "maxAttempts", "appName"];
/** Options of `registerRoutes` (spec A5): code of whoever mounts the routes, not the stack's config. */
const ROUTE_OPTIONS = ["fallbackAgentKey", "requireBindingForTelegram", "resolveAgentKeyFromBinding"];

test("no function takes a policy as an argument, so that none is scheduled with a stale one", () => {
  const policies = namesIn(testConfig());
  for (const name of [...SHARED_NAMES, ...ROUTE_OPTIONS]) policies.delete(name);
  const taken: string[] = [];
  let functions = 0;
  for (const [path, module] of Object.entries(modules)) {
    for (const [name, fn] of Object.entries(module)) {
      if (typeof fn !== "function" || !("exportArgs" in fn)) continue;
      functions += 1;
      for (const field of fieldsOf(fn)) if (policies.has(field)) taken.push(`${path} ${name}: ${field}`);
    }
  }
  expect(functions).toBeGreaterThan(100);
  expect(taken.sort()).toEqual([]);
});

describe("a changed policy holds from the next use", () => {
  test("for the heartbeat of a turn that began before", async () => {
    const t = await createWorld();
    const worker = await addWorker(t);
    await enqueue(t);
    const { messageId, leaseId } = await mustClaim(t, worker);
    expect((await messageOf(t, messageId)).leaseExpiresAt).toBe(START + testConfig().lease.leaseMs);
    await t.mutation(internal.factory.applyRuntimeConfig, {
      config: { ...configInput, lease: { leaseMs: 120_000 } },
      expectedRevision: 1,
      owner: OWNER,
      actor: "test",
    });
    await t.mutation(api.worker.heartbeat, { credential: worker.credential, messageId, leaseId });
    expect((await messageOf(t, messageId)).leaseExpiresAt).toBe(START + 120_000);
  });
});
