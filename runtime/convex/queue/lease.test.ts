import { describe, expect, test } from "vitest";
import { api, internal } from "../_generated/api.js";
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
  workerOf,
  type World,
} from "../testing/factory.setup.ts";
import type { Claim } from "../validators.ts";

fakeDeployment();

async function beat(t: World, worker: TestWorker, claimed: Claim): Promise<boolean> {
  const { messageId, leaseId } = claimed;
  return await t.mutation(api.worker.heartbeat, { credential: worker.credential, messageId, leaseId });
}

async function checkLease(t: World, claimed: Claim): Promise<void> {
  const { messageId, leaseId } = claimed;
  await t.mutation(internal.queue.recovery.checkLease, { messageId, leaseId });
}

describe("heartbeat", () => {
  test("renews the lease of its holder", async () => {
    const t = await createWorld();
    const worker = await addWorker(t);
    const messageId = await enqueue(t);
    const claimed = await mustClaim(t, worker);
    advance(40_000);
    expect(await beat(t, worker, claimed)).toBe(true);
    expect((await messageOf(t, messageId)).leaseExpiresAt).toBe(START + 85_000);
  });

  test("without a lease says that an idle worker lives", async () => {
    const t = await createWorld();
    const worker = await addWorker(t);
    advance(30_000);
    expect(await t.mutation(api.worker.heartbeat, { credential: worker.credential })).toBe(true);
    expect((await workerOf(t, "w1")).lastHeartbeatAt).toBe(START + 30_000);
  });

  test("of several leases of one worker write its row once", async () => {
    const t = await createWorld();
    const worker = await addWorker(t);
    await enqueue(t, "a");
    await enqueue(t, "b");
    const claims = [await mustClaim(t, worker), await mustClaim(t, worker)];
    advance(10_000);
    for (const claimed of claims) {
      expect(await beat(t, worker, claimed)).toBe(true);
      advance(2_000);
    }
    expect((await workerOf(t, "w1")).lastHeartbeatAt).toBe(START + 10_000);
    for (const claimed of claims) {
      expect((await messageOf(t, claimed.messageId)).leaseExpiresAt).toBeGreaterThanOrEqual(START + 55_000);
    }
    advance(6_000);
    for (const claimed of claims) expect(await beat(t, worker, claimed)).toBe(true);
    expect((await workerOf(t, "w1")).lastHeartbeatAt).toBe(START + 20_000);
  });

  test("stops renewing a turn that has had its time, so that a hung turn ends", async () => {
    const t = await createWorld({ turn: { turnTimeoutMs: 60_000 } });
    const worker = await addWorker(t);
    await enqueue(t);
    const claimed = await mustClaim(t, worker);
    for (const ms of [40_000, 40_000, 39_000]) {
      advance(ms);
      expect(await beat(t, worker, claimed)).toBe(true);
    }
    advance(1_000);
    expect(await beat(t, worker, claimed)).toBe(false);
  });
});

describe("a stale holder can write nothing", () => {
  const writes: Array<[string, (t: World, worker: TestWorker, claimed: Claim) => Promise<unknown>, unknown]> =
    [
      ["heartbeat", beat, false],
      ["complete", complete, false],
      ["fail", fail, { requeued: false, deadLettered: false, nextScheduledFor: null }],
      ["release", release, false],
      [
        "append",
        async (t, worker, { messageId, leaseId, conversationId }) =>
          await t.mutation(api.worker.appendConversationMessages, {
            credential: worker.credential,
            messageId,
            leaseId,
            conversationId,
            messages: [{ role: "user", content: "late" }],
          }),
        { updated: false, messageCount: 0 },
      ],
      [
        "getHydrationBundle",
        async (t, worker, { messageId, leaseId }) =>
          await t.query(api.worker.getHydrationBundle, { credential: worker.credential, messageId, leaseId }),
        null,
      ],
    ];
  const stale: Array<[string, (t: World, claimed: Claim, other: TestWorker) => Promise<void>]> = [
    ["expired, not yet recovered", async () => advance(45_000)],
    [
      "recovered",
      async (t, claimed) => {
        advance(45_000);
        await checkLease(t, claimed);
      },
    ],
    [
      "claimed by another worker",
      async (t, claimed, other) => {
        advance(45_000);
        await checkLease(t, claimed);
        await mustClaim(t, other);
      },
    ],
  ];
  for (const [name, write, refused] of writes) {
    for (const [state, make] of stale) {
      test(`${name} after the lease was ${state}`, async () => {
        const t = await createWorld();
        const [worker, other] = [await addWorker(t, "w1"), await addWorker(t, "w2")];
        await enqueue(t);
        const claimed = await mustClaim(t, worker);
        await make(t, claimed, other);
        const everything = async () =>
          await t.run(async (ctx) => [
            await ctx.db.query("messageQueue").collect(),
            await ctx.db.query("conversationHeads").collect(),
            await ctx.db.query("conversationMessages").collect(),
            await ctx.db.query("workers").collect(),
            await ctx.db.query("outbox").collect(),
          ]);
        const before = await everything();
        expect(await write(t, worker, claimed)).toEqual(refused);
        expect(await everything()).toEqual(before);
      });
    }
    test(`${name} with another worker's lease`, async () => {
      const t = await createWorld();
      const [worker, other] = [await addWorker(t, "w1"), await addWorker(t, "w2")];
      await enqueue(t);
      const claimed = await mustClaim(t, worker);
      expect(await write(t, other, claimed)).toEqual(refused);
      expect(await complete(t, worker, claimed)).toBe(true);
    });
  }
});

describe("recovery", () => {
  test("requeues at once, counts the attempt, unlocks the conversation and lowers the load", async () => {
    const t = await createWorld();
    const worker = await addWorker(t);
    const messageId = await enqueue(t);
    const claimed = await mustClaim(t, worker);
    advance(45_000);
    await checkLease(t, claimed);
    expect(await messageOf(t, messageId)).toMatchObject({
      status: "queued",
      attempts: 1,
      delayed: false,
      lastError: "Lease expired while processing",
    });
    expect(await workerOf(t, "w1")).toMatchObject({ load: 0, turnsFailed: 1 });
    await expectConsistent(t);
  });

  test("an expired lease does not block the next claim, recovered or not", async () => {
    const t = await createWorld();
    const [worker, other] = [await addWorker(t, "w1"), await addWorker(t, "w2")];
    const messageId = await enqueue(t);
    await mustClaim(t, worker);
    advance(44_999);
    expect(await claim(t, other)).toBeNull();
    advance(1);
    expect((await mustClaim(t, other)).messageId).toBe(messageId);
    await expectConsistent(t);
  });

  test("leaves a renewed lease alone and looks again when that one would expire", async () => {
    const t = await createWorld();
    const worker = await addWorker(t);
    const messageId = await enqueue(t);
    const claimed = await mustClaim(t, worker);
    advance(40_000);
    await beat(t, worker, claimed);
    advance(5_000);
    await checkLease(t, claimed);
    expect((await messageOf(t, messageId)).status).toBe("processing");
    const checks = await t.run(async (ctx) => {
      const scheduled = await ctx.db.system.query("_scheduled_functions").collect();
      return scheduled.filter((job) => job.name.includes("checkLease")).map((job) => job.scheduledTime);
    });
    expect(checks).toContain(START + 85_000);
  });

  test("a message that crashes its workers is given up, and its sender is told", async () => {
    const t = await createWorld({ retry: { maxAttempts: 3 } });
    const worker = await addWorker(t);
    const messageId = await enqueue(t, "c1", {
      destination: { kind: "telegram", botSecretRef: "telegram.botToken.default", chatId: "9" },
    });
    await enqueue(t, "c1", { payload: { messageText: "next" } });
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      const claimed = await mustClaim(t, worker);
      expect(claimed).toMatchObject({ messageId, attempt });
      advance(45_000);
      await checkLease(t, claimed);
    }
    expect(await messageOf(t, messageId)).toMatchObject({
      status: "dead_letter",
      lastError: "Lease expired while processing",
    });
    const told = await t.run(async (ctx) => await ctx.db.query("outbox").collect());
    expect(told).toHaveLength(1);
    expect(told[0]).toMatchObject({ reason: "given_up", destination: { chatId: "9" } });
    expect((await mustClaim(t, worker)).payload.messageText).toBe("next");
    await expectConsistent(t);
  });

  test("a release spends no attempt and the message is ready at once", async () => {
    const t = await createWorld({ retry: { maxAttempts: 1 } });
    const worker = await addWorker(t);
    const messageId = await enqueue(t);
    for (let i = 0; i < 3; i += 1) expect(await release(t, worker, await mustClaim(t, worker))).toBe(true);
    expect(await messageOf(t, messageId)).toMatchObject({ status: "queued", attempts: 0 });
    expect((await workerOf(t, "w1")).turnsFailed).toBe(0);
    await expectConsistent(t);
  });

  test("completion first, recovery second: the answer stands", async () => {
    const t = await createWorld();
    const worker = await addWorker(t);
    const messageId = await enqueue(t);
    const claimed = await mustClaim(t, worker);
    advance(44_999);
    expect(await complete(t, worker, claimed)).toBe(true);
    advance(1);
    await checkLease(t, claimed);
    await t.mutation(internal.queue.recovery.sweepLeases, {});
    expect((await messageOf(t, messageId)).status).toBe("done");
  });

  test("recovery first, completion second: the message is answered by the next holder alone", async () => {
    const t = await createWorld();
    const [worker, other] = [await addWorker(t, "w1"), await addWorker(t, "w2")];
    const messageId = await enqueue(t);
    const claimed = await mustClaim(t, worker);
    advance(45_000);
    await checkLease(t, claimed);
    expect(await complete(t, worker, claimed, "late")).toBe(false);
    const again = await mustClaim(t, other);
    expect(await complete(t, worker, claimed, "late")).toBe(false);
    expect(await complete(t, other, again, "right")).toBe(true);
    expect(await messageOf(t, messageId)).toMatchObject({ status: "done", answerText: "right" });
  });

  test("all leases of a dead worker are taken back at once, and nobody else's", async () => {
    const t = await createWorld();
    const [dead, alive] = [await addWorker(t, "w1"), await addWorker(t, "w2")];
    for (const name of ["a", "b", "c"]) await enqueue(t, name);
    await mustClaim(t, dead);
    await mustClaim(t, dead);
    const kept = await mustClaim(t, alive);
    const outcome = await t.mutation(internal.queue.recovery.recoverWorker, {
      workerId: "w1",
      reason: "machine gone",
    });
    expect(outcome).toEqual({ recovered: 2, more: false });
    expect(await complete(t, alive, kept)).toBe(true);
    expect((await workerOf(t, "w1")).load).toBe(0);
    await expectConsistent(t);
  });
});

describe("the sweep", () => {
  test("pages past pages of rows that it cannot recover", async () => {
    const t = await createWorld();
    const worker = await addWorker(t, "w1", { slots: 64 });
    await t.run(async (ctx) => {
      const conversation = await ctx.db.insert("conversations", {
        conversationId: "deleted",
        agentKey: "support",
        nextSeq: 0,
        nextHistorySeq: 0,
        queuedCount: 0,
      });
      for (let i = 0; i < 96; i += 1) {
        const message = await ctx.db.insert("messageQueue", {
          conversation,
          conversationId: "deleted",
          agentKey: "support",
          seq: i,
          status: "processing",
          payload: { provider: "telegram", providerUserId: "7", messageText: "x" },
          destination: null,
          priority: 50,
          dueAt: START,
          delayed: false,
          attempts: 1,
          maxAttempts: 5,
          leaseId: `l${i}`,
          leaseExpiresAt: START + i,
          workerId: "gone",
        });
        await ctx.db.insert("conversationHeads", {
          conversation,
          state: "leased",
          agentKey: "support",
          message,
          rank: 50,
          dueAt: START,
          createdAt: START,
          leaseExpiresAt: START + i,
          workerId: "gone",
        });
      }
      await ctx.db.delete("conversations", conversation);
    });
    const messageId = await enqueue(t, "behind");
    await mustClaim(t, worker);
    advance(60_000);
    const until = Date.now();
    let cursor: string | undefined;
    let pages = 0;
    let unfit = 0;
    for (let more = true; more; pages += 1) {
      const swept = await t.mutation(internal.queue.recovery.sweepLeases, {
        until,
        ...(cursor === undefined ? {} : { cursor }),
      });
      unfit += swept.unfit;
      more = swept.more;
      cursor = await t.run(async (ctx) => {
        const jobs = await ctx.db.system.query("_scheduled_functions").order("desc").collect();
        const next = jobs.find((job) => job.name.includes("sweepLeases"));
        return (next?.args[0] as { cursor?: string } | undefined)?.cursor;
      });
    }
    expect({ pages, unfit }).toEqual({ pages: 13, unfit: 96 });
    expect((await messageOf(t, messageId)).status).toBe("queued");
  });
});
