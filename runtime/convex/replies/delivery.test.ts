import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { internal } from "../_generated/api.js";
import {
  API_URL,
  fakeTelegram,
  NOW,
  openWorld,
  pass,
  settle,
  SHARED_REF,
  SHARED_TOKEN,
  type World,
} from "../testing/channels.fixture.ts";
import type { Answer, Destination } from "../validators.ts";
import { storeAnswer, storeNotice } from "./outbox.ts";

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const chat = (chatId: string): Destination => ({ kind: "telegram", botSecretRef: SHARED_REF, chatId });

/** Stores an answer as `complete` does: with its message, in one transaction. */
async function answer(
  t: World,
  conversationId: string,
  text: string,
  more: Partial<Answer> = {},
): Promise<void> {
  await t.run(async (ctx) => {
    const conversation = await ctx.db.insert("conversations", {
      conversationId,
      agentKey: "default",
      nextSeq: 1,
      nextHistorySeq: 0,
      queuedCount: 0,
    });
    const id = await ctx.db.insert("messageQueue", {
      conversation,
      conversationId,
      agentKey: "default",
      seq: 0,
      status: "done",
      payload: { provider: "telegram", providerUserId: "1", messageText: "?" },
      destination: chat(conversationId),
      priority: 50,
      dueAt: Date.now(),
      delayed: false,
      attempts: 1,
      maxAttempts: 5,
    });
    const message = await ctx.db.get("messageQueue", id);
    if (message === null) throw new Error("no message");
    await storeAnswer(ctx, message, { text, ...more });
  });
}

const partsOf = (t: World) => t.run((ctx) => ctx.db.query("outbox").collect());
const statesOf = async (t: World): Promise<string[]> => (await partsOf(t)).map(({ state }) => state);
const refused = (status: number, description: string, parameters?: Record<string, unknown>) => ({
  status,
  json: { ok: false, error_code: status, description, parameters },
});

describe("an answer", () => {
  test("is sent in order, part by part, with the bot's own token", async () => {
    const t = await openWorld();
    const telegram = fakeTelegram();
    await answer(t, "42", `${"a".repeat(3_000)}\n\n${"b".repeat(3_000)}`);
    await settle(t);
    expect(telegram.texts()).toEqual(["a".repeat(3_000), "b".repeat(3_000)]);
    expect(telegram.calls.map(({ token }) => token)).toEqual([SHARED_TOKEN, SHARED_TOKEN]);
    expect(await partsOf(t)).toMatchObject([
      { state: "sent", telegramMessageId: 1, attempts: 1 },
      { state: "sent", telegramMessageId: 2, attempts: 1 },
    ]);
  });

  test("goes to its topic and quotes the message once", async () => {
    const t = await openWorld();
    const telegram = fakeTelegram();
    await t.run(async (ctx) => {
      const destination = { ...chat("-100"), threadId: 7, replyToMessageId: 99 } as Destination;
      await storeNotice(ctx, {
        conversation: { conversationId: "c" },
        destination,
        text: "x ".repeat(3_000),
        reason: "test",
      });
    });
    await settle(t);
    expect(telegram.calls.map(({ body }) => [body["message_thread_id"], body["reply_parameters"]])).toEqual([
      [7, { message_id: 99, allow_sending_without_reply: true }],
      [7, undefined],
    ]);
  });

  test("refused as HTML goes once more as plain text, without a second model run", async () => {
    const t = await openWorld();
    const telegram = fakeTelegram((_call, index) =>
      index === 0 ? refused(400, "Bad Request: can't parse entities: Unsupported start tag") : null,
    );
    await answer(t, "42", "**hello** <there>");
    await settle(t);
    expect(telegram.calls.map(({ body }) => [body["text"], body["parse_mode"]])).toEqual([
      ["<b>hello</b> &lt;there&gt;", "HTML"],
      ["hello <there>", undefined],
    ]);
    expect(await statesOf(t)).toEqual(["sent"]);
  });

  test("told to wait waits as long as Telegram says, and nothing overtakes it", async () => {
    const t = await openWorld();
    const seen: number[] = [];
    const telegram = fakeTelegram((_call, index) => {
      seen.push(Date.now() - NOW);
      return index === 0 ? refused(429, "Too Many Requests: retry after 30", { retry_after: 30 }) : null;
    });
    await answer(t, "42", "first");
    await pass(t, 2_000);
    await t.run(async (ctx) => {
      await storeNotice(ctx, {
        conversation: { conversationId: "42" },
        destination: chat("42"),
        text: "second",
        reason: "test",
      });
    });
    await settle(t);
    expect(telegram.texts()).toEqual(["first", "first", "second"]);
    expect(seen[1]).toBeGreaterThanOrEqual(30_000);
    expect(seen[1]).toBeLessThan(35_000);
  });

  test("stored while an earlier one is being sent follows as soon as that has ended", async () => {
    const t = await openWorld();
    const { promise, resolve } = Promise.withResolvers<void>();
    const sent: string[] = [];
    vi.stubGlobal("fetch", async (_url: string, init: RequestInit) => {
      sent.push((JSON.parse(init.body as string) as { text: string }).text);
      if (sent.length === 1) await promise;
      return new Response(JSON.stringify({ ok: true, result: { message_id: sent.length } }));
    });
    await answer(t, "42", "first");
    vi.advanceTimersByTime(1);
    await vi.waitUntil(() => sent.length === 1);
    await t.run(async (ctx) => {
      await storeNotice(ctx, {
        conversation: { conversationId: "42" },
        destination: chat("42"),
        text: "second",
        reason: "test",
      });
    });
    vi.advanceTimersByTime(1);
    // Whatever that has started gets its turn before the first send ends.
    for (let turn = 0; turn < 20; turn += 1) await t.run(async () => null);
    resolve();
    await t.finishInProgressScheduledFunctions();
    expect(sent).toEqual(["first", "second"]);
    await settle(t);
  });

  test("of another conversation does not wait for the one that waits", async () => {
    const t = await openWorld();
    const telegram = fakeTelegram(({ body }, index) =>
      index < 3 && body["chat_id"] === "1" ? refused(429, "Too Many Requests", { retry_after: 600 }) : null,
    );
    await answer(t, "1", "blocked");
    await answer(t, "2", "free");
    await pass(t, 1_000);
    expect(telegram.texts()).toContain("free");
    expect(await statesOf(t)).toEqual(["pending", "sent"]);
    await settle(t);
  });

  test("whose outcome is not known is listed and never sent again; the next part goes on", async () => {
    const t = await openWorld();
    const telegram = fakeTelegram((_call, index) =>
      index === 0 ? { fail: new TypeError("socket hang up") } : null,
    );
    await answer(t, "42", `${"a".repeat(3_000)}\n\n${"b".repeat(3_000)}`);
    await settle(t);
    expect(telegram.calls).toHaveLength(2);
    expect(await statesOf(t)).toEqual(["unknown", "sent"]);
    const listed = await t.query(internal.replies.deliveries.listDeliveries, { state: "unknown" });
    expect(listed).toMatchObject([{ conversationId: "42", lastError: "the connection to Telegram broke" }]);
  });

  test("a 5xx may have been carried out: unknown", async () => {
    const t = await openWorld();
    fakeTelegram(() => refused(500, "Internal Server Error"));
    await answer(t, "42", "x");
    await settle(t);
    expect(await statesOf(t)).toEqual(["unknown"]);
  });

  test("that never left is tried again until it does", async () => {
    const t = await openWorld();
    const failure = new TypeError("fetch failed", {
      cause: Object.assign(new Error("connect"), { code: "ECONNREFUSED" }),
    });
    const telegram = fakeTelegram((_call, index) => (index < 3 ? { fail: failure } : null));
    await answer(t, "42", "x");
    await settle(t);
    expect(telegram.calls).toHaveLength(4);
    expect(await statesOf(t)).toEqual(["sent"]);
  });

  test("to somebody who blocked the bot fails for good, with all that waits, and the chat is marked", async () => {
    const t = await openWorld();
    const telegram = fakeTelegram(() => refused(403, "Forbidden: bot was blocked by the user"));
    await answer(t, "42", `${"a".repeat(3_000)}\n\n${"b".repeat(3_000)}`);
    await settle(t);
    expect(telegram.calls).toHaveLength(1);
    expect(await partsOf(t)).toMatchObject([
      { state: "failed", unreachable: true },
      { state: "failed", unreachable: true },
    ]);
    expect(await t.run((ctx) => ctx.db.query("telegramChats").first())).toMatchObject({
      chatId: "42",
      unreachableSince: expect.any(Number),
    });
  });

  test("without a bot token waits for one and fails in the end", async () => {
    const t = await openWorld();
    const telegram = fakeTelegram();
    await t.run(async (ctx) => {
      const destination: Destination = {
        kind: "telegram",
        botSecretRef: "telegram.botToken.none",
        chatId: "1",
      };
      await storeNotice(ctx, {
        conversation: { conversationId: "c" },
        destination,
        text: "x",
        reason: "test",
      });
    });
    await settle(t);
    expect(telegram.calls).toEqual([]);
    expect(await partsOf(t)).toMatchObject([
      {
        state: "failed",
        lastError: "Missing Telegram token. Import an active 'telegram.botToken.none' secret.",
      },
    ]);
  });

  test("for the API or for nobody leaves the outbox empty", async () => {
    const t = await openWorld();
    fakeTelegram();
    await t.run(async (ctx) => {
      for (const destination of [null, { kind: "api" } as const]) {
        await storeNotice(ctx, {
          conversation: { conversationId: "c" },
          destination,
          text: "x",
          reason: "test",
        });
      }
    });
    expect(await partsOf(t)).toEqual([]);
  });

  test("files follow the text: images as photos, the rest as documents", async () => {
    const t = await openWorld();
    const telegram = fakeTelegram((call) =>
      call.method === "sendPhoto" ? refused(400, "Bad Request: PHOTO_INVALID_DIMENSIONS") : null,
    );
    const storageId = await t.run((ctx) => ctx.storage.store(new Blob(["data"])));
    await answer(t, "42", "see", {
      files: [
        { storageId, fileName: "a.png", mimeType: "image/png" },
        { storageId, fileName: "b.pdf", mimeType: "application/pdf" },
      ],
    });
    await settle(t);
    expect(telegram.calls.map(({ method }) => method)).toEqual([
      "sendMessage",
      "sendPhoto",
      "sendDocument",
      "sendDocument",
    ]);
    expect(await statesOf(t)).toEqual(["sent", "sent", "sent"]);
  });
});

describe("a sender that dies", () => {
  test("after announcing a part leaves it unknown, and the rest goes on", async () => {
    const t = await openWorld();
    const telegram = fakeTelegram();
    await answer(t, "42", `${"a".repeat(3_000)}\n\n${"b".repeat(3_000)}`);
    // The action takes the part and is never heard of again.
    const lane = await t.run((ctx) => ctx.db.query("outboxLanes").first());
    if (lane === null) throw new Error("no lane");
    const job = await t.mutation(internal.replies.delivery.step, {
      laneId: lane._id,
      run: lane.run,
      finished: null,
      last: false,
    });
    expect(job?.apiUrl).toBe(API_URL);
    await settle(t);
    expect(telegram.texts()).toEqual(["b".repeat(3_000)]);
    expect(await statesOf(t)).toEqual(["unknown", "sent"]);
  });

  test("and reports late still corrects the record, once", async () => {
    const t = await openWorld();
    fakeTelegram();
    await answer(t, "42", "a");
    const lane = await t.run((ctx) => ctx.db.query("outboxLanes").first());
    if (lane === null) throw new Error("no lane");
    const step = { laneId: lane._id, run: lane.run, last: false };
    const job = await t.mutation(internal.replies.delivery.step, { ...step, finished: null });
    if (job === null) throw new Error("no job");
    await settle(t);
    expect(await statesOf(t)).toEqual(["unknown"]);
    const finished = {
      partId: job.partId,
      attempt: job.attempt,
      outcome: { kind: "sent" as const, telegramMessageId: 5 },
    };
    expect(await t.mutation(internal.replies.delivery.step, { ...step, finished })).toBeNull();
    expect(await partsOf(t)).toMatchObject([{ state: "sent", telegramMessageId: 5, attempts: 1 }]);
  });

  test("before it began is replaced", async () => {
    const t = await openWorld();
    const telegram = fakeTelegram();
    await answer(t, "42", "a");
    // The platform loses the scheduled action; only the watchdog remains.
    await t.run(async (ctx) => {
      const scheduled = await ctx.db.system.query("_scheduled_functions").collect();
      for (const { _id, name } of scheduled)
        if (name.includes("deliverLane")) await ctx.scheduler.cancel(_id);
    });
    await pass(t, 20_000);
    expect(telegram.calls).toEqual([]);
    await settle(t);
    expect(telegram.texts()).toEqual(["a"]);
  });

  test("an older run changes nothing any more", async () => {
    const t = await openWorld();
    fakeTelegram();
    await answer(t, "42", "a");
    const lane = await t.run((ctx) => ctx.db.query("outboxLanes").first());
    if (lane === null) throw new Error("no lane");
    const job = await t.mutation(internal.replies.delivery.step, {
      laneId: lane._id,
      run: lane.run - 1,
      finished: null,
      last: false,
    });
    expect(job).toBeNull();
    expect(await statesOf(t)).toEqual(["pending"]);
    await settle(t);
  });
});

test("no error text, row or log carries the token", async () => {
  const t = await openWorld();
  const logged: string[] = [];
  vi.spyOn(console, "error").mockImplementation((...words: unknown[]) => void logged.push(words.join(" ")));
  fakeTelegram((call) => ({
    fail: new TypeError(`failed to fetch ${API_URL}/bot${call.token}/sendMessage`),
  }));
  await answer(t, "42", "a");
  await settle(t);
  expect(JSON.stringify(await partsOf(t)) + logged.join()).not.toContain(SHARED_TOKEN);
});
