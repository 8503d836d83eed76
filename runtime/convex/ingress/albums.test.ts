import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Doc } from "../_generated/dataModel.js";
import { addWorker, claim, expectConsistent, mustClaim } from "../testing/factory.setup.ts";
import {
  deliver,
  fakeTelegram,
  messageUpdate,
  NOW,
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

const messagesOf = (t: World) => t.run((ctx) => ctx.db.query("messageQueue").collect());
const filesOf = (message: Doc<"messageQueue"> | undefined): string[] =>
  (message?.payload.attachments ?? []).map(({ telegramFileId }) => telegramFileId ?? "");

/** One picture of an album; Telegram numbers them in the album's order. */
function picture(id: number, more: Record<string, unknown> = {}): Record<string, unknown> {
  const photo = [{ file_id: `file-${id}`, width: 9, height: 9 }];
  return {
    ...messageUpdate(undefined, { message_id: id, media_group_id: "album-1", photo, ...more }),
    update_id: 90_000 + id,
  };
}

const group = { chat: { id: -100, type: "supergroup", title: "Team" } };
const naming = {
  caption: "@helper_bot compare these",
  caption_entities: [{ type: "mention", offset: 0, length: 11 }],
};

describe("an album", () => {
  test("is one message with all its pictures, in the album's order, whatever order they come in", async () => {
    const t = await openWorld();
    for (const id of [12, 10, 11]) {
      expect((await deliver(t, { body: picture(id, id === 10 ? { caption: "our trip" } : {}) })).status).toBe(
        202,
      );
    }
    const messages = await messagesOf(t);
    expect(messages).toHaveLength(1);
    expect(messages[0]?.payload.messageText).toBe("our trip");
    expect(filesOf(messages[0])).toEqual(["file-10", "file-11", "file-12"]);
    await expectConsistent(t);
  });

  test("waits a moment for its pictures and is then claimed with all of them", async () => {
    const t = await openWorld();
    const worker = await addWorker(t);
    await deliver(t, { body: picture(10) });
    expect(await claim(t, worker)).toBeNull();
    await deliver(t, { body: picture(11) });
    await pass(t, 1_500);
    const { payload } = await mustClaim(t, worker);
    expect(payload.attachments).toHaveLength(2);
    expect(payload.messageText).toBe("[photo] [photo]");
  });

  test("keeps its place before what is written after it", async () => {
    const t = await openWorld();
    const worker = await addWorker(t);
    await deliver(t, { body: picture(10) });
    await deliver(t, { body: messageUpdate("what do you see?") });
    expect(await claim(t, worker)).toBeNull();
    await pass(t, 1_500);
    expect((await mustClaim(t, worker)).payload.messageText).toBe("[photo]");
    await expectConsistent(t);
  });

  test("delivered again and again, at once, has each picture once", async () => {
    const t = await openWorld();
    const updates = [10, 11, 12, 13].map((id) => picture(id));
    await Promise.all([...updates, ...updates, ...updates].map((body) => deliver(t, { body })));
    const messages = await messagesOf(t);
    expect(messages).toHaveLength(1);
    expect(filesOf(messages[0])).toEqual(["file-10", "file-11", "file-12", "file-13"]);
  });

  test("whose turn has begun is followed by one message with the pictures that came too late", async () => {
    const t = await openWorld();
    const worker = await addWorker(t);
    await deliver(t, { body: picture(10) });
    await pass(t, 1_500);
    await mustClaim(t, worker);
    for (const id of [11, 12]) await deliver(t, { body: picture(id) });
    expect((await messagesOf(t)).map(filesOf)).toEqual([["file-10"], ["file-11", "file-12"]]);
    await expectConsistent(t);
  });

  test("that waits behind another turn is still joined by late pictures", async () => {
    const t = await openWorld();
    const worker = await addWorker(t);
    await deliver(t, { body: messageUpdate("long work") });
    await mustClaim(t, worker);
    await deliver(t, { body: picture(10) });
    await pass(t, 20_000);
    await deliver(t, { body: picture(11) });
    expect((await messagesOf(t)).map(filesOf)).toEqual([[], ["file-10", "file-11"]]);
  });

  test("left behind by /new goes on in the fresh conversation", async () => {
    const t = await openWorld();
    await deliver(t, { body: picture(10) });
    await deliver(t, { body: messageUpdate("/new") });
    await deliver(t, { body: picture(11) });
    expect((await messagesOf(t)).map(({ conversationId, status }) => [conversationId, status])).toEqual([
      ["telegram:900:42", "cancelled"],
      ["telegram:900:42~1", "queued"],
    ]);
  });

  test("of the same id in another chat is another album", async () => {
    const t = await openWorld();
    await deliver(t, { body: picture(10) });
    await deliver(t, {
      body: picture(11, { chat: { id: 43, type: "private" }, from: { id: 43, is_bot: false } }),
    });
    expect((await messagesOf(t)).map(filesOf)).toEqual([["file-10"], ["file-11"]]);
  });

  test("never grows beyond what Telegram allows", async () => {
    const t = await openWorld();
    for (let id = 10; id < 22; id += 1) await deliver(t, { body: picture(id) });
    expect((await messagesOf(t)).map((message) => filesOf(message).length)).toEqual([10, 2]);
  });

  test("in a group is read whole, though only one of its pictures names the bot", async () => {
    const t = await openWorld();
    await deliver(t, { body: picture(10, group) });
    expect(await messagesOf(t)).toEqual([]);
    await deliver(t, { body: picture(11, { ...group, ...naming }) });
    await deliver(t, { body: picture(12, group) });
    const messages = await messagesOf(t);
    expect(messages).toHaveLength(1);
    expect(messages[0]?.payload.messageText).toBe("compare these");
    expect(filesOf(messages[0])).toEqual(["file-10", "file-11", "file-12"]);
  });
});
