import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { internal } from "../_generated/api.js";
import {
  addAgent,
  addBot,
  deliver,
  fakeTelegram,
  headerOf,
  messageUpdate,
  NOW,
  openWorld,
  PREVIOUS_SECRET,
  SHARED_REF,
  type World,
} from "../testing/channels.fixture.ts";
import { UPDATE_BYTES_MAX } from "./registerRoutes.ts";

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
  fakeTelegram();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const messagesOf = (t: World) => t.run((ctx) => ctx.db.query("messageQueue").collect());
const outboxOf = (t: World) => t.run((ctx) => ctx.db.query("outbox").collect());
const textsOf = async (t: World): Promise<string[]> =>
  (await outboxOf(t)).map(({ content }) => (content.kind === "text" ? content.plain : "[file]"));
const group = { chat: { id: -100, type: "supergroup", title: "Team" } };

describe("text that is no Unicode", () => {
  test("cut out of a long name costs nobody their message", async () => {
    const t = await openWorld();
    const from = { id: 42, is_bot: false, first_name: "a".repeat(63), last_name: "\u{1f600}" };
    // The name's 64th unit is a blank, the 65th and 66th are the emoji: cut one unit further on, in its middle.
    for (const first_name of [from.first_name, "a".repeat(62)]) {
      const body = messageUpdate("hi", { from: { ...from, first_name } });
      expect((await deliver(t, { body })).status).toBe(202);
    }
    const names = (await messagesOf(t)).map(({ payload }) => payload.metadata?.["senderName"] ?? "");
    expect(names).toEqual(["a".repeat(63) + " ", "a".repeat(62) + " "]);
  });

  test("in the update itself is replaced, and the rest is read", async () => {
    const t = await openWorld();
    expect((await deliver(t, { body: messageUpdate("half \ud83d of it") })).status).toBe(202);
    expect((await messagesOf(t)).map(({ payload }) => payload.messageText)).toEqual(["half \ufffd of it"]);
  });
});

describe("the door", () => {
  test("a call without the secret, with a wrong one or with another bot's is refused and changes nothing", async () => {
    const t = await openWorld();
    const body = messageUpdate("hi");
    for (const header of [null, "", "wrong", "x".repeat(5_000), await headerOf("telegram.botToken.other")]) {
      const response = await deliver(t, { body, header });
      expect(response.status).toBe(403);
    }
    expect(await messagesOf(t)).toEqual([]);
    expect(await t.run((ctx) => ctx.db.query("telegramUpdates").collect())).toEqual([]);
  });

  test("who does not know the secret has nothing read of what they send", async () => {
    const t = await openWorld();
    let read = 0;
    const body = () =>
      new ReadableStream<Uint8Array>(
        {
          pull(controller) {
            read += 1;
            controller.enqueue(new Uint8Array(1_024));
          },
        },
        { highWaterMark: 0 },
      );
    const post = async (header: string): Promise<number> => {
      const headers = { "X-Telegram-Bot-Api-Secret-Token": header };
      const init = { method: "POST", headers, body: body(), duplex: "half" };
      return (await t.fetch("/agent-factory/telegram/webhook", init)).status;
    };
    expect([await post("wrong"), read]).toEqual([403, 0]);
    // With the secret an endless body is read to the cap and no further.
    expect(await post(await headerOf(SHARED_REF))).toBe(200);
    expect(read).toBeLessThanOrEqual(UPDATE_BYTES_MAX / 1_024 + 2);
  });

  test("while the secret rotates the former one is accepted, too", async () => {
    const t = await openWorld();
    const header = await headerOf(SHARED_REF, PREVIOUS_SECRET);
    expect((await deliver(t, { body: messageUpdate("hi"), header })).status).toBe(202);
  });

  test("a deployment without secrets asks Telegram to come back", async () => {
    const t = await openWorld();
    vi.spyOn(console, "error").mockImplementation(() => undefined);
    delete process.env["TELEGRAM_WEBHOOK_SECRETS"];
    expect((await deliver(t, { body: messageUpdate("hi") })).status).toBe(503);
  });

  test("an oversized update is read no further and settled", async () => {
    const t = await openWorld();
    const response = await deliver(t, { body: messageUpdate("x".repeat(300_000)) });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ ok: true, ignored: true });
    expect(await messagesOf(t)).toEqual([]);
  });

  test("what is no update is settled, not redelivered", async () => {
    const t = await openWorld();
    for (const body of ["", "{", "null", "[]", "7", '{"update_id":"x"}']) {
      const response = await deliver(t, { body });
      expect(response.status).toBe(200);
      expect(await response.json()).toMatchObject({ ok: true, ignored: true });
    }
  });
});

describe("a message", () => {
  test("is queued with its chat as destination, and Telegram is told 202", async () => {
    const t = await openWorld();
    const response = await deliver(t, { body: messageUpdate("hello") });
    expect(response.status).toBe(202);
    expect(await response.json()).toEqual({ ok: true });
    expect(await messagesOf(t)).toMatchObject([
      {
        conversationId: "telegram:900:42",
        agentKey: "default",
        status: "queued",
        destination: { kind: "telegram", botSecretRef: SHARED_REF, chatId: "42" },
        payload: { provider: "telegram", providerUserId: "42", messageText: "hello" },
      },
    ]);
  });

  test("delivered a hundred times is queued once", async () => {
    const t = await openWorld();
    const body = messageUpdate("hello");
    const responses = await Promise.all(Array.from({ length: 100 }, () => deliver(t, { body })));
    expect(responses.filter(({ status }) => status === 202)).toHaveLength(1);
    expect(responses.filter(({ status }) => status === 200)).toHaveLength(99);
    expect(await messagesOf(t)).toHaveLength(1);
  });

  test("the same update id of two bots is two updates", async () => {
    const t = await openWorld();
    await addAgent(t, "a");
    await addBot(t, "telegram.botToken.a", "901:token-of-a", "a_bot");
    const body = messageUpdate("hello");
    await deliver(t, { body });
    await deliver(t, { body, secretRef: "telegram.botToken.a", path: "/agent-factory/telegram/webhook/a" });
    expect((await messagesOf(t)).map(({ agentKey }) => agentKey).sort()).toEqual(["a", "default"]);
  });

  test("for an agent that is gone is settled, and the person is told once a minute", async () => {
    const t = await openWorld({ telegram: { fallbackAgentKey: "gone" } });
    for (const text of ["one", "two"]) {
      const response = await deliver(t, { body: messageUpdate(text) });
      expect(response.status).toBe(200);
      expect(await response.json()).toMatchObject({
        ignored: true,
        reason: "Agent profile 'gone' not found or disabled",
      });
    }
    expect(await textsOf(t)).toEqual(["I cannot take messages right now. Please try again later."]);
  });

  test("carries photo and caption", async () => {
    const t = await openWorld();
    const photo = [
      { file_id: "s", width: 1, height: 1 },
      { file_id: "l", width: 9, height: 9 },
    ];
    await deliver(t, { body: messageUpdate(undefined, { photo, caption: "what is this?" }) });
    expect(await messagesOf(t)).toMatchObject([
      { payload: { messageText: "what is this?", attachments: [{ kind: "photo", telegramFileId: "l" }] } },
    ]);
  });
});

describe("groups", () => {
  test("talk among people is ignored without a write", async () => {
    const t = await openWorld();
    const response = await deliver(t, { body: messageUpdate("lunch?", group) });
    expect(await response.json()).toEqual({ ok: true, ignored: true, reason: "not addressed to the bot" });
    expect(await t.run((ctx) => ctx.db.query("telegramUpdates").collect())).toEqual([]);
  });

  test("a mention is answered in its topic, quoting the message", async () => {
    const t = await openWorld();
    const body = messageUpdate("@helper_bot lunch?", {
      ...group,
      is_topic_message: true,
      message_thread_id: 7,
      entities: [{ type: "mention", offset: 0, length: 11 }],
    });
    await deliver(t, { body });
    expect(await messagesOf(t)).toMatchObject([
      {
        conversationId: "telegram:900:-100:7",
        payload: { messageText: "lunch?" },
        destination: { chatId: "-100", threadId: 7, replyToMessageId: body["update_id"] },
      },
    ]);
  });

  test("belong to no company, whoever speaks in them", async () => {
    const t = await openWorld();
    const binding = { consumerUserId: "ada", companyId: "acme", agentKey: "default", telegramUserId: "42" };
    await t.mutation(internal.identity.bindings.bindUserAgent, binding);
    const reply = { ...group, reply_to_message: { from: { id: 900, is_bot: true } } };
    await deliver(t, { body: messageUpdate("hi", reply) });
    const [conversation] = await t.run((ctx) => ctx.db.query("conversations").collect());
    expect(conversation).toMatchObject({ conversationId: "telegram:900:-100" });
    expect(conversation?.companyId).toBeUndefined();
  });

  test("a group that becomes a supergroup keeps its conversation", async () => {
    const t = await openWorld();
    const reply = { reply_to_message: { from: { id: 900, is_bot: true } } };
    const before = { chat: { id: -5, type: "group", title: "T" }, ...reply };
    await deliver(t, { body: messageUpdate("one", before) });
    await deliver(t, { body: messageUpdate(undefined, { chat: before.chat, migrate_to_chat_id: -1005 }) });
    await deliver(t, { body: messageUpdate("two", { chat: { id: -1005, type: "supergroup" }, ...reply }) });
    const messages = await messagesOf(t);
    expect(messages.map(({ conversationId }) => conversationId)).toEqual([
      "telegram:900:-5",
      "telegram:900:-5",
    ]);
    expect(messages[1]).toMatchObject({ destination: { chatId: "-1005" } });
  });
});

describe("commands overtake the queue", () => {
  test("/stop cancels what waits, /status tells, /help lists, and none is queued", async () => {
    const t = await openWorld();
    await deliver(t, { body: messageUpdate("long work") });
    await deliver(t, { body: messageUpdate("/status") });
    await deliver(t, { body: messageUpdate("/stop") });
    await deliver(t, { body: messageUpdate("/stop") });
    await deliver(t, { body: messageUpdate("/help@helper_bot") });
    const texts = await textsOf(t);
    expect(texts[0]).toBe("1 message is waiting for its turn.");
    expect(texts.slice(1, 3)).toEqual(["Stopped.", "Nothing is running."]);
    expect(texts[3]).toContain("/new");
    expect((await messagesOf(t)).map(({ status }) => status)).toEqual(["cancelled"]);
  });

  test("/new leaves the former conversation behind", async () => {
    const t = await openWorld();
    await deliver(t, { body: messageUpdate("one") });
    await deliver(t, { body: messageUpdate("/new") });
    await deliver(t, { body: messageUpdate("two") });
    await deliver(t, { body: messageUpdate("/new") });
    await deliver(t, { body: messageUpdate("three") });
    expect((await messagesOf(t)).map(({ conversationId }) => conversationId)).toEqual([
      "telegram:900:42",
      "telegram:900:42~1",
      "telegram:900:42~2",
    ]);
  });
});

describe("pairing", () => {
  const code = async (t: World, agentKey = "default", consumerUserId = "ada"): Promise<string> => {
    const made = await t.action(internal.identity.pairing.createPairingCode, { consumerUserId, agentKey });
    return made.code;
  };

  test("/start <code> binds, is never queued, and says so in the chat", async () => {
    const t = await openWorld({ telegram: { requireBindingForTelegram: true } });
    const response = await deliver(t, { body: messageUpdate(`/start ${await code(t)}`) });
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({
      ok: true,
      pairing: { status: "used", consumerUserId: "ada", agentKey: "default" },
    });
    expect(await messagesOf(t)).toEqual([]);
    expect(await textsOf(t)).toEqual(["You are connected. Write to me here and I will answer."]);
    expect((await deliver(t, { body: messageUpdate("hello") })).status).toBe(202);
  });

  test("a used code fails with the exact words", async () => {
    const t = await openWorld();
    const used = await code(t);
    await deliver(t, { body: messageUpdate(`/start ${used}`) });
    const response = await deliver(t, { body: messageUpdate(`/start ${used}`) });
    expect(await response.json()).toMatchObject({
      ok: true,
      pairing: { status: "failed", error: "Pairing code already used or expired" },
    });
  });

  test("a lapsed code reads as expired", async () => {
    const t = await openWorld();
    const lapsing = await code(t);
    vi.setSystemTime(NOW + 15 * 60_000);
    const response = await deliver(t, { body: messageUpdate(`/start ${lapsing}`) });
    expect(await response.json()).toMatchObject({ pairing: { error: "Pairing code expired" } });
    expect(await t.query(internal.identity.pairing.getPairingCodeStatus, { code: lapsing })).toMatchObject({
      status: "expired",
    });
  });

  test("a bare /start is answered with a greeting and the exact error", async () => {
    const t = await openWorld();
    const response = await deliver(t, { body: messageUpdate("/start") });
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({
      ok: true,
      pairing: { status: "failed", error: "missing or invalid pairing code in /start command" },
    });
    expect((await textsOf(t))[0]).toContain("Hello!");
  });

  test("after five wrong codes even a right one is refused for a while", async () => {
    const t = await openWorld();
    const right = await code(t);
    for (let index = 0; index < 5; index += 1)
      await deliver(t, { body: messageUpdate(`/start WRONG${index}`) });
    const refused = await deliver(t, { body: messageUpdate(`/start ${right}`) });
    expect(await refused.json()).toMatchObject({ pairing: { status: "failed" } });
    vi.setSystemTime(NOW + 14 * 60_000);
    const early = await deliver(t, { body: messageUpdate(`/start ${right}`) });
    expect(await early.json()).toMatchObject({ pairing: { status: "failed" } });
  });

  test("a code of agent B does not exist at agent A's bot", async () => {
    const t = await openWorld();
    for (const agentKey of ["a", "b"]) await addAgent(t, agentKey);
    await addBot(t, "telegram.botToken.a", "901:token-of-a", "a_bot");
    const response = await deliver(t, {
      body: messageUpdate(`/start ${await code(t, "b")}`),
      secretRef: "telegram.botToken.a",
      path: "/agent-factory/telegram/webhook/a",
    });
    expect(await response.json()).toMatchObject({ pairing: { error: "Pairing code not found" } });
  });

  test("re-pairing to another agent opens another conversation, and returning finds the former", async () => {
    const t = await openWorld();
    await addAgent(t, "b");
    await deliver(t, { body: messageUpdate("for default") });
    await deliver(t, { body: messageUpdate(`/start ${await code(t, "b")}`) });
    await deliver(t, { body: messageUpdate("for b") });
    await deliver(t, { body: messageUpdate(`/start ${await code(t, "default")}`) });
    await deliver(t, { body: messageUpdate("for default again") });
    expect((await messagesOf(t)).map(({ agentKey, conversationId }) => [agentKey, conversationId])).toEqual([
      ["default", "telegram:900:42"],
      ["b", "telegram:900:42:b"],
      ["default", "telegram:900:42"],
    ]);
    const { active, history } = await t.query(internal.identity.bindings.getUserAgentBinding, {
      consumerUserId: "ada",
    });
    expect(active?.agentKey).toBe("default");
    expect(history.map(({ agentKey, revokedBecause }) => [agentKey, revokedBecause])).toEqual([
      ["b", "re-bound"],
    ]);
  });

  test("what is said under one company stays out of the next one's conversation", async () => {
    const t = await openWorld();
    const pair = async (companyId: string | undefined): Promise<void> => {
      const args = { consumerUserId: "ada", companyId, agentKey: "default" };
      const made = await t.action(internal.identity.pairing.createPairingCode, args);
      await deliver(t, { body: messageUpdate(`/start ${made.code}`) });
      await deliver(t, { body: messageUpdate(`for ${companyId}`) });
    };
    for (const companyId of [undefined, "acme", "other", "acme"]) await pair(companyId);
    expect((await messagesOf(t)).map(({ conversationId }) => conversationId)).toEqual([
      "telegram:900:42",
      "telegram:900:42:default",
      "telegram:900:42:default:other",
      "telegram:900:42:default",
    ]);
    const conversations = await t.run((ctx) => ctx.db.query("conversations").collect());
    expect(conversations.map(({ companyId }) => companyId)).toEqual([undefined, "acme", "other"]);
  });

  test("a stranger gets at most one reply, whatever is tried", async () => {
    const t = await openWorld({ telegram: { requireBindingForTelegram: true } });
    for (const text of ["hi", "/start", "/start WRONG", "/help", "hello?", "/stop"]) {
      const response = await deliver(t, { body: messageUpdate(text) });
      expect(response.status).toBe(200);
    }
    expect(await outboxOf(t)).toHaveLength(1);
    expect(await messagesOf(t)).toEqual([]);
    const plain = await deliver(t, { body: messageUpdate("hi") });
    expect(await plain.json()).toMatchObject({ ok: true, reason: "no active binding for telegram user" });
  });

  test("after a revoke the person is a stranger again", async () => {
    const t = await openWorld({ telegram: { requireBindingForTelegram: true } });
    await deliver(t, { body: messageUpdate(`/start ${await code(t)}`) });
    expect(
      await t.mutation(internal.identity.bindings.revokeUserAgentBinding, { consumerUserId: "ada" }),
    ).toEqual({
      revoked: 1,
    });
    expect((await deliver(t, { body: messageUpdate("hi") })).status).toBe(200);
    expect(await messagesOf(t)).toEqual([]);
  });
});

test("a person who blocks the bot is noted, and is back with the next message", async () => {
  const t = await openWorld();
  const member = (status: string, id: number): unknown => ({
    update_id: id,
    my_chat_member: { chat: { id: 42, type: "private" }, from: { id: 42 }, new_chat_member: { status } },
  });
  await deliver(t, { body: member("kicked", 1) });
  const chat = () => t.run((ctx) => ctx.db.query("telegramChats").first());
  expect((await chat())?.unreachableSince).toBe(NOW);
  await deliver(t, { body: messageUpdate("I am back") });
  expect((await chat())?.unreachableSince).toBeUndefined();
});
