/** What became of a broadcast: counts, and person by person how far it got. */
import { type Infer, v } from "convex/values";
import type { Doc } from "../_generated/dataModel.js";
import { internalQuery, type QueryCtx } from "../_generated/server.js";
import { FactoryError } from "../errors.ts";
import { deliveryOf } from "../replies/deliveries.ts";
import { vMessageStatus } from "../validators.ts";
import { vDispatchOutcome } from "./tables.ts";

/** Each target costs its message and its answer's parts. */
const PAGE_MAX = 100;

export const vBroadcastCounts = v.object({
  broadcastId: v.id("broadcasts"),
  totalTargets: v.number(),
  enqueued: v.number(),
  failed: v.number(),
});
export type BroadcastCounts = Infer<typeof vBroadcastCounts>;

export const counts = internalQuery({
  args: { broadcastId: v.id("broadcasts") },
  returns: vBroadcastCounts,
  handler: async (ctx, { broadcastId }) => {
    const broadcast = await ctx.db.get("broadcasts", broadcastId);
    if (broadcast === null) throw new FactoryError("not_found", `Broadcast '${broadcastId}' not found`);
    const { totalTargets, enqueued, failed } = broadcast;
    return { broadcastId, totalTargets, enqueued, failed };
  },
});

const vTargetView = v.object({
  consumerUserId: v.string(),
  outcome: vDispatchOutcome,
  reason: v.union(v.string(), v.null()),
  messageId: v.union(v.id("messageQueue"), v.null()),
  /** Of the message; null when there is none, or retention has taken it. */
  status: v.union(vMessageStatus, v.null()),
  /** How far the agent's answer got in the chat; `none` before it answers, and for people without a chat. */
  delivery: v.union(
    v.literal("none"),
    v.literal("pending"),
    v.literal("delivered"),
    v.literal("failed"),
    v.literal("unknown"),
  ),
});

async function viewTarget(
  ctx: QueryCtx,
  { consumerUserId, outcome, reason, messageId }: Doc<"broadcastTargets">,
): Promise<Infer<typeof vTargetView>> {
  const message = messageId === undefined ? null : await ctx.db.get("messageQueue", messageId);
  return {
    consumerUserId,
    outcome,
    reason: reason ?? null,
    messageId: messageId ?? null,
    status: message?.status ?? null,
    delivery: messageId === undefined ? "none" : (await deliveryOf(ctx, messageId)).state,
  };
}

/** `factory:broadcastReport`: who got it and who did not, page by page. */
export const broadcastReport = internalQuery({
  args: {
    companyId: v.string(),
    broadcastId: v.id("broadcasts"),
    cursor: v.optional(v.union(v.string(), v.null())),
  },
  returns: v.object({
    state: v.union(v.literal("running"), v.literal("done")),
    totalTargets: v.number(),
    enqueued: v.number(),
    failed: v.number(),
    targets: v.array(vTargetView),
    cursor: v.union(v.string(), v.null()),
  }),
  handler: async (ctx, { companyId, broadcastId, cursor = null }) => {
    const broadcast = await ctx.db.get("broadcasts", broadcastId);
    if (broadcast === null || broadcast.companyId !== companyId) {
      throw new FactoryError("not_found", `Broadcast '${broadcastId}' not found`);
    }
    const after = cursor === null ? null : ctx.db.normalizeId("identityBindings", cursor);
    if (cursor !== null && after === null)
      throw new FactoryError("invalid_argument", "cursor is not one of ours");
    const rows = await ctx.db
      .query("broadcastTargets")
      .withIndex("by_broadcast_binding", (q) => {
        const ofBroadcast = q.eq("broadcastId", broadcastId);
        return after === null ? ofBroadcast : ofBroadcast.gt("bindingId", after);
      })
      .take(PAGE_MAX + 1);
    const page = rows.slice(0, PAGE_MAX);
    const { state, totalTargets, enqueued, failed } = broadcast;
    return {
      state,
      totalTargets,
      enqueued,
      failed,
      targets: await Promise.all(page.map((target) => viewTarget(ctx, target))),
      cursor: rows.length > page.length ? (page.at(-1)?.bindingId ?? null) : null,
    };
  },
});
