import { createHash } from "node:crypto";
import type { Core } from "./core.ts";
import { badRequest, forbidden, unauthorized } from "./errors.ts";
import type { Chat, User } from "./wire.ts";

export interface Bot {
  id: number;
  username: string;
  firstName: string;
  /** False is Telegram's privacy mode: in groups only commands, mentions and replies reach the bot. */
  readsAllGroupMessages: boolean;
}

/** What a bot may do in a chat. A private chat starts with a person's first message. */
export type DialogStatus = "member" | "administrator" | "kicked" | "left";

interface BotRow {
  id: number;
  username: string;
  first_name: string;
  reads_all: number;
}

const TOKEN = /^(\d{1,16}):[A-Za-z0-9_-]{3,64}$/;
const FIRST_UPDATE_ID = 100_000_001;

const toBot = (row: BotRow): Bot => ({
  id: row.id,
  username: row.username,
  firstName: row.first_name,
  readsAllGroupMessages: row.reads_all === 1,
});

// Only a digest is kept, so that neither the state folder nor a copy of it holds a usable token.
const hashToken = (token: string): string => createHash("sha256").update(token).digest("hex");

/** Registers a bot, as BotFather would; the same id again replaces its name and token and keeps its history. */
export function registerBot(
  core: Core,
  bot: { token: string; username: string; firstName?: string; readsAllGroupMessages?: boolean },
): Bot {
  const id = Number(TOKEN.exec(bot.token)?.[1] ?? Number.NaN);
  if (!Number.isSafeInteger(id)) throw badRequest("token must look like <bot id>:<3 to 64 of A-Za-z0-9_->");
  if (!/^[A-Za-z][A-Za-z0-9_]{1,31}$/.test(bot.username)) {
    throw badRequest("username must be 2 to 32 of A-Za-z0-9_ and start with a letter, without the @");
  }
  const owner = core.store.get<{ id: number }>("SELECT id FROM bots WHERE username = ?", bot.username);
  if (owner && owner.id !== id) throw badRequest(`username '${bot.username}' is taken by bot ${owner.id}`);
  core.store.run(
    `INSERT INTO bots (id, username, first_name, token_hash, reads_all, next_update_id) VALUES (?, ?, ?, ?, ?, ?)
     ON CONFLICT (id) DO UPDATE SET username = excluded.username, first_name = excluded.first_name,
       token_hash = excluded.token_hash, reads_all = excluded.reads_all`,
    id,
    bot.username,
    bot.firstName ?? bot.username,
    hashToken(bot.token),
    (bot.readsAllGroupMessages ?? true) ? 1 : 0,
    FIRST_UPDATE_ID,
  );
  return requireBot(core, String(id));
}

/** The bot that a token belongs to. */
export function authenticate(core: Core, token: string): Bot {
  const row = core.store.get<BotRow>("SELECT * FROM bots WHERE token_hash = ?", hashToken(token));
  if (!row) throw unauthorized();
  return toBot(row);
}

export function listBots(core: Core): Bot[] {
  return core.store.all<BotRow>("SELECT * FROM bots ORDER BY id").map(toBot);
}

/** A bot by user name (with or without @) or by id. */
export function requireBot(core: Core, name: string): Bot {
  const row = /^\d+$/.test(name)
    ? core.store.get<BotRow>("SELECT * FROM bots WHERE id = ?", Number(name))
    : core.store.get<BotRow>("SELECT * FROM bots WHERE username = ?", name.replace(/^@/, ""));
  if (!row)
    throw badRequest(
      `bot '${name}' is not registered; register it with POST /control/bots {token, username}`,
    );
  return toBot(row);
}

export function botAsUser(bot: Bot): User {
  return { id: bot.id, is_bot: true, first_name: bot.firstName, username: bot.username };
}

export function saveUser(core: Core, user: User): void {
  core.store.run(
    "INSERT INTO users (id, body) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
    user.id,
    JSON.stringify(user),
  );
}

export function findUser(core: Core, id: number): User | undefined {
  const row = core.store.get<{ body: string }>("SELECT body FROM users WHERE id = ?", id);
  return row && (JSON.parse(row.body) as User);
}

export function saveChat(core: Core, chat: Chat): void {
  core.store.run(
    "INSERT INTO chats (id, body) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
    chat.id,
    JSON.stringify(chat),
  );
}

export function findChat(core: Core, id: number): Chat | undefined {
  const row = core.store.get<{ body: string }>("SELECT body FROM chats WHERE id = ?", id);
  return row && (JSON.parse(row.body) as Chat);
}

export function dialogStatus(core: Core, botId: number, chatId: number): DialogStatus | undefined {
  return core.store.get<{ status: DialogStatus }>(
    "SELECT status FROM dialogs WHERE bot_id = ? AND chat_id = ?",
    botId,
    chatId,
  )?.status;
}

export function setDialogStatus(core: Core, botId: number, chatId: number, status: DialogStatus): void {
  core.store.run(
    "INSERT INTO dialogs (bot_id, chat_id, status) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET status = excluded.status",
    botId,
    chatId,
    status,
  );
}

/** The chat a bot wants to write to, or Telegram's reason why it may not. */
export function requireWritableChat(core: Core, bot: Bot, chatId: string): Chat {
  if (chatId === "") throw badRequest("chat_id is empty");
  const chat = chatId.startsWith("@")
    ? findChatByUsername(core, chatId.slice(1))
    : findChat(core, Number(chatId));
  const status = chat && dialogStatus(core, bot.id, chat.id);
  if (!chat) {
    if (findUser(core, Number(chatId))) throw forbidden("bot can't initiate conversation with a user");
    throw badRequest("chat not found");
  }
  if (status === undefined) {
    throw chat.type === "private"
      ? forbidden("bot can't initiate conversation with a user")
      : badRequest("chat not found");
  }
  if (status === "kicked" || status === "left") {
    if (chat.type === "private") throw forbidden("bot was blocked by the user");
    const place = chat.type === "group" ? "group chat" : `${chat.type} chat`;
    throw forbidden(
      status === "kicked" ? `bot was kicked from the ${place}` : `bot is not a member of the ${place}`,
    );
  }
  return chat;
}

function findChatByUsername(core: Core, username: string): Chat | undefined {
  const row = core.store.get<{ body: string }>(
    "SELECT body FROM chats WHERE lower(json_extract(body, '$.username')) = lower(?) AND id < 0",
    username,
  );
  return row && (JSON.parse(row.body) as Chat);
}
