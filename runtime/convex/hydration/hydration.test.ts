import { describe, expect, test } from "vitest";
import { api, internal } from "../_generated/api.js";
import type { HydrationBundle } from "../validators.ts";
import {
  addWorker,
  advance,
  complete,
  configureAgent,
  createWorld,
  enqueue,
  fakeDeployment,
  mustClaim,
  type TestWorker,
  type World,
} from "../testing/factory.setup.ts";

fakeDeployment();
const DAY = 24 * 3_600_000;

type Holds = { profileRevision?: number; snapshotVersion?: number; historyThrough?: number };

async function bundleOf(t: World, worker: TestWorker, holds?: Holds): Promise<HydrationBundle> {
  const { messageId, leaseId } = await mustClaim(t, worker);
  const bundle = await t.query(api.worker.getHydrationBundle, {
    credential: worker.credential,
    messageId,
    leaseId,
    ...(holds === undefined ? {} : { holds }),
  });
  if (bundle === null) throw new Error("no bundle");
  return bundle;
}

/** One finished turn, so that the conversation has a history. */
async function turn(t: World, worker: TestWorker, text: string, answer: string): Promise<void> {
  await enqueue(t, "c1", { payload: { messageText: text } });
  await complete(t, worker, await mustClaim(t, worker), answer);
}

async function importSecret(t: World, secretRef: string, plaintextValue: string): Promise<void> {
  await t.action(internal.factory.importSecret, { secretRef, plaintextValue });
}

describe("the bundle", () => {
  test("carries the profile's texts, the message and the history so far", async () => {
    const t = await createWorld();
    await configureAgent(t, "support", { soulMd: "SOUL", clientMd: "CLIENT", skills: ["weather"] });
    const worker = await addWorker(t);
    await turn(t, worker, "one", "first");
    await enqueue(t, "c1", { payload: { messageText: "two" } });
    expect(await bundleOf(t, worker)).toMatchObject({
      conversationId: "c1",
      payload: { messageText: "two" },
      profile: { agentKey: "support", soulMd: "SOUL", clientMd: "CLIENT", skills: ["weather"] },
      profileRevision: 2,
      history: [
        { role: "user", content: "one" },
        { role: "assistant", content: "first" },
      ],
      historyThrough: 1,
      telegramBotToken: null,
      bridgeRuntimeConfig: null,
      snapshot: null,
    });
  });

  test("never shows another conversation's history", async () => {
    const t = await createWorld();
    const worker = await addWorker(t);
    await turn(t, worker, "private", "for c1 alone");
    await enqueue(t, "c2");
    expect((await bundleOf(t, worker)).history).toEqual([]);
  });

  test("a warm worker gets only what changed", async () => {
    const t = await createWorld();
    await configureAgent(t, "support", { soulMd: "long ".repeat(4_000) });
    const worker = await addWorker(t);
    for (let i = 0; i < 20; i += 1) await turn(t, worker, `question ${i}`, "answer ".repeat(50));
    await enqueue(t, "c1");
    const { messageId, leaseId } = await mustClaim(t, worker);
    const ask = async (holds?: Holds) =>
      await t.query(api.worker.getHydrationBundle, {
        credential: worker.credential,
        messageId,
        leaseId,
        ...(holds === undefined ? {} : { holds }),
      });
    const cold = await ask();
    const warm = await ask({ profileRevision: 2, historyThrough: 39 });
    expect(warm).toMatchObject({ profile: null, profileRevision: 2, history: [], historyThrough: 39 });
    const bytes = (value: unknown) => JSON.stringify(value).length;
    expect(bytes(cold)).toBeGreaterThan(25_000);
    expect(bytes(warm)).toBeLessThan(1_000);
    expect((await ask({ profileRevision: 1 }))?.profile).not.toBeNull();
    expect((await ask({ historyThrough: 37 }))?.history).toHaveLength(2);
  });
});

test("a conversation that has to be restored comes with its profile, though the worker holds that", async () => {
  const t = await createWorld();
  const worker = await addWorker(t);
  await enqueue(t, "c1");
  const { messageId, leaseId } = await mustClaim(t, worker);
  await t.run(async (ctx) => {
    const message = await ctx.db.get("messageQueue", messageId);
    if (message === null) throw new Error("no message");
    const { conversation } = message;
    const snapshot = await ctx.db.insert("dataSnapshots", {
      ...{ conversation, version: 2, status: "ready", current: true },
      ...{ messageId, leaseId, fileCount: 0, totalBytes: 0 },
    });
    await ctx.db.insert("snapshotManifests", { snapshot, state: { kind: "stored", files: [] } });
  });
  const ask = async (snapshotVersion: number) =>
    await t.query(api.worker.getHydrationBundle, {
      credential: worker.credential,
      messageId,
      leaseId,
      holds: { profileRevision: 1, snapshotVersion },
    });
  expect(await ask(2)).toMatchObject({ profile: null, snapshot: null });
  expect(await ask(1)).toMatchObject({ profile: { revision: 1 }, snapshot: { version: 2 } });
});

describe("the history window", () => {
  test("keeps the newest rows that fit the tokens, in order", async () => {
    const t = await createWorld({ hydration: { historyTokensMax: 10 } });
    const worker = await addWorker(t);
    await turn(t, worker, "x".repeat(40), "y".repeat(20));
    await turn(t, worker, "z".repeat(8), "w".repeat(8));
    await enqueue(t, "c1");
    const { history } = await bundleOf(t, worker);
    expect(history.map((row) => row.content)).toEqual(["y".repeat(20), "z".repeat(8), "w".repeat(8)]);
  });

  test("leaves out what is older than its days", async () => {
    const t = await createWorld({ hydration: { historyDaysMax: 2 } });
    const worker = await addWorker(t);
    await turn(t, worker, "old", "old");
    advance(2 * DAY + 1);
    await turn(t, worker, "new", "new");
    await enqueue(t, "c1");
    expect((await bundleOf(t, worker)).history.map((row) => row.content)).toEqual(["new", "new"]);
  });

  test("an over-long message is clipped rather than costing the answer", async () => {
    const t = await createWorld({ hydration: { historyTokensMax: 100_000 } });
    const worker = await addWorker(t);
    await turn(t, worker, "q", "a".repeat(150_000));
    const { messages } = await t.query(internal.factory.listConversationMessages, { conversationId: "c1" });
    expect(messages[0]?.content).toHaveLength(100_000 + "\n[… clipped]".length);
  });
});

describe("history", () => {
  test("is read page by page, newest first", async () => {
    const t = await createWorld();
    const worker = await addWorker(t);
    for (let i = 0; i < 3; i += 1) await turn(t, worker, `q${i}`, `a${i}`);
    const page = async (cursor: string | null) =>
      await t.query(internal.factory.listConversationMessages, {
        conversationId: "c1",
        paginationOpts: { numItems: 4, cursor },
      });
    const first = await page(null);
    expect(first.messages.map((row) => row.content)).toEqual(["a2", "q2", "a1", "q1"]);
    const second = await page(first.cursor);
    expect(second.messages.map((row) => row.content)).toEqual(["a0", "q0"]);
  });

  test("is appended to by the holder of the conversation's message alone", async () => {
    const t = await createWorld();
    const worker = await addWorker(t);
    await enqueue(t, "c1");
    const { messageId, leaseId } = await mustClaim(t, worker);
    const append = async (conversationId: string) =>
      await t.mutation(api.worker.appendConversationMessages, {
        credential: worker.credential,
        messageId,
        leaseId,
        conversationId,
        messages: [{ role: "tool", content: "called" }],
        pendingToolCalls: [{ toolName: "bridge.pay", toolCallId: "1", argsJson: "{}" }],
      });
    await enqueue(t, "c2");
    expect(await append("c2")).toEqual({ updated: false, messageCount: 0 });
    expect(await append("unknown")).toEqual({ updated: false, messageCount: 0 });
    expect(await append("c1")).toEqual({ updated: true, messageCount: 1 });
    const bundle = await t.query(api.worker.getHydrationBundle, {
      credential: worker.credential,
      messageId,
      leaseId,
    });
    expect(bundle).toMatchObject({
      history: [{ role: "tool", content: "called" }],
      pendingToolCalls: [{ toolName: "bridge.pay" }],
    });
  });
});

describe("the bot token", () => {
  const telegram = (botSecretRef: string) => ({ kind: "telegram" as const, botSecretRef, chatId: "9" });

  test("is the agent's own among its refs, before the global one", async () => {
    const t = await createWorld();
    await importSecret(t, "telegram.botToken", "global");
    await importSecret(t, "telegram.botToken.support", "own");
    const worker = await addWorker(t);
    await enqueue(t, "a");
    expect((await bundleOf(t, worker)).telegramBotToken).toBeNull();
    await configureAgent(t, "support", { secretsRef: ["telegram.botToken"] });
    await enqueue(t, "b");
    expect((await bundleOf(t, worker)).telegramBotToken).toBe("global");
    await configureAgent(t, "support", { secretsRef: ["telegram.botToken", "telegram.botToken.support"] });
    await enqueue(t, "c");
    expect((await bundleOf(t, worker)).telegramBotToken).toBe("own");
  });

  test("is that of the bot that received the message, and never another kind of secret", async () => {
    const t = await createWorld();
    await importSecret(t, "telegram.botToken.default", "shared");
    await importSecret(t, "fly.apiToken", "fly");
    const worker = await addWorker(t);
    await enqueue(t, "a", { destination: telegram("telegram.botToken.default") });
    expect((await bundleOf(t, worker)).telegramBotToken).toBe("shared");
    await enqueue(t, "b", { destination: telegram("fly.apiToken") });
    expect((await bundleOf(t, worker)).telegramBotToken).toBeNull();
  });
});

describe("the bridge", () => {
  test("prefers the profile, then the agent's secret, then the global one", async () => {
    const t = await createWorld();
    const worker = await addWorker(t);
    await importSecret(t, "agent-bridge.serviceKey", "global-key");
    await importSecret(t, "agent-bridge.baseUrl", "https://global.example");
    await importSecret(t, "agent-bridge.serviceId.support", "own-id");
    await importSecret(t, "agent-bridge.serviceId", "global-id");
    await configureAgent(t, "support", { bridgeConfig: { enabled: true, appKey: "crm" } });
    await enqueue(t, "a");
    expect((await bundleOf(t, worker)).bridgeRuntimeConfig).toEqual({
      baseUrl: "https://global.example",
      appBaseUrlMapJson: null,
      serviceId: "own-id",
      appKey: "crm",
      serviceKey: "global-key",
      serviceKeySecretRef: "agent-bridge.serviceKey",
    });
    await importSecret(t, "my.key", "named-key");
    await configureAgent(t, "support", {
      bridgeConfig: { enabled: true, serviceKeySecretRef: "my.key", baseUrl: "https://own.example" },
    });
    await enqueue(t, "b");
    expect((await bundleOf(t, worker)).bridgeRuntimeConfig).toMatchObject({
      baseUrl: "https://own.example",
      serviceKey: "named-key",
      serviceKeySecretRef: "my.key",
    });
  });

  test("is null when disabled", async () => {
    const t = await createWorld();
    await configureAgent(t, "support", { bridgeConfig: { enabled: false, baseUrl: "https://x.example" } });
    const worker = await addWorker(t);
    await enqueue(t);
    expect((await bundleOf(t, worker)).bridgeRuntimeConfig).toBeNull();
  });
});

describe("configureAgent", () => {
  test("adds the refs that every agent needs, each once, and the bridge's", async () => {
    const t = await createWorld();
    await configureAgent(t, "sales", {
      secretsRef: ["fly.apiToken", "x.ref"],
      bridgeConfig: { enabled: true, serviceKeySecretRef: "my.key" },
    });
    const refs = await t.run(
      async (ctx) =>
        (
          await ctx.db
            .query("agentProfiles")
            .withIndex("by_agent_key", (q) => q.eq("agentKey", "sales"))
            .unique()
        )?.secretsRef,
    );
    expect(refs).toEqual(["fly.apiToken", "x.ref", "convex.url", "my.key", "agent-bridge.baseUrlMapJson"]);
  });

  test("replaces a profile and raises its revision", async () => {
    const t = await createWorld();
    await configureAgent(t, "support", { clientMd: "x" });
    await configureAgent(t, "support");
    const agents = await t.query(internal.factory.listAgents, {});
    expect(agents).toEqual([{ agentKey: "support", version: "1", revision: 3, enabled: true }]);
  });

  test.each([
    [{ agentKey: "a b" }, "agentKey must start with a letter or digit"],
    [{ soulMd: "x".repeat(100_001) }, "soulMd has 100001 characters, the limit is 100000"],
    [
      { bridgeFunctions: [{ key: "pay", description: "", parametersJson: "[]" }] },
      "parametersJson of 'pay' must be a JSON Schema object",
    ],
  ])("refuses %.40j", async (changes, problem) => {
    const t = await createWorld();
    const agentKey = "agentKey" in changes ? changes.agentKey : "support";
    await expect(configureAgent(t, agentKey, changes)).rejects.toThrow(problem);
  });

  test("seedDefaultAgent makes the agent `default` once", async () => {
    const t = await createWorld();
    const seed = async () => await t.mutation(internal.factory.seedDefaultAgent, {});
    expect(await seed()).toEqual({ agentKey: "default", created: true });
    expect(await seed()).toEqual({ agentKey: "default", created: false });
  });
});
