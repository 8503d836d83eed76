/** The bots of this deployment, by secret ref. */
import type { MutationCtx, QueryCtx } from "../_generated/server.js";
import type { Doc } from "../_generated/dataModel.js";
import { readSecret } from "../secrets/read.ts";

/** Digits before the colon of a bot token: Telegram's user id of the bot. null for anything else. */
export function botIdOfToken(token: string): string | null {
  return /^(\d{1,20}):/.exec(token)?.[1] ?? null;
}

export async function findBot(ctx: QueryCtx, secretRef: string): Promise<Doc<"telegramBots"> | null> {
  return await ctx.db
    .query("telegramBots")
    .withIndex("by_secret_ref", (q) => q.eq("secretRef", secretRef))
    .unique();
}

/**
 * The bot's row, made from its token when a webhook that somebody set by hand delivers before
 * configureTelegramWebhook has run. null when there is no token to make it from.
 */
export async function ensureBot(ctx: MutationCtx, secretRef: string): Promise<Doc<"telegramBots"> | null> {
  const existing = await findBot(ctx, secretRef);
  if (existing !== null) return existing;
  const token = await readSecret(ctx, secretRef);
  const botId = token === null ? null : botIdOfToken(token);
  if (botId === null) return null;
  const id = await ctx.db.insert("telegramBots", { secretRef, botId });
  return await ctx.db.get("telegramBots", id);
}
