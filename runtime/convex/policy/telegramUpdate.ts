/**
 * What a Telegram update means to us: parsed once, at the edge, into the few cases that ingress acts on. Fields that
 * are not read here are not looked at. Everything else is ignored on purpose, with a reason.
 */
import * as z from "zod";
import type { Attachment } from "../validators.ts";
import { attachmentsOf, describeMedia, mediaSchema } from "./telegramMedia.ts";
import { clipText } from "./clipText.ts";

const idSchema = z.number().int();
const chatSchema = z.object({
  id: idSchema,
  type: z.string(),
  title: z.string().optional(),
});
const userSchema = z.object({
  id: idSchema,
  is_bot: z.boolean().optional(),
  first_name: z.string().optional(),
  last_name: z.string().optional(),
  username: z.string().optional(),
  language_code: z.string().optional(),
});
const entitySchema = z.object({
  type: z.string(),
  offset: z.number().int().min(0),
  length: z.number().int().min(0),
  user: userSchema.optional(),
});
const messageSchema = mediaSchema.extend({
  message_id: idSchema,
  chat: chatSchema.optional(),
  from: userSchema.optional(),
  message_thread_id: idSchema.optional(),
  is_topic_message: z.boolean().optional(),
  is_automatic_forward: z.boolean().optional(),
  via_bot: z.object({ id: idSchema }).optional(),
  /** Common to the messages of one album, each of which is an update of its own. */
  media_group_id: z.string().min(1).max(64).optional(),
  edit_date: idSchema.optional(),
  text: z.string().optional(),
  entities: z.array(entitySchema).optional(),
  caption: z.string().optional(),
  caption_entities: z.array(entitySchema).optional(),
  reply_to_message: z.object({ from: userSchema.optional() }).optional(),
  migrate_to_chat_id: idSchema.optional(),
});
type TelegramMessage = z.output<typeof messageSchema>;

const updateSchema = z.object({
  update_id: z.number().int().min(0),
  message: messageSchema.optional(),
  edited_message: messageSchema.optional(),
  my_chat_member: z
    .object({
      chat: chatSchema,
      from: userSchema.optional(),
      new_chat_member: z.object({ status: z.string() }),
    })
    .optional(),
});

export type Mention = { offset: number; length: number } & (
  { kind: "username"; username: string } | { kind: "user"; userId: string }
);

/** A message of a person, in our words. Ids are strings: Telegram's exceed 32 bits and are never computed with. */
export type PersonMessage = {
  kind: "message";
  messageId: number;
  chat: { id: string; isPrivate: boolean; title: string | null };
  threadId: number | null;
  sender: { id: string; name: string; languageCode: string | null };
  text: string;
  /** false: nothing was written, and `text` describes what was sent. */
  isWritten: boolean;
  mentions: Mention[];
  /** A leading `/command`, as Telegram marked it. */
  command: { name: string; addressee: string | null; argument: string } | null;
  replyToUserId: string | null;
  attachments: Attachment[];
  /** The album that the message is a part of. */
  albumId: string | null;
};

export type UpdateEvent =
  | PersonMessage
  /** What an earlier message says now. `editedAt`: seconds since the epoch, Telegram's clock. */
  | { kind: "edit"; message: PersonMessage; editedAt: number }
  | { kind: "membership"; chatId: string; isMember: boolean }
  | { kind: "migration"; fromChatId: string; toChatId: string }
  | { kind: "ignored"; reason: string };

export type ParsedUpdate = { ok: true; updateId: number; event: UpdateEvent } | { ok: false; reason: string };

/** Kinds that we ask Telegram for: everything else would only cost a call. */
export const ALLOWED_UPDATES = ["message", "edited_message", "my_chat_member"] as const;

const NAME_UNITS_MAX = 64;

/** Parses one update. Never throws; anything that is no update at all is `{ok: false}`. */
export function parseUpdate(input: unknown): ParsedUpdate {
  const parsed = updateSchema.safeParse(input);
  if (!parsed.success) {
    const path = parsed.error.issues[0]?.path.join(".") ?? "";
    return { ok: false, reason: `not a Telegram update${path === "" ? "" : ` (${path})`}` };
  }
  return { ok: true, updateId: parsed.data.update_id, event: toEvent(parsed.data, input) };
}

function toEvent(update: z.output<typeof updateSchema>, input: unknown): UpdateEvent {
  const { message, edited_message: edited, my_chat_member: membership } = update;
  if (message !== undefined) return messageEvent(message);
  if (edited !== undefined) return editEvent(edited);
  if (membership !== undefined) {
    const { status } = membership.new_chat_member;
    return {
      kind: "membership",
      chatId: String(membership.chat.id),
      isMember: status !== "kicked" && status !== "left",
    };
  }
  const kind = Object.keys(input as object).find((key) => key !== "update_id") ?? "nothing";
  return { kind: "ignored", reason: `update kind '${clipText(kind, NAME_UNITS_MAX)}' is not acted on` };
}

function editEvent(edited: TelegramMessage): UpdateEvent {
  const event = messageEvent(edited);
  return event.kind === "message" ? { kind: "edit", message: event, editedAt: edited.edit_date ?? 0 } : event;
}

function messageEvent(message: TelegramMessage): UpdateEvent {
  const { chat, from } = message;
  if (chat === undefined) return { kind: "ignored", reason: "no chat" };
  if (message.migrate_to_chat_id !== undefined) {
    return { kind: "migration", fromChatId: String(chat.id), toChatId: String(message.migrate_to_chat_id) };
  }
  if (chat.type === "channel") return { kind: "ignored", reason: "channel posts are not acted on" };
  if (from === undefined) return { kind: "ignored", reason: "no sender" };
  if (from.is_bot === true) return { kind: "ignored", reason: "sent by a bot" };
  if (message.is_automatic_forward === true) return { kind: "ignored", reason: "forwarded from a channel" };
  const attachments = attachmentsOf(message);
  const written = blankToNull(message.text) ?? blankToNull(message.caption);
  const text = written ?? describeMedia(message);
  if (text === null) return { kind: "ignored", reason: "no text, caption or media" };
  const source = written ?? "";
  const entities =
    blankToNull(message.text) === null ? (message.caption_entities ?? []) : (message.entities ?? []);
  return {
    kind: "message",
    messageId: message.message_id,
    chat: { id: String(chat.id), isPrivate: chat.type === "private", title: chat.title ?? null },
    threadId: message.is_topic_message === true ? (message.message_thread_id ?? null) : null,
    sender: { id: String(from.id), name: displayName(from), languageCode: from.language_code ?? null },
    text,
    isWritten: written !== null,
    mentions: mentionsOf(source, entities),
    command: commandOf(source, entities),
    replyToUserId:
      message.reply_to_message?.from === undefined ? null : String(message.reply_to_message.from.id),
    attachments,
    albumId: message.media_group_id ?? null,
  };
}

function blankToNull(text: string | undefined): string | null {
  return text === undefined || text.trim() === "" ? null : text;
}

function displayName(user: z.output<typeof userSchema>): string {
  const name = [user.first_name, user.last_name].filter(Boolean).join(" ") || user.username || "unknown";
  return clipText(name, NAME_UNITS_MAX);
}

function mentionsOf(text: string, entities: readonly z.output<typeof entitySchema>[]): Mention[] {
  const mentions: Mention[] = [];
  for (const { type, offset, length, user } of entities) {
    if (type === "mention") {
      mentions.push({ kind: "username", offset, length, username: text.slice(offset + 1, offset + length) });
    } else if (type === "text_mention" && user !== undefined) {
      mentions.push({ kind: "user", offset, length, userId: String(user.id) });
    }
  }
  return mentions;
}

/**
 * The command that a text begins with. Telegram marks commands with an entity; text that merely starts with a slash
 * (a path) is none. Clients that send no entities are still understood for the exact form `/word`.
 */
function commandOf(
  text: string,
  entities: readonly z.output<typeof entitySchema>[],
): PersonMessage["command"] {
  const marked =
    entities.length === 0 || entities.some(({ type, offset }) => type === "bot_command" && offset === 0);
  if (!marked) return null;
  const match = /^\/([A-Za-z0-9_]{1,32})(?:@([A-Za-z0-9_]{1,64}))?(?:\s+([\s\S]*))?$/.exec(text);
  if (match === null) return null;
  return {
    name: (match[1] as string).toLowerCase(),
    addressee: match[2] ?? null,
    argument: (match[3] ?? "").trim(),
  };
}
