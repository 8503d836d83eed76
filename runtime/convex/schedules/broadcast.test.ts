import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { internal } from "../_generated/api.js";
import type { Id } from "../_generated/dataModel.js";
import { addWorker, complete, mustClaim } from "../testing/factory.setup.ts";
import {
  addAgent,
  elapse,
  fakeTelegram,
  openWorld,
  pass,
  SHARED_REF,
  type World,
} from "../testing/channels.fixture.ts";

const START = Date.parse("2026-03-28T12:00:00Z");
const MINUTE = 60_000;

beforeEach(() => {
  vi.useFakeTimers({ now: START });
  fakeTelegram();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

type Person = { companyId?: string; telegramUserId?: string; agentKey?: string };

async function bind(t: World, consumerUserId: string, person: Person = {}): Promise<void> {
  const { companyId = "acme", telegramUserId, agentKey = "default" } = person;
  const telegram =
    telegramUserId === undefined
      ? {}
      : { telegramUserId, telegramChatId: telegramUserId, botSecretRef: SHARED_REF };
  await t.mutation(internal.identity.bindings.bindUserAgent, {
    consumerUserId,
    companyId,
    agentKey,
    ...telegram,
  });
}

async function bindMany(t: World, count: number): Promise<void> {
  for (let index = 0; index < count; index += 1)
    await bind(t, `u${index}`, { telegramUserId: String(1_000 + index) });
}

const words = { companyId: "acme", title: "News", text: "We moved", requestedBy: "boss" };
const send = (t: World, more: { idempotencyKey?: string; text?: string } = {}) =>
  t.action(internal.schedules.broadcast.sendBroadcastToAllActiveAgents, { ...words, ...more });
const messagesOf = (t: World) => t.run((ctx) => ctx.db.query("messageQueue").collect());
const reportOf = (t: World, broadcastId: Id<"broadcasts">, companyId = "acme") =>
  t.query(internal.schedules.broadcastReport.broadcastReport, { companyId, broadcastId });

describe("a broadcast", () => {
  test("reaches the company's active people, nobody else, with a row for each", async () => {
    const t = await openWorld();
    await bind(t, "ada", { telegramUserId: "42" });
    await bind(t, "bob", { telegramUserId: "43" });
    await bind(t, "eve", { companyId: "evil", telegramUserId: "44" });
    await bind(t, "gone", { telegramUserId: "46" });
    await t.mutation(internal.identity.bindings.bindUserAgent, {
      consumerUserId: "nobody",
      agentKey: "default",
    });
    await t.mutation(internal.identity.bindings.revokeUserAgentBinding, {
      consumerUserId: "gone",
      companyId: "acme",
    });
    const report = await send(t);
    expect(report).toMatchObject({ totalTargets: 2, enqueued: 2, failed: 0 });
    expect((await messagesOf(t)).map(({ conversationId }) => conversationId).sort()).toEqual([
      "telegram:900:42",
      "telegram:900:43",
    ]);
    const { targets, state } = await reportOf(t, report.broadcastId);
    expect(state).toBe("done");
    expect(targets.map(({ consumerUserId, outcome }) => [consumerUserId, outcome])).toEqual([
      ["ada", "enqueued"],
      ["bob", "enqueued"],
    ]);
    await expect(reportOf(t, report.broadcastId, "evil")).rejects.toThrow("not found");
  });

  test("reports who got it: the message's end and the delivery of its answer", async () => {
    const t = await openWorld();
    const worker = await addWorker(t);
    await bind(t, "ada", { telegramUserId: "42" });
    await bind(t, "bob", { telegramUserId: "43" });
    await bind(t, "web");
    const { broadcastId } = await send(t);
    await complete(t, worker, await mustClaim(t, worker), "Dear Ada, we moved.");
    await elapse(t, 2_000);
    expect((await reportOf(t, broadcastId)).targets).toMatchObject([
      { consumerUserId: "ada", outcome: "enqueued", status: "done", delivery: "delivered" },
      { consumerUserId: "bob", outcome: "enqueued", status: "queued", delivery: "none" },
      { consumerUserId: "web", outcome: "skipped", status: null, delivery: "none" },
    ]);
  });

  test("never reaches another company's binding, whoever names it", async () => {
    const t = await openWorld();
    await bind(t, "eve", { companyId: "evil", telegramUserId: "44" });
    const broadcastId = await t.mutation(internal.schedules.broadcast.openBroadcast, words);
    const [binding] = await t.run((ctx) => ctx.db.query("identityBindings").collect());
    if (binding === undefined) throw new Error("no binding");
    await t.mutation(internal.schedules.broadcastTargets.sendToTarget, {
      broadcastId,
      bindingId: binding._id,
    });
    expect(await messagesOf(t)).toEqual([]);
  });

  test("with a key is one broadcast, however often and at once it is asked for", async () => {
    const t = await openWorld();
    await bindMany(t, 5);
    const reports = await Promise.all([1, 2, 3].map(() => send(t, { idempotencyKey: "k" })));
    expect(new Set(reports.map(({ broadcastId }) => broadcastId)).size).toBe(1);
    expect(await messagesOf(t)).toHaveLength(5);
    await expect(send(t, { idempotencyKey: "k", text: "other words" })).rejects.toThrow(
      "This Idempotency-Key was used for another broadcast",
    );
    await send(t, { idempotencyKey: "k2" });
    expect(await messagesOf(t)).toHaveLength(10);
  });

  test("sends nobody two, who is re-bound while it runs", async () => {
    const t = await openWorld();
    await addAgent(t, "b");
    await bind(t, "ada", { telegramUserId: "42" });
    const broadcastId = await t.mutation(internal.schedules.broadcast.openBroadcast, words);
    const settle = async (): Promise<void> => {
      const page = await t.query(internal.schedules.broadcast.nextPage, { broadcastId });
      for (const bindingId of page?.bindingIds ?? []) {
        await t.mutation(internal.schedules.broadcastTargets.sendToTarget, { broadcastId, bindingId });
      }
    };
    await settle();
    await bind(t, "ada", { agentKey: "b" });
    await settle();
    expect(await messagesOf(t)).toHaveLength(1);
    expect((await reportOf(t, broadcastId)).totalTargets).toBe(1);
  });

  test("of which one person fails reaches the others and says why", async () => {
    const t = await openWorld();
    await addAgent(t, "b");
    await bind(t, "ada", { telegramUserId: "42", agentKey: "b" });
    await bind(t, "bob", { telegramUserId: "43" });
    await t.mutation(internal.factory.setAgentEnabled, { agentKey: "b", enabled: false });
    const { broadcastId, enqueued, failed } = await send(t);
    expect([enqueued, failed]).toEqual([1, 1]);
    expect((await reportOf(t, broadcastId)).targets[0]).toMatchObject({
      outcome: "failed",
      reason: "Agent profile 'b' not found or disabled",
    });
  });

  test("is audited", async () => {
    const t = await openWorld();
    const { broadcastId } = await send(t);
    const audit = await t.run((ctx) => ctx.db.query("auditLog").collect());
    expect(audit.filter(({ action }) => action === "broadcast.start")).toMatchObject([
      { actor: "boss", target: broadcastId, detail: "company acme" },
    ]);
  });
});

describe("the pace", () => {
  /** Most messages of any second. */
  async function densest(t: World): Promise<number> {
    const due = (await messagesOf(t)).map(({ dueAt }) => dueAt).sort((one, other) => one - other);
    return Math.max(...due.map((from) => due.filter((at) => at >= from && at < from + 1_000).length));
  }

  test("is twenty a second, over two broadcasts together, too", async () => {
    const t = await openWorld();
    await bindMany(t, 60);
    await Promise.all([send(t), send(t, { text: "And again" })]);
    const due = (await messagesOf(t)).map(({ dueAt }) => dueAt - START);
    expect(due).toHaveLength(120);
    expect(await densest(t)).toBe(20);
    expect(Math.max(...due)).toBe(119 * 50);
  });

  test("is kept by one that is taken up hours later", async () => {
    const t = await openWorld();
    await bindMany(t, 60);
    await t.mutation(internal.schedules.broadcast.openBroadcast, words);
    vi.setSystemTime(START + 3 * 60 * MINUTE);
    const [broadcast] = await t.run((ctx) => ctx.db.query("broadcasts").collect());
    if (broadcast === undefined) throw new Error("no broadcast");
    await t.action(internal.schedules.broadcast.resumeBroadcast, { broadcastId: broadcast._id });
    expect(await densest(t)).toBe(20);
  });
});

describe("an interrupted broadcast", () => {
  /** What the action does, cut off after `calls` of its steps. */
  async function walkAndDie(t: World, broadcastId: Id<"broadcasts">, calls: number): Promise<void> {
    let left = calls;
    for (;;) {
      const page = await t.query(internal.schedules.broadcast.nextPage, { broadcastId });
      if (page === null) return;
      for (const bindingId of page.bindingIds) {
        if (left-- <= 0) return;
        await t.mutation(internal.schedules.broadcastTargets.sendToTarget, { broadcastId, bindingId });
      }
      if (left-- <= 0) return;
      const { cursor, isDone } = page;
      await t.mutation(internal.schedules.broadcast.turnPage, { broadcastId, cursor, isDone });
      if (isDone) return;
    }
  }

  const PEOPLE = 53;
  /** Before the first person, inside and at the end of each page, and around the turn of a page. */
  test.each([0, 1, 25, 49, 50, 51, 52, 53, 54])(
    "after %i steps goes on by itself, and everybody has got it once",
    async (calls) => {
      const t = await openWorld();
      await bindMany(t, PEOPLE);
      const broadcastId = await t.mutation(internal.schedules.broadcast.openBroadcast, words);
      vi.setSystemTime(START + MINUTE);
      await walkAndDie(t, broadcastId, calls);
      for (let minute = 0; minute < 3; minute += 1) await pass(t, MINUTE);
      await pass(t, 1);
      const report = await t.query(internal.schedules.broadcastReport.counts, { broadcastId });
      expect(report).toMatchObject({ totalTargets: PEOPLE, enqueued: PEOPLE, failed: 0 });
      const chats = (await messagesOf(t)).map(({ conversationId }) => conversationId);
      expect(chats).toHaveLength(PEOPLE);
      expect(new Set(chats).size).toBe(PEOPLE);
      expect((await reportOf(t, broadcastId)).state).toBe("done");
    },
  );

  test("whose second action is lost, too, is found by the hourly sweep", async () => {
    const t = await openWorld();
    await bindMany(t, 3);
    const broadcastId = await t.mutation(internal.schedules.broadcast.openBroadcast, words);
    await t.run(async (ctx) => {
      for (const { _id } of await ctx.db.system.query("_scheduled_functions").collect())
        await ctx.scheduler.cancel(_id);
    });
    vi.setSystemTime(START + 60 * MINUTE);
    expect(await t.mutation(internal.schedules.broadcast.sweepBroadcasts, {})).toEqual({ resumed: 1 });
    await pass(t, 1);
    expect((await reportOf(t, broadcastId)).enqueued).toBe(3);
  });

  test("that is finished is taken up by nobody", async () => {
    const t = await openWorld();
    await bindMany(t, 3);
    await send(t);
    vi.setSystemTime(START + 60 * MINUTE);
    expect(await t.mutation(internal.schedules.broadcast.sweepBroadcasts, {})).toEqual({ resumed: 0 });
  });
});
