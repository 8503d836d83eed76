import { expect, test } from "vitest";
import { PERSON, startWorld, TOKEN } from "./testing/world.ts";
import type { Json } from "../service/testing/json.ts";

test("a person's message reaches a polling bot and the bot's answer the transcript", async () => {
  const world = await startWorld();
  const sent = await world.say("hello");
  const { result } = await world.bot("getUpdates");
  expect(result).toMatchObject([
    {
      update_id: sent.update_id,
      message: { message_id: sent.message_id, text: "hello", chat: { id: 77, type: "private" } },
    },
  ]);

  const answer = await world.bot("sendMessage", { chat_id: PERSON.id, text: "hi Ada" });
  expect(answer).toMatchObject({
    status: 200,
    ok: true,
    result: { message_id: 2, from: { is_bot: true }, text: "hi Ada" },
  });
  const { entries } = await world.control(`transcript?bot=test_bot&chatId=${PERSON.id}`);
  expect(entries.map((entry: Json) => [entry.direction, entry.body.text])).toEqual([
    ["in", "hello"],
    ["out", "hi Ada"],
  ]);
});

test("a confirmed offset settles updates, so they are not given out again", async () => {
  const world = await startWorld();
  await world.say("one");
  const second = await world.say("two");
  const { result } = await world.bot("getUpdates", { offset: second.update_id });
  expect(result.map((update: Json) => update.message.text)).toEqual(["two"]);
  expect((await world.bot("getWebhookInfo")).result.pending_update_count).toBe(1);
});

test("a negative offset leaves only the newest updates", async () => {
  const world = await startWorld();
  for (const text of ["one", "two", "three"]) await world.say(text);
  const { result } = await world.bot("getUpdates", { offset: -2 });
  expect(result.map((update: Json) => update.message.text)).toEqual(["two", "three"]);
});

test("parameters arrive alike by query, form, multipart and JSON, and method names in any case", async () => {
  const world = await startWorld();
  await world.say("hi");
  const base = `${world.url}/bot${TOKEN}`;
  const form = new FormData();
  form.set("chat_id", "77");
  form.set("text", "<b>x</b>");
  form.set("parse_mode", "HTML");
  const requests = [
    fetch(`${base}/sendmessage?chat_id=77&text=%3Cb%3Ex%3C/b%3E&parse_mode=HTML`),
    fetch(`${base}/SendMessage`, {
      method: "POST",
      body: new URLSearchParams({ chat_id: "77", text: "<b>x</b>", parse_mode: "html" }),
    }),
    fetch(`${base}/sendMessage`, { method: "POST", body: form }),
    fetch(`${base}/sendMessage`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ chat_id: 77, text: "<b>x</b>", parse_mode: "HTML" }),
    }),
  ];
  for (const response of await Promise.all(requests)) {
    expect(await response.json()).toMatchObject({
      ok: true,
      result: { text: "x", entities: [{ type: "bold", offset: 0, length: 1 }] },
    });
  }
});

test("an edit replaces the text, is refused when nothing changes, and stays in the transcript", async () => {
  const world = await startWorld();
  await world.say("hi");
  const { result: first } = await world.bot("sendMessage", { chat_id: 77, text: "draft" });
  const edit = { chat_id: 77, message_id: first.message_id, text: "final" };
  expect((await world.bot("editMessageText", edit)).result).toMatchObject({
    text: "final",
    message_id: first.message_id,
  });
  expect((await world.bot("editMessageText", edit)).description).toMatch(
    /^Bad Request: message is not modified: /,
  );
  const { entries } = await world.control("transcript?bot=test_bot&chatId=77");
  expect(entries.map((entry: Json) => [entry.kind, entry.body.text])).toEqual([
    ["message", "hi"],
    ["message", "draft"],
    ["edit", "final"],
  ]);
});

test("chat actions show up in the transcript", async () => {
  const world = await startWorld();
  await world.say("hi");
  expect((await world.bot("sendChatAction", { chat_id: 77, action: "typing" })).result).toBe(true);
  const { entries } = await world.control("transcript?bot=test_bot&chatId=77&after=1");
  expect(entries).toMatchObject([{ kind: "action", direction: "out", body: { action: "typing" } }]);
});

test("a reply quotes the message it answers", async () => {
  const world = await startWorld();
  const { message_id } = await world.say("question");
  const { result } = await world.bot("sendMessage", {
    chat_id: 77,
    text: "answer",
    reply_parameters: { message_id },
  });
  expect(result.reply_to_message).toMatchObject({ message_id, text: "question" });
  const lenient = { message_id: 999, allow_sending_without_reply: true };
  const missing = await world.bot("sendMessage", { chat_id: 77, text: "answer", reply_parameters: lenient });
  expect(missing.ok).toBe(true);
  expect(missing.result).not.toHaveProperty("reply_to_message");
});

test("an inline button's press reaches the bot once and is answered once", async () => {
  const world = await startWorld();
  await world.say("hi");
  const keyboard = { inline_keyboard: [[{ text: "Yes", callback_data: "yes" }]] };
  const { result: asked } = await world.bot("sendMessage", {
    chat_id: 77,
    text: "Sure?",
    reply_markup: keyboard,
  });
  const press = { bot: "test_bot", chatId: 77, message_id: asked.message_id, data: "yes" };
  const { callback_query_id } = await world.control("callbacks", press);
  const { result } = await world.bot("getUpdates", { offset: -1 });
  expect(result.at(-1).callback_query).toMatchObject({ id: callback_query_id, data: "yes", from: PERSON });
  expect((await world.bot("answerCallbackQuery", { callback_query_id, text: "ok" })).result).toBe(true);
  expect((await world.bot("answerCallbackQuery", { callback_query_id })).status).toBe(400);
});

test("commands are kept per bot", async () => {
  const world = await startWorld();
  const commands = [{ command: "start", description: "Begin" }];
  await world.bot("setMyCommands", { commands });
  expect((await world.bot("getMyCommands")).result).toEqual(commands);
  expect(
    (await world.bot("setMyCommands", { commands: [{ command: "No Space", description: "x" }] })).status,
  ).toBe(400);
});

test("a newer getUpdates ends an older one", async () => {
  const world = await startWorld();
  const older = world.bot("getUpdates", { timeout: 30 });
  const newer = world.bot("getUpdates", { timeout: 30 });
  const ended = await Promise.race([older, newer]);
  expect(ended).toMatchObject({ status: 409 });
  expect(ended.description).toMatch(/^Conflict: terminated by other getUpdates request/);
  await world.say("hi");
  const answers = await Promise.all([older, newer]);
  expect(answers.flatMap((answer) => answer.result ?? [])).toHaveLength(1);
});

test("waiting for the bot's next message ends with it, and times out without one", async () => {
  const world = await startWorld();
  await world.say("hi");
  const waiting = world.control("wait?bot=test_bot&chatId=77&timeoutMs=20000");
  await world.bot("sendChatAction", { chat_id: 77, action: "typing" });
  await world.bot("sendMessage", { chat_id: 77, text: "answer" });
  const { entry } = await waiting;
  expect(entry).toMatchObject({ kind: "message", body: { text: "answer" } });
  expect(await world.control(`wait?bot=test_bot&chatId=77&timeoutMs=20&after=${entry.seq}`)).toEqual({
    entry: null,
    timedOut: true,
  });
});

test("another site's page cannot steer the people's side", async () => {
  const world = await startWorld();
  const response = await fetch(`${world.url}/control/bots`, {
    headers: { origin: "https://elsewhere.example" },
  });
  expect(response.status).toBe(403);
});

test("no answer and no page shows a token or the webhook's secret", async () => {
  const world = await startWorld();
  await world.bot("setWebhook", { url: "http://127.0.0.1:9/hook", secret_token: "top-secret-value" });
  await world.say("<script>alert(1)</script>");
  const texts = await Promise.all(
    ["/", "/?bot=4242&chat=77", "/control/bots", "/control/webhook?bot=test_bot"].map(async (path) =>
      (await fetch(world.url + path)).text(),
    ),
  );
  texts.push(JSON.stringify(await world.bot("getWebhookInfo")));
  for (const text of texts) {
    expect(text).not.toContain("top-secret-value");
    expect(text).not.toContain(TOKEN.split(":")[1]);
  }
  expect(texts[1]).toContain("&lt;script&gt;");
});

test("a wrong control call says which field is wrong", async () => {
  const world = await startWorld();
  const { error } = await world.control("messages", { bot: "test_bot", chatId: "x" });
  expect(error).toContain("chatId");
  expect(await world.control("messages", { bot: "nobody", chatId: 1, from: PERSON })).toEqual({
    error: "bot 'nobody' is not registered; register it with POST /control/bots {token, username}",
  });
});
