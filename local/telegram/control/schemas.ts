import * as z from "zod";
import { isUpdateKind, type UpdateKind } from "../wire.ts";

/** What the control API takes. Telegram's own fields keep Telegram's names. */

const botName = z.string().min(1);
const id = z.number().int();

export const personSchema = z.object({
  id: id.positive(),
  first_name: z.string().min(1),
  last_name: z.string().optional(),
  username: z.string().optional(),
  language_code: z.string().optional(),
});
export type PersonInput = z.infer<typeof personSchema>;

const fileSchema = z.object({
  /** Base64. */
  content: z.base64(),
  name: z.string().optional(),
  mime: z.string().optional(),
  width: id.positive().optional(),
  height: id.positive().optional(),
  /** Seconds. */
  duration: id.nonnegative().optional(),
  /** Claims another size in bytes than the content has, to stand for a large file. */
  size: id.nonnegative().optional(),
});

export const messageSchema = z.object({
  bot: botName,
  chatId: id,
  /** May be left out in a private chat whose person is known. */
  from: personSchema.optional(),
  text: z.string().max(4_096).optional(),
  caption: z.string().max(1_024).optional(),
  photo: fileSchema.optional(),
  document: fileSchema.optional(),
  audio: fileSchema.optional(),
  voice: fileSchema.optional(),
  video: fileSchema.optional(),
  message_thread_id: id.positive().optional(),
  /** Id of the message that is answered. */
  reply_to: id.positive().optional(),
});
export type MessageInput = z.infer<typeof messageSchema>;

export const editSchema = z.object({
  bot: botName,
  chatId: id,
  message_id: id.positive(),
  text: z.string().min(1).max(4_096),
});
export type EditInput = z.infer<typeof editSchema>;

export const callbackSchema = z.object({
  bot: botName,
  chatId: id,
  message_id: id.positive(),
  from: personSchema.optional(),
  data: z.string().min(1),
});
export type CallbackInput = z.infer<typeof callbackSchema>;

export const botSchema = z.object({
  token: z.string(),
  username: z.string(),
  first_name: z.string().min(1).optional(),
  /** False turns privacy mode on. */
  can_read_all_group_messages: z.boolean().optional(),
});

export const chatSchema = z.object({
  /** Puts this bot into the chat. */
  bot: botName.optional(),
  /** Negative for groups and channels; chosen when left out. */
  id: id.optional(),
  type: z.enum(["private", "group", "supergroup", "channel"]),
  title: z.string().optional(),
  username: z.string().optional(),
  first_name: z.string().optional(),
  /** Names of topics; the chat becomes a forum. */
  topics: z.array(z.string().min(1)).max(100).optional(),
});

export const membershipSchema = z.object({
  bot: botName,
  chatId: id,
  from: personSchema.optional(),
  status: z.enum(["member", "administrator", "kicked", "left"]),
});

export const blockSchema = z.object({ bot: botName, chatId: id.positive() });

export const rawUpdateSchema = z.object({
  bot: botName,
  kind: z.string().refine((kind): kind is UpdateKind => isUpdateKind(kind), "is no kind of Bot API update"),
  /** What the update carries under its kind. */
  payload: z.record(z.string(), z.unknown()),
});

export const duplicateSchema = z.object({
  bot: botName,
  update_id: id,
  copies: id.positive().max(1_000),
  concurrency: id.positive().max(200).default(10),
});

export const chatQuerySchema = z.object({
  bot: botName,
  chatId: z.coerce.number().int(),
  after: z.coerce.number().int().nonnegative().default(0),
  limit: z.coerce.number().int().positive().max(1_000).default(500),
});

export const waitQuerySchema = z.object({
  bot: botName,
  chatId: z.coerce.number().int().optional(),
  after: z.coerce.number().int().nonnegative().default(0),
  timeoutMs: z.coerce.number().int().nonnegative().max(300_000).default(30_000),
  /** Comma-separated kinds of transcript entries. */
  kinds: z
    .string()
    .default("message")
    .transform((text) => text.split(","))
    .pipe(z.array(z.enum(["message", "edit", "delete", "action", "callbackAnswer"]))),
});

export const botQuerySchema = z.object({
  bot: botName,
  limit: z.coerce.number().int().positive().max(2_000).default(200),
});
