import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { internal } from "../_generated/api.js";
import { enqueueMessage } from "../queue/enqueue.ts";
import { addWorker, complete, expectConsistent, messageOf, mustClaim } from "../testing/factory.setup.ts";
import {
  deliver,
  fakeTelegram,
  messageUpdate,
  NOW,
  elapse,
  openWorld,
  pass,
  type World,
} from "../testing/channels.fixture.ts";

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
  fakeTelegram();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const FRESH = "A fresh conversation begins. What was said before is left behind.";
const statusesOf = (t: World) =>
  t.run(async (ctx) => (await ctx.db.query("messageQueue").collect()).map(({ status }) => status));
const say = async (t: World, ...texts: string[]): Promise<void> => {
  for (const text of texts) await deliver(t, { body: messageUpdate(text) });
};
const repliesOf = (t: World) =>
  t.run(async (ctx) =>
    (await ctx.db.query("outbox").collect()).map(({ lane, content }) => ({
      lane,
      text: content.kind === "text" ? content.plain : "[file]",
    })),
  );

/** A message that a schedule or an app put into the person's conversation. */
async function push(t: World, source: string, scheduledFor?: number): Promise<void> {
  await t.run((ctx) =>
    enqueueMessage(ctx, {
      conversationId: "telegram:900:42",
      agentKey: "default",
      payload: { provider: "telegram", providerUserId: "42", messageText: "good morning" },
      destination: null,
      source,
      scheduledFor,
    }),
  );
}

describe("/stop", () => {
  test("asks the worker to abort the running turn, and leaves what waits behind it", async () => {
    const t = await openWorld();
    const worker = await addWorker(t);
    await say(t, "long work", "and then this");
    const { messageId } = await mustClaim(t, worker);
    await say(t, "/stop");
    expect((await messageOf(t, messageId)).cancelRequestedAt).toBe(NOW);
    const signals = await t.run((ctx) => ctx.db.query("workerSignals").first());
    expect(signals?.cancelled).toEqual([messageId]);
    expect(await statusesOf(t)).toEqual(["processing", "queued"]);
    expect(await repliesOf(t)).toEqual([{ lane: "telegram:900:42#control", text: "Stopped." }]);
  });

  test("the answer of a stopped turn reaches nobody", async () => {
    const t = await openWorld();
    const worker = await addWorker(t);
    await say(t, "long work");
    const claimed = await mustClaim(t, worker);
    await say(t, "/stop");
    await complete(t, worker, claimed, "too late");
    expect((await repliesOf(t)).map(({ text }) => text)).toEqual(["Stopped."]);
    expect(await statusesOf(t)).toEqual(["cancelled"]);
  });

  test("does not take away what is scheduled for later", async () => {
    const t = await openWorld();
    await push(t, "broadcast", NOW + 60_000);
    await say(t, "/stop");
    expect(await statusesOf(t)).toEqual(["queued"]);
    expect((await repliesOf(t))[0]?.text).toBe("Nothing is running.");
  });
});

describe("/new", () => {
  test("drops everything that the person still had waiting, stops the turn, and says how much", async () => {
    const t = await openWorld();
    const worker = await addWorker(t);
    await say(t, "one", "two", "three");
    await mustClaim(t, worker);
    await say(t, "/new", "four");
    expect(await statusesOf(t)).toEqual(["processing", "cancelled", "cancelled", "queued"]);
    const [running] = await t.run((ctx) => ctx.db.query("messageQueue").collect());
    expect(running?.cancelRequestedAt).toBe(NOW);
    expect((await repliesOf(t))[0]?.text).toBe(`${FRESH} 3 messages will not be answered any more.`);
    await expectConsistent(t);
  });

  test("with nothing waiting says only that a conversation begins", async () => {
    const t = await openWorld();
    await say(t, "/new");
    expect((await repliesOf(t))[0]?.text).toBe(FRESH);
  });

  test("leaves pushes and an app's messages in line: they are not the person's to drop", async () => {
    const t = await openWorld();
    await say(t, "one");
    await push(t, "schedule");
    await push(t, "api:key");
    await push(t, "broadcast", NOW + 60_000);
    await say(t, "/new");
    expect(await statusesOf(t)).toEqual(["cancelled", "queued", "queued", "queued"]);
    await expectConsistent(t);
    expect((await mustClaim(t, await addWorker(t))).payload.messageText).toBe("good morning");
  });

  test("drops a flood to its last message, and none of them runs meanwhile", async () => {
    const t = await openWorld();
    const worker = await addWorker(t);
    await say(t, ...Array.from({ length: 70 }, (_, index) => `line ${index}`));
    await say(t, "/new", "after");
    expect((await repliesOf(t))[0]?.text).toBe(
      `${FRESH} More than 25 messages will not be answered any more.`,
    );
    for (let round = 0; round < 4; round += 1) await pass(t, 1);
    const statuses = await statusesOf(t);
    expect(statuses.filter((status) => status === "cancelled")).toHaveLength(70);
    expect((await mustClaim(t, worker)).payload.messageText).toBe("after");
    await expectConsistent(t);
  });

  test("finds what waits behind a batch of pushes", async () => {
    const t = await openWorld();
    await say(t, ...Array.from({ length: 30 }, (_, index) => `line ${index}`));
    for (let index = 0; index < 30; index += 1) await push(t, "schedule");
    await say(t, "/new");
    for (let round = 0; round < 4; round += 1) await pass(t, 1);
    const statuses = await statusesOf(t);
    expect(statuses.slice(0, 30).every((status) => status === "cancelled")).toBe(true);
    expect(statuses.slice(30).every((status) => status === "queued")).toBe(true);
    await expectConsistent(t);
  });

  test("in one topic of a group leaves the others alone", async () => {
    const t = await openWorld();
    const topic = (id: number) => ({
      chat: { id: -100, type: "supergroup" },
      is_topic_message: true,
      message_thread_id: id,
      reply_to_message: { from: { id: 900, is_bot: true } },
    });
    await deliver(t, { body: messageUpdate("in seven", topic(7)) });
    await deliver(t, { body: messageUpdate("in eight", topic(8)) });
    await deliver(t, { body: messageUpdate("/new", topic(7)) });
    expect(await statusesOf(t)).toEqual(["cancelled", "queued"]);
  });
});

test("commands are answered while the conversation's own reply has to wait", async () => {
  const t = await openWorld();
  const slowDown = {
    ok: false,
    error_code: 429,
    description: "Too Many Requests",
    parameters: { retry_after: 60 },
  };
  const telegram = fakeTelegram(({ body }) =>
    String(body["text"]).startsWith("x") ? { status: 429, json: slowDown } : null,
  );
  const worker = await addWorker(t);
  await say(t, "tell me a lot");
  await complete(t, worker, await mustClaim(t, worker), "x".repeat(20_000));
  await elapse(t, 2_000);
  await say(t, "/status");
  await elapse(t, 2_000);
  expect(telegram.texts().at(-1)).toBe("Nothing is running and nothing is waiting.");
});

test("a paused conversation says so", async () => {
  const t = await openWorld();
  await say(t, "one");
  await t.mutation(internal.factory.pauseConversation, { conversationId: "telegram:900:42" });
  await say(t, "/status");
  expect((await repliesOf(t))[0]?.text).toBe("This conversation is paused by its operator.");
});
