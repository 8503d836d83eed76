/**
 * One message to everybody of a company who has an active binding, each in their own conversation.
 *
 * Each target is its own transaction with its own row, so that a broadcast which was interrupted goes on where it
 * stopped and nobody is sent it twice. Messages are spread over time by Telegram's limit for a bot.
 */
import { v } from "convex/values";
import { internal } from "../_generated/api.js";
import type { Doc, Id } from "../_generated/dataModel.js";
import { type ActionCtx, internalAction, internalMutation, internalQuery } from "../_generated/server.js";
import { recordAudit } from "../audit/record.ts";
import { FactoryError } from "../errors.ts";
import { requireKey, requireWords } from "./checks.ts";
import { reasonOf } from "./dispatch.ts";
import { reachPerson } from "./reach.ts";
import { vDispatchOutcome } from "./tables.ts";

/** Telegram sends about 30 messages a second for one bot; a third is left for conversations that go on meanwhile. */
const TARGETS_PER_SECOND = 20;
const PAGE = 50;
/** One action walks for this long, then hands over to the next: platforms end actions after ten minutes. */
const STEP_MS_MAX = 4 * 60_000;
/** A running broadcast without a step for this long was interrupted: the hourly sweep takes it up. */
const INTERRUPTED_AFTER_MS = 15 * 60_000;
const REPORT_PAGE_MAX = 500;
const RUNNING_MAX = 100;

const vReport = v.object({
  broadcastId: v.id("broadcasts"),
  totalTargets: v.number(),
  enqueued: v.number(),
  failed: v.number(),
});
type Report = { broadcastId: Id<"broadcasts">; totalTargets: number; enqueued: number; failed: number };

/**
 * `factory:sendBroadcastToAllActiveAgents`. Counts are final unless the broadcast outlasts one action; it then goes
 * on in the background and `broadcastReport` has the rest.
 */
export const sendBroadcastToAllActiveAgents = internalAction({
  args: { companyId: v.string(), title: v.string(), text: v.string(), requestedBy: v.string() },
  returns: vReport,
  handler: async (ctx, args): Promise<Report> => {
    const broadcastId: Id<"broadcasts"> = await ctx.runMutation(
      internal.schedules.broadcast.openBroadcast,
      args,
    );
    return await walk(ctx, broadcastId);
  },
});

/** Goes on with an interrupted broadcast; finished ones are only reported. */
export const resumeBroadcast = internalAction({
  args: { broadcastId: v.id("broadcasts") },
  returns: vReport,
  handler: async (ctx, { broadcastId }): Promise<Report> => await walk(ctx, broadcastId),
});

async function walk(ctx: ActionCtx, broadcastId: Id<"broadcasts">): Promise<Report> {
  const startedAt = Date.now();
  for (;;) {
    const page: { bindingIds: Id<"identityBindings">[]; cursor: string; isDone: boolean } | null =
      await ctx.runQuery(internal.schedules.broadcast.nextPage, { broadcastId });
    if (page === null) break;
    for (const bindingId of page.bindingIds) await settleTarget(ctx, broadcastId, bindingId);
    await ctx.runMutation(internal.schedules.broadcast.turnPage, {
      broadcastId,
      cursor: page.cursor,
      isDone: page.isDone,
    });
    if (page.isDone) break;
    if (Date.now() - startedAt > STEP_MS_MAX) {
      await ctx.scheduler.runAfter(0, internal.schedules.broadcast.resumeBroadcast, { broadcastId });
      break;
    }
  }
  return await ctx.runQuery(internal.schedules.broadcast.counts, { broadcastId });
}

async function settleTarget(
  ctx: ActionCtx,
  broadcastId: Id<"broadcasts">,
  bindingId: Id<"identityBindings">,
): Promise<void> {
  const target = { broadcastId, bindingId };
  try {
    await ctx.runMutation(internal.schedules.broadcast.sendToTarget, target);
  } catch (error) {
    await ctx.runMutation(internal.schedules.broadcast.recordFailedTarget, {
      ...target,
      reason: reasonOf(error),
    });
  }
}

export const openBroadcast = internalMutation({
  args: { companyId: v.string(), title: v.string(), text: v.string(), requestedBy: v.string() },
  returns: v.id("broadcasts"),
  handler: async (ctx, args) => {
    requireKey("companyId", args.companyId);
    requireKey("requestedBy", args.requestedBy);
    requireWords(args);
    const now = Date.now();
    const broadcastId = await ctx.db.insert("broadcasts", {
      ...args,
      state: "running",
      cursor: null,
      totalTargets: 0,
      enqueued: 0,
      failed: 0,
      createdAt: now,
      steppedAt: now,
    });
    await recordAudit(ctx, {
      actor: args.requestedBy,
      action: "broadcast.start",
      target: broadcastId,
      outcome: "ok",
      detail: `company ${args.companyId}`,
    });
    return broadcastId;
  },
});

export const nextPage = internalQuery({
  args: { broadcastId: v.id("broadcasts") },
  returns: v.union(
    v.object({ bindingIds: v.array(v.id("identityBindings")), cursor: v.string(), isDone: v.boolean() }),
    v.null(),
  ),
  handler: async (ctx, { broadcastId }) => {
    const broadcast = await ctx.db.get("broadcasts", broadcastId);
    if (broadcast === null || broadcast.state === "done") return null;
    const { page, continueCursor, isDone } = await ctx.db
      .query("identityBindings")
      .withIndex("by_company_status", (q) => q.eq("companyId", broadcast.companyId).eq("status", "active"))
      .paginate({ cursor: broadcast.cursor, numItems: PAGE });
    return { bindingIds: page.map(({ _id }) => _id), cursor: continueCursor, isDone };
  },
});

export const turnPage = internalMutation({
  args: { broadcastId: v.id("broadcasts"), cursor: v.string(), isDone: v.boolean() },
  returns: v.null(),
  handler: async (ctx, { broadcastId, cursor, isDone }) => {
    const broadcast = await ctx.db.get("broadcasts", broadcastId);
    if (broadcast === null || broadcast.state === "done") return null;
    const now = Date.now();
    await ctx.db.patch("broadcasts", broadcastId, {
      cursor,
      steppedAt: now,
      ...(isDone ? { state: "done" as const, finishedAt: now } : {}),
    });
    return null;
  },
});

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
    const result = await reachPerson(ctx, binding, {
      title: broadcast.title,
      text: broadcast.text,
      externalMessageId: `broadcast:${broadcastId}`,
      source: "broadcast",
      metadata: { broadcastId },
      scheduledFor: broadcast.createdAt + Math.floor(broadcast.totalTargets / TARGETS_PER_SECOND) * 1_000,
    });
    await countTarget(
      ctx,
      open,
      result.kind === "enqueued"
        ? { outcome: "enqueued", messageId: result.messageId }
        : { outcome: "skipped", reason: result.reason },
    );
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

/** null when this target is settled, or no longer this company's active one. */
async function openTarget(
  ctx: Parameters<typeof reachPerson>[0],
  broadcastId: Id<"broadcasts">,
  bindingId: Id<"identityBindings">,
): Promise<OpenTarget | null> {
  const broadcast = await ctx.db.get("broadcasts", broadcastId);
  const binding = await ctx.db.get("identityBindings", bindingId);
  if (broadcast === null || binding === null) return null;
  if (binding.status !== "active" || binding.companyId !== broadcast.companyId) return null;
  const settled = await ctx.db
    .query("broadcastTargets")
    .withIndex("by_broadcast_binding", (q) => q.eq("broadcastId", broadcastId).eq("bindingId", bindingId))
    .first();
  return settled === null ? { broadcast, binding } : null;
}

async function countTarget(
  ctx: Parameters<typeof reachPerson>[0],
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

export const counts = internalQuery({
  args: { broadcastId: v.id("broadcasts") },
  returns: vReport,
  handler: async (ctx, { broadcastId }) => {
    const broadcast = await ctx.db.get("broadcasts", broadcastId);
    if (broadcast === null) throw new FactoryError("not_found", `Broadcast '${broadcastId}' not found`);
    const { totalTargets, enqueued, failed } = broadcast;
    return { broadcastId, totalTargets, enqueued, failed };
  },
});

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
    targets: v.array(
      v.object({
        consumerUserId: v.string(),
        outcome: vDispatchOutcome,
        reason: v.union(v.string(), v.null()),
        messageId: v.union(v.id("messageQueue"), v.null()),
      }),
    ),
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
      .take(REPORT_PAGE_MAX + 1);
    const page = rows.slice(0, REPORT_PAGE_MAX);
    const { state, totalTargets, enqueued, failed } = broadcast;
    return {
      state,
      totalTargets,
      enqueued,
      failed,
      targets: page.map(({ consumerUserId, outcome, reason, messageId }) => ({
        consumerUserId,
        outcome,
        reason: reason ?? null,
        messageId: messageId ?? null,
      })),
      cursor: rows.length > page.length ? (page.at(-1)?.bindingId ?? null) : null,
    };
  },
});

/** Takes up broadcasts whose action was lost. */
export const sweepBroadcasts = internalMutation({
  args: {},
  returns: v.object({ resumed: v.number() }),
  handler: async (ctx) => {
    const interrupted = await ctx.db
      .query("broadcasts")
      .withIndex("by_state", (q) =>
        q.eq("state", "running").lt("steppedAt", Date.now() - INTERRUPTED_AFTER_MS),
      )
      .take(RUNNING_MAX);
    for (const { _id } of interrupted) {
      await ctx.scheduler.runAfter(0, internal.schedules.broadcast.resumeBroadcast, { broadcastId: _id });
    }
    return { resumed: interrupted.length };
  },
});
