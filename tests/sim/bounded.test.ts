/** Invariant 7: what a call reads does not depend on how much waits, on what is locked, or on dead workers. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { sha256Hex } from "../../runtime/convex/secrets/digest.ts";
import type { Claim } from "../../runtime/convex/validators.ts";
import { Backend } from "./backend.ts";

const START = 1_800_000_000_000;
/** design.md's target. */
const READS_MAX = 15;
const DEAD_WORKERS = 500;

beforeEach(() => {
  vi.useFakeTimers({ now: START });
});
afterEach(() => {
  vi.useRealTimers();
});

type Shape = "every message in a conversation of its own" | "all behind one locked conversation";

const credential = { workerId: "w1", token: "token-w1" };

async function addWorker(
  backend: Backend,
  workerId: string,
  changes: Record<string, unknown>,
): Promise<void> {
  const tokenHash = await sha256Hex(`token-${workerId}`);
  await backend.db.transact(async () => {
    backend.db.insert("workers", {
      workerId,
      state: "active",
      tokenHash,
      image: "image",
      configRevision: 1,
      load: 0,
      slots: 8,
      hasFreeSlot: true,
      canary: false,
      createdAt: START,
      readyAt: START,
      lastHeartbeatAt: START,
      turnsDone: 0,
      turnsFailed: 0,
      ...changes,
    });
    backend.db.insert("workerSignals", { workerId, wake: 0, draining: false, cancelled: [], tokenHash });
  });
}

async function enqueue(backend: Backend, conversationId: string): Promise<void> {
  await backend.call("queue/enqueue:enqueue", {
    conversationId,
    agentKey: "support",
    payload: { provider: "telegram", providerUserId: "7", messageText: "hi" },
  });
}

async function setUp(shape: Shape, backlog: number): Promise<Backend> {
  const backend = new Backend();
  await backend.call("config/apply:applyRuntimeConfig", {
    config: {
      provider: {
        appName: "app",
        organizationSlug: "org",
        image: `registry.fly.io/app@sha256:${"a".repeat(64)}`,
        regions: ["fra"],
      },
      queue: { conversationBacklogMax: 100_000 },
    },
    expectedRevision: null,
    owner: "agent-factory/sim",
    actor: "sim",
  });
  await backend.call("hydration/agents:configureAgent", {
    agentKey: "support",
    version: "1",
    soulMd: "You help.",
    skills: [],
    secretsRef: [],
    enabled: true,
  });
  for (let i = 0; i < DEAD_WORKERS; i += 1) {
    await addWorker(backend, `dead${i}`, { lastHeartbeatAt: START - 86_400_000 });
  }
  await addWorker(backend, "w1", {});
  if (shape === "all behind one locked conversation") {
    await enqueue(backend, "locked");
    await backend.call("worker:claim", { credential, claimKey: "lock" });
  }
  for (let i = 0; i < backlog; i += 1) {
    await enqueue(backend, shape === "all behind one locked conversation" ? "locked" : `c${i}`);
  }
  await enqueue(backend, "free");
  return backend;
}

/** Documents read by each call of a message's way through the queue. */
async function readsPerCall(backend: Backend): Promise<Record<string, number>> {
  const reads: Record<string, number> = {};
  const call = async <T>(name: string, path: string, args: Record<string, unknown>): Promise<T> => {
    const result = await backend.call<T>(path, args);
    reads[name] = backend.lastUsage.documentsRead;
    return result;
  };
  await call("enqueue", "queue/enqueue:enqueue", {
    conversationId: "free",
    agentKey: "support",
    payload: { provider: "telegram", providerUserId: "7", messageText: "hi", externalMessageId: "u1" },
  });
  let keys = 0;
  const claim = async (): Promise<{ messageId: string; leaseId: string }> => {
    keys += 1;
    const claimed = await call<Claim | null>("claim", "worker:claim", { credential, claimKey: `k${keys}` });
    if (claimed === null) throw new Error("nothing to claim");
    return { messageId: claimed.messageId, leaseId: claimed.leaseId };
  };
  const first = await claim();
  await call("heartbeat", "worker:heartbeat", { credential, ...first });
  await call("complete", "worker:complete", { credential, ...first, answer: { text: "a" }, history: [] });
  await call("fail", "worker:fail", { credential, ...(await claim()), errorMessage: "away" });
  return reads;
}

describe.each<Shape>(["every message in a conversation of its own", "all behind one locked conversation"])(
  "%s, and 500 dead workers",
  (shape) => {
    test("a backlog of 1,000 costs what a backlog of 10 costs, at most 15 documents a call", async () => {
      const small = await readsPerCall(await setUp(shape, 10));
      const large = await readsPerCall(await setUp(shape, 1_000));
      expect(large).toEqual(small);
      expect(Math.max(...Object.values(large))).toBeLessThanOrEqual(READS_MAX);
    });
  },
);

test("a turn ends at the same cost whether 10 or 1,000 messages wait behind it", async () => {
  const costs: number[] = [];
  for (const backlog of [10, 1_000]) {
    const backend = await setUp("all behind one locked conversation", backlog);
    const running = backend.db.all("messageQueue").find((message) => message["status"] === "processing");
    const lease = { messageId: running?._id, leaseId: running?.["leaseId"] };
    const answer = { text: "a" };
    expect(await backend.call("worker:complete", { credential, ...lease, answer, history: [] })).toBe(true);
    costs.push(backend.lastUsage.documentsRead);
  }
  expect(costs[1]).toBe(costs[0]);
  expect(costs[1]).toBeLessThanOrEqual(READS_MAX);
});

test("waking one of 100 free workers, among 500 that died with a free slot, reads a handful of them", async () => {
  const backend = await setUp("every message in a conversation of its own", 1);
  for (let i = 0; i < 100; i += 1) await addWorker(backend, `free${i}`, {});
  const wakes = (): number =>
    backend.db.all("workerSignals").reduce((sum, signals) => sum + Number(signals["wake"]), 0);
  const before = wakes();
  await enqueue(backend, "another");
  expect(backend.lastUsage.documentsRead).toBeLessThanOrEqual(READS_MAX);
  expect(wakes()).toBe(before + 1);
});
