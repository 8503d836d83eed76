import { requireWritableChat } from "../accounts.ts";
import { seconds } from "../core.ts";
import { badRequest } from "../errors.ts";
import type { FormattedText } from "../formatting/formattedText.ts";
import { formatText } from "../formatting/parse.ts";
import type { Params } from "../params.ts";
import { addEntry, deleteMessage, findMessage, saveMessage } from "../transcript.ts";
import type { Message } from "../wire.ts";
import type { Call } from "./call.ts";
import { assertThread, sendToChat } from "./outgoing.ts";
import { readReplyMarkup } from "./replyMarkup.ts";

/** In UTF-16 code units, counted after the markup is taken out. */
const TEXT_LIMIT = 4_096;
const CAPTION_LIMIT = 1_024;

const CHAT_ACTIONS = new Set([
  "typing",
  "upload_photo",
  "record_video",
  "upload_video",
  "record_voice",
  "upload_voice",
  "upload_document",
  "choose_sticker",
  "find_location",
  "record_video_note",
  "upload_video_note",
]);

export function sendMessage(call: Call): Message {
  // Telegram reads the markup before it looks at the chat.
  const formatted = readText(call.params);
  const chat = requireWritableChat(call.core, call.bot, call.params.text("chat_id") ?? "");
  return sendToChat(call, chat, content(formatted));
}

export function editMessageText(call: Call): Message {
  const { core, bot, params } = call;
  const formatted = readText(params);
  const chat = requireWritableChat(core, bot, params.text("chat_id") ?? "");
  const messageId = params.integer("message_id");
  if (messageId === undefined) throw badRequest("message identifier is not specified");
  const markup = readReplyMarkup(params);
  const before = findMessage(core, bot.id, chat.id, messageId);
  if (!before) throw badRequest("message to edit not found");
  if (before.from?.id !== bot.id || before.text === undefined) throw badRequest("message can't be edited");
  const { reply_markup: _markup, entities: _entities, ...kept } = before;
  const after: Message = {
    ...kept,
    ...content(formatted),
    edit_date: seconds(core.now()),
    ...(markup && "inline_keyboard" in markup ? { reply_markup: markup } : {}),
  };
  if (sameContent(before, after)) {
    throw badRequest(
      "message is not modified: specified new message content and reply markup are exactly the same as a current content and reply markup of the message",
    );
  }
  core.store.transaction(() => saveMessage(core, bot.id, after, "edit", "out"));
  core.changes.emit("entry");
  return after;
}

export function deleteMessageOfBot(call: Call): true {
  const { core, bot, params } = call;
  const chat = requireWritableChat(core, bot, params.text("chat_id") ?? "");
  const messageId = params.integer("message_id") ?? 0;
  if (!findMessage(core, bot.id, chat.id, messageId)) throw badRequest("message to delete not found");
  core.store.transaction(() => deleteMessage(core, bot.id, chat.id, messageId));
  core.changes.emit("entry");
  return true;
}

export function sendChatAction(call: Call): true {
  const { core, bot, params } = call;
  const action = params.text("action")?.toLowerCase() ?? "";
  if (!CHAT_ACTIONS.has(action)) throw badRequest("wrong parameter action in request");
  const chat = requireWritableChat(core, bot, params.text("chat_id") ?? "");
  const threadId = params.integer("message_thread_id") || undefined;
  if (threadId !== undefined) assertThread(call, chat, threadId);
  addEntry(core, bot.id, chat.id, "action", "out", null, { action, message_thread_id: threadId });
  core.changes.emit("entry");
  return true;
}

/** The caption of a media message. */
export function readCaption(params: Params): Partial<Message> {
  const source = params.text("caption") ?? "";
  if (source === "") return {};
  const { text, entities } = formatText(
    source,
    params.text("parse_mode"),
    readEntities(params, "caption_entities"),
  );
  if (text.length > CAPTION_LIMIT) throw badRequest("message caption is too long");
  return { caption: text, ...(entities.length > 0 ? { caption_entities: entities } : {}) };
}

function readText(params: Params): FormattedText {
  const source = params.text("text") ?? "";
  const formatted = formatText(source, params.text("parse_mode"), readEntities(params, "entities"));
  if (formatted.text === "") throw badRequest("message text is empty");
  if (formatted.text.length > TEXT_LIMIT) throw badRequest("message is too long");
  return formatted;
}

function readEntities(params: Params, name: string): unknown {
  const value = params.text(name);
  if (value === undefined || value === "") return undefined;
  try {
    return JSON.parse(value);
  } catch {
    throw badRequest("can't parse entities JSON object");
  }
}

function content(formatted: FormattedText): Partial<Message> {
  return { text: formatted.text, ...(formatted.entities.length > 0 ? { entities: formatted.entities } : {}) };
}

function sameContent(before: Message, after: Message): boolean {
  const essence = (message: Message): string =>
    JSON.stringify([message.text, message.entities ?? [], message.reply_markup ?? null]);
  return essence(before) === essence(after);
}
