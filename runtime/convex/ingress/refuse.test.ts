import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  deliver,
  fakeTelegram,
  messageUpdate,
  NOW,
  openWorld,
  type World,
} from "../testing/channels.fixture.ts";
import { FAILURES_MAX } from "./refuse.ts";

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
  fakeTelegram();
  vi.spyOn(console, "error").mockImplementation(() => undefined);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

/** A defect: two rows where the code may rely on one. */
async function breakChat(t: World, chatId: string): Promise<void> {
  await t.run(async (ctx) => {
    for (let row = 0; row < 2; row += 1) await ctx.db.insert("telegramChats", { botId: "900", chatId });
  });
}

describe("an update that meets a defect", () => {
  test("is asked for again, then set aside and named in the audit log, and the next ones pass", async () => {
    const t = await openWorld();
    await breakChat(t, "42");
    const body = messageUpdate("hello");
    const statuses: number[] = [];
    for (let index = 0; index <= FAILURES_MAX; index += 1) statuses.push((await deliver(t, { body })).status);
    expect(statuses).toEqual([...Array.from({ length: FAILURES_MAX - 1 }, () => 503), 200, 200]);
    const audit = await t.run((ctx) => ctx.db.query("auditLog").collect());
    expect(audit.filter(({ action }) => action === "update.set_aside")).toMatchObject([
      { target: `telegram.botToken.default#${String(body["update_id"])}`, outcome: "failed" },
    ]);
    const other = { chat: { id: 43, type: "private" }, from: { id: 43, is_bot: false, first_name: "Bob" } };
    expect((await deliver(t, { body: messageUpdate("hi", other) })).status).toBe(202);
  });

  test("is accepted once the defect is mended", async () => {
    const t = await openWorld();
    await breakChat(t, "42");
    const body = messageUpdate("hello");
    expect((await deliver(t, { body })).status).toBe(503);
    await t.run(async (ctx) => {
      for (const { _id } of await ctx.db.query("telegramChats").collect())
        await ctx.db.delete("telegramChats", _id);
    });
    expect((await deliver(t, { body })).status).toBe(202);
  });
});

test("an environment that is not ready is waited for, however long", async () => {
  const t = await openWorld();
  const saved = await t.run((ctx) => ctx.db.query("runtimeConfig").first());
  if (saved === null) throw new Error("no config");
  await t.run((ctx) => ctx.db.delete("runtimeConfig", saved._id));
  const body = messageUpdate("hello");
  for (let index = 0; index < FAILURES_MAX + 5; index += 1) {
    expect((await deliver(t, { body })).status).toBe(503);
  }
  const { _id, _creationTime, ...config } = saved;
  await t.run((ctx) => ctx.db.insert("runtimeConfig", config));
  expect((await deliver(t, { body })).status).toBe(202);
});
