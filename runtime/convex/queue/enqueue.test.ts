import { describe, expect, test } from "vitest";
import { internal } from "../_generated/api.js";
import type { Id } from "../_generated/dataModel.js";
import {
  addWorker,
  advance,
  claim,
  complete,
  configureAgent,
  createWorld,
  enqueue,
  expectConsistent,
  fakeDeployment,
  messageOf,
  mustClaim,
  START,
  type World,
} from "../testing/factory.setup.ts";

fakeDeployment();

async function rows(t: World): Promise<number> {
  return await t.run(
    async (ctx) =>
      (await ctx.db.query("messageQueue").collect()).length +
      (await ctx.db.query("conversations").collect()).length +
      (await ctx.db.query("conversationHeads").collect()).length,
  );
}

async function promote(t: World, messageId: Id<"messageQueue">): Promise<boolean> {
  return await t.mutation(internal.queue.promote.promoteMessage, { messageId });
}

describe("what is refused, with nothing written", () => {
  test.each([
    ["an unknown agent", { agentKey: "nobody" }, "Agent profile 'nobody' not found or disabled"],
    ["a disabled agent", { agentKey: "off" }, "Agent profile 'off' not found or disabled"],
    [
      "a blank sender",
      { payload: { providerUserId: "  " } },
      "providerUserId is required but missing in payload",
    ],
    [
      "a payload above the limit",
      { payload: { messageText: "x".repeat(2_000) } },
      /payload is \d+ bytes, the limit is 1024 \(queue\.payloadMaxBytes\)/,
    ],
    ["attempts out of range", { maxAttempts: 0 }, "maxAttempts must be a whole number from 1 to 50, got 0"],
    [
      "a schedule beyond a year",
      { scheduledFor: START + 400 * 24 * 3_600_000 },
      "scheduledFor must be at most 366 days ahead",
    ],
  ])("%s", async (_, request, error) => {
    const t = await createWorld({ queue: { payloadMaxBytes: 1_024 } });
    await configureAgent(t, "off", { enabled: false });
    await expect(enqueue(t, "c1", request)).rejects.toThrow(error);
    expect(await rows(t)).toBe(0);
  });

  test("a conversation of another agent", async () => {
    const t = await createWorld();
    await configureAgent(t, "sales");
    await enqueue(t, "c1");
    await expect(enqueue(t, "c1", { agentKey: "sales" })).rejects.toThrow(
      "Conversation 'c1' is already bound to agent 'support', cannot enqueue for 'sales'.",
    );
  });

  test("a message beyond the conversation's backlog, until there is room again", async () => {
    const t = await createWorld({ queue: { conversationBacklogMax: 2 } });
    const worker = await addWorker(t);
    await enqueue(t);
    await enqueue(t);
    await expect(enqueue(t)).rejects.toThrow("Conversation 'c1' has 2 waiting messages, the limit is 2");
    await mustClaim(t, worker);
    await enqueue(t);
    await expectConsistent(t);
  });

  test("everything before the stack has applied a config", async () => {
    const t = await createWorld();
    await t.run(async (ctx) => {
      for (const row of await ctx.db.query("runtimeConfig").collect())
        await ctx.db.delete("runtimeConfig", row._id);
    });
    await expect(enqueue(t)).rejects.toThrow(
      "Runtime config has not been applied yet. Run `pulumi up` for this stack.",
    );
  });
});

describe("idempotence", () => {
  test("a repeated external id gives the first message and changes nothing", async () => {
    const t = await createWorld();
    const first = await enqueue(t, "c1", { payload: { externalMessageId: "u1" } });
    const before = await rows(t);
    expect(await enqueue(t, "c1", { payload: { externalMessageId: "u1" } })).toBe(first);
    expect(await rows(t)).toBe(before);
    await expectConsistent(t);
  });

  test("also after the message was answered, and after its agent was disabled", async () => {
    const t = await createWorld();
    const worker = await addWorker(t);
    const first = await enqueue(t, "c1", { payload: { externalMessageId: "u1" } });
    await complete(t, worker, await mustClaim(t, worker));
    await configureAgent(t, "support", { enabled: false });
    expect(await enqueue(t, "c1", { payload: { externalMessageId: "u1" } })).toBe(first);
    expect(await claim(t, worker)).toBeNull();
  });

  test("the same external id in another conversation is another message", async () => {
    const t = await createWorld();
    const first = await enqueue(t, "c1", { payload: { externalMessageId: "u1" } });
    expect(await enqueue(t, "c2", { payload: { externalMessageId: "u1" } })).not.toBe(first);
  });
});

describe("messages scheduled for later", () => {
  test("are not claimed before their time", async () => {
    const t = await createWorld();
    const worker = await addWorker(t);
    const messageId = await enqueue(t, "c1", { scheduledFor: START + 60_000 });
    expect(await claim(t, worker)).toBeNull();
    expect(await t.query(internal.factory.queueStats)).toMatchObject({ queuedReady: 0, queuedDelayed: 1 });
    advance(60_000);
    expect(await promote(t, messageId)).toBe(true);
    expect((await mustClaim(t, worker)).messageId).toBe(messageId);
    await expectConsistent(t);
  });

  test("do not hold up the conversation that they wait in", async () => {
    const t = await createWorld();
    const worker = await addWorker(t);
    const later = await enqueue(t, "c1", { scheduledFor: START + 60_000 });
    const now = await enqueue(t, "c1");
    const claimed = await mustClaim(t, worker);
    expect(claimed.messageId).toBe(now);
    await complete(t, worker, claimed);
    expect(await claim(t, worker)).toBeNull();
    advance(60_000);
    expect((await mustClaim(t, worker)).messageId).toBe(later);
    await expectConsistent(t);
  });

  test("join the line when they are due, behind those who waited before", async () => {
    const t = await createWorld();
    const worker = await addWorker(t);
    const second = await enqueue(t, "c1", { scheduledFor: START + 20_000 });
    const first = await enqueue(t, "c1", { scheduledFor: START + 10_000 });
    const busy = await enqueue(t, "c1");
    const claimed = await mustClaim(t, worker);
    expect(claimed.messageId).toBe(busy);
    advance(20_000);
    await promote(t, first);
    await promote(t, second);
    const third = await enqueue(t, "c1");
    await complete(t, worker, claimed);
    for (const expected of [first, second, third]) {
      const next = await mustClaim(t, worker);
      expect(next.messageId).toBe(expected);
      await complete(t, worker, next);
    }
    await expectConsistent(t);
  });

  test("are promoted once, however often the timer fires, and never early", async () => {
    const t = await createWorld();
    const messageId = await enqueue(t, "c1", { scheduledFor: START + 60_000 });
    expect(await promote(t, messageId)).toBe(false);
    advance(60_000);
    expect(await promote(t, messageId)).toBe(true);
    const { seq } = await messageOf(t, messageId);
    expect(await promote(t, messageId)).toBe(false);
    expect((await messageOf(t, messageId)).seq).toBe(seq);
    await expectConsistent(t);
  });

  test("in the past are due now", async () => {
    const t = await createWorld();
    const messageId = await enqueue(t, "c1", { scheduledFor: START - 1 });
    expect(await messageOf(t, messageId)).toMatchObject({ delayed: false, dueAt: START });
  });
});
