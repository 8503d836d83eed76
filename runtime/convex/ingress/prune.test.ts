import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { internal } from "../_generated/api.js";
import { NOW, openWorld, pass, type World } from "../testing/channels.fixture.ts";

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
});
afterEach(() => {
  vi.useRealTimers();
});

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const UPDATES_KEPT = 2 * DAY;
const CODES_KEPT = 30 * DAY;

const updateAt = (receivedAt: number, updateId = 1) => ({ botSecretRef: "r", updateId, receivedAt });
const codeUntil = (expiresAt: number) => ({
  codeHash: String(expiresAt),
  consumerUserId: "ada",
  agentKey: "default",
  status: "pending" as const,
  createdAt: 0,
  expiresAt,
});

/** A row of each kind on both sides of its retention. */
async function fill(t: World): Promise<void> {
  await t.run(async (ctx) => {
    for (const age of [1, -1]) {
      const old = NOW - UPDATES_KEPT - age;
      await ctx.db.insert("telegramUpdates", updateAt(old));
      await ctx.db.insert("telegramFailures", { botSecretRef: "r", updateId: 1, failures: 1, firstAt: old });
      await ctx.db.insert("telegramAlbums", {
        botId: "1",
        chatId: "1",
        albumId: "a",
        parts: [],
        openedAt: old,
      });
      await ctx.db.insert("pairingCodes", codeUntil(NOW - CODES_KEPT - age));
      const windowStartedAt = NOW - CODES_KEPT - age;
      await ctx.db.insert("pairingAttempts", { telegramUserId: String(age), windowStartedAt, failed: 1 });
    }
  });
}

const TABLES = [
  "telegramUpdates",
  "telegramFailures",
  "telegramAlbums",
  "pairingCodes",
  "pairingAttempts",
] as const;
const countsOf = (t: World) =>
  t.run(
    async (ctx) =>
      await Promise.all(TABLES.map(async (table) => (await ctx.db.query(table).collect()).length)),
  );

test("what is older than its retention goes, what is younger stays", async () => {
  const t = await openWorld();
  await fill(t);
  expect(await t.mutation(internal.ingress.prune.pruneIngress, {})).toEqual({ deleted: 5 });
  expect(await countsOf(t)).toEqual([1, 1, 1, 1, 1]);
  expect(await t.mutation(internal.ingress.prune.pruneIngress, {})).toEqual({ deleted: 0 });
});

test("more than one transaction may delete is deleted by several", async () => {
  const t = await openWorld();
  await t.run(async (ctx) => {
    for (let id = 0; id < 1_100; id += 1) await ctx.db.insert("telegramUpdates", updateAt(0, id));
  });
  expect(await t.mutation(internal.ingress.prune.pruneIngress, {})).toEqual({ deleted: 500 });
  for (let round = 0; round < 3; round += 1) await pass(t, 1);
  expect((await countsOf(t))[0]).toBe(0);
});

test("a deployment without a runtime config keeps everything", async () => {
  const t = await openWorld();
  await fill(t);
  await t.run(async (ctx) => {
    for (const { _id } of await ctx.db.query("runtimeConfig").collect())
      await ctx.db.delete("runtimeConfig", _id);
  });
  expect(await t.mutation(internal.ingress.prune.pruneIngress, {})).toEqual({ deleted: 0 });
  expect(await countsOf(t)).toEqual([2, 2, 2, 2, 2]);
});

test("push dispatches go after the audit's retention, settled webhook events after a week", async () => {
  const t = await openWorld();
  const { auditMs, jobId, endpointId } = await t.run(async (ctx) => {
    const config = await ctx.db.query("runtimeConfig").first();
    const job = {
      companyId: "acme",
      consumerUserId: "ada",
      title: "t",
      text: "x",
      schedule: { kind: "manual" as const },
      timeZone: "UTC",
      enabled: true,
      createdAt: 0,
      updatedAt: 0,
    };
    const endpoint = { companyId: "acme", url: "https://acme.example", enabled: true, createdAt: 0 };
    return {
      auditMs: config?.config.retention.auditMs as number,
      jobId: await ctx.db.insert("pushJobs", job),
      endpointId: await ctx.db.insert("webhookEndpoints", endpoint),
    };
  });
  await t.run(async (ctx) => {
    for (const age of [1, -1]) {
      await ctx.db.insert("pushDispatches", {
        jobId,
        slotKey: String(age),
        slotAt: 0,
        dispatchedAt: NOW - auditMs - age,
        outcome: "enqueued",
      });
      for (const state of ["delivered", "failed", "pending"] as const) {
        await ctx.db.insert("webhookEvents", {
          endpointId,
          eventId: "e",
          bodyJson: "{}",
          state,
          attempts: 1,
          nextAttemptAt: 0,
          createdAt: 0,
          ...(state === "pending" ? {} : { finishedAt: NOW - 7 * DAY - age }),
        });
      }
    }
  });
  expect(await t.mutation(internal.schedules.prune.pruneDispatches, {})).toEqual({ deleted: 1 });
  expect(await t.mutation(internal.api.events.pruneEvents, {})).toEqual({ deleted: 2 });
  const left = await t.run(async (ctx) =>
    (await ctx.db.query("webhookEvents").collect()).map(({ state }) => state),
  );
  expect(left.sort()).toEqual(["delivered", "failed", "pending", "pending"]);
});
