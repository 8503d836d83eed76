import { expect, test } from "vitest";
import type { Json } from "../service/testing/json.ts";
import { startWorld, TOKEN } from "./testing/world.ts";

test.each([
  ["an unknown token", "getMe", {}, "9:AAAunknown", 401, "Unauthorized"],
  ["an unknown method", "sendRichMessage", {}, TOKEN, 404, "Not Found: method not found"],
  ["an unknown chat", "sendMessage", { chat_id: 5, text: "x" }, TOKEN, 400, "Bad Request: chat not found"],
  ["no chat", "sendMessage", { text: "x" }, TOKEN, 400, "Bad Request: chat_id is empty"],
  [
    "no text",
    "sendMessage",
    { chat_id: 77, text: "  \n " },
    TOKEN,
    400,
    "Bad Request: message text is empty",
  ],
  [
    "an unknown reply",
    "sendMessage",
    { chat_id: 77, text: "x", reply_parameters: { message_id: 99 } },
    TOKEN,
    400,
    "Bad Request: message to be replied not found",
  ],
  [
    "a thread in a private chat",
    "sendMessage",
    { chat_id: 77, text: "x", message_thread_id: 3 },
    TOKEN,
    400,
    "Bad Request: message thread not found",
  ],
  [
    "an unknown parse mode",
    "sendMessage",
    { chat_id: 77, text: "x", parse_mode: "XML" },
    TOKEN,
    400,
    "Bad Request: unsupported parse_mode",
  ],
  [
    "an unknown action",
    "sendChatAction",
    { chat_id: 77, action: "dance" },
    TOKEN,
    400,
    "Bad Request: wrong parameter action in request",
  ],
  [
    "an edit of nothing",
    "editMessageText",
    { chat_id: 77, message_id: 99, text: "x" },
    TOKEN,
    400,
    "Bad Request: message to edit not found",
  ],
  [
    "an edit of the person's message",
    "editMessageText",
    { chat_id: 77, message_id: 1, text: "x" },
    TOKEN,
    400,
    "Bad Request: message can't be edited",
  ],
  [
    "a late callback answer",
    "answerCallbackQuery",
    { callback_query_id: "1" },
    TOKEN,
    400,
    "Bad Request: query is too old and response timeout expired or query ID is invalid",
  ],
  ["an unknown file", "getFile", { file_id: "nope" }, TOKEN, 400, "Bad Request: invalid file_id"],
  [
    "too long a button",
    "sendMessage",
    {
      chat_id: 77,
      text: "x",
      reply_markup: { inline_keyboard: [[{ text: "b", callback_data: "y".repeat(65) }]] },
    },
    TOKEN,
    400,
    "Bad Request: BUTTON_DATA_INVALID",
  ],
])("%s is refused in Telegram's words", async (_case, method, params, token, status, description) => {
  const world = await startWorld();
  await world.say("hi");
  const answer = await world.bot(method, params, token);
  expect(answer).toEqual({ status, ok: false, error_code: status, description });
});

test("a text counts in UTF-16 units after its markup is taken out: 4096 pass, 4097 do not", async () => {
  const world = await startWorld();
  await world.say("hi");
  const text = `<b>${"😀".repeat(2_048)}</b>`;
  const fits = await world.bot("sendMessage", { chat_id: 77, text, parse_mode: "HTML" });
  expect(fits.result.entities).toEqual([{ type: "bold", offset: 0, length: 4_096 }]);
  const long = await world.bot("sendMessage", { chat_id: 77, text: `${"😀".repeat(2_048)}!` });
  expect(long).toMatchObject({ status: 400, description: "Bad Request: message is too long" });
});

test("a known person who never wrote cannot be written to first", async () => {
  const world = await startWorld();
  await world.control("users", { id: 8, first_name: "Bob" });
  const answer = await world.bot("sendMessage", { chat_id: 8, text: "x" });
  expect(answer).toMatchObject({
    status: 403,
    description: "Forbidden: bot can't initiate conversation with a user",
  });
});

test("a blocked bot is told so, and is told when it is blocked and unblocked", async () => {
  const world = await startWorld();
  await world.say("hi");
  await world.control("block", { bot: "test_bot", chatId: 77 });
  const refused = await world.bot("sendMessage", { chat_id: 77, text: "x" });
  expect(refused).toMatchObject({ status: 403, description: "Forbidden: bot was blocked by the user" });
  expect((await world.bot("sendChatAction", { chat_id: 77, action: "typing" })).status).toBe(403);
  await world.control("unblock", { bot: "test_bot", chatId: 77 });
  expect((await world.bot("sendMessage", { chat_id: 77, text: "x" })).ok).toBe(true);
  const { result } = await world.bot("getUpdates");
  const changes = result.flatMap((update: Json) => update.my_chat_member ?? []);
  expect(changes.map((change: Json) => change.new_chat_member.status)).toEqual(["kicked", "member"]);
});
