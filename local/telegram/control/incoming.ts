import { randomInt } from "node:crypto";
import {
  type Bot,
  botAsUser,
  dialogStatus,
  type DialogStatus,
  findChat,
  findUser,
  saveChat,
  saveUser,
  setDialogStatus,
} from "../accounts.ts";
import { type Core, seconds } from "../core.ts";
import { badRequest } from "../errors.ts";
import { MEDIA_KINDS, storeMedia } from "../files.ts";
import { detectEntities } from "../formatting/detect.ts";
import { addEntry, findMessage, nextMessageId, saveMessage } from "../transcript.ts";
import { addUpdate } from "../updates.ts";
import type { Chat, Message, UpdateKind, User } from "../wire.ts";
import type { CallbackInput, EditInput, MessageInput, PersonInput } from "./schemas.ts";

/** What a person's action led to; `update_id` is null when the bot does not get that kind of update. */
export interface Incoming {
  update_id: number | null;
  message_id: number;
}

/** A person writes: stores the message and queues its update, together. */
export function receiveMessage(core: Core, bot: Bot, input: MessageInput): Incoming {
  const result = core.store.transaction(() => {
    const from = knownPerson(core, input.from, input.chatId);
    const chat = openChat(core, bot, input.chatId, from);
    const message: Message = {
      message_id: nextMessageId(core, bot.id, chat),
      ...threadOf(core, chat, input.message_thread_id),
      ...(chat.type === "channel" ? { sender_chat: chat } : { from }),
      chat,
      date: seconds(core.now()),
      ...repliedTo(core, bot, chat, input.reply_to),
      ...readContent(core, bot, input),
    };
    saveMessage(core, bot.id, message, "message", "in");
    const kind: UpdateKind = chat.type === "channel" ? "channel_post" : "message";
    const update_id = reachesBot(bot, message)
      ? addUpdate(core, bot.id, kind, `chat ${chat.id}`, message)
      : null;
    return { update_id, message_id: message.message_id };
  });
  announce(core, bot);
  return result;
}

/** A person edits one of their messages. */
export function receiveEdit(core: Core, bot: Bot, input: EditInput): Incoming {
  const result = core.store.transaction(() => {
    const before = findMessage(core, bot.id, input.chatId, input.message_id);
    if (!before) throw badRequest(`message ${input.message_id} does not exist in chat ${input.chatId}`);
    if (before.from?.id === bot.id) throw badRequest("a person cannot edit the bot's message");
    const { entities: _entities, ...kept } = before;
    const message: Message = { ...kept, ...plainText(input.text), edit_date: seconds(core.now()) };
    saveMessage(core, bot.id, message, "edit", "in");
    const kind: UpdateKind = before.chat.type === "channel" ? "edited_channel_post" : "edited_message";
    return {
      update_id: addUpdate(core, bot.id, kind, `chat ${before.chat.id}`, message),
      message_id: message.message_id,
    };
  });
  announce(core, bot);
  return result;
}

/** A person presses an inline button of the bot's message. */
export function receiveCallback(
  core: Core,
  bot: Bot,
  input: CallbackInput,
): { update_id: number | null; callback_query_id: string } {
  const result = core.store.transaction(() => {
    const from = knownPerson(core, input.from, input.chatId);
    const message = findMessage(core, bot.id, input.chatId, input.message_id);
    if (!message) throw badRequest(`message ${input.message_id} does not exist in chat ${input.chatId}`);
    const id = String(randomInt(2 ** 47));
    core.store.run("INSERT INTO callbacks VALUES (?, ?, ?, ?, 0)", id, bot.id, input.chatId, core.now());
    addEntry(core, bot.id, input.chatId, "callback", "in", input.message_id, { id, from, data: input.data });
    const query = { id, from, message, chat_instance: String(input.chatId), data: input.data };
    return {
      update_id: addUpdate(core, bot.id, "callback_query", `callback ${from.id}`, query),
      callback_query_id: id,
    };
  });
  announce(core, bot);
  return result;
}

/** The bot's own standing in a chat changes: blocked, unblocked, added, removed, promoted. */
export function changeMembership(
  core: Core,
  bot: Bot,
  chatId: number,
  by: PersonInput | undefined,
  status: DialogStatus,
): { update_id: number | null } {
  const result = core.store.transaction(() => {
    const from = knownPerson(core, by, chatId);
    const chat = findChat(core, chatId) ?? (chatId > 0 ? privateChat(from) : undefined);
    if (!chat) throw badRequest(`chat ${chatId} does not exist; create it with POST /control/chats`);
    saveChat(core, chat);
    const member = (value: DialogStatus | undefined): unknown => ({
      user: botAsUser(bot),
      status: value ?? "left",
    });
    const change = {
      chat,
      from,
      date: seconds(core.now()),
      old_chat_member: member(dialogStatus(core, bot.id, chatId)),
      new_chat_member: member(status),
    };
    setDialogStatus(core, bot.id, chatId, status);
    addEntry(core, bot.id, chatId, "membership", "in", null, { status, from });
    return { update_id: addUpdate(core, bot.id, "my_chat_member", `member ${chatId}`, change) };
  });
  announce(core, bot);
  return result;
}

export function announce(core: Core, bot: Bot): void {
  core.changes.emit("entry");
  core.changes.emit("update", bot.id);
}

function knownPerson(core: Core, input: PersonInput | undefined, chatId: number): User {
  if (input) {
    const user: User = { is_bot: false, ...input };
    saveUser(core, user);
    return user;
  }
  const known = chatId > 0 ? findUser(core, chatId) : undefined;
  if (!known) throw badRequest("from is required: {id, first_name, username?} of the person who acts");
  return known;
}

function privateChat(user: User): Chat {
  const { id, first_name, last_name, username } = user;
  return { id, type: "private", first_name, last_name, username };
}

/** A first message opens a private chat, as pressing Start does; groups have to exist and hold the bot. */
function openChat(core: Core, bot: Bot, chatId: number, from: User): Chat {
  if (chatId > 0) {
    if (chatId !== from.id)
      throw badRequest(`chatId ${chatId} is a private chat: from.id must be the same number`);
    if (dialogStatus(core, bot.id, chatId) === "kicked") {
      throw badRequest("the person has blocked the bot; POST /control/unblock first");
    }
    const chat = privateChat(from);
    saveChat(core, chat);
    setDialogStatus(core, bot.id, chatId, "member");
    return chat;
  }
  const chat = findChat(core, chatId);
  const status = dialogStatus(core, bot.id, chatId);
  if (!chat || status === undefined || status === "kicked" || status === "left") {
    throw badRequest(
      `bot @${bot.username} is in no chat ${chatId}; create it with POST /control/chats {bot, type, title}`,
    );
  }
  return chat;
}

function threadOf(core: Core, chat: Chat, threadId: number | undefined): Partial<Message> {
  if (threadId === undefined) return {};
  if (!core.store.get("SELECT 1 FROM topics WHERE chat_id = ? AND thread_id = ?", chat.id, threadId)) {
    throw badRequest(`chat ${chat.id} has no topic ${threadId}`);
  }
  return { message_thread_id: threadId, is_topic_message: true };
}

function repliedTo(core: Core, bot: Bot, chat: Chat, messageId: number | undefined): Partial<Message> {
  if (messageId === undefined) return {};
  const replied = findMessage(core, bot.id, chat.id, messageId);
  if (!replied) throw badRequest(`reply_to: message ${messageId} does not exist in chat ${chat.id}`);
  const { reply_to_message: _nested, ...flat } = replied;
  return { reply_to_message: flat };
}

function readContent(core: Core, bot: Bot, input: MessageInput): Partial<Message> {
  const media = MEDIA_KINDS.flatMap((kind) => {
    const file = input[kind];
    return file ? [{ kind, file }] : [];
  });
  const [first, ...others] = media;
  if (others.length > 0)
    throw badRequest(`a message carries one file, got ${media.map((m) => m.kind).join(" and ")}`);
  if (!first) return plainText(input.text ?? "");
  const { content, name, mime, ...details } = first.file;
  const upload = { name: name ?? first.kind, mime: mime ?? "", bytes: Buffer.from(content, "base64") };
  return {
    ...storeMedia(core, bot.id, first.kind, upload, details),
    ...(input.caption === undefined ? {} : { caption: input.caption }),
  };
}

function plainText(text: string): Partial<Message> {
  const entities = detectEntities(text, []).sort((a, b) => a.offset - b.offset);
  return text === "" ? {} : { text, ...(entities.length > 0 ? { entities } : {}) };
}

/** Privacy mode: in a group only commands, mentions of the bot and replies to it get through. */
function reachesBot(bot: Bot, message: Message): boolean {
  if (bot.readsAllGroupMessages || (message.chat.type !== "group" && message.chat.type !== "supergroup"))
    return true;
  const text = (message.text ?? message.caption ?? "").toLowerCase();
  return (
    text.startsWith("/") ||
    text.includes(`@${bot.username.toLowerCase()}`) ||
    message.reply_to_message?.from?.id === bot.id
  );
}
