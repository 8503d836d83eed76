import { describe, expect, test, vi } from "vitest";
import { internal } from "../_generated/api.js";
import {
  addWorker,
  configureAgent,
  createWorld,
  enqueue,
  fakeDeployment,
  mustClaim,
  type World,
} from "../testing/factory.setup.ts";
import { api } from "../_generated/api.js";
import schema from "../schema.ts";
import { readSecret } from "./read.ts";

fakeDeployment();

const K1 = btoa("0123456789abcdef0123456789abcdef");
const K2 = btoa("fedcba9876543210fedcba9876543210");
const CANARY = "canary-9f2c-do-not-show";

async function importSecret(t: World, secretRef: string, plaintextValue: string) {
  return await t.action(internal.factory.importSecret, { secretRef, plaintextValue });
}
const read = async (t: World, ref: string) => await t.run(async (ctx) => await readSecret(ctx, ref));
const ring = (active: string, keys: Record<string, string>) => JSON.stringify({ active, keys });

describe("import", () => {
  test("counts versions, keeps one active, and remembers the one before", async () => {
    const t = await createWorld();
    const first = await importSecret(t, "fly.apiToken", "one");
    const second = await importSecret(t, "fly.apiToken", "two");
    expect([first.version, second.version]).toEqual([1, 2]);
    const rows = await t.run(async (ctx) => await ctx.db.query("secrets").collect());
    expect(rows.map(({ version, active, rotatedFrom }) => ({ version, active, rotatedFrom }))).toEqual([
      { version: 1, active: false, rotatedFrom: undefined },
      { version: 2, active: true, rotatedFrom: first.secretId },
    ]);
    expect(await read(t, "fly.apiToken")).toBe("two");
  });

  test("two at the same time become two versions", async () => {
    const t = await createWorld();
    const imported = await Promise.all([importSecret(t, "a.b", "x"), importSecret(t, "a.b", "y")]);
    expect(new Set(imported.map(({ version }) => version))).toEqual(new Set([1, 2]));
    const active = await t.run(async (ctx) =>
      (await ctx.db.query("secrets").collect()).filter((row) => row.active).map((row) => row.version),
    );
    expect(active).toEqual([2]);
  });

  test.each([
    ["1abc", "v", "secretRef must start with a letter"],
    ["a b", "v", "secretRef must start with a letter"],
    ["fly.apiToken", "   ", "plaintextValue of 'fly.apiToken' must not be blank"],
    ["fly.apiToken", "x".repeat(65_537), "plaintextValue of 'fly.apiToken' has 65537 characters"],
    ["convex.url", "https://test.convex.cloud", "the value is the cloud URL"],
    ["convex.url", "https://example.com", "the value is neither"],
    ["convex.url", "no url", "the value is not a URL"],
  ])("refuses %s = %.20s", async (ref, value, problem) => {
    const t = await createWorld();
    await expect(importSecret(t, ref, value)).rejects.toThrow(problem);
    expect(await t.run(async (ctx) => await ctx.db.query("secrets").first())).toBeNull();
  });

  test("takes the site URL for convex.url, Convex's or this deployment's own", async () => {
    const t = await createWorld();
    await importSecret(t, "convex.url", "https://happy-otter-1.convex.site");
    vi.stubEnv("CONVEX_SITE_URL", "http://127.0.0.1:3211");
    await importSecret(t, "convex.url", "http://127.0.0.1:3211");
    expect(await read(t, "convex.url")).toBe("http://127.0.0.1:3211");
  });
});

describe("status", () => {
  test("in argument order, never a value", async () => {
    const t = await createWorld();
    await importSecret(t, "b.ref", CANARY);
    const status = await t.query(internal.factory.secretStatus, { secretRefs: ["a.ref", "b.ref"] });
    expect(status).toEqual([
      { secretRef: "a.ref", hasActive: false, version: null },
      { secretRef: "b.ref", hasActive: true, version: 1 },
    ]);
  });
});

describe("the envelope", () => {
  test("a row whose ciphertext, wrapped key, ref or version was changed does not decrypt", async () => {
    const t = await createWorld();
    await importSecret(t, "a.ref", CANARY);
    await importSecret(t, "b.ref", "other");
    const rows = await t.run(async (ctx) => await ctx.db.query("secrets").collect());
    const [a, b] = rows;
    if (a === undefined || b === undefined) throw new Error("no rows");
    for (const change of [
      { ciphertext: b.ciphertext },
      { wrappedKey: b.wrappedKey },
      { ciphertext: b.ciphertext, wrappedKey: b.wrappedKey },
      { version: 7 },
    ]) {
      await t.run(async (ctx) => await ctx.db.patch("secrets", a._id, change));
      await expect(read(t, "a.ref")).rejects.toThrow("cannot be decrypted: its row or its key was changed");
      await t.run(async (ctx) => await ctx.db.replace("secrets", a._id, a));
    }
    expect(await read(t, "a.ref")).toBe(CANARY);
  });

  test("the same value twice leaves nothing in common", async () => {
    const t = await createWorld();
    await importSecret(t, "a.ref", CANARY);
    await importSecret(t, "a.ref", CANARY);
    const rows = await t.run(async (ctx) => await ctx.db.query("secrets").collect());
    expect(new Set(rows.map((row) => row.ciphertext)).size).toBe(2);
    expect(new Set(rows.map((row) => row.wrappedKey)).size).toBe(2);
  });
});

describe("fail closed", () => {
  test.each([
    ["no key ring", undefined, "SECRETS_KEY_RING is not set"],
    ["a key ring that is no JSON", "k1:abc", "SECRETS_KEY_RING is not JSON"],
    ["a key of the wrong length", ring("k1", { k1: btoa("short") }), "SECRETS_KEY_RING has the wrong shape"],
    [
      "an active key that is missing",
      ring("k2", { k1: K1 }),
      "names an active key that is not among its keys",
    ],
  ])("%s: nothing is imported or read", async (_, value, problem) => {
    const t = await createWorld();
    await importSecret(t, "a.ref", CANARY);
    vi.stubEnv("SECRETS_KEY_RING", value);
    await expect(importSecret(t, "a.ref", "new")).rejects.toThrow(problem);
    await expect(read(t, "a.ref")).rejects.toThrow(problem);
  });

  test("a row under a key that is gone names the key and keeps the value to itself", async () => {
    const t = await createWorld();
    await importSecret(t, "a.ref", CANARY);
    vi.stubEnv("SECRETS_KEY_RING", ring("k2", { k2: K2 }));
    const error = await read(t, "a.ref").catch((caught: Error) => caught.message);
    expect(error).toContain("is wrapped with key 'k1', which SECRETS_KEY_RING does not hold");
    expect(error).not.toContain(CANARY);
  });
});

describe("rotation of the master key", () => {
  const pages = async (t: World) => {
    const steps = [];
    let cursor: string | null | undefined;
    do {
      const step: { rewrapped: number; failed: number; more: boolean } = await t.action(
        internal.secrets.rewrap.rewrapSecrets,
        cursor === undefined ? {} : { cursor },
      );
      steps.push(step);
      cursor = await t.run(async (ctx) => {
        const jobs = await ctx.db.system.query("_scheduled_functions").order("desc").collect();
        const next = jobs.find((job) => job.name.includes("rewrapSecrets"));
        return (next?.args[0] as { cursor?: string } | undefined)?.cursor ?? null;
      });
      if (!step.more) break;
    } while (cursor !== null);
    return steps;
  };

  test("re-wraps every row in batches while reads keep working, and the old key may then go", async () => {
    const t = await createWorld();
    for (let i = 0; i < 60; i += 1) await importSecret(t, `ref${i}`, `value ${i}`);
    vi.stubEnv("SECRETS_KEY_RING", ring("k2", { k1: K1, k2: K2 }));
    const first = await t.action(internal.secrets.rewrap.rewrapSecrets, {});
    expect(first).toEqual({ rewrapped: 50, failed: 0, more: true });
    // Half way, and interrupted: both kinds of rows are readable.
    expect([await read(t, "ref0"), await read(t, "ref59")]).toEqual(["value 0", "value 59"]);
    expect((await pages(t)).map((step) => step.rewrapped)).toEqual([0, 10]);
    vi.stubEnv("SECRETS_KEY_RING", ring("k2", { k2: K2 }));
    expect([await read(t, "ref0"), await read(t, "ref59")]).toEqual(["value 0", "value 59"]);
  });

  test("a row whose key is lost does not keep the others on the old key", async () => {
    const t = await createWorld();
    await importSecret(t, "lost.ref", "x");
    vi.stubEnv("SECRETS_KEY_RING", ring("k2", { k2: K2 }));
    await importSecret(t, "good.ref", "y");
    vi.stubEnv("SECRETS_KEY_RING", ring("k3", { k2: K2, k3: K1 }));
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    expect(await t.action(internal.secrets.rewrap.rewrapSecrets, {})).toEqual({
      rewrapped: 1,
      failed: 1,
      more: false,
    });
    expect(JSON.stringify(log.mock.calls)).toContain("lost.ref");
    log.mockRestore();
    expect(await read(t, "good.ref")).toBe("y");
  });
});

test("planted values show in no table, no list, no audit row and no error", async () => {
  const t = await createWorld();
  await importSecret(t, "telegram.botToken.support", CANARY);
  await importSecret(t, "agent-bridge.serviceKey", `${CANARY}-bridge`);
  await configureAgent(t, "support", {
    secretsRef: ["telegram.botToken.support"],
    bridgeConfig: { enabled: true },
  });
  const worker = await addWorker(t);
  await enqueue(t);
  const { messageId, leaseId } = await mustClaim(t, worker);
  const bundle = await t.query(api.worker.getHydrationBundle, {
    credential: worker.credential,
    messageId,
    leaseId,
  });
  expect(bundle?.telegramBotToken).toBe(CANARY);
  const tables = Object.keys(schema.tables) as Array<keyof typeof schema.tables>;
  const everything = await t.run(async (ctx) => {
    const rows: unknown[] = [];
    for (const table of tables) rows.push(...(await ctx.db.query(table).collect()));
    rows.push(...(await ctx.db.system.query("_scheduled_functions").collect()));
    return JSON.stringify(rows);
  });
  expect(everything).not.toContain(CANARY);
  expect(everything).not.toContain(btoa(CANARY).slice(0, 20));
  expect(JSON.stringify(await t.query(internal.factory.listAudit, {}))).not.toContain(CANARY);
});
