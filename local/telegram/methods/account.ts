import * as z from "zod";
import { botAsUser, dialogStatus, findChat } from "../accounts.ts";
import { badRequest } from "../errors.ts";
import { describeFile } from "../files.ts";
import { addEntry } from "../transcript.ts";
import { allowedUpdates, settlePending } from "../updates.ts";
import { findWebhook, parseWebhook, removeWebhook, saveWebhook, webhookInfo } from "../webhooks.ts";
import type { Call } from "./call.ts";

/** A method whose answer carries words besides `true`. */
export interface Described {
  result: true;
  description: string;
}

const commandsSchema = z.array(
  z.object({
    command: z.string().regex(/^\/?[a-z0-9_]{1,32}$/),
    description: z.string().min(1).max(256),
  }),
);

export function getMe(call: Call): Record<string, unknown> {
  return {
    ...botAsUser(call.bot),
    can_join_groups: true,
    can_read_all_group_messages: call.bot.readsAllGroupMessages,
    supports_inline_queries: false,
    can_connect_to_business: false,
    has_main_web_app: false,
  };
}

export function setWebhook(call: Call): Described {
  const { core, bot, params } = call;
  const webhook = parseWebhook(params, allowedUpdates(core, bot.id));
  if (webhook.url === "") return deleteWebhook(call);
  if (params.flag("drop_pending_updates")) settlePending(core, bot.id, "expired");
  const before = findWebhook(core, bot.id);
  if (before && JSON.stringify(before) === JSON.stringify(webhook)) {
    if (params.flag("drop_pending_updates")) call.delivery.restart(bot.id);
    return { result: true, description: "Webhook is already set" };
  }
  saveWebhook(core, bot.id, webhook);
  call.delivery.restart(bot.id);
  return { result: true, description: "Webhook was set" };
}

export function deleteWebhook(call: Call): Described {
  const { core, bot, params } = call;
  if (params.flag("drop_pending_updates")) settlePending(core, bot.id, "expired");
  if (!findWebhook(core, bot.id)) return { result: true, description: "Webhook is already deleted" };
  removeWebhook(core, bot.id);
  call.delivery.restart(bot.id);
  return { result: true, description: "Webhook was deleted" };
}

export function getWebhookInfo(call: Call): Record<string, unknown> {
  return webhookInfo(call.core, call.bot.id);
}

export function getFile(call: Call): Record<string, unknown> {
  const fileId = call.params.text("file_id") ?? "";
  if (fileId === "") throw badRequest("file_id not specified");
  return describeFile(call.core, call.bot.id, fileId);
}

export function getChat(call: Call): Record<string, unknown> {
  const chat = findChat(call.core, Number(call.params.text("chat_id") ?? ""));
  if (!chat || dialogStatus(call.core, call.bot.id, chat.id) === undefined)
    throw badRequest("chat not found");
  return { ...chat, accent_color_id: 0, max_reaction_count: 11 };
}

export function setMyCommands(call: Call): true {
  const commands = call.params.json("commands", commandsSchema, "can't parse list of bot commands") ?? [];
  if (commands.length > 100) throw badRequest("too many commands specified");
  const bare = commands.map((entry) => ({ ...entry, command: entry.command.replace(/^\//, "") }));
  call.core.store.run("UPDATE bots SET commands = ? WHERE id = ?", JSON.stringify(bare), call.bot.id);
  return true;
}

export function getMyCommands(call: Call): unknown {
  const row = call.core.store.get<{ commands: string }>(
    "SELECT commands FROM bots WHERE id = ?",
    call.bot.id,
  );
  return JSON.parse(row?.commands ?? "[]") as unknown;
}

export function answerCallbackQuery(call: Call): true {
  const { core, bot, params } = call;
  const id = params.text("callback_query_id") ?? "";
  const text = params.text("text") ?? "";
  if (text.length > 200) throw badRequest("MESSAGE_TOO_LONG");
  const query = core.store.get<{ chat_id: number }>(
    "SELECT chat_id FROM callbacks WHERE id = ? AND bot_id = ? AND answered = 0",
    id,
    bot.id,
  );
  if (!query) throw badRequest("query is too old and response timeout expired or query ID is invalid");
  core.store.transaction(() => {
    core.store.run("UPDATE callbacks SET answered = 1 WHERE id = ?", id);
    addEntry(core, bot.id, query.chat_id, "callbackAnswer", "out", null, {
      callback_query_id: id,
      text,
      show_alert: params.flag("show_alert"),
    });
  });
  core.changes.emit("entry");
  return true;
}
