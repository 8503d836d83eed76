import type { Core } from "./core.ts";
import type { Chat, Message } from "./wire.ts";

/** One thing that happened in a chat, in the order in which it happened. */
export interface Entry {
  /** Grows by at least one; use the last one seen as `after`. */
  seq: number;
  chatId: number;
  /** Milliseconds since 1970. */
  at: number;
  kind: EntryKind;
  /** `in`: from a person to the bot; `out`: from the bot. */
  direction: "in" | "out";
  messageId: number | null;
  /** A Message for message and edit; the call's details for the others. */
  body: unknown;
}

export type EntryKind =
  "message" | "edit" | "delete" | "action" | "callback" | "callbackAnswer" | "membership";

interface EntryRow {
  seq: number;
  chat_id: number;
  at: number;
  kind: EntryKind;
  direction: "in" | "out";
  message_id: number | null;
  body: string;
}

const toEntry = (row: EntryRow): Entry => ({
  seq: row.seq,
  chatId: row.chat_id,
  at: row.at,
  kind: row.kind,
  direction: row.direction,
  messageId: row.message_id,
  body: JSON.parse(row.body),
});

/** Ids count per supergroup and channel, and per bot over all its private chats and small groups, as Telegram's do. */
export function nextMessageId(core: Core, botId: number, chat: Chat): number {
  const counter = chat.type === "supergroup" || chat.type === "channel" ? "chats" : "bots";
  const row = core.store.get<{ id: number }>(
    `UPDATE ${counter} SET next_message_id = next_message_id + 1 WHERE id = ? RETURNING next_message_id - 1 AS id`,
    counter === "chats" ? chat.id : botId,
  );
  if (!row) throw new Error(`no counter for chat ${chat.id}`);
  return row.id;
}

/** Stores a message (or its new version) and adds the transcript entry. Announce with `core.changes` after commit. */
export function saveMessage(
  core: Core,
  botId: number,
  message: Message,
  kind: "message" | "edit",
  direction: "in" | "out",
): void {
  core.store.run(
    "INSERT INTO messages (bot_id, chat_id, message_id, body) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body",
    botId,
    message.chat.id,
    message.message_id,
    JSON.stringify(message),
  );
  addEntry(core, botId, message.chat.id, kind, direction, message.message_id, message);
}

export function addEntry(
  core: Core,
  botId: number,
  chatId: number,
  kind: EntryKind,
  direction: "in" | "out",
  messageId: number | null,
  body: unknown,
): void {
  core.store.run(
    "INSERT INTO entries (bot_id, chat_id, at, kind, direction, message_id, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
    botId,
    chatId,
    core.now(),
    kind,
    direction,
    messageId,
    JSON.stringify(body),
  );
}

export function findMessage(
  core: Core,
  botId: number,
  chatId: number,
  messageId: number,
): Message | undefined {
  const row = core.store.get<{ body: string }>(
    "SELECT body FROM messages WHERE bot_id = ? AND chat_id = ? AND message_id = ?",
    botId,
    chatId,
    messageId,
  );
  return row && (JSON.parse(row.body) as Message);
}

export function deleteMessage(core: Core, botId: number, chatId: number, messageId: number): void {
  core.store.run(
    "DELETE FROM messages WHERE bot_id = ? AND chat_id = ? AND message_id = ?",
    botId,
    chatId,
    messageId,
  );
  addEntry(core, botId, chatId, "delete", "out", messageId, {});
}

/** Entries after `after`, oldest first, at most `limit`. */
export function readTranscript(
  core: Core,
  botId: number,
  chatId: number,
  after: number,
  limit: number,
): Entry[] {
  return core.store
    .all<EntryRow>(
      "SELECT * FROM entries WHERE bot_id = ? AND chat_id = ? AND seq > ? ORDER BY seq LIMIT ?",
      botId,
      chatId,
      after,
      limit,
    )
    .map(toEntry);
}

/** The bot's first entry of one of these kinds after `after`, in one chat or (without `chatId`) in any. */
export function nextBotEntry(
  core: Core,
  botId: number,
  chatId: number | undefined,
  after: number,
  kinds: readonly EntryKind[],
): Entry | undefined {
  const row = core.store.get<EntryRow>(
    `SELECT * FROM entries WHERE bot_id = ? AND direction = 'out' AND seq > ? AND (? IS NULL OR chat_id = ?)
       AND kind IN (SELECT value FROM json_each(?)) ORDER BY seq LIMIT 1`,
    botId,
    after,
    chatId ?? null,
    chatId ?? null,
    JSON.stringify(kinds),
  );
  return row && toEntry(row);
}

/** The newest sequence number of a chat, 0 when nothing happened yet. */
export function lastSeq(core: Core, botId: number, chatId: number): number {
  return (
    core.store.get<{ seq: number | null }>(
      "SELECT max(seq) AS seq FROM entries WHERE bot_id = ? AND chat_id = ?",
      botId,
      chatId,
    )?.seq ?? 0
  );
}
