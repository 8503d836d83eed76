/**
 * One message to everybody of a company who has an active binding, each in their own conversation.
 *
 * An action walks the company's people page by page; each target is its own transaction with its own row
 * (broadcastTargets.ts), so that a broadcast which was interrupted at any point goes on where it stopped and nobody is
 * sent it twice.
 */
import { type Infer, v } from "convex/values";
import { internal } from "../_generated/api.js";
import type { Id } from "../_generated/dataModel.js";
import {
  type ActionCtx,
  internalAction,
  internalMutation,
  internalQuery,
  type MutationCtx,
} from "../_generated/server.js";
import { recordAudit } from "../audit/record.ts";
import { FactoryError } from "../errors.ts";
import { type BroadcastCounts, vBroadcastCounts } from "./broadcastReport.ts";
import { requireSound } from "./checks.ts";
import { reasonOf } from "./dispatch.ts";

const PAGE = 50;
/** One action walks for this long, then hands over to the next: platforms end actions after ten minutes. */
const STEP_MS_MAX = 4 * 60_000;
/** A running broadcast without a finished page for this long was interrupted. A page takes seconds. */
const INTERRUPTED_AFTER_MS = 2 * 60_000;
const RUNNING_MAX = 100;

const vNewBroadcast = v.object({
  companyId: v.string(),
  title: v.string(),
  text: v.string(),
  requestedBy: v.string(),
  /** The same key of the same company names the same broadcast: asking again starts no other. */
  idempotencyKey: v.optional(v.string()),
});

/**
 * `factory:sendBroadcastToAllActiveAgents`. Counts are final unless the broadcast outlasts `patienceMs` (default four
 * minutes); it then goes on in the background and `broadcastReport` has the rest.
 */
export const sendBroadcastToAllActiveAgents = internalAction({
  args: vNewBroadcast.extend({ patienceMs: v.optional(v.number()) }),
  returns: vBroadcastCounts,
  handler: async (ctx, { patienceMs = STEP_MS_MAX, ...broadcast }): Promise<BroadcastCounts> => {
    const broadcastId: Id<"broadcasts"> = await ctx.runMutation(
      internal.schedules.broadcast.openBroadcast,
      broadcast,
    );
    return await walk(ctx, broadcastId, Math.min(STEP_MS_MAX, patienceMs));
  },
});

/** Goes on with an interrupted broadcast; finished ones are only reported. */
export const resumeBroadcast = internalAction({
  args: { broadcastId: v.id("broadcasts") },
  returns: vBroadcastCounts,
  handler: async (ctx, { broadcastId }): Promise<BroadcastCounts> =>
    await walk(ctx, broadcastId, STEP_MS_MAX),
});

async function walk(
  ctx: ActionCtx,
  broadcastId: Id<"broadcasts">,
  patienceMs: number,
): Promise<BroadcastCounts> {
  const startedAt = Date.now();
  for (;;) {
    const page: Infer<typeof vPage> | null = await ctx.runQuery(internal.schedules.broadcast.nextPage, {
      broadcastId,
    });
    if (page === null) break;
    for (const bindingId of page.bindingIds) await settleTarget(ctx, broadcastId, bindingId);
    const { cursor, isDone } = page;
    await ctx.runMutation(internal.schedules.broadcast.turnPage, { broadcastId, cursor, isDone });
    if (isDone) break;
    if (Date.now() - startedAt > patienceMs) {
      await ctx.scheduler.runAfter(0, internal.schedules.broadcast.resumeBroadcast, { broadcastId });
      break;
    }
  }
  return await ctx.runQuery(internal.schedules.broadcastReport.counts, { broadcastId });
}

async function settleTarget(
  ctx: ActionCtx,
  broadcastId: Id<"broadcasts">,
  bindingId: Id<"identityBindings">,
): Promise<void> {
  const target = { broadcastId, bindingId };
  try {
    await ctx.runMutation(internal.schedules.broadcastTargets.sendToTarget, target);
  } catch (error) {
    const reason = reasonOf(error);
    await ctx.runMutation(internal.schedules.broadcastTargets.recordFailedTarget, { ...target, reason });
  }
}

export const openBroadcast = internalMutation({
  args: vNewBroadcast,
  returns: v.id("broadcasts"),
  handler: async (ctx, args) => {
    requireSound(args);
    const known = await findByKey(ctx, args);
    if (known !== null) return known;
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
    await watch(ctx, broadcastId, now);
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

/** @throws conflict when the key named other words. */
async function findByKey(
  ctx: MutationCtx,
  { companyId, idempotencyKey, title, text }: Infer<typeof vNewBroadcast>,
): Promise<Id<"broadcasts"> | null> {
  if (idempotencyKey === undefined) return null;
  const known = await ctx.db
    .query("broadcasts")
    .withIndex("by_company_key", (q) => q.eq("companyId", companyId).eq("idempotencyKey", idempotencyKey))
    .first();
  if (known === null) return null;
  if (known.title !== title || known.text !== text) {
    throw new FactoryError("conflict", "This Idempotency-Key was used for another broadcast");
  }
  return known._id;
}

const vPage = v.object({
  bindingIds: v.array(v.id("identityBindings")),
  cursor: v.string(),
  isDone: v.boolean(),
});

export const nextPage = internalQuery({
  args: { broadcastId: v.id("broadcasts") },
  returns: v.union(vPage, v.null()),
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
    if (!isDone) await watch(ctx, broadcastId, now);
    return null;
  },
});

/** An action may die at any point. A mutation's timer does not: it looks whether another page came to an end. */
async function watch(ctx: MutationCtx, broadcastId: Id<"broadcasts">, steppedAt: number): Promise<void> {
  await ctx.scheduler.runAfter(INTERRUPTED_AFTER_MS, internal.schedules.broadcast.watchBroadcast, {
    broadcastId,
    steppedAt,
  });
}

/** Takes up a broadcast of which nothing was heard since `steppedAt`. */
export const watchBroadcast = internalMutation({
  args: { broadcastId: v.id("broadcasts"), steppedAt: v.number() },
  returns: v.boolean(),
  handler: async (ctx, { broadcastId, steppedAt }) => {
    const broadcast = await ctx.db.get("broadcasts", broadcastId);
    if (broadcast === null || broadcast.state === "done" || broadcast.steppedAt !== steppedAt) return false;
    await ctx.scheduler.runAfter(0, internal.schedules.broadcast.resumeBroadcast, { broadcastId });
    return true;
  },
});

/** Hourly: takes up broadcasts whose second action was lost, too. */
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
