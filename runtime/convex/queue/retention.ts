/**
 * Deleting what has been kept long enough, in bounded batches. Each kind is one mutation that schedules itself
 * again only while its batch was full.
 */
import { v } from "convex/values";
import { internal } from "../_generated/api.js";
import type { Doc } from "../_generated/dataModel.js";
import { internalMutation, type MutationCtx } from "../_generated/server.js";
import { readRuntimeConfigOrNull } from "../config/read.ts";
import {
  isDueForDeletion,
  RETENTION_KINDS,
  type RetentionKind,
  retentionCutoff,
} from "../policy/retention.ts";
import { BATCH_BYTES, type Taken, takeWithin } from "../policy/takeWithin.ts";
import { pruneAttachments, releaseAttachments } from "../files/attachments.ts";
import { emptyTally, saveTally } from "./counters.ts";

/** Documents per transaction, where they are not so large that their bytes end it earlier. */
const BATCH = 64;

/** What one transaction deleted, and whether there is more of it. */
type Pruned = { deleted: number; more: boolean };
const pruned = ({ rows, more }: Taken<unknown>): Pruned => ({ deleted: rows.length, more });

async function deleteMessage(ctx: MutationCtx, message: Doc<"messageQueue">): Promise<void> {
  if (message.holdsFiles === true) await releaseAttachments(ctx, message._id);
  await ctx.db.delete("messageQueue", message._id);
  if (message.status === "dead_letter") {
    await saveTally(ctx, message.conversationId, { ...emptyTally(), deadLetter: -1 });
  }
}

async function pruneMessages(
  ctx: MutationCtx,
  status: "done" | "cancelled" | "dead_letter",
  cutoff: number,
): Promise<Pruned> {
  const old = ctx.db
    .query("messageQueue")
    // A message without an end stands before all others in this index and is never old enough.
    .withIndex("by_status_finished", (q) =>
      q.eq("status", status).gte("finishedAt", 0).lte("finishedAt", cutoff),
    );
  const { rows, more } = await takeWithin(old, BATCH);
  // The index already says so; a rule this destructive is checked on the row itself.
  const due = rows.filter((row) => isDueForDeletion(row, cutoff));
  for (const row of due) await deleteMessage(ctx, row);
  return { deleted: due.length, more };
}

async function pruneWorkers(ctx: MutationCtx, cutoff: number): Promise<Pruned> {
  const stopped = ctx.db
    .query("workers")
    .withIndex("by_stopped_at", (q) => q.eq("state", "stopped").gt("stoppedAt", 0).lte("stoppedAt", cutoff));
  const old = await takeWithin(stopped, BATCH);
  for (const row of old.rows) {
    const signals = await ctx.db
      .query("workerSignals")
      .withIndex("by_worker_id", (q) => q.eq("workerId", row.workerId))
      .first();
    if (signals !== null) await ctx.db.delete("workerSignals", signals._id);
    await ctx.db.delete("workers", row._id);
  }
  return pruned(old);
}

async function pruneHistory(ctx: MutationCtx, cutoff: number): Promise<Pruned> {
  const rows = ctx.db.query("conversationMessages").withIndex("by_at", (q) => q.lte("at", cutoff));
  const old = await takeWithin(rows, BATCH);
  for (const row of old.rows) await ctx.db.delete("conversationMessages", row._id);
  return pruned(old);
}

async function pruneAudit(ctx: MutationCtx, cutoff: number): Promise<Pruned> {
  const rows = ctx.db.query("auditLog").withIndex("by_at", (q) => q.lte("at", cutoff));
  const old = await takeWithin(rows, BATCH);
  for (const row of old.rows) await ctx.db.delete("auditLog", row._id);
  return pruned(old);
}

async function pruneKind(ctx: MutationCtx, kind: RetentionKind, cutoff: number): Promise<Pruned> {
  switch (kind) {
    case "done":
    case "cancelled":
    case "dead_letter":
      return await pruneMessages(ctx, kind, cutoff);
    case "history":
      return await pruneHistory(ctx, cutoff);
    case "audit":
      return await pruneAudit(ctx, cutoff);
    case "workers":
      return await pruneWorkers(ctx, cutoff);
    case "attachments":
      return await pruneAttachments(ctx, cutoff, { rowsMax: BATCH, bytesMax: BATCH_BYTES });
  }
}

const vKind = v.union(
  v.literal("done"),
  v.literal("cancelled"),
  v.literal("dead_letter"),
  v.literal("history"),
  v.literal("audit"),
  v.literal("workers"),
  v.literal("attachments"),
);

/** One batch of one kind. */
export const pruneBatch = internalMutation({
  args: { kind: vKind },
  returns: v.object({ deleted: v.number(), more: v.boolean() }),
  handler: async (ctx, { kind }): Promise<{ deleted: number; more: boolean }> => {
    const active = await readRuntimeConfigOrNull(ctx);
    if (active === null) return { deleted: 0, more: false };
    const cutoff = retentionCutoff(kind, active.config.retention, Date.now());
    const { deleted, more } = await pruneKind(ctx, kind, cutoff);
    if (more) await ctx.scheduler.runAfter(0, internal.queue.retention.pruneBatch, { kind });
    return { deleted, more };
  },
});

/** The nightly cron: one batch of each kind, in a transaction of its own. */
export const prune = internalMutation({
  args: {},
  returns: v.null(),
  handler: async (ctx): Promise<null> => {
    for (const kind of RETENTION_KINDS) {
      await ctx.scheduler.runAfter(0, internal.queue.retention.pruneBatch, { kind });
    }
    return null;
  },
});
