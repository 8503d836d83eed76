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
  fail,
  fakeDeployment,
  messageOf,
  mustClaim,
  release,
  START,
  type TestWorker,
  wakesOf,
  type World,
} from "../testing/factory.setup.ts";

fakeDeployment();

async function wakes(t: World, ...workerIds: string[]): Promise<number[]> {
  return await Promise.all(workerIds.map((id) => wakesOf(t, id)));
}

async function checkWake(t: World, messageId: Id<"messageQueue">, tried: string[]): Promise<void> {
  const { conversation } = await messageOf(t, messageId);
  await t.mutation(internal.queue.wake.checkWake, { conversation, message: messageId, tried });
}

describe("a burst for one worker", () => {
  async function burst(t: World, from: number, count: number): Promise<void> {
    for (let i = from; i < from + count; i += 1) await enqueue(t, `burst${i}`);
  }

  test("writes its row once per free slot, not once per message", async () => {
    const t = await createWorld();
    await addWorker(t, "w1", { load: 1 });
    await burst(t, 0, 20);
    expect(await wakesOf(t, "w1")).toBe(3);
  });

  test("leaves nothing to the timers: what comes after a claim that found nothing wakes again", async () => {
    const t = await createWorld();
    const worker = await addWorker(t, "w1");
    await burst(t, 0, 2);
    const [first, second] = [await mustClaim(t, worker), await mustClaim(t, worker)];
    await complete(t, worker, first);
    await complete(t, worker, second);
    expect(await claim(t, worker)).toBeNull();
    for (let round = 1; round <= 5; round += 1) {
      await burst(t, round * 10, 1);
      expect(await wakesOf(t, "w1")).toBe(2 + round);
      await complete(t, worker, await mustClaim(t, worker));
    }
  });

  test("wakes again a worker that was full, or whose lease had ended while the reply was lost", async () => {
    const t = await createWorld();
    const worker = await addWorker(t, "w1", { slots: 1 });
    await burst(t, 0, 1);
    const lost = { credential: worker.credential, claimKey: "lost" };
    const claimed = await t.mutation(api.worker.claim, lost);
    if (claimed === null) throw new Error("nothing to claim");
    await t.run(async (ctx) => {
      const signals = await ctx.db.query("workerSignals").unique();
      if (signals !== null) await ctx.db.patch("workerSignals", signals._id, { wake: 2 });
    });
    // No room: the worker asks no more, and its second wake-up is answered.
    expect(await claim(t, worker)).toBeNull();
    await complete(t, worker, claimed);
    await burst(t, 10, 1);
    expect(await wakesOf(t, "w1")).toBe(3);
    // The same key again, after its turn has ended.
    expect(await t.mutation(api.worker.claim, lost)).toBeNull();
    await burst(t, 20, 1);
    expect(await wakesOf(t, "w1")).toBe(4);
  });

  test("is seen to by the timer even when the count of wake-ups is wrong", async () => {
    const t = await createWorld();
    await addWorker(t, "w1", { wakesAnswered: -10 });
    const message = await enqueue(t, "c1");
    const before = await wakesOf(t, "w1");
    await checkWake(t, message, []);
    expect(await wakesOf(t, "w1")).toBe(before + 1);
  });

  test("counts a wake-up that came while another worker took the message", async () => {
    const t = await createWorld();
    const w1 = await addWorker(t, "w1");
    await burst(t, 0, 4);
    const w2 = await addWorker(t, "w2");
    for (let i = 0; i < 4; i += 1) await mustClaim(t, w2);
    expect(await claim(t, w1)).toBeNull();
    await burst(t, 10, 1);
    expect(await wakesOf(t, "w1")).toBe(5);
  });
});

describe("a rollout's gate", () => {
  /** w1 holds the files of both conversations; the canary has just come up. */
  async function withCanary(): Promise<{ t: World; canary: TestWorker }> {
    const t = await createWorld();
    const w1 = await addWorker(t, "w1");
    for (const name of ["c1", "c2"]) {
      await enqueue(t, name);
      await complete(t, w1, await mustClaim(t, w1));
    }
    const canary = await addWorker(t, "canary", { canary: true });
    return { t, canary };
  }

  /** The worker fails the next message, which is due again after what `meanwhile` does. */
  async function failOn(
    t: World,
    worker: TestWorker,
    meanwhile = async (): Promise<void> => {},
  ): Promise<void> {
    const claimed = await mustClaim(t, worker);
    await fail(t, worker, claimed);
    await meanwhile();
    advance(1_200);
    await t.mutation(internal.queue.promote.promoteMessage, { messageId: claimed.messageId });
  }

  test("sees real turns: the canary is woken before the holder, until it has what the gate wants", async () => {
    const { t, canary } = await withCanary();
    const before = await wakesOf(t, "w1");
    for (let turn = 1; turn <= 3; turn += 1) {
      await enqueue(t, "c1");
      expect(await wakes(t, "w1", "canary")).toEqual([before, turn]);
      await complete(t, canary, await mustClaim(t, canary));
    }
    await enqueue(t, "c2");
    expect(await wakes(t, "w1", "canary")).toEqual([before + 1, 3]);
  });

  test("costs nobody two attempts: what has failed goes to a proven worker", async () => {
    const { t, canary } = await withCanary();
    const before = await wakesOf(t, "w1");
    await enqueue(t, "c1");
    await failOn(t, canary);
    expect(await wakes(t, "w1", "canary")).toEqual([before + 1, 1]);
  });

  test("a message that has failed still wakes the canary when nobody else has room", async () => {
    const { t, canary } = await withCanary();
    await enqueue(t, "c1");
    await failOn(t, canary, async () => {
      await t.run(async (ctx) => {
        for (const row of await ctx.db.query("workers").collect())
          if (!row.canary) await ctx.db.patch("workers", row._id, { state: "draining", hasFreeSlot: false });
      });
    });
    expect(await wakesOf(t, "canary")).toBe(2);
  });
});

describe("enqueue wakes at most one worker", () => {
  test("the holder of the conversation, though others are free", async () => {
    const t = await createWorld();
    const worker = await addWorker(t, "w1");
    await enqueue(t, "c1");
    await complete(t, worker, await mustClaim(t, worker));
    await addWorker(t, "w2", { lastHeartbeatAt: START + 1 });
    const before = await wakes(t, "w1", "w2");
    await enqueue(t, "c1");
    expect(await wakes(t, "w1", "w2")).toEqual([(before[0] ?? 0) + 1, before[1]]);
  });

  test("else the least loaded of those with a free slot", async () => {
    const t = await createWorld();
    await addWorker(t, "w1", { load: 3 });
    await addWorker(t, "w2", { load: 1 });
    await addWorker(t, "w3", { load: 2 });
    await enqueue(t, "c1");
    expect(await wakes(t, "w1", "w2", "w3")).toEqual([0, 1, 0]);
  });

  test("the one that may serve it, behind those that serve another agent", async () => {
    const t = await createWorld({ turn: { dedication: "agent" } });
    await addWorker(t, "idle");
    const others = ["w1", "w2", "w3", "w4", "w5"];
    for (const id of others)
      await addWorker(t, id, { load: 1, dedicatedTo: "another", lastHeartbeatAt: START + 1 });
    await enqueue(t, "c1");
    expect(await wakes(t, "idle", ...others)).toEqual([1, 0, 0, 0, 0, 0]);
  });

  test("another one when the holder is full, draining or silent", async () => {
    for (const holder of [
      { load: 4, hasFreeSlot: false },
      { state: "draining" as const, hasFreeSlot: false },
      { lastHeartbeatAt: START - 75_001 },
    ]) {
      const t = await createWorld();
      await addWorker(t, "w1", holder);
      await addWorker(t, "w2");
      await enqueue(t, "c1");
      await t.run(async (ctx) => {
        const row = await ctx.db.query("conversations").unique();
        if (row !== null) await ctx.db.patch("conversations", row._id, { lastWorkerId: "w1" });
      });
      const before = await wakes(t, "w1", "w2");
      const messageId = await t.run(async (ctx) => (await ctx.db.query("messageQueue").first())?._id);
      if (messageId === undefined) throw new Error("no message");
      await checkWake(t, messageId, []);
      expect(await wakes(t, "w1", "w2")).toEqual([before[0], (before[1] ?? 0) + 1]);
    }
  });

  test("the one that lives, behind 500 dead rows that claim to have a free slot", async () => {
    const t = await createWorld();
    await t.run(async (ctx) => {
      for (let i = 0; i < 500; i += 1) {
        await ctx.db.insert("workers", {
          workerId: `dead${i}`,
          state: "active",
          image: "x",
          configRevision: 1,
          load: 0,
          slots: 4,
          hasFreeSlot: true,
          canary: false,
          createdAt: START,
          readyAt: START,
          lastHeartbeatAt: START - 100_000,
          turnsDone: 0,
          turnsFailed: 0,
        });
      }
    });
    await addWorker(t, "alive");
    await enqueue(t, "c1");
    expect(await wakes(t, "alive")).toEqual([1]);
  });

  test("nobody for a message behind another one of its conversation: who serves that one goes on", async () => {
    const t = await createWorld();
    const worker = await addWorker(t, "w1");
    await enqueue(t, "c1");
    await mustClaim(t, worker);
    const before = await wakes(t, "w1");
    await enqueue(t, "c1");
    await enqueue(t, "c1");
    expect(await wakes(t, "w1")).toEqual(before);
  });
});

describe("a wake-up that leads to nothing", () => {
  test("wakes another one and the scaler after the grace", async () => {
    const t = await createWorld();
    await addWorker(t, "w1");
    await addWorker(t, "w2", { load: 1 });
    const messageId = await enqueue(t, "c1");
    expect(await wakes(t, "w1", "w2")).toEqual([1, 0]);
    advance(2_000);
    await checkWake(t, messageId, ["w1"]);
    expect(await wakes(t, "w1", "w2")).toEqual([1, 1]);
    const timer = await t.run(async (ctx) => await ctx.db.query("scalerTimer").first());
    expect(timer?.nextTickAt).not.toBeNull();
  });

  test("is forgotten once the message is claimed", async () => {
    const t = await createWorld();
    const worker = await addWorker(t, "w1");
    await addWorker(t, "w2");
    const messageId = await enqueue(t, "c1");
    await mustClaim(t, worker);
    const before = await wakes(t, "w1", "w2");
    await checkWake(t, messageId, ["w1"]);
    expect(await wakes(t, "w1", "w2")).toEqual(before);
  });

  test("ends after a bounded number of tries; the sweep finds what is left", async () => {
    const t = await createWorld();
    for (let i = 1; i <= 7; i += 1) await addWorker(t, `w${i}`);
    const messageId = await enqueue(t, "c1");
    const total = async () =>
      (await wakes(t, "w1", "w2", "w3", "w4", "w5", "w6", "w7")).reduce((a, b) => a + b);
    const before = await total();
    await checkWake(t, messageId, ["w1", "w2", "w3", "w4", "w5"]);
    expect(await total()).toBe(before);
    advance(4_000);
    expect(await t.mutation(internal.queue.sweep.sweepQueue, {})).toMatchObject({ woken: 1 });
    expect(await total()).toBe(before + 1);
  });
});

test("a released message wakes somebody else than the worker that drains", async () => {
  const t = await createWorld();
  const leaving = await addWorker(t, "w1");
  await enqueue(t, "c1");
  const claimed = await mustClaim(t, leaving);
  await addWorker(t, "w2");
  await t.run(async (ctx) => {
    const row = await ctx.db
      .query("workers")
      .withIndex("by_worker_id", (q) => q.eq("workerId", "w1"))
      .unique();
    if (row !== null) await ctx.db.patch("workers", row._id, { state: "draining", hasFreeSlot: false });
  });
  await release(t, leaving, claimed);
  expect(await wakes(t, "w2")).toEqual([1]);
});

test("an idle sweep writes and schedules nothing", async () => {
  const t = await createWorld();
  await addWorker(t, "w1");
  const scheduled = async () =>
    await t.run(async (ctx) => (await ctx.db.system.query("_scheduled_functions").collect()).length);
  const before = await scheduled();
  expect(await t.mutation(internal.queue.sweep.sweepQueue, {})).toEqual({
    promoted: 0,
    woken: 0,
    leasesExpired: false,
  });
  expect(await scheduled()).toBe(before);
});

describe("the inbox", () => {
  test("shows wake-ups, drains and cancelled turns", async () => {
    const t = await createWorld();
    const worker = await addWorker(t, "w1");
    const inbox = async () => await t.query(api.worker.inbox, { credential: worker.credential });
    expect(await inbox()).toEqual({
      wake: 0,
      draining: false,
      drainRemainingMs: null,
      cancelled: [],
      jobsPerWorker: 4,
      idleHeartbeatIntervalMs: 30_000,
    });
    const messageId = await enqueue(t, "c1");
    expect((await inbox()).wake).toBe(1);
    await mustClaim(t, worker);
    await t.mutation(internal.factory.cancelMessage, { messageId });
    expect((await inbox()).cancelled).toEqual([messageId]);
    await t.run(async (ctx) => {
      const row = await ctx.db.query("workerSignals").unique();
      if (row !== null) {
        await ctx.db.patch("workerSignals", row._id, { draining: true, drainDeadlineAt: START + 60_000 });
      }
    });
    expect(await inbox()).toMatchObject({ draining: true, drainRemainingMs: 60_000 });
  });

  test("reads nothing that a heartbeat writes", async () => {
    const t = await createWorld();
    const worker = await addWorker(t, "w1");
    // Without its row in `workers`, the subscription still answers: it never looked there.
    await t.run(async (ctx) => {
      const row = await ctx.db.query("workers").unique();
      if (row !== null) await ctx.db.delete("workers", row._id);
    });
    expect(await t.query(api.worker.inbox, { credential: worker.credential })).toMatchObject({ wake: 0 });
    expect(await claim(t, worker).catch((error: Error) => error.message)).toContain("Unknown worker");
  });
});

describe("controlState", () => {
  test.each([
    ["active", {}, { shouldStop: false, reason: "none" }],
    ["draining", { state: "draining" as const }, { shouldStop: true, reason: "draining" }],
    ["stopping", { state: "stopping" as const }, { shouldStop: true, reason: "stopped" }],
    ["idle past its time", { scheduledShutdownAt: START }, { shouldStop: true, reason: "overdue" }],
    ["busy past its time", { scheduledShutdownAt: START, load: 1 }, { shouldStop: false, reason: "none" }],
  ])("of a worker that is %s", async (_, changes, expected) => {
    const t = await createWorld();
    const worker = await addWorker(t, "w1", changes);
    expect(await t.query(api.worker.controlState, { credential: worker.credential })).toMatchObject(expected);
  });
});
