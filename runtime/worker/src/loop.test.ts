import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Claim, Inbox } from "../../convex/validators.ts";
import { silentLog } from "../testing/log.ts";
import { BackendError, type WorkerBackend } from "./backend/backend.ts";
import { createOwnerGuard } from "./owner.ts";
import { type LoopOptions, runLoop } from "./loop.ts";

/** A loop whose turns end when the test says so; only the calls that the loop itself makes exist. */
function setUp(jobsMax = 2, overrides: Partial<WorkerBackend> = {}) {
  const calls: string[] = [];
  const queue: Claim[] = [];
  const hydrations = new Map<string, (error: Error) => void>();
  let onInbox: (inbox: Inbox) => void = () => undefined;
  let onError: (error: Error) => void = () => undefined;
  let inbox: Inbox = {
    wake: 0,
    draining: false,
    drainRemainingMs: null,
    cancelled: [],
    jobsPerWorker: 8,
    idleHeartbeatIntervalMs: 30_000,
  };
  const backend = {
    claim: () => {
      calls.push("claim");
      return Promise.resolve(queue.shift() ?? null);
    },
    // A turn waits here until the test ends it, then fails.
    getHydrationBundle: ({ messageId }: { messageId: string }) =>
      new Promise<never>((_resolve, reject) => hydrations.set(messageId, reject)),
    heartbeat: (lease: unknown) => {
      calls.push(lease === null ? "idle heartbeat" : "heartbeat");
      return Promise.resolve(true);
    },
    fail: () => {
      calls.push("fail");
      return Promise.resolve({ requeued: true, deadLettered: false, nextScheduledFor: null });
    },
    release: (_lease: unknown, reason: string) => {
      calls.push(`release:${reason}`);
      return Promise.resolve(true);
    },
    controlState: () => {
      calls.push("controlState");
      return Promise.resolve({ shouldStop: true, reason: "stopped", drainRemainingMs: null });
    },
    subscribeInbox: (inboxListener: typeof onInbox, errorListener: typeof onError) => {
      onInbox = inboxListener;
      onError = errorListener;
      return () => calls.push("unsubscribe");
    },
    reconnect: () => calls.push("reconnect"),
    ...overrides,
  } as unknown as WorkerBackend;
  const residents = {
    holds: () => null,
    evict: () => undefined,
  } as unknown as LoopOptions["turnDeps"]["residents"];
  const engine = {} as LoopOptions["turnDeps"]["engine"];
  const loop = runLoop({
    backend,
    turnDeps: {
      engine,
      residents,
      owner: createOwnerGuard({ wipe: () => Promise.resolve(), isSpent: () => false }),
      modelSees: false,
    },
    log: silentLog,
    jobsMax,
    drainTimeoutMs: 10_000,
  });
  return {
    calls,
    loop,
    show: async (change: Partial<Inbox>) => {
      inbox = { ...inbox, ...change };
      onInbox(inbox);
      await vi.advanceTimersByTimeAsync(0);
    },
    wake: async (times = 1) => {
      inbox = { ...inbox, wake: inbox.wake + times };
      onInbox(inbox);
      await vi.advanceTimersByTimeAsync(0);
    },
    breakSubscription: async (error: Error) => {
      onError(error);
      await vi.advanceTimersByTimeAsync(0);
    },
    offer: (...names: string[]) => queue.push(...names.map(claimOf)),
    endTurn: async (name: string) => {
      hydrations.get(name)?.(new BackendError("permanent", "ended by the test"));
      await vi.advanceTimersByTimeAsync(0);
    },
  };
}

function claimOf(name: string): Claim {
  return {
    messageId: name as Claim["messageId"],
    conversationId: `conversation of ${name}`,
    agentKey: "default",
    leaseId: `lease of ${name}`,
    leaseExpiresAt: 0,
    leaseMs: 45_000,
    heartbeatIntervalMs: 10_000,
    turnTimeoutMs: 300_000,
    dedication: "none",
    attempt: 1,
    maxAttempts: 5,
    payload: { provider: "telegram", providerUserId: "1", messageText: "hi" },
  };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("claiming", () => {
  test("the first inbox claims until there is no more", async () => {
    const world = setUp(4);
    world.offer("a", "b");
    await world.show({});
    expect(world.calls).toEqual(["claim", "claim", "claim"]);
    expect(world.loop.activeTurns()).toBe(2);
  });

  test("nothing is asked while nothing happens but two heartbeats a minute", async () => {
    const world = setUp();
    await world.show({});
    world.calls.length = 0;
    await vi.advanceTimersByTimeAsync(5 * 60_000);
    expect(world.calls).toEqual(Array(10).fill("idle heartbeat"));
  });

  test("a wake-up claims once, two wake-ups seen together claim twice", async () => {
    const world = setUp(4);
    await world.show({});
    world.calls.length = 0;
    world.offer("a", "b", "c");
    await world.wake();
    expect(world.calls).toEqual(["claim"]);
    await world.wake(2);
    expect(world.calls).toEqual(["claim", "claim", "claim"]);
  });

  test("never more turns than slots; a turn that ends claims the next", async () => {
    const world = setUp(2);
    world.offer("a", "b", "c");
    await world.show({});
    expect(world.loop.activeTurns()).toBe(2);
    await world.endTurn("a");
    expect(world.loop.activeTurns()).toBe(2);
    expect(world.calls.filter((call) => call === "claim")).toHaveLength(3);
  });

  test("the backend may lower the number of slots", async () => {
    const world = setUp(4);
    world.offer("a", "b", "c");
    await world.show({ jobsPerWorker: 1 });
    expect(world.loop.activeTurns()).toBe(1);
  });

  test("a claim whose answer got lost is repeated with the same key, later and later", async () => {
    const keys: string[] = [];
    const world = setUp(2, {
      claim: (key: string) => {
        keys.push(key);
        return keys.length <= 3
          ? Promise.reject(new BackendError("unknown", "timeout"))
          : Promise.resolve(null);
      },
    });
    await world.show({});
    expect(keys).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(500 + 1_000 + 2_000);
    expect(keys).toHaveLength(4);
    expect(new Set(keys).size).toBe(1);
  });
});

describe("leases", () => {
  test("every running turn is kept alive, and the idle heartbeat rests meanwhile", async () => {
    const world = setUp(2);
    world.offer("a", "b");
    await world.show({});
    world.calls.length = 0;
    await vi.advanceTimersByTimeAsync(30_000);
    expect(world.calls).toEqual(Array(6).fill("heartbeat"));
  });

  test("a cancelled message ends its own turn alone", async () => {
    const world = setUp(2);
    world.offer("a", "b");
    await world.show({});
    await world.show({ cancelled: ["a" as Claim["messageId"]] });
    await world.endTurn("a");
    expect(world.calls).toContain("release:cancelled");
    expect(world.loop.activeTurns()).toBe(1);
  });

  test("one heartbeat that had no answer makes the socket of the inbox suspect, until it is replaced", async () => {
    let reachable = false;
    const world = setUp(2, {
      heartbeat: () =>
        reachable ? Promise.resolve(true) : Promise.reject(new BackendError("unknown", "timeout")),
    });
    await world.show({});
    await vi.advanceTimersByTimeAsync(30_000);
    expect(world.calls).not.toContain("reconnect");
    reachable = true;
    await vi.advanceTimersByTimeAsync(120_000);
    expect(world.calls.filter((call) => call === "reconnect")).toHaveLength(1);
  });

  test("the first inbox after the socket was replaced claims until there is no more, woken or not", async () => {
    let reachable = true;
    const world = setUp(4, {
      heartbeat: () =>
        reachable ? Promise.resolve(true) : Promise.reject(new BackendError("unknown", "timeout")),
    });
    await world.show({});
    reachable = false;
    await vi.advanceTimersByTimeAsync(30_000);
    reachable = true;
    await vi.advanceTimersByTimeAsync(30_000);
    world.calls.length = 0;
    world.offer("a", "b");
    await world.show({});
    expect(world.loop.activeTurns()).toBe(2);
    await world.show({});
    expect(world.calls.filter((call) => call === "claim")).toHaveLength(3);
  });

  test("so does a claim that had no answer; one that was refused does not", async () => {
    const errors = [new BackendError("permanent", "refused"), new BackendError("unknown", "timeout")];
    const world = setUp(2, {
      claim: () => {
        const error = errors.shift();
        return error === undefined ? Promise.resolve(null) : Promise.reject(error);
      },
    });
    await world.show({});
    await vi.advanceTimersByTimeAsync(500);
    expect(world.calls).not.toContain("reconnect");
    await vi.advanceTimersByTimeAsync(1_000);
    expect(world.calls).toContain("reconnect");
  });

  test("a lease whose heartbeats do not get through is given up before it can have expired", async () => {
    const world = setUp(2, { heartbeat: () => Promise.reject(new BackendError("unknown", "timeout")) });
    world.offer("a");
    await world.show({});
    await vi.advanceTimersByTimeAsync(44_000);
    await world.endTurn("a");
    expect(world.calls).not.toContain("fail");
    expect(world.loop.activeTurns()).toBe(0);
  });
});

describe("draining", () => {
  test("claims nothing more, waits for its turns and stops", async () => {
    const world = setUp(2);
    world.offer("a");
    await world.show({});
    await world.show({ draining: true, drainRemainingMs: 60_000 });
    world.offer("b");
    await world.wake();
    await world.endTurn("a");
    expect(await world.loop.stopped).toBe("the backend drains this worker");
    expect(world.calls.filter((call) => call === "claim")).toHaveLength(2);
  });

  test("the backend's drain leaves a turn the time that it names, beyond the limit of a signal", async () => {
    const world = setUp(2);
    world.offer("a");
    await world.show({});
    await world.show({ draining: true, drainRemainingMs: 60_000 });
    await vi.advanceTimersByTimeAsync(50_000);
    expect(world.loop.activeTurns()).toBe(1);
    await world.endTurn("a");
    expect(world.calls).not.toContain("release:drain");
    await world.loop.stopped;
  });

  test("a signal amid the backend's drain leaves what a signal leaves", async () => {
    const world = setUp(2);
    world.offer("a");
    await world.show({});
    await world.show({ draining: true, drainRemainingMs: 60_000 });
    void world.loop.drain("SIGTERM");
    await vi.advanceTimersByTimeAsync(10_000);
    await world.endTurn("a");
    expect(world.calls).toContain("release:drain");
    await world.loop.stopped;
  });

  test("releases what is still running when its time is over", async () => {
    const world = setUp(2);
    world.offer("a");
    await world.show({});
    await world.show({ draining: true, drainRemainingMs: 2_000 });
    await vi.advanceTimersByTimeAsync(2_000);
    await world.endTurn("a");
    expect(world.calls).toContain("release:drain");
    await world.loop.stopped;
  });

  test("a claim that arrives after the drain began is given back at once", async () => {
    let grant: (claim: Claim) => void = () => undefined;
    const world = setUp(2, { claim: () => new Promise((resolve) => (grant = resolve)) });
    await world.show({});
    const drained = world.loop.drain("SIGTERM");
    grant(claimOf("late"));
    await drained;
    expect(world.calls).toContain("release:drain");
    expect(world.loop.activeTurns()).toBe(0);
  });

  test("ends within its limits even if a turn never does", async () => {
    const world = setUp(2);
    world.offer("a");
    await world.show({});
    void world.loop.drain("SIGTERM");
    await vi.advanceTimersByTimeAsync(15_000);
    expect(await world.loop.stopped).toBe("SIGTERM");
  });

  test("a worker that the backend no longer knows stops", async () => {
    const world = setUp();
    await world.show({});
    await world.breakSubscription(new BackendError("unauthorized", "Unknown worker or wrong token"));
    expect(await world.loop.stopped).toBe("the worker is no longer known");
  });

  test("an idle heartbeat that is refused asks why, and stops when told to", async () => {
    const world = setUp(2, { heartbeat: () => Promise.resolve(false) });
    await world.show({});
    await vi.advanceTimersByTimeAsync(30_000);
    expect(world.calls).toContain("controlState");
    expect(await world.loop.stopped).toBe("stopped");
  });
});
