/**
 * A deployment in memory for unit tests: config applied, one agent, workers with tokens. Time is faked and only
 * moves when a test moves it; scheduled functions run only when a test runs them.
 */
import { convexTest, type TestConvex } from "convex-test";
import { afterEach, beforeEach, vi } from "vitest";
import { api, internal } from "../_generated/api.js";
import type { Doc, Id } from "../_generated/dataModel.js";
import { parseRuntimeConfig, type RuntimeConfig, type RuntimeConfigInput } from "../policy/runtimeConfig.ts";
import { emptyTally } from "../queue/counters.ts";
import schema from "../schema.ts";
import { sha256Hex } from "../secrets/digest.ts";
import type { Claim, Payload } from "../validators.ts";

export type World = TestConvex<typeof schema>;

export const START = 1_800_000_000_000;
export const OWNER = "agent-factory/test";
export const KEY_RING = JSON.stringify({
  active: "k1",
  keys: { k1: btoa("0123456789abcdef0123456789abcdef") },
});

const modules = import.meta.glob(["../**/*.ts", "../**/*.js", "!../**/*.test.ts"]);

export const configInput: RuntimeConfigInput = {
  provider: {
    appName: "app",
    organizationSlug: "org",
    image: `registry.fly.io/app@sha256:${"a".repeat(64)}`,
    regions: ["fra"],
  },
};

export function testConfig(changes: Partial<RuntimeConfigInput> = {}): RuntimeConfig {
  const parsed = parseRuntimeConfig({ ...configInput, ...changes });
  if (!parsed.ok) throw new Error(parsed.problems.join("\n"));
  return parsed.config;
}

/** Call at the top of a test file: fake time, and the environment variables that the stack sets. */
export function fakeDeployment(): void {
  beforeEach(() => {
    vi.useFakeTimers({ now: START });
    vi.stubEnv("SECRETS_KEY_RING", KEY_RING);
    vi.stubEnv("FACTORY_OWNER", OWNER);
    vi.stubEnv("CONVEX_CLOUD_URL", "https://test.convex.cloud");
    vi.stubEnv("CONVEX_SITE_URL", "https://test.convex.site");
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    vi.useRealTimers();
  });
}

/** Moves the backend's clock without running any timer. */
export function advance(ms: number): void {
  vi.setSystemTime(Date.now() + ms);
}

/** A deployment with its config and the agent `support`. */
export async function createWorld(changes: Partial<RuntimeConfigInput> = {}): Promise<World> {
  const t = convexTest({ schema, modules, transactionLimits: true });
  await t.mutation(internal.factory.applyRuntimeConfig, {
    config: { ...configInput, ...changes },
    expectedRevision: null,
    owner: OWNER,
    actor: "test",
  });
  await configureAgent(t, "support");
  return t;
}

export async function configureAgent(
  t: World,
  agentKey: string,
  changes: Partial<Doc<"agentProfiles">> = {},
): Promise<void> {
  await t.mutation(internal.factory.configureAgent, {
    agentKey,
    version: "1",
    soulMd: "You help.",
    skills: [],
    secretsRef: [],
    enabled: true,
    ...changes,
  });
}

export type TestWorker = { workerId: string; token: string; credential: { workerId: string; token: string } };

export async function addWorker(
  t: World,
  workerId = "w1",
  changes: Partial<Doc<"workers">> = {},
): Promise<TestWorker> {
  const token = `token-of-${workerId}`;
  const tokenHash = await sha256Hex(token);
  await t.run(async (ctx) => {
    await ctx.db.insert("workers", {
      workerId,
      state: "active",
      tokenHash,
      image: configInput.provider.image,
      configRevision: 1,
      load: 0,
      slots: 4,
      hasFreeSlot: true,
      canary: false,
      createdAt: Date.now(),
      readyAt: Date.now(),
      lastHeartbeatAt: Date.now(),
      turnsDone: 0,
      turnsFailed: 0,
      ...changes,
    });
    await ctx.db.insert("workerSignals", { workerId, wake: 0, draining: false, cancelled: [], tokenHash });
  });
  return { workerId, token, credential: { workerId, token } };
}

export function payload(changes: Partial<Payload> = {}): Payload {
  return { provider: "telegram", providerUserId: "7", messageText: "hello", ...changes };
}

export async function enqueue(
  t: World,
  conversationId = "c1",
  changes: {
    agentKey?: string;
    payload?: Partial<Payload>;
    priority?: number;
    scheduledFor?: number;
    maxAttempts?: number;
    destination?: Doc<"messageQueue">["destination"];
  } = {},
): Promise<Id<"messageQueue">> {
  return await t.mutation(internal.factory.enqueue, {
    conversationId,
    agentKey: "support",
    ...changes,
    payload: payload(changes.payload),
  });
}

let claims = 0;

/** Claims with a fresh key. */
export async function claim(t: World, worker: TestWorker, agentKeys?: string[]): Promise<Claim | null> {
  claims += 1;
  return await t.mutation(api.worker.claim, {
    credential: worker.credential,
    claimKey: `claim-${claims}`,
    ...(agentKeys === undefined ? {} : { agentKeys }),
  });
}

/** Claims and fails the test when there is nothing. */
export async function mustClaim(t: World, worker: TestWorker): Promise<Claim> {
  const claimed = await claim(t, worker);
  if (claimed === null) throw new Error("expected a message to claim");
  return claimed;
}

export async function complete(
  t: World,
  worker: TestWorker,
  claimed: Claim,
  text = "answer",
): Promise<boolean> {
  return await t.mutation(api.worker.complete, {
    credential: worker.credential,
    messageId: claimed.messageId,
    leaseId: claimed.leaseId,
    answer: { text },
    history: [
      { role: "user", content: claimed.payload.messageText },
      { role: "assistant", content: text },
    ],
  });
}

export async function fail(
  t: World,
  worker: TestWorker,
  claimed: Claim,
  errorKind: "retryable" | "permanent" = "retryable",
) {
  return await t.mutation(api.worker.fail, {
    credential: worker.credential,
    messageId: claimed.messageId,
    leaseId: claimed.leaseId,
    errorMessage: "the model is away",
    errorKind,
  });
}

export async function release(t: World, worker: TestWorker, claimed: Claim): Promise<boolean> {
  return await t.mutation(api.worker.release, {
    credential: worker.credential,
    messageId: claimed.messageId,
    leaseId: claimed.leaseId,
    reason: "deploy",
  });
}

export async function messageOf(t: World, messageId: Id<"messageQueue">): Promise<Doc<"messageQueue">> {
  const message = await t.run(async (ctx) => await ctx.db.get("messageQueue", messageId));
  if (message === null) throw new Error("no such message");
  return message;
}

export async function workerOf(t: World, workerId: string): Promise<Doc<"workers">> {
  const worker = await t.run(
    async (ctx) =>
      await ctx.db
        .query("workers")
        .withIndex("by_worker_id", (q) => q.eq("workerId", workerId))
        .unique(),
  );
  if (worker === null) throw new Error("no such worker");
  return worker;
}

export async function wakesOf(t: World, workerId: string): Promise<number> {
  return await t.run(async (ctx) => {
    const signals = await ctx.db
      .query("workerSignals")
      .withIndex("by_worker_id", (q) => q.eq("workerId", workerId))
      .unique();
    return signals?.wake ?? -1;
  });
}

/** Everything that the queue keeps beside the messages must agree with them. Throws with what does not. */
export async function expectConsistent(t: World): Promise<void> {
  const problems = await t.run(async (ctx) => {
    const found: string[] = [];
    const messages = await ctx.db.query("messageQueue").collect();
    const heads = await ctx.db.query("conversationHeads").collect();
    const counted = emptyTally();
    for (const row of await ctx.db.query("queueCounters").collect()) {
      for (const key of Object.keys(counted) as Array<keyof typeof counted>) counted[key] += row[key];
    }
    const count = (test: (message: Doc<"messageQueue">) => boolean) => messages.filter(test).length;
    const expected = {
      queued: count((m) => m.status === "queued"),
      delayed: count((m) => m.status === "queued" && m.delayed),
      processing: count((m) => m.status === "processing"),
      deadLetter: count((m) => m.status === "dead_letter"),
      headsReady: heads.filter((head) => head.state === "ready").length,
      headsLeased: heads.filter((head) => head.state === "leased").length,
    };
    if (JSON.stringify(expected) !== JSON.stringify(counted)) {
      found.push(`counters ${JSON.stringify(counted)}, rows say ${JSON.stringify(expected)}`);
    }
    for (const conversation of await ctx.db.query("conversations").collect()) {
      const own = messages.filter((message) => message.conversation === conversation._id);
      const running = own.filter((message) => message.status === "processing");
      const waiting = own.filter((message) => message.status === "queued").sort((a, b) => a.seq - b.seq);
      const ownHeads = heads.filter((head) => head.conversation === conversation._id);
      if (running.length > 1) found.push(`${conversation.conversationId} has ${running.length} live leases`);
      if (conversation.queuedCount !== waiting.length) {
        found.push(
          `${conversation.conversationId} counts ${conversation.queuedCount}, ${waiting.length} wait`,
        );
      }
      const first = running[0] ?? waiting[0];
      if (ownHeads.length !== (first === undefined ? 0 : 1)) {
        found.push(`${conversation.conversationId} has ${ownHeads.length} heads`);
      } else if (first !== undefined && ownHeads[0]?.message !== first._id) {
        found.push(`${conversation.conversationId}: the head is not the first in line`);
      }
    }
    for (const worker of await ctx.db.query("workers").collect()) {
      const held = count((m) => m.status === "processing" && m.workerId === worker.workerId);
      if (worker.load !== held) found.push(`${worker.workerId} has load ${worker.load} and ${held} leases`);
    }
    return found;
  });
  if (problems.length > 0) throw new Error(problems.join("\n"));
}
