import { describe, expect, test } from "vitest";
import { api, internal } from "../_generated/api.js";
import type { Id } from "../_generated/dataModel.js";
import {
  addWorker,
  advance,
  claim,
  complete,
  createWorld,
  enqueue,
  expectConsistent,
  fail,
  fakeDeployment,
  messageOf,
  mustClaim,
  release,
  START,
  type TestWorker,
  type World,
  workerOf,
} from "../testing/factory.setup.ts";

fakeDeployment();
const telegram = { kind: "telegram" as const, botSecretRef: "telegram.botToken.default", chatId: "9" };

async function deadLetter(t: World, worker: TestWorker, conversationId: string): Promise<Id<"messageQueue">> {
  const messageId = await enqueue(t, conversationId);
  await fail(t, worker, await mustClaim(t, worker), "permanent");
  return messageId;
}

async function scheduledJobs(t: World, name: string): Promise<Array<Record<string, unknown>>> {
  return await t.run(async (ctx) => {
    const jobs = await ctx.db.system.query("_scheduled_functions").collect();
    return jobs.filter((job) => job.name.includes(name)).map((job) => job.args[0] as Record<string, unknown>);
  });
}

describe("cancel", () => {
  test("a waiting message ends at once, the next one takes its place, the person is told", async () => {
    const t = await createWorld();
    const worker = await addWorker(t);
    const first = await enqueue(t, "c1", { destination: telegram });
    const second = await enqueue(t, "c1");
    expect(await t.mutation(internal.factory.cancelMessage, { messageId: first, actor: "ada" })).toBe(
      "cancelled",
    );
    expect((await messageOf(t, first)).status).toBe("cancelled");
    expect((await mustClaim(t, worker)).messageId).toBe(second);
    const told = await t.run(async (ctx) => await ctx.db.query("outbox").first());
    expect(told).toMatchObject({ reason: "cancelled" });
    const log = await t.query(internal.factory.listAudit, { action: "message.cancel" });
    expect(log.rows[0]).toMatchObject({ actor: "ada", target: first, detail: "cancelled" });
    await expectConsistent(t);
  });

  test.each(["complete", "fail", "release", "expiry"])(
    "a turn that runs keeps its lease until its worker ends it by %s; then it is cancelled, unanswered",
    async (ending) => {
      const t = await createWorld();
      const worker = await addWorker(t);
      const messageId = await enqueue(t, "c1", { destination: telegram });
      await enqueue(t, "c1");
      const claimed = await mustClaim(t, worker);
      expect(await t.mutation(internal.factory.cancelMessage, { messageId })).toBe("requested");
      expect(await claim(t, worker)).toBeNull();
      if (ending === "complete") expect(await complete(t, worker, claimed)).toBe(true);
      if (ending === "fail") await fail(t, worker, claimed);
      if (ending === "release") await release(t, worker, claimed);
      if (ending === "expiry") {
        advance(45_000);
        const { leaseId } = claimed;
        await t.mutation(internal.queue.recovery.checkLease, { messageId, leaseId });
      }
      expect((await messageOf(t, messageId)).status).toBe("cancelled");
      const reasons = await t.run(async (ctx) =>
        (await ctx.db.query("outbox").collect()).map((row) => row.reason),
      );
      expect(reasons).toEqual(["cancelled"]);
      expect((await t.query(api.worker.inbox, { credential: worker.credential })).cancelled).toEqual([]);
      expect(await mustClaim(t, worker)).toBeDefined();
      await expectConsistent(t);
    },
  );

  test("a message that has ended stays what it is", async () => {
    const t = await createWorld();
    const worker = await addWorker(t);
    const messageId = await enqueue(t);
    await complete(t, worker, await mustClaim(t, worker));
    expect(await t.mutation(internal.factory.cancelMessage, { messageId })).toBe("none");
    expect((await messageOf(t, messageId)).status).toBe("done");
  });
});

describe("pause", () => {
  test("holds a conversation and nobody else, lets a running turn end, and resume brings it back", async () => {
    const t = await createWorld();
    const worker = await addWorker(t);
    await enqueue(t, "c1");
    const running = await mustClaim(t, worker);
    await enqueue(t, "c1");
    expect(await t.mutation(internal.factory.pauseConversation, { conversationId: "c1" })).toBe(true);
    expect(await t.mutation(internal.factory.pauseConversation, { conversationId: "c1" })).toBe(false);
    expect(await complete(t, worker, running)).toBe(true);
    expect(await claim(t, worker)).toBeNull();
    await enqueue(t, "c2");
    expect((await mustClaim(t, worker)).conversationId).toBe("c2");
    await enqueue(t, "c1");
    await expectConsistent(t);
    expect(await t.query(internal.factory.queueStats)).toMatchObject({
      queuedReady: 2,
      conversationsReady: 0,
    });
    expect(await t.mutation(internal.factory.resumeConversation, { conversationId: "c1" })).toBe(true);
    expect((await mustClaim(t, worker)).conversationId).toBe("c1");
    await expectConsistent(t);
  });

  test("of an unknown conversation is an error that names it", async () => {
    const t = await createWorld();
    await expect(t.mutation(internal.factory.pauseConversation, { conversationId: "x" })).rejects.toThrow(
      "Conversation 'x' not found",
    );
  });
});

describe("dead letters", () => {
  test("are listed newest first, without what was said", async () => {
    const t = await createWorld();
    const worker = await addWorker(t);
    const a = await deadLetter(t, worker, "a");
    advance(1_000);
    const b = await deadLetter(t, worker, "b");
    const { messages, cursor } = await t.query(internal.factory.listDeadLetters, {});
    expect(messages.map((message) => message.messageId)).toEqual([b, a]);
    expect(messages[0]).toMatchObject({ lastError: "the model is away", attempts: 1 });
    expect(JSON.stringify(messages)).not.toContain("hello");
    expect(cursor).toBeNull();
  });

  test("one is replayed with all its attempts, at the end of its line", async () => {
    const t = await createWorld();
    const worker = await addWorker(t);
    const dead = await deadLetter(t, worker, "a");
    const other = await deadLetter(t, worker, "b");
    const waiting = await enqueue(t, "a");
    const outcome = await t.mutation(internal.factory.replayDeadLetters, {
      messageIds: [dead],
      actor: "ada",
    });
    expect(outcome).toEqual({ replayed: 1, more: false });
    expect((await messageOf(t, other)).status).toBe("dead_letter");
    const first = await mustClaim(t, worker);
    expect(first.messageId).toBe(waiting);
    await complete(t, worker, first);
    expect(await mustClaim(t, worker)).toMatchObject({ messageId: dead, attempt: 1 });
    await expectConsistent(t);
  });

  test("all are replayed in bounded batches, and those that fail again meanwhile are left alone", async () => {
    const t = await createWorld();
    const worker = await addWorker(t);
    for (let i = 0; i < 30; i += 1) await deadLetter(t, worker, `c${i}`);
    advance(1_000);
    expect(await t.mutation(internal.factory.replayDeadLetters, {})).toEqual({ replayed: 25, more: true });
    const again = await mustClaim(t, worker);
    advance(1_000);
    await fail(t, worker, again, "permanent");
    const [next] = await scheduledJobs(t, "replayDeadLetters");
    expect(await t.mutation(internal.factory.replayDeadLetters, next ?? {})).toEqual({
      replayed: 5,
      more: false,
    });
    expect((await messageOf(t, again.messageId)).status).toBe("dead_letter");
    await expectConsistent(t);
  });

  test("are discarded as cancelled", async () => {
    const t = await createWorld();
    const worker = await addWorker(t);
    const dead = await deadLetter(t, worker, "a");
    expect(await t.mutation(internal.factory.discardDeadLetters, {})).toEqual({ discarded: 1, more: false });
    expect((await messageOf(t, dead)).status).toBe("cancelled");
    expect(await t.mutation(internal.factory.replayDeadLetters, { messageIds: [dead] })).toMatchObject({
      replayed: 0,
    });
    await expectConsistent(t);
  });
});

describe("numbers", () => {
  test("queueStats are exact through every change", async () => {
    const t = await createWorld();
    const worker = await addWorker(t);
    const stats = async () => await t.query(internal.factory.queueStats);
    await enqueue(t, "a");
    await enqueue(t, "a");
    await enqueue(t, "b");
    await enqueue(t, "c", { scheduledFor: START + 60_000 });
    expect(await stats()).toEqual({
      queuedReady: 3,
      processing: 0,
      deadLetter: 0,
      queuedDelayed: 1,
      conversationsReady: 2,
      conversationsLeased: 0,
    });
    const first = await mustClaim(t, worker);
    await fail(t, worker, await mustClaim(t, worker), "permanent");
    expect(await stats()).toMatchObject({
      queuedReady: 1,
      processing: 1,
      deadLetter: 1,
      conversationsReady: 0,
    });
    await complete(t, worker, first);
    expect(await stats()).toMatchObject({ queuedReady: 1, processing: 0, conversationsReady: 1 });
    await expectConsistent(t);
  });

  test("hasQueuedJobsForConversation counts what waits", async () => {
    const t = await createWorld();
    const worker = await addWorker(t);
    const has = async (conversationId: string) =>
      await t.query(internal.factory.hasQueuedJobsForConversation, { conversationId });
    expect(await has("a")).toBe(false);
    await enqueue(t, "a");
    expect(await has("a")).toBe(true);
    await mustClaim(t, worker);
    expect(await has("a")).toBe(false);
  });

  test("listJobsByStatus pages through everything", async () => {
    const t = await createWorld();
    for (let i = 0; i < 5; i += 1) await enqueue(t, `c${i}`);
    const seen = new Set<string>();
    let cursor: string | null = null;
    do {
      const page: { messages: Array<{ messageId: string }>; cursor: string | null } = await t.query(
        internal.factory.listJobsByStatus,
        { status: "queued", paginationOpts: { numItems: 2, cursor } },
      );
      for (const message of page.messages) seen.add(message.messageId);
      cursor = page.cursor;
    } while (cursor !== null);
    expect(seen.size).toBe(5);
  });

  test("releaseStuckJobs and recoverQueue do by hand what the timers do", async () => {
    const t = await createWorld();
    const worker = await addWorker(t);
    await enqueue(t, "a");
    await mustClaim(t, worker);
    expect(await t.mutation(internal.factory.releaseStuckJobs, {})).toEqual({ released: 0, more: false });
    advance(45_000);
    expect(await t.mutation(internal.factory.releaseStuckJobs, {})).toEqual({ released: 1, more: false });
    await mustClaim(t, worker);
    await enqueue(t, "b", { scheduledFor: Date.now() + 1_000 });
    advance(45_000);
    expect(await t.mutation(internal.factory.recoverQueue, {})).toMatchObject({ released: 1, promoted: 1 });
    expect((await workerOf(t, "w1")).load).toBe(0);
    await expectConsistent(t);
  });
});

describe("retention", () => {
  const DAY = 24 * 3_600_000;
  const prune = async (
    t: World,
    kind: "done" | "cancelled" | "dead_letter" | "history" | "audit" | "workers",
  ) => await t.mutation(internal.queue.retention.pruneBatch, { kind });

  test("deletes finished messages, dead letters, history and audit rows when their time is over, not before", async () => {
    const t = await createWorld();
    const worker = await addWorker(t);
    const done = await enqueue(t, "a");
    await complete(t, worker, await mustClaim(t, worker));
    const dead = await deadLetter(t, worker, "b");
    const waiting = await enqueue(t, "c");
    const exists = async (id: Id<"messageQueue">) =>
      (await t.run(async (ctx) => await ctx.db.get("messageQueue", id))) !== null;

    advance(7 * DAY - 1);
    expect(await prune(t, "done")).toEqual({ deleted: 0, more: false });
    advance(1);
    expect(await prune(t, "done")).toEqual({ deleted: 1, more: false });
    expect(await prune(t, "dead_letter")).toEqual({ deleted: 0, more: false });
    advance(23 * DAY);
    expect(await prune(t, "dead_letter")).toEqual({ deleted: 1, more: false });
    expect(await prune(t, "history")).toEqual({ deleted: 0, more: false });
    advance(60 * DAY);
    expect(await prune(t, "history")).toEqual({ deleted: 2, more: false });
    advance(275 * DAY);
    expect((await prune(t, "audit")).deleted).toBeGreaterThan(0);
    expect([await exists(done), await exists(dead), await exists(waiting)]).toEqual([false, false, true]);
    await expectConsistent(t);
  });

  test("deletes the rows of workers that have stopped, with their signals", async () => {
    const t = await createWorld();
    await addWorker(t, "w1", { state: "stopped", stoppedAt: START, tokenHash: undefined });
    await addWorker(t, "w2");
    advance(DAY);
    expect(await prune(t, "workers")).toEqual({ deleted: 1, more: false });
    const left = await t.run(async (ctx) => [
      (await ctx.db.query("workers").collect()).map((row) => row.workerId),
      (await ctx.db.query("workerSignals").collect()).map((row) => row.workerId),
    ]);
    expect(left).toEqual([["w2"], ["w2"]]);
  });

  test("goes on by itself while a batch was full, and schedules nothing when there is nothing left", async () => {
    const t = await createWorld();
    const worker = await addWorker(t, "w1");
    for (let i = 0; i < 70; i += 1) {
      await enqueue(t, `c${i}`);
      await complete(t, worker, await mustClaim(t, worker));
    }
    advance(7 * DAY);
    expect(await prune(t, "done")).toEqual({ deleted: 64, more: true });
    expect(await scheduledJobs(t, "pruneBatch")).toEqual([{ kind: "done" }]);
    expect(await prune(t, "done")).toEqual({ deleted: 6, more: false });
    expect(await scheduledJobs(t, "pruneBatch")).toHaveLength(1);
  });
});
