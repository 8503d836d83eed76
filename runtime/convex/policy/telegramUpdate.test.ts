import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseUpdate, type PersonMessage } from "./telegramUpdate.ts";

const privateChat = { id: 42, type: "private" };
const person = { id: 42, is_bot: false, first_name: "Ada", last_name: "L", language_code: "en" };
const update = (message: Record<string, unknown>): unknown => ({
  update_id: 7,
  message: { message_id: 5, date: 1, chat: privateChat, from: person, ...message },
});

function messageOf(input: unknown): PersonMessage {
  const parsed = parseUpdate(input);
  if (!parsed.ok || parsed.event.kind !== "message") throw new Error(`no message: ${JSON.stringify(parsed)}`);
  return parsed.event;
}

describe("a message", () => {
  test("keeps text, sender and chat", () => {
    expect(messageOf(update({ text: "hello" }))).toMatchObject({
      text: "hello",
      chat: { id: "42", isPrivate: true },
      sender: { id: "42", name: "Ada L" },
      threadId: null,
      command: null,
      attachments: [],
    });
  });

  test("of several photo sizes the largest is taken, its caption is the text", () => {
    const photo = [
      { file_id: "small", width: 90, height: 90, file_size: 1 },
      { file_id: "large", width: 1280, height: 960, file_size: 3 },
      { file_id: "middle", width: 320, height: 240, file_size: 2 },
    ];
    expect(messageOf(update({ photo, caption: "look" }))).toMatchObject({
      text: "look",
      attachments: [{ kind: "photo", telegramFileId: "large", sizeBytes: 3 }],
    });
  });

  test.each([
    [{ photo: [{ file_id: "a", width: 1, height: 1 }] }, "[photo]", ["photo"]],
    [{ voice: { file_id: "a", duration: 12 } }, "[voice message, 12 s]", ["voice"]],
    [
      { audio: { file_id: "a", title: "Song", performer: "Band", duration: 60 } },
      "[audio: Band – Song, 60 s]",
      ["audio"],
    ],
    [{ video: { file_id: "a" } }, "[video]", ["video"]],
    [{ video_note: { file_id: "a", duration: 3 } }, "[video message, 3 s]", ["video"]],
    [{ animation: { file_id: "a" }, document: { file_id: "a" } }, "[animation]", ["video"]],
    [{ document: { file_id: "a", file_name: "x.pdf" } }, "[document: x.pdf]", ["document"]],
    [{ sticker: { emoji: "🙂" } }, "[sticker 🙂]", []],
    [{ location: { latitude: 1.5, longitude: 2 } }, "[location: 1.5, 2]", []],
    [
      { venue: { title: "Bar", address: "Via 1" }, location: { latitude: 1, longitude: 2 } },
      "[venue: Bar, Via 1]",
      [],
    ],
    [{ contact: { first_name: "Bob", phone_number: "+39" } }, "[contact: Bob, +39]", []],
    [
      { poll: { question: "Tea?", options: [{ text: "yes" }, { text: "no" }] } },
      "[poll: Tea? (yes / no)]",
      [],
    ],
    [{ dice: { emoji: "🎲", value: 4 } }, "[dice 🎲: 4]", []],
  ])("without words is described: %j", (media, text, kinds) => {
    const message = messageOf(update(media));
    expect(message.text).toBe(text);
    expect(message.attachments.map(({ kind }) => kind)).toEqual(kinds);
  });

  test("in a topic keeps the topic; a reply thread outside topics is none", () => {
    const chat = { id: -100, type: "supergroup", title: "G" };
    expect(
      messageOf(update({ chat, text: "x", message_thread_id: 9, is_topic_message: true })).threadId,
    ).toBe(9);
    expect(messageOf(update({ chat, text: "x", message_thread_id: 9 })).threadId).toBeNull();
  });
});

describe("a command", () => {
  const entity = (length: number): unknown => [{ type: "bot_command", offset: 0, length }];
  test.each([
    [
      { text: "/start abc_DEF-1", entities: entity(6) },
      { name: "start", addressee: null, argument: "abc_DEF-1" },
    ],
    [
      { text: "/Start@My_bot abc", entities: entity(13) },
      { name: "start", addressee: "My_bot", argument: "abc" },
    ],
    [{ text: "/stop" }, { name: "stop", addressee: null, argument: "" }],
    [
      { text: "/status\nnow", entities: entity(7) },
      { name: "status", addressee: null, argument: "now" },
    ],
  ])("%j", (message, command) => {
    expect(messageOf(update(message)).command).toEqual(command);
  });

  test("a path is no command", () => {
    expect(messageOf(update({ text: "/usr/bin is a folder" })).command).toBeNull();
    expect(
      messageOf(update({ text: "/stop", entities: [{ type: "bold", offset: 0, length: 5 }] })).command,
    ).toBeNull();
  });
});

/** Every kind of update of the Bot API that we do not ask for; one comes all the same while a webhook is older. */
const OTHER_KINDS = [
  "channel_post",
  "edited_channel_post",
  "business_connection",
  "business_message",
  "edited_business_message",
  "deleted_business_messages",
  "message_reaction",
  "message_reaction_count",
  "inline_query",
  "chosen_inline_result",
  "callback_query",
  "shipping_query",
  "pre_checkout_query",
  "purchased_paid_media",
  "poll",
  "poll_answer",
  "chat_member",
  "chat_join_request",
  "chat_boost",
  "removed_chat_boost",
];

describe("ignored on purpose, with a reason", () => {
  test.each([
    ...OTHER_KINDS.map((kind): [unknown, string] => [
      { update_id: 1, [kind]: { id: "1" } },
      `update kind '${kind}' is not acted on`,
    ]),
    [{ update_id: 1, edited_message: { message_id: 1 } }, "no chat"],
    [{ update_id: 1 }, "update kind 'nothing' is not acted on"],
    [update({}), "no text, caption or media"],
    [update({ text: "  " }), "no text, caption or media"],
    [update({ new_chat_members: [person] }), "no text, caption or media"],
    [update({ text: "x", from: undefined }), "no sender"],
    [update({ text: "x", chat: undefined }), "no chat"],
    [update({ text: "x", from: { ...person, is_bot: true } }), "sent by a bot"],
    [update({ text: "x", chat: { id: -1, type: "channel" } }), "channel posts are not acted on"],
    [update({ text: "x", is_automatic_forward: true }), "forwarded from a channel"],
  ])("%j", (input, reason) => {
    expect(parseUpdate(input)).toMatchObject({ ok: true, event: { kind: "ignored", reason } });
  });
});

test("an edit is the message as it says now, with the time of the edit", () => {
  const message = { message_id: 5, date: 1, edit_date: 9, chat: privateChat, from: person, text: "now" };
  expect(parseUpdate({ update_id: 7, edited_message: message })).toMatchObject({
    event: { kind: "edit", editedAt: 9, message: { messageId: 5, text: "now", isWritten: true } },
  });
});

test("a part of an album names it, and whether anything was written", () => {
  const photo = [{ file_id: "a", width: 1, height: 1 }];
  expect(messageOf(update({ photo, media_group_id: "g1" }))).toMatchObject({
    albumId: "g1",
    isWritten: false,
    text: "[photo]",
  });
});

test("membership and migration are understood", () => {
  const member = (status: string): unknown => ({
    update_id: 1,
    my_chat_member: { chat: privateChat, from: person, new_chat_member: { status } },
  });
  expect(parseUpdate(member("kicked"))).toMatchObject({ event: { kind: "membership", isMember: false } });
  expect(parseUpdate(member("member"))).toMatchObject({ event: { kind: "membership", isMember: true } });
  expect(parseUpdate(update({ chat: { id: -5, type: "group" }, migrate_to_chat_id: -1005 }))).toMatchObject({
    event: { kind: "migration", fromChatId: "-5", toChatId: "-1005" },
  });
});

test("whatever is sent, parsing neither throws nor invents", () => {
  const anyField = fc.oneof(fc.jsonValue(), fc.constant(privateChat), fc.constant(person));
  const shaped = fc.record(
    {
      update_id: anyField,
      message: fc.oneof(
        anyField,
        fc.dictionary(
          fc.constantFrom("chat", "from", "text", "photo", "voice", "entities", "message_id"),
          anyField,
        ),
      ),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), shaped), (input) => {
      const parsed = parseUpdate(input);
      if (parsed.ok) expect(Number.isInteger(parsed.updateId)).toBe(true);
      else expect(parsed.reason).toMatch(/^not a Telegram update/);
    }),
    { numRuns: 2_000 },
  );
});
