import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { addWorker, expectConsistent, mustClaim } from "../testing/factory.setup.ts";
import {
  deliver,
  fakeTelegram,
  messageUpdate,
  NOW,
  openWorld,
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

const textsOf = (t: World) =>
  t.run(async (ctx) =>
    (await ctx.db.query("messageQueue").collect()).map(({ payload }) => payload.messageText),
  );

let editUpdateId = 500_000;

/** The edit of an update's message. */
function editOf(
  update: Record<string, unknown>,
  changes: Record<string, unknown>,
  editDate = 100,
): Record<string, unknown> {
  editUpdateId += 1;
  const message = update["message"] as Record<string, unknown>;
  return { update_id: editUpdateId, edited_message: { ...message, edit_date: editDate, ...changes } };
}

describe("an edited message", () => {
  test("that waits is read as it says now", async () => {
    const t = await openWorld();
    const first = messageUpdate("book a table for two");
    await deliver(t, { body: first });
    await deliver(t, { body: messageUpdate("thanks") });
    const response = await deliver(t, { body: editOf(first, { text: "book a table for three" }) });
    expect([response.status, await response.json()]).toEqual([200, { ok: true }]);
    expect(await textsOf(t)).toEqual(["book a table for three", "thanks"]);
    await expectConsistent(t);
  });

  test("whose turn has begun stays as it was", async () => {
    const t = await openWorld();
    const worker = await addWorker(t);
    const first = messageUpdate("for two");
    await deliver(t, { body: first });
    await mustClaim(t, worker);
    const response = await deliver(t, { body: editOf(first, { text: "for three" }) });
    expect(await response.json()).toMatchObject({
      ignored: true,
      reason: "edited message does not wait any more",
    });
    expect(await textsOf(t)).toEqual(["for two"]);
  });

  test("that was never accepted is not accepted by being edited, nor is a command run", async () => {
    const t = await openWorld();
    const group = { chat: { id: -100, type: "supergroup" } };
    const overheard = messageUpdate("lunch?", group);
    await deliver(t, { body: overheard });
    const mention = { text: "@helper_bot lunch?", entities: [{ type: "mention", offset: 0, length: 11 }] };
    await deliver(t, { body: editOf(overheard, mention) });
    const waiting = messageUpdate("hello");
    await deliver(t, { body: waiting });
    await deliver(t, { body: editOf(waiting, { text: "/stop" }) });
    expect(await textsOf(t)).toEqual(["hello"]);
    expect(await t.run((ctx) => ctx.db.query("outbox").collect())).toEqual([]);
  });

  test("twice says what the later edit says, whichever comes first and however often", async () => {
    const t = await openWorld();
    const first = messageUpdate("one");
    await deliver(t, { body: first });
    const [earlier, later] = [editOf(first, { text: "two" }, 100), editOf(first, { text: "three" }, 101)];
    for (const body of [later, earlier, earlier]) await deliver(t, { body });
    expect(await textsOf(t)).toEqual(["three"]);
    const [again, since] = [editOf(first, { text: "four" }, 102), editOf(first, { text: "five" }, 102)];
    for (const body of [again, since, again]) await deliver(t, { body });
    expect(await textsOf(t)).toEqual(["five"]);
  });

  test("of another chat or person with the same number changes nothing here", async () => {
    const t = await openWorld();
    const first = messageUpdate("mine");
    await deliver(t, { body: first });
    const theirs = { text: "theirs", chat: { id: 43, type: "private" }, from: { id: 43, is_bot: false } };
    await deliver(t, { body: editOf(first, theirs) });
    expect(await textsOf(t)).toEqual(["mine"]);
  });

  test("of an album changes its caption and keeps its pictures", async () => {
    const t = await openWorld();
    const picture = (id: number, caption: string | undefined) =>
      messageUpdate(undefined, {
        message_id: id,
        media_group_id: "a",
        photo: [{ file_id: `file-${id}`, width: 1, height: 1 }],
        ...(caption === undefined ? {} : { caption }),
      });
    const [one, two] = [picture(10, "our tirp"), picture(11, undefined)];
    for (const body of [one, two]) await deliver(t, { body });
    await deliver(t, { body: editOf(one, { caption: "our trip" }) });
    const [message] = await t.run((ctx) => ctx.db.query("messageQueue").collect());
    expect(message?.payload).toMatchObject({ messageText: "our trip" });
    expect(message?.payload.attachments).toHaveLength(2);
  });
});
