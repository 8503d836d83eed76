/**
 * One person of a broadcast: one transaction that sends and records, so that whoever has a row is settled. Messages
 * are spread over time by Telegram's limit for a bot, over all broadcasts together.
 */
import { v } from "convex/values";
import type { Doc, Id } from "../_generated/dataModel.js";
import { internalMutation, type MutationCtx } from "../_generated/server.js";
import { reachPerson } from "./reach.ts";

/** Telegram sends about 30 messages a second for one bot; a third is left for conversations that go on meanwhile. */
const TARGETS_PER_SECOND = 20;
const SPACING_MS = 1_000 / TARGETS_PER_SECOND;

const vTarget = { broadcastId: v.id("broadcasts"), bindingId: v.id("identityBindings") };

type Counted = {
  outcome: Doc<"broadcastTargets">["outcome"];
  reason?: string;
  messageId?: Id<"messageQueue">;
};

export const sendToTarget = internalMutation({
  args: vTarget,
  returns: v.null(),
  handler: async (ctx, { broadcastId, bindingId }) => {
    const open = await openTarget(ctx, broadcastId, bindingId);
    if (open === null) return null;
    const { broadcast, binding } = open;
    const pace = await ctx.db.query("broadcastPace").first();
    const dueAt = Math.max(Date.now(), pace?.nextDueAt ?? 0);
    const result = await reachPerson(ctx, binding, {
      title: broadcast.title,
      text: broadcast.text,
      externalMessageId: `broadcast:${broadcastId}`,
      source: "broadcast",
      metadata: { broadcastId },
      scheduledFor: dueAt,
    });
    if (result.kind === "skipped") {
      await countTarget(ctx, open, { outcome: "skipped", reason: result.reason });
      return null;
    }
    const nextDueAt = dueAt + SPACING_MS;
    if (pace === null) await ctx.db.insert("broadcastPace", { nextDueAt });
    else await ctx.db.patch("broadcastPace", pace._id, { nextDueAt });
    await countTarget(ctx, open, { outcome: "enqueued", messageId: result.messageId });
    return null;
  },
});

/** After `sendToTarget` threw and rolled back. */
export const recordFailedTarget = internalMutation({
  args: { ...vTarget, reason: v.string() },
  returns: v.null(),
  handler: async (ctx, { broadcastId, bindingId, reason }) => {
    const open = await openTarget(ctx, broadcastId, bindingId);
    if (open !== null) await countTarget(ctx, open, { outcome: "failed", reason });
    return null;
  },
});

type OpenTarget = { broadcast: Doc<"broadcasts">; binding: Doc<"identityBindings"> };

/**
 * null when the person is settled, or the binding is not (or no longer) an active one that the broadcast is for. The
 * person, not the binding: who is re-bound while a broadcast runs has a second binding further on.
 */
async function openTarget(
  ctx: MutationCtx,
  broadcastId: Id<"broadcasts">,
  bindingId: Id<"identityBindings">,
): Promise<OpenTarget | null> {
  const broadcast = await ctx.db.get("broadcasts", broadcastId);
  const binding = await ctx.db.get("identityBindings", bindingId);
  if (broadcast === null || binding === null) return null;
  if (binding.status !== "active" || binding.companyId !== broadcast.companyId) return null;
  const settled = await ctx.db
    .query("broadcastTargets")
    .withIndex("by_broadcast_person", (q) =>
      q.eq("broadcastId", broadcastId).eq("consumerUserId", binding.consumerUserId),
    )
    .first();
  return settled === null ? { broadcast, binding } : null;
}

async function countTarget(
  ctx: MutationCtx,
  { broadcast, binding }: OpenTarget,
  counted: Counted,
): Promise<void> {
  await ctx.db.insert("broadcastTargets", {
    broadcastId: broadcast._id,
    bindingId: binding._id,
    consumerUserId: binding.consumerUserId,
    ...counted,
  });
  await ctx.db.patch("broadcasts", broadcast._id, {
    totalTargets: broadcast.totalTargets + 1,
    enqueued: broadcast.enqueued + (counted.outcome === "enqueued" ? 1 : 0),
    failed: broadcast.failed + (counted.outcome === "enqueued" ? 0 : 1),
  });
}
