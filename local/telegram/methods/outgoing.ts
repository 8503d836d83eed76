import * as z from "zod";
import { botAsUser } from "../accounts.ts";
import { seconds } from "../core.ts";
import { badRequest } from "../errors.ts";
import { findMessage, nextMessageId, saveMessage } from "../transcript.ts";
import type { Chat, Message } from "../wire.ts";
import type { Call } from "./call.ts";
import { readReplyMarkup } from "./replyMarkup.ts";

const replySchema = z.object({
  message_id: z.number().int(),
  chat_id: z.union([z.number(), z.string()]).optional(),
  allow_sending_without_reply: z.boolean().optional(),
});
const linkPreviewSchema = z.record(z.string(), z.unknown());

/** Sends a message of the bot: checks thread, reply and limits, stores it and tells whoever waits. */
export function sendToChat(call: Call, chat: Chat, content: Partial<Message>): Message {
  const { core, bot, params } = call;
  const threadId = params.integer("message_thread_id") || undefined;
  if (threadId !== undefined) assertThread(call, chat, threadId);
  const replyTo = findReplied(call, chat);
  const markup = readReplyMarkup(params);
  const preview = params.json(
    "link_preview_options",
    linkPreviewSchema,
    "can't parse link preview options JSON object",
  );
  call.flood.admit(bot.id, chat.id, core.now());

  const message = core.store.transaction(() => {
    const sent: Message = {
      message_id: nextMessageId(core, bot.id, chat),
      ...(threadId === undefined ? {} : { message_thread_id: threadId, is_topic_message: true }),
      ...(chat.type === "channel" ? { sender_chat: chat } : { from: botAsUser(bot) }),
      date: seconds(core.now()),
      chat,
      ...(replyTo ? { reply_to_message: replyTo } : {}),
      ...content,
      ...(preview ? { link_preview_options: preview } : {}),
      // Only inline keyboards belong to the message; the other kinds change the person's keyboard.
      ...(markup && "inline_keyboard" in markup ? { reply_markup: markup } : {}),
    };
    saveMessage(core, bot.id, sent, "message", "out");
    return sent;
  });
  core.changes.emit("entry");
  return message;
}

/** The general topic (1) cannot be addressed, as with Telegram. */
export function assertThread(call: Call, chat: Chat, threadId: number): void {
  const topic = call.core.store.get(
    "SELECT thread_id FROM topics WHERE chat_id = ? AND thread_id = ?",
    chat.id,
    threadId,
  );
  if (!topic) throw badRequest("message thread not found");
}

function findReplied(call: Call, chat: Chat): Message | undefined {
  const { params } = call;
  const old = params.integer("reply_to_message_id") || undefined;
  const reply =
    params.json("reply_parameters", replySchema, "can't parse reply parameters JSON object") ??
    (old === undefined
      ? undefined
      : { message_id: old, allow_sending_without_reply: params.flag("allow_sending_without_reply") });
  if (!reply) return undefined;
  const replied = findMessage(call.core, call.bot.id, Number(reply.chat_id ?? chat.id), reply.message_id);
  if (!replied) {
    if (reply.allow_sending_without_reply) return undefined;
    throw badRequest("message to be replied not found");
  }
  // One level only, as Telegram sends it.
  const { reply_to_message: _nested, ...flat } = replied;
  return flat;
}
