/** Which message of Telegram a part changes instead of being sent anew. */
import type { Doc } from "../_generated/dataModel.js";
import type { QueryCtx } from "../_generated/server.js";

/**
 * Telegram's id of the message to change; null for a part that is a message of its own. A preview that has appeared
 * changes its own message, and what replaces a preview changes the preview's. The answer stays the same for as long
 * as the part is being sent, because a lane sends one part at a time.
 */
export async function editTarget(ctx: QueryCtx, part: Doc<"outbox">): Promise<number | null> {
  if (part.fallbacks.asNewMessage === true) return null;
  if (part.edits === undefined) return part.telegramMessageId ?? null;
  const preview = await ctx.db.get("outbox", part.edits);
  return preview?.telegramMessageId ?? null;
}
