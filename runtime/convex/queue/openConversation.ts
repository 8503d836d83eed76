/**
 * One conversation inside one transaction: its row, read once, and what the transaction changes about it and
 * its counts, written once.
 */
import type { Doc, Id } from "../_generated/dataModel.js";
import type { MutationCtx, QueryCtx } from "../_generated/server.js";
import { emptyTally, saveTally, type Tally } from "./counters.ts";

type Changeable = Pick<
  Doc<"conversations">,
  "nextSeq" | "nextHistorySeq" | "queuedCount" | "pausedAt" | "lastWorkerId" | "companyId" | "consumerUserId"
>;

export type OpenConversation = {
  readonly id: Id<"conversations">;
  readonly conversationId: string;
  readonly agentKey: string;
  /** Change these; `saveConversation` writes what differs from the row. */
  row: Changeable;
  readonly tally: Tally;
  /** Backend time of this transaction, ms. */
  readonly now: number;
  readonly original: Doc<"conversations">;
};

export async function findConversation(
  ctx: QueryCtx,
  conversationId: string,
): Promise<Doc<"conversations"> | null> {
  return await ctx.db
    .query("conversations")
    .withIndex("by_conversation_id", (q) => q.eq("conversationId", conversationId))
    .first();
}

export function openConversation(original: Doc<"conversations">, now: number): OpenConversation {
  const { _id, _creationTime, conversationId, agentKey, ...row } = original;
  return { id: _id, conversationId, agentKey, row, tally: emptyTally(), now, original };
}

const CHANGEABLE = [
  "nextSeq",
  "nextHistorySeq",
  "queuedCount",
  "pausedAt",
  "lastWorkerId",
  "companyId",
  "consumerUserId",
] as const;

export async function saveConversation(ctx: MutationCtx, open: OpenConversation): Promise<void> {
  if (CHANGEABLE.some((field) => open.row[field] !== open.original[field])) {
    await ctx.db.patch("conversations", open.id, open.row);
  }
  await saveTally(ctx, open.conversationId, open.tally);
}
