/** Telegram delivers at least once: what was seen, and what cannot be digested. */
import type { MutationCtx } from "../_generated/server.js";
import { parseUpdate, type ParsedUpdate } from "../policy/telegramUpdate.ts";
import { wellFormed } from "../policy/clipText.ts";

/** One of a bot's updates. */
export type UpdateKey = { botSecretRef: string; updateId: number };

/** Parses a request's body. Never throws. */
export function parseBody(body: string): ParsedUpdate {
  return parseUpdate(parseJson(body));
}

function parseJson(text: string): unknown {
  try {
    // Half of a surrogate pair, written as an escape, would fail every transaction that stores it.
    return JSON.parse(text, (_key, value: unknown) =>
      typeof value === "string" ? wellFormed(value) : value,
    ) as unknown;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

/** Remembers the update; false when it was seen before. */
export async function firstDelivery(
  ctx: MutationCtx,
  { botSecretRef, updateId }: UpdateKey,
  now: number,
): Promise<boolean> {
  const seen = await ctx.db
    .query("telegramUpdates")
    .withIndex("by_bot_update", (q) => q.eq("botSecretRef", botSecretRef).eq("updateId", updateId))
    .first();
  if (seen !== null) return false;
  await ctx.db.insert("telegramUpdates", { botSecretRef, updateId, receivedAt: now });
  return true;
}
