/**
 * Large messages, and what works on many at once. Convex ends a transaction that reads or writes more than 16 MiB; what
 * is repeated with the same rows would fail for ever. The world enforces the limit.
 */
import type { FunctionArgs } from "convex/server";
import { describe, expect, test } from "vitest";
import { internal } from "../_generated/api.js";
import type { Doc, Id } from "../_generated/dataModel.js";
import {
  addWorker,
  advance,
  createWorld,
  enqueue,
  expectConsistent,
  fakeDeployment,
  mustClaim,
  type World,
} from "../testing/factory.setup.ts";
import { leaveConversation } from "./leave.ts";

fakeDeployment();

const DAY_MS = 24 * 60 * 60 * 1_000;
const LARGE = "x".repeat(400_000);
const queue = { queue: { payloadMaxBytes: 512_000 } };

async function finishedMessages(t: World, count: number, status: "done" | "dead_letter"): Promise<void> {
  const conversation = await t.run((ctx) =>
    ctx.db.insert("conversations", {
      conversationId: "old",
      agentKey: "support",
      nextSeq: count,
      nextHistorySeq: 0,
      queuedCount: 0,
    }),
  );
  for (let seq = 0; seq < count; seq += 1) {
    const message: Omit<Doc<"messageQueue">, "_id" | "_creationTime"> = {
      conversation,
      conversationId: "old",
      agentKey: "support",
      seq,
      status,
      payload: { provider: "api", providerUserId: "7", messageText: LARGE },
      destination: null,
      priority: 50,
      dueAt: 1,
      delayed: false,
      attempts: 1,
      maxAttempts: 5,
      finishedAt: Date.now(),
      ...(status === "done" ? { answerText: LARGE } : {}),
    };
    await t.run((ctx) => ctx.db.insert("messageQueue", message));
    if (status === "dead_letter") await countDeadLetter(t);
  }
}

const countDeadLetter = (t: World) =>
  t.run(async (ctx) => {
    const row = await ctx.db.query("queueCounters").first();
    const none = { queued: 0, delayed: 0, processing: 0, deadLetter: 0, headsReady: 0, headsLeased: 0 };
    if (row === null) await ctx.db.insert("queueCounters", { shard: 0, ...none, deadLetter: 1 });
    else await ctx.db.patch("queueCounters", row._id, { deadLetter: row.deadLetter + 1 });
  });

const countOf = async (t: World, status: Doc<"messageQueue">["status"]): Promise<number> =>
  (
    await Promise.all(
      (await idsOf(t)).map((id) => t.run(async (ctx) => (await ctx.db.get("messageQueue", id))?.status)),
    )
  ).filter((found) => found === status).length;

/** Ids alone, page by page: the test's own reads have the same limit. */
async function idsOf(t: World): Promise<Array<Id<"messageQueue">>> {
  const ids: Array<Id<"messageQueue">> = [];
  for (let cursor: string | null = null; ;) {
    const from = cursor;
    const page = await t.run(async (ctx) => {
      const found = await ctx.db.query("messageQueue").paginate({ cursor: from, numItems: 8 });
      return { ids: found.page.map(({ _id }) => _id), next: found.isDone ? null : found.continueCursor };
    });
    ids.push(...page.ids);
    if (page.next === null) return ids;
    cursor = page.next;
  }
}

/** Runs what a function has scheduled of itself and nothing else, to its end. */
async function goOn(t: World, name: string, call: (args: unknown) => Promise<unknown>): Promise<void> {
  for (let run = 0; run < 100; run += 1) {
    const next = await t.run(async (ctx) => {
      const jobs = await ctx.db.system.query("_scheduled_functions").collect();
      const job = jobs.find((found) => found.state.kind === "pending" && found.name.includes(name));
      if (job !== undefined) await ctx.scheduler.cancel(job._id);
      return (job?.args[0] ?? null) as unknown;
    });
    if (next === null) return;
    await call(next);
  }
  throw new Error("never ends");
}

/** Calls a function that says whether there is more, to its end. */
async function again(call: () => Promise<{ more: boolean }>): Promise<void> {
  for (let run = 0; run < 100; run += 1) if (!(await call()).more) return;
  throw new Error("never ends");
}

describe("large messages", () => {
  test("are deleted when their time has come", async () => {
    const t = await createWorld();
    await finishedMessages(t, 30, "done");
    advance(8 * DAY_MS);
    await again(() => t.mutation(internal.queue.retention.pruneBatch, { kind: "done" }));
    expect(await idsOf(t)).toEqual([]);
  });

  test("that were given up are replayed, all of them", async () => {
    const t = await createWorld(queue);
    await finishedMessages(t, 25, "dead_letter");
    advance(1);
    await again(() => t.mutation(internal.factory.replayDeadLetters, {}));
    expect(await countOf(t, "queued")).toBe(25);
  });

  test("that were given up are discarded, all of them", async () => {
    const t = await createWorld(queue);
    await finishedMessages(t, 25, "dead_letter");
    advance(1);
    await again(() => t.mutation(internal.factory.discardDeadLetters, {}));
    expect(await countOf(t, "cancelled")).toBe(25);
  });

  test("are listed, and their timeline is told", async () => {
    const t = await createWorld(queue);
    await finishedMessages(t, 30, "done");
    const page = await t.query(internal.factory.listJobsByStatus, { status: "done" });
    expect(page.messages.length).toBeGreaterThan(0);
    expect(page.cursor).not.toBeNull();
    const told = await t.query(internal.factory.messageTimeline, { conversationId: "old", limit: 50 });
    expect(told.length).toBeGreaterThan(0);
    expect(told.at(-1)?.seq).toBe(29);
  });

  test("of a worker that is gone come back, all of them", async () => {
    const t = await createWorld(queue);
    const worker = await addWorker(t, "w1", { slots: 32 });
    for (let i = 0; i < 32; i += 1) {
      for (let place = 0; place < 2; place += 1)
        await enqueue(t, `c${i}`, { payload: { messageText: LARGE } });
      await mustClaim(t, worker);
    }
    const { recoverWorker } = internal.queue.recovery;
    await t.mutation(recoverWorker, { workerId: "w1", reason: "gone" });
    await goOn(t, "recoverWorker", (args) =>
      t.mutation(recoverWorker, args as FunctionArgs<typeof recoverWorker>),
    );
    expect(await countOf(t, "processing")).toBe(0);
  });

  test("whose leases ran out while nobody looked come back, all of them", async () => {
    const t = await createWorld(queue);
    const worker = await addWorker(t, "w1", { slots: 32 });
    for (let i = 0; i < 32; i += 1) {
      for (let place = 0; place < 2; place += 1)
        await enqueue(t, `c${i}`, { payload: { messageText: LARGE } });
      await mustClaim(t, worker);
    }
    advance(60_000);
    const { sweepLeases } = internal.queue.recovery;
    await t.mutation(sweepLeases, {});
    await goOn(t, "sweepLeases", (args) => t.mutation(sweepLeases, args as FunctionArgs<typeof sweepLeases>));
    expect(await countOf(t, "processing")).toBe(0);
  });

  test("that are overdue are promoted, all of them", async () => {
    const t = await createWorld(queue);
    const scheduledFor = Date.now() + 1_000;
    for (let i = 0; i < 32; i += 1) {
      await enqueue(t, `c${i}`, { payload: { messageText: LARGE }, scheduledFor });
    }
    advance(10_000);
    const { sweepQueue } = internal.queue.sweep;
    await t.mutation(sweepQueue, {});
    await goOn(t, "sweepQueue", () => t.mutation(sweepQueue, {}));
    const delayed = await t.run((ctx) => ctx.db.query("conversationHeads").collect());
    expect(delayed.filter(({ state }) => state === "delayed")).toEqual([]);
  });

  test("of a conversation that is left are dropped", async () => {
    const t = await createWorld(queue);
    for (let i = 0; i < 25; i += 1) {
      const id = await enqueue(t, "c1", { payload: { messageText: LARGE } });
      await t.run((ctx) => ctx.db.patch("messageQueue", id, { source: "telegram" }));
    }
    await t.run((ctx) => leaveConversation(ctx, "c1", "telegram"));
    const { leaveRest } = internal.queue.leave;
    await goOn(t, "leaveRest", (args) => t.mutation(leaveRest, args as FunctionArgs<typeof leaveRest>));
    expect(await countOf(t, "cancelled")).toBe(25);
  });
});

test("a long history is deleted when its time has come", async () => {
  const t = await createWorld();
  const conversation = await t.run((ctx) =>
    ctx.db.insert("conversations", {
      conversationId: "c1",
      agentKey: "support",
      nextSeq: 0,
      nextHistorySeq: 0,
      queuedCount: 0,
    }),
  );
  for (let seq = 0; seq < 70; seq += 1) {
    // 100,000 characters of three bytes each: the longest row there is.
    const row = { conversation, seq, role: "user" as const, content: "\u4f60".repeat(100_000), at: 1 };
    await t.run((ctx) => ctx.db.insert("conversationMessages", row));
  }
  await again(() => t.mutation(internal.queue.retention.pruneBatch, { kind: "history" }));
  expect(await t.run((ctx) => ctx.db.query("conversationMessages").first())).toBeNull();
  await expectConsistent(t);
});
