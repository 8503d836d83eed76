/** What is remembered of a chat beyond its conversation: told once, unreachable, migrated. */
import type { Doc } from "../_generated/dataModel.js";
import type { MutationCtx, QueryCtx } from "../_generated/server.js";

export async function findChat(
  ctx: QueryCtx,
  botId: string,
  chatId: string,
): Promise<Doc<"telegramChats"> | null> {
  return await ctx.db
    .query("telegramChats")
    .withIndex("by_chat", (q) => q.eq("botId", botId).eq("chatId", chatId))
    .unique();
}

type ChatFacts = Partial<Omit<Doc<"telegramChats">, "_id" | "_creationTime" | "botId" | "chatId">>;

/** Changes what is remembered, creating the row on first need. */
export async function rememberChat(
  ctx: MutationCtx,
  botId: string,
  chatId: string,
  facts: ChatFacts,
): Promise<void> {
  const existing = await findChat(ctx, botId, chatId);
  if (existing) await ctx.db.patch("telegramChats", existing._id, facts);
  else await ctx.db.insert("telegramChats", { botId, chatId, ...facts });
}

/** Telegram said that this bot may not write to this chat (blocked, kicked, deactivated). */
export async function noteUnreachable(
  ctx: MutationCtx,
  botSecretRef: string,
  chatId: string,
  now: number,
): Promise<void> {
  const bot = await ctx.db
    .query("telegramBots")
    .withIndex("by_secret_ref", (q) => q.eq("secretRef", botSecretRef))
    .unique();
  if (bot !== null) await rememberChat(ctx, bot.botId, chatId, { unreachableSince: now });
}
