import { expect, test } from "vitest";
import { PERSON, startWorld, TOKEN, type World } from "./testing/world.ts";
import type { Json } from "../service/testing/json.ts";

const write = (world: World, chatId: number, text: string, extra: object = {}): Promise<Json> =>
  world.control("messages", { bot: "test_bot", chatId, from: PERSON, text, ...extra });

test("a group is answered in the group, a topic in its topic", async () => {
  const world = await startWorld();
  const { chat, topics } = await world.control("chats", {
    bot: "test_bot",
    type: "supergroup",
    title: "Team",
    topics: ["News", "Help"],
  });
  expect(chat).toMatchObject({ type: "supergroup", is_forum: true });
  const thread = topics[1].message_thread_id;
  await write(world, chat.id, "hello", { message_thread_id: thread });
  const { result } = await world.bot("getUpdates");
  expect(result[0].message).toMatchObject({
    chat: { id: chat.id },
    message_thread_id: thread,
    is_topic_message: true,
  });
  const answer = await world.bot("sendMessage", { chat_id: chat.id, text: "hi", message_thread_id: thread });
  expect(answer.result).toMatchObject({
    chat: { id: chat.id },
    message_thread_id: thread,
    is_topic_message: true,
  });
});

test("the general topic has no thread id of its own", async () => {
  const world = await startWorld();
  const { chat } = await world.control("chats", { bot: "test_bot", type: "supergroup", topics: ["News"] });
  const answer = await world.bot("sendMessage", { chat_id: chat.id, text: "hi", message_thread_id: 1 });
  expect(answer.description).toBe("Bad Request: message thread not found");
});

test("message ids count per supergroup and per bot elsewhere", async () => {
  const world = await startWorld();
  const { chat: big } = await world.control("chats", { bot: "test_bot", type: "supergroup" });
  const { chat: small } = await world.control("chats", { bot: "test_bot", type: "group" });
  const ids = [];
  for (const chatId of [big.id, big.id, small.id, PERSON.id])
    ids.push((await write(world, chatId, "x")).message_id);
  expect(ids).toEqual([1, 2, 1, 2]);
});

test("a bot that was removed from a group may not write there", async () => {
  const world = await startWorld();
  const { chat } = await world.control("chats", { bot: "test_bot", type: "group" });
  await world.control("members", { bot: "test_bot", chatId: chat.id, from: PERSON, status: "kicked" });
  const answer = await world.bot("sendMessage", { chat_id: chat.id, text: "x" });
  expect(answer).toMatchObject({ status: 403, description: "Forbidden: bot was kicked from the group chat" });
  expect((await write(world, chat.id, "x")).error).toContain("is in no chat");
});

test("in privacy mode only commands, mentions and replies get through", async () => {
  const world = await startWorld();
  await world.control("bots", { token: TOKEN, username: "test_bot", can_read_all_group_messages: false });
  const { chat } = await world.control("chats", { bot: "test_bot", type: "group" });
  const { result: own } = await world.bot("sendMessage", { chat_id: chat.id, text: "I am here" });
  const results = [];
  results.push(await write(world, chat.id, "just talking"));
  results.push(await write(world, chat.id, "/help"));
  results.push(await write(world, chat.id, "hey @Test_Bot"));
  results.push(await write(world, chat.id, "thanks", { reply_to: own.message_id }));
  expect(results.map((result) => result.update_id !== null)).toEqual([false, true, true, true]);
});

test("a channel's post and a person's edit are updates of their own kinds", async () => {
  const world = await startWorld();
  const { chat } = await world.control("chats", { bot: "test_bot", type: "channel", title: "News" });
  await write(world, chat.id, "post");
  const { message_id } = await world.say("helo");
  await world.control("edits", { bot: "test_bot", chatId: PERSON.id, message_id, text: "hello" });
  const { result } = await world.bot("getUpdates");
  expect(result.map((update: Json) => Object.keys(update)[1])).toEqual([
    "channel_post",
    "message",
    "edited_message",
  ]);
  expect(result[0].channel_post).toMatchObject({ sender_chat: { id: chat.id } });
  expect(result[2].edited_message).toMatchObject({ message_id, text: "hello" });
});

test("an update of any kind can be given, and kinds a bot did not ask for are not produced", async () => {
  const world = await startWorld();
  const poll = { id: "1", question: "?" };
  expect(
    (await world.control("updates", { bot: "test_bot", kind: "poll", payload: poll })).update_id,
  ).toBeTypeOf("number");
  await world.bot("getUpdates", { allowed_updates: ["message"] });
  expect(
    (await world.control("updates", { bot: "test_bot", kind: "poll", payload: poll })).update_id,
  ).toBeNull();
  expect(
    (await world.control("updates", { bot: "test_bot", kind: "nonsense", payload: {} })).error,
  ).toContain("kind");
});
