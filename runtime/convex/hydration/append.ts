/** Appending to history during a turn. */
import type { Doc, Id } from "../_generated/dataModel.js";
import type { MutationCtx } from "../_generated/server.js";
import { heldMessage } from "../queue/fence.ts";
import { openConversation, saveConversation } from "../queue/openConversation.ts";
import type { HistoryMessage, PendingToolCall } from "../validators.ts";
import { appendHistory } from "./appendHistory.ts";

const PENDING_CALLS_MAX = 50;

/**
 * Appends rows to the conversation whose message the caller holds. {false, 0} for a stale holder, and for any
 * other conversation than the message's own.
 */
export async function appendMessages(
  ctx: MutationCtx,
  worker: Doc<"workers">,
  args: {
    messageId: Id<"messageQueue">;
    leaseId: string;
    conversationId: string;
    messages: HistoryMessage[];
    /** Replaces the tool calls that the conversation waits for. */
    pendingToolCalls?: PendingToolCall[] | undefined;
  },
): Promise<{ updated: boolean; messageCount: number }> {
  const now = Date.now();
  const message = await heldMessage(ctx, worker, args, now);
  if (message === null || message.conversationId !== args.conversationId) {
    return { updated: false, messageCount: 0 };
  }
  const conversation = await ctx.db.get("conversations", message.conversation);
  if (conversation === null) return { updated: false, messageCount: 0 };
  const open = openConversation(conversation, now);
  await appendHistory(ctx, open, args.messages);
  if (args.pendingToolCalls !== undefined) await replacePending(ctx, open.id, args.pendingToolCalls);
  await saveConversation(ctx, open);
  return { updated: true, messageCount: open.row.nextHistorySeq };
}

async function replacePending(
  ctx: MutationCtx,
  conversation: Id<"conversations">,
  calls: PendingToolCall[],
): Promise<void> {
  const row = await ctx.db
    .query("pendingToolCalls")
    .withIndex("by_conversation", (q) => q.eq("conversation", conversation))
    .first();
  const kept = calls.slice(0, PENDING_CALLS_MAX);
  if (row === null && kept.length > 0) await ctx.db.insert("pendingToolCalls", { conversation, calls: kept });
  if (row !== null && kept.length > 0) await ctx.db.patch("pendingToolCalls", row._id, { calls: kept });
  if (row !== null && kept.length === 0) await ctx.db.delete("pendingToolCalls", row._id);
}
