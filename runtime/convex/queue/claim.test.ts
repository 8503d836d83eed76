import { describe, expect, test } from "vitest";
import { api } from "../_generated/api.js";
import {
  addWorker,
  advance,
  claim,
  complete,
  configureAgent,
  createWorld,
  enqueue,
  expectConsistent,
  fail,
  fakeDeployment,
  messageOf,
  mustClaim,
  START,
  workerOf,
} from "../testing/factory.setup.ts";

fakeDeployment();

describe("what a claim returns", () => {
  test("null when nothing waits", async () => {
    const t = await createWorld();
    expect(await claim(t, await addWorker(t))).toBeNull();
  });

  test("the message with its lease and the policies that the worker needs", async () => {
    const t = await createWorld();
    const worker = await addWorker(t);
    const messageId = await enqueue(t);
    expect(await claim(t, worker)).toMatchObject({
      messageId,
      conversationId: "c1",
      agentKey: "support",
      leaseExpiresAt: START + 45_000,
      leaseMs: 45_000,
      heartbeatIntervalMs: 10_000,
      dedication: "none",
      attempt: 1,
      maxAttempts: 5,
      payload: { messageText: "hello" },
    });
    expect(await workerOf(t, "w1")).toMatchObject({ load: 1, lastClaimAt: START });
    await expectConsistent(t);
  });

  test("the same lease again for a repeated claimKey, and no second message", async () => {
    const t = await createWorld();
    const worker = await addWorker(t);
    await enqueue(t, "c1");
    await enqueue(t, "c2");
    const args = { credential: worker.credential, claimKey: "k" };
    const first = await t.mutation(api.worker.claim, args);
    expect(await t.mutation(api.worker.claim, args)).toEqual(first);
    expect((await workerOf(t, "w1")).load).toBe(1);
  });

  test("nothing for a claimKey whose lease has ended", async () => {
    const t = await createWorld();
    const worker = await addWorker(t);
    await enqueue(t, "c1");
    const args = { credential: worker.credential, claimKey: "k" };
    const first = await t.mutation(api.worker.claim, args);
    if (first === null) throw new Error("expected a claim");
    await complete(t, worker, first);
    await enqueue(t, "c2");
    expect(await t.mutation(api.worker.claim, args)).toBeNull();
  });

  test("nothing for a worker that drains, and nothing beyond its slots", async () => {
    const t = await createWorld();
    const draining = await addWorker(t, "w1", { state: "draining" });
    const small = await addWorker(t, "w2", { slots: 1 });
    await enqueue(t, "c1");
    await enqueue(t, "c2");
    expect(await claim(t, draining)).toBeNull();
    expect(await claim(t, small)).not.toBeNull();
    expect(await claim(t, small)).toBeNull();
    expect((await workerOf(t, "w2")).hasFreeSlot).toBe(false);
  });
});

describe("order", () => {
  test("priority first, then due time, then creation", async () => {
    const t = await createWorld();
    const worker = await addWorker(t, "w1", { slots: 10 });
    await enqueue(t, "a");
    await enqueue(t, "b");
    advance(10);
    await enqueue(t, "c");
    await enqueue(t, "urgent", { priority: 90 });
    await enqueue(t, "slow", { priority: 10 });
    const order: Array<string | undefined> = [];
    for (let i = 0; i < 5; i += 1) order.push((await claim(t, worker))?.conversationId);
    expect(order).toEqual(["urgent", "a", "b", "c", "slow"]);
  });

  test("priorities outside 0..100 are clamped", async () => {
    const t = await createWorld();
    const high = await enqueue(t, "a", { priority: 1_000 });
    const low = await enqueue(t, "b", { priority: -5 });
    expect((await messageOf(t, high)).priority).toBe(100);
    expect((await messageOf(t, low)).priority).toBe(0);
  });

  test("inside a conversation first come, first served, one at a time, whatever the priorities", async () => {
    const t = await createWorld();
    const worker = await addWorker(t);
    await enqueue(t, "c1", { payload: { messageText: "1" } });
    await enqueue(t, "c1", { payload: { messageText: "2" }, priority: 100 });
    const first = await mustClaim(t, worker);
    expect(first.payload.messageText).toBe("1");
    expect(await claim(t, worker)).toBeNull();
    await complete(t, worker, first);
    expect((await mustClaim(t, worker)).payload.messageText).toBe("2");
    await expectConsistent(t);
  });

  test("a failed message is retried before the ones behind it, also while it waits for its retry", async () => {
    const t = await createWorld({ retry: { jitterRatio: 0 } });
    const worker = await addWorker(t);
    await enqueue(t, "c1", { payload: { messageText: "1" } });
    await enqueue(t, "c1", { payload: { messageText: "2" } });
    const outcome = await fail(t, worker, await mustClaim(t, worker));
    expect(outcome).toEqual({ requeued: true, deadLettered: false, nextScheduledFor: START + 1_000 });
    expect(await claim(t, worker)).toBeNull();
    advance(1_000);
    // The scheduled promotion has not run: the claim itself covers for it.
    expect((await mustClaim(t, worker)).payload.messageText).toBe("1");
    await expectConsistent(t);
  });

  test("a blocked conversation delays nobody else", async () => {
    const t = await createWorld();
    const worker = await addWorker(t, "w1", { slots: 100 });
    for (let i = 0; i < 30; i += 1) await enqueue(t, "blocked");
    await mustClaim(t, worker);
    await enqueue(t, "free");
    expect((await mustClaim(t, worker)).conversationId).toBe("free");
  });
});

describe("whom a claim serves", () => {
  test("only the asked agents, in the common order", async () => {
    const t = await createWorld();
    for (const key of ["sales", "legal"]) await configureAgent(t, key);
    const worker = await addWorker(t);
    await enqueue(t, "a");
    await enqueue(t, "b", { agentKey: "sales" });
    await enqueue(t, "c", { agentKey: "legal", priority: 80 });
    expect((await claim(t, worker, ["sales", "legal"]))?.conversationId).toBe("c");
    expect((await claim(t, worker, ["sales", "legal"]))?.conversationId).toBe("b");
    expect(await claim(t, worker, ["sales", "legal"])).toBeNull();
    await expect(
      claim(
        t,
        worker,
        Array.from({ length: 9 }, (_, i) => `a${i}`),
      ),
    ).rejects.toThrow("agentKeys names 9 agents, the limit is 8");
  });

  test.each(["creating", "draining", "stopping", "warm"] as const)(
    "a worker that is %s takes nothing, whatever room it has, and the next active one takes it",
    async (state) => {
      const t = await createWorld();
      const [leaving, other] = [await addWorker(t, "w1", { state }), await addWorker(t, "w2")];
      await enqueue(t, "a");
      expect(await claim(t, leaving)).toBeNull();
      expect(await workerOf(t, "w1")).toMatchObject({ load: 0, state });
      expect((await mustClaim(t, other)).conversationId).toBe("a");
    },
  );

  test("a canary serves only the agents that the rollout names", async () => {
    const t = await createWorld({ rollout: { canaryAgentKeys: ["sales"] } });
    await configureAgent(t, "sales");
    const canary = await addWorker(t, "w1", { canary: true });
    await enqueue(t, "a");
    expect(await claim(t, canary)).toBeNull();
    await enqueue(t, "b", { agentKey: "sales" });
    expect((await claim(t, canary))?.conversationId).toBe("b");
  });

  test("a worker dedicated to an agent takes no other while it is busy, and may change when idle", async () => {
    const t = await createWorld({ turn: { dedication: "agent" } });
    await configureAgent(t, "sales");
    const worker = await addWorker(t);
    await enqueue(t, "a");
    await enqueue(t, "b", { agentKey: "sales" });
    const first = await mustClaim(t, worker);
    expect(first.dedication).toBe("agent");
    expect(await claim(t, worker)).toBeNull();
    await complete(t, worker, first);
    expect((await mustClaim(t, worker)).agentKey).toBe("sales");
  });

  test("two workers woken for one conversation each do not swap them", async () => {
    const t = await createWorld();
    const [one, two] = [await addWorker(t, "w1"), await addWorker(t, "w2")];
    await enqueue(t, "a");
    const a = await mustClaim(t, one);
    await enqueue(t, "b");
    const b = await mustClaim(t, two);
    await complete(t, one, a);
    await complete(t, two, b);
    await enqueue(t, "a");
    await enqueue(t, "b");
    // `a` is first in order, but its files are with the other worker, which has just been woken for it.
    expect((await mustClaim(t, two)).conversationId).toBe("b");
    await expectConsistent(t);
  });

  test("a preferred worker that does not come within the grace loses the conversation", async () => {
    const t = await createWorld();
    const [one, two] = [await addWorker(t, "w1"), await addWorker(t, "w2")];
    await enqueue(t, "a");
    const a = await mustClaim(t, one);
    await enqueue(t, "b");
    const b = await mustClaim(t, two);
    await complete(t, one, a);
    await complete(t, two, b);
    await enqueue(t, "a");
    await enqueue(t, "b");
    advance(2_000);
    expect((await mustClaim(t, two)).conversationId).toBe("a");
  });
});

describe("rows that somebody deleted in the dashboard", () => {
  test("a message: the rest of its conversation and everybody else is served", async () => {
    const t = await createWorld();
    const worker = await addWorker(t);
    const gone = await enqueue(t, "c1");
    const second = await enqueue(t, "c1");
    const other = await enqueue(t, "c2");
    await t.run((ctx) => ctx.db.delete("messageQueue", gone));
    const claims = [await mustClaim(t, worker), await mustClaim(t, worker)];
    expect(claims.map(({ messageId }) => messageId).sort()).toEqual([second, other].sort());
    await expectConsistent(t);
  });

  test("all messages of many conversations, and conversations: the queue goes on", async () => {
    const t = await createWorld();
    const worker = await addWorker(t);
    for (let index = 0; index < 10; index += 1) {
      const id = await enqueue(t, `gone${index}`);
      await t.run(async (ctx) => {
        const message = await ctx.db.get("messageQueue", id);
        if (message === null) throw new Error("no message");
        if (index % 2 === 0) return await ctx.db.delete("messageQueue", id);
        await ctx.db.delete("conversations", message.conversation);
      });
    }
    const other = await enqueue(t, "c2");
    const claimed = [];
    for (let tries = 0; tries < 4; tries += 1) claimed.push(await claim(t, worker));
    expect(claimed.flatMap((found) => found?.messageId ?? [])).toEqual([other]);
    expect(await t.run((ctx) => ctx.db.query("conversationHeads").collect())).toHaveLength(1);
  });
});
