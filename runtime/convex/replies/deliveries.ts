/** Deliveries as operators and the consumer API see them, and their end of life. */
import { v } from "convex/values";
import { internal } from "../_generated/api.js";
import type { Doc, Id } from "../_generated/dataModel.js";
import { internalMutation, internalQuery, type QueryCtx } from "../_generated/server.js";
import { recordAudit } from "../audit/record.ts";
import { readRuntimeConfigOrNull } from "../config/read.ts";
import { FactoryError } from "../errors.ts";
import { deleteUnheld } from "../files/holders.ts";
import { ensureLane, kickLane } from "./lanes.ts";
import { vPartState } from "./tables.ts";

const LIST_DEFAULT = 50;
const LIST_MAX = 200;
/** An answer has at most this many parts and files (policy/telegramText, outbox.ts). */
const PARTS_READ_MAX = 100;

export type DeliveryState = "none" | "pending" | "delivered" | "failed" | "unknown";

/** A preview is no part of the answer, whatever became of it. */
export const isOfAnswer = ({ reason, content }: Doc<"outbox">): boolean =>
  reason !== "preview" && content.kind !== "withdrawal";

/**
 * How far a message's answer got. One unknown part makes the whole unknown, else one failed part makes it failed.
 * `deliveredAt` is the time of the last part, ms.
 */
export async function deliveryOf(
  ctx: QueryCtx,
  messageId: Id<"messageQueue">,
): Promise<{ state: DeliveryState; parts: number; deliveredAt: number | null }> {
  const rows = await ctx.db
    .query("outbox")
    .withIndex("by_message_seq", (q) => q.eq("messageId", messageId))
    .take(PARTS_READ_MAX);
  const parts = rows.filter(isOfAnswer);
  const has = (state: Doc<"outbox">["state"]): boolean => parts.some((part) => part.state === state);
  const state: DeliveryState =
    parts.length === 0
      ? "none"
      : has("pending") || has("sending")
        ? "pending"
        : has("unknown")
          ? "unknown"
          : has("failed") || has("cancelled")
            ? "failed"
            : "delivered";
  const finished = parts.map((part) => part.finishedAt ?? 0);
  return { state, parts: parts.length, deliveredAt: state === "delivered" ? Math.max(...finished) : null };
}

const vDelivery = v.object({
  partId: v.id("outbox"),
  conversationId: v.string(),
  messageId: v.union(v.id("messageQueue"), v.null()),
  reason: v.string(),
  state: vPartState,
  attempts: v.number(),
  createdAt: v.number(),
  finishedAt: v.union(v.number(), v.null()),
  lastError: v.union(v.string(), v.null()),
  unreachable: v.boolean(),
});

/** `factory:listDeliveries`: parts in one state, latest first; `unknown` is what an operator should look at. */
export const listDeliveries = internalQuery({
  args: { state: vPartState, limit: v.optional(v.number()) },
  returns: v.array(vDelivery),
  handler: async (ctx, { state, limit = LIST_DEFAULT }) => {
    const parts = await ctx.db
      .query("outbox")
      .withIndex("by_state_finished", (q) => q.eq("state", state))
      .order("desc")
      .take(Math.min(LIST_MAX, Math.max(1, Math.floor(limit))));
    return parts.map((part) => ({
      partId: part._id,
      conversationId: part.conversationId,
      messageId: part.messageId ?? null,
      reason: part.reason,
      state: part.state,
      attempts: part.attempts,
      createdAt: part.createdAt,
      finishedAt: part.finishedAt ?? null,
      lastError: part.lastError ?? null,
      unreachable: part.unreachable ?? false,
    }));
  },
});

/**
 * `factory:resendDelivery`: an operator's decision to send a part again. A failed part certainly never arrived; one
 * whose fate is unknown may arrive twice, which has to be accepted in so many words.
 */
export const resendDelivery = internalMutation({
  args: { partId: v.id("outbox"), acceptDuplicate: v.optional(v.boolean()), actor: v.optional(v.string()) },
  returns: v.object({ resent: v.boolean() }),
  handler: async (ctx, { partId, acceptDuplicate = false, actor }) => {
    const part = await ctx.db.get("outbox", partId);
    if (part === null) throw new FactoryError("not_found", `Delivery '${partId}' not found`);
    if (part.state !== "failed" && part.state !== "unknown") return { resent: false };
    // Its answer has taken its place, or will.
    if (part.reason === "preview" || part.content.kind === "withdrawal") return { resent: false };
    if (part.state === "unknown" && !acceptDuplicate) {
      throw new FactoryError(
        "conflict",
        `Delivery '${partId}' may have arrived. Pass acceptDuplicate: true to send it again all the same.`,
      );
    }
    const now = Date.now();
    const lane = await ensureLane(ctx, part.lane);
    const {
      _id,
      _creationTime,
      finishedAt: _f,
      intentAt: _i,
      lastError: _l,
      unreachable: _u,
      ...rest
    } = part;
    // A new part at the end of its lane: its former place in the order is long gone.
    await ctx.db.delete("outbox", _id);
    await ctx.db.insert("outbox", {
      ...rest,
      seq: lane.nextSeq,
      state: "pending",
      attempts: 0,
      nextAttemptAt: now,
    });
    await ctx.db.patch("outboxLanes", lane._id, { nextSeq: lane.nextSeq + 1 });
    await recordAudit(ctx, {
      actor: actor ?? "operator",
      action: "delivery.resend",
      target: partId,
      outcome: "ok",
    });
    await kickLane(ctx, lane, now);
    return { resent: true };
  },
});

const PRUNE_BATCH = 100;

/** Deletes parts that ended long ago, with the files they carried; goes on by itself while there are more. */
export const pruneOutbox = internalMutation({
  args: {},
  returns: v.object({ deleted: v.number() }),
  handler: async (ctx) => {
    const active = await readRuntimeConfigOrNull(ctx);
    if (active === null) return { deleted: 0 };
    const { finishedMessageMs, deadLetterMs } = active.config.retention;
    const now = Date.now();
    let deleted = 0;
    let more = false;
    for (const state of ["sent", "cancelled", "failed", "unknown"] as const) {
      const keepMs = state === "sent" || state === "cancelled" ? finishedMessageMs : deadLetterMs;
      const old = await ctx.db
        .query("outbox")
        .withIndex("by_state_finished", (q) => q.eq("state", state).lt("finishedAt", now - keepMs))
        .take(PRUNE_BATCH);
      for (const part of old) {
        await ctx.db.delete("outbox", part._id);
        // A part that was sent again shares its file with the first one: the file goes with the last.
        if (part.content.kind === "file") await deleteUnheld(ctx, part.content.storageId);
      }
      deleted += old.length;
      more ||= old.length === PRUNE_BATCH;
    }
    // Once, whatever is left: a run per kind would double the runs with each batch.
    if (more) await ctx.scheduler.runAfter(0, internal.replies.deliveries.pruneOutbox, {});
    return { deleted };
  },
});
