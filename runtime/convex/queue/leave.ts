/**
 * Leaving a conversation behind (`/new`): the turn that runs is asked to stop, and what its people still had waiting
 * is cancelled. Pushes and consumer apps' messages are not theirs to drop: they stay in line and are answered.
 */
import { type Infer, v } from "convex/values";
import { internal } from "../_generated/api.js";
import type { Doc } from "../_generated/dataModel.js";
import { internalMutation, type MutationCtx } from "../_generated/server.js";
import { readRuntimeConfig } from "../config/read.ts";
import { takeWithin } from "../policy/takeWithin.ts";
import { requestAbort } from "./cancel.ts";
import { findHead, refreshHead } from "./heads.ts";
import { findConversation, openConversation, saveConversation } from "./openConversation.ts";
import { wakeForHead } from "./wake.ts";

/** Messages per transaction, where they are not so large that their bytes end it earlier. */
const BATCH = 25;

const vLeaving = v.object({
  conversation: v.id("conversations"),
  /** Only what came from there is dropped. */
  source: v.string(),
  /** Places in line from here on are not meant: they were taken after the conversation was left. */
  beforeSeq: v.number(),
});
type Leaving = Infer<typeof vLeaving>;

export type Left = {
  /** A turn ran and was asked to stop. */
  stopped: boolean;
  /** Messages that waited and were cancelled; `more` are being cancelled in the background. */
  dropped: number;
  more: boolean;
};

/** Stops and drops what `source` has asked of the conversation so far. */
export async function leaveConversation(
  ctx: MutationCtx,
  conversationId: string,
  source: string,
): Promise<Left> {
  const conversation = await findConversation(ctx, conversationId);
  if (conversation === null) return { stopped: false, dropped: 0, more: false };
  return await leaveStep(ctx, {
    conversation: conversation._id,
    source,
    beforeSeq: conversation.nextSeq,
  });
}

/** One batch, the last in line first: so the head stays the head, and no dropped message's turn begins meanwhile. */
async function leaveStep(ctx: MutationCtx, leaving: Leaving): Promise<Left> {
  const { source, beforeSeq } = leaving;
  const stopped = await stopRunning(ctx, leaving);
  const inLine = ctx.db
    .query("messageQueue")
    .withIndex("by_conversation_status_seq", (q) =>
      q.eq("conversation", leaving.conversation).eq("status", "queued").lt("seq", beforeSeq),
    )
    .order("desc");
  const { rows: waiting, more } = await takeWithin(inLine, BATCH);
  const theirs = waiting.filter((message) => message.source === source);
  await dropAll(ctx, leaving, theirs);
  const last = waiting.at(-1);
  if (more && last !== undefined) {
    await ctx.scheduler.runAfter(0, internal.queue.leave.leaveRest, {
      leaving: { ...leaving, beforeSeq: last.seq },
    });
  }
  return { stopped, dropped: theirs.length, more };
}

export const leaveRest = internalMutation({
  args: { leaving: vLeaving },
  returns: v.null(),
  handler: async (ctx, { leaving }) => {
    await leaveStep(ctx, leaving);
    return null;
  },
});

async function stopRunning(ctx: MutationCtx, { conversation, source, beforeSeq }: Leaving): Promise<boolean> {
  const head = await findHead(ctx, conversation);
  const message = head === null ? null : await ctx.db.get("messageQueue", head.message);
  if (message === null || message.status !== "processing") return false;
  if (message.source !== source || message.seq >= beforeSeq) return false;
  await requestAbort(ctx, message);
  return true;
}

async function dropAll(
  ctx: MutationCtx,
  leaving: Leaving,
  messages: ReadonlyArray<Doc<"messageQueue">>,
): Promise<void> {
  const conversation = await ctx.db.get("conversations", leaving.conversation);
  if (conversation === null || messages.length === 0) return;
  const open = openConversation(conversation, Date.now());
  for (const message of messages) {
    open.row.queuedCount = Math.max(0, open.row.queuedCount - 1);
    open.tally.queued -= 1;
    if (message.delayed) open.tally.delayed -= 1;
    await ctx.db.patch("messageQueue", message._id, {
      status: "cancelled",
      delayed: false,
      finishedAt: open.now,
    });
  }
  const head = await refreshHead(ctx, open);
  await saveConversation(ctx, open);
  if (!head.becameReady) return;
  const { config } = await readRuntimeConfig(ctx);
  await wakeForHead(ctx, open, head.message, config);
}
