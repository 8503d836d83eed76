/**
 * The one writer of conversationHeads: the index that claim reads instead of scanning messages.
 *
 * A conversation has a head exactly while it has a message that is queued or processing. At rest the head
 * mirrors the first message in line; while a turn runs it mirrors the lease.
 */
import type { Doc } from "../_generated/dataModel.js";
import type { MutationCtx, QueryCtx } from "../_generated/server.js";
import { headState, isScheduledPlace, rankOf } from "../policy/order.ts";
import type { OpenConversation } from "./openConversation.ts";

type Head = Doc<"conversationHeads">;

export async function findHead(
  ctx: QueryCtx,
  conversation: Doc<"conversations">["_id"],
): Promise<Head | null> {
  return await ctx.db
    .query("conversationHeads")
    .withIndex("by_conversation", (q) => q.eq("conversation", conversation))
    .first();
}

function countHead(open: OpenConversation, state: Head["state"] | null, by: 1 | -1): void {
  if (state === "ready") open.tally.headsReady += by;
  if (state === "leased") open.tally.headsLeased += by;
}

/**
 * Marks a waiting message as due. One that was scheduled joins the line now, behind those who waited before;
 * a retried one keeps its place at the front.
 */
export async function settleDue(
  ctx: MutationCtx,
  open: OpenConversation,
  message: Doc<"messageQueue">,
): Promise<void> {
  if (!message.delayed || message.dueAt > open.now) return;
  open.tally.delayed -= 1;
  const seq = isScheduledPlace(message.seq) ? open.row.nextSeq++ : message.seq;
  await ctx.db.patch("messageQueue", message._id, { delayed: false, seq });
}

/** `becameReady`: this message has just become claimable, so that somebody must be told. */
export type HeadChange =
  | { state: Head["state"] | "none"; becameReady: false }
  | { state: "ready"; becameReady: true; message: Head["message"] };

/** What a claim mended on its way: a timer that is late. `holder`: whose lease was taken back. */
export type Repair = { conversation: Head["conversation"]; change: HeadChange; holder?: string | undefined };

/**
 * Makes the head mirror the first message in line. A running turn is left alone, unless it is the one that
 * has just ended (`leaseEnded`). `known` is the head when the caller has read it in this transaction.
 */
export async function refreshHead(
  ctx: MutationCtx,
  open: OpenConversation,
  { leaseEnded = false, known }: { leaseEnded?: boolean; known?: Head | undefined } = {},
): Promise<HeadChange> {
  const head = known ?? (await findHead(ctx, open.id));
  if (head?.state === "leased" && !leaseEnded) return { state: "leased", becameReady: false };
  const next = await ctx.db
    .query("messageQueue")
    .withIndex("by_conversation_status_seq", (q) => q.eq("conversation", open.id).eq("status", "queued"))
    .first();
  countHead(open, head?.state ?? null, -1);
  if (next === null) {
    if (head !== null) await ctx.db.delete("conversationHeads", head._id);
    return { state: "none", becameReady: false };
  }
  await settleDue(ctx, open, next);
  const state = headState(open.row.pausedAt !== undefined, next, open.now);
  countHead(open, state, 1);
  const fields = {
    conversation: open.id,
    state,
    agentKey: open.agentKey,
    message: next._id,
    rank: rankOf(next.priority),
    dueAt: next.dueAt,
    createdAt: next._creationTime,
    preferredWorkerId: open.row.lastWorkerId,
  };
  if (head === null) await ctx.db.insert("conversationHeads", fields);
  else await ctx.db.replace("conversationHeads", head._id, fields);
  const wasReady = head?.state === "ready" && head.message === next._id;
  if (state === "ready" && !wasReady) return { state, becameReady: true, message: next._id };
  return { state, becameReady: false };
}

/** The head of a conversation whose turn begins. */
export async function leaseHead(
  ctx: MutationCtx,
  open: OpenConversation,
  head: Head,
  lease: { workerId: string; leaseExpiresAt: number },
): Promise<void> {
  countHead(open, head.state, -1);
  countHead(open, "leased", 1);
  await ctx.db.patch("conversationHeads", head._id, {
    state: "leased",
    ...lease,
    preferredWorkerId: lease.workerId,
  });
}

/** The head of a conversation whose lease is renewed. */
export async function renewHead(ctx: MutationCtx, head: Head, leaseExpiresAt: number): Promise<void> {
  await ctx.db.patch("conversationHeads", head._id, { leaseExpiresAt });
}
