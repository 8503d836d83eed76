/** Lanes whose timers are gone: a restored backup holds no scheduled functions, and a deploy may rename them. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { internal } from "../_generated/api.js";
import {
  fakeTelegram,
  NOW,
  openWorld,
  pass,
  settle,
  SHARED_REF,
  type World,
} from "../testing/channels.fixture.ts";
import type { Destination } from "../validators.ts";
import { storeNotice } from "./outbox.ts";

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const destination: Destination = { kind: "telegram", botSecretRef: SHARED_REF, chatId: "42" };
const say = (t: World, text: string) =>
  t.run((ctx) =>
    storeNotice(ctx, { conversation: { conversationId: "c" }, destination, text, reason: "command" }),
  );
const statesOf = async (t: World) =>
  (await t.run((ctx) => ctx.db.query("outbox").collect())).map(({ state }) => state);

async function loseTimers(t: World): Promise<void> {
  await t.run(async (ctx) => {
    for (const job of await ctx.db.system.query("_scheduled_functions").collect()) {
      if (job.state.kind === "pending") await ctx.scheduler.cancel(job._id);
    }
  });
}

async function announce(t: World) {
  const lane = await t.run((ctx) => ctx.db.query("outboxLanes").first());
  if (lane === null) throw new Error("no lane");
  const step = { laneId: lane._id, run: lane.run, finished: null, last: false };
  await t.mutation(internal.replies.delivery.step, step);
}

const sweep = (t: World) => t.mutation(internal.replies.sweep.sweepLanes, {});

describe("a lane whose timers are gone", () => {
  test("is taken up by the sweep: what was announced is unknown, the rest is sent", async () => {
    const t = await openWorld();
    const telegram = fakeTelegram();
    await say(t, "one");
    await say(t, "two");
    await announce(t);
    await loseTimers(t);
    await pass(t, 10 * 60_000);
    expect([await statesOf(t), telegram.texts()]).toEqual([["sending", "pending"], []]);
    expect(await sweep(t)).toEqual({ resumed: 1 });
    await settle(t);
    expect([await statesOf(t), telegram.texts()]).toEqual([["unknown", "sent"], ["two"]]);
    expect(await sweep(t)).toEqual({ resumed: 0 });
  });

  test("is taken up by the next thing that is said in it", async () => {
    const t = await openWorld();
    const telegram = fakeTelegram();
    await say(t, "one");
    await loseTimers(t);
    await pass(t, 10 * 60_000);
    await say(t, "two");
    await settle(t);
    expect(telegram.texts()).toEqual(["one", "two"]);
  });

  test("and that waited for Telegram is woken by the sweep", async () => {
    const t = await openWorld();
    const telegram = fakeTelegram((_call, index) =>
      index === 0
        ? {
            status: 429,
            json: { ok: false, error_code: 429, description: "wait", parameters: { retry_after: 30 } },
          }
        : null,
    );
    await say(t, "one");
    await pass(t, 1_000);
    expect(telegram.calls).toHaveLength(1);
    await loseTimers(t);
    await pass(t, 60_000);
    expect(await sweep(t)).toEqual({ resumed: 0 });
    await pass(t, 60_000);
    expect(await sweep(t)).toEqual({ resumed: 1 });
    await settle(t);
    expect(await statesOf(t)).toEqual(["sent"]);
  });

  test("while a lane whose timers are well is left alone", async () => {
    const t = await openWorld();
    fakeTelegram();
    await say(t, "one");
    await announce(t);
    await pass(t, 30_000);
    expect(await sweep(t)).toEqual({ resumed: 0 });
    await settle(t);
  });
});

test("old deliveries are deleted by one run at a time, however many kinds are left", async () => {
  const t = await openWorld();
  const states = ["sent", "failed", "unknown", "cancelled"] as const;
  await t.run(async (ctx) => {
    for (const state of states) {
      for (let seq = 0; seq < 150; seq += 1) {
        await ctx.db.insert("outbox", {
          lane: "c",
          seq,
          conversationId: "c",
          reason: "command",
          destination,
          content: { kind: "text", html: "x", plain: "x" },
          state,
          fallbacks: { plainText: false, withoutThread: false, asDocument: false },
          attempts: 1,
          createdAt: 1,
          nextAttemptAt: 1,
          finishedAt: 1,
        });
      }
    }
  });
  await t.mutation(internal.replies.deliveries.pruneOutbox, {});
  const scheduled = await t.run((ctx) => ctx.db.system.query("_scheduled_functions").collect());
  expect(scheduled.filter(({ name }) => name.includes("pruneOutbox"))).toHaveLength(1);
  await settle(t);
  expect(await statesOf(t)).toEqual([]);
});
