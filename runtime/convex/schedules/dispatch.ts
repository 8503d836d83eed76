/**
 * Dispatch of due push jobs. An action walks the due jobs and gives each its own transaction, so that one job that
 * cannot be sent never holds the others up. A slot is settled once: its row (job, slot) is written in the transaction
 * that enqueues, and the message carries the slot as its external id.
 */
import { type Infer, v } from "convex/values";
import { internal } from "../_generated/api.js";
import type { Doc, Id } from "../_generated/dataModel.js";
import { internalAction, internalMutation, internalQuery, type MutationCtx } from "../_generated/server.js";
import { recordAudit } from "../audit/record.ts";
import { factoryErrorOf } from "../errors.ts";
import { activeBinding } from "../identity/bindings.ts";
import { decideDue } from "../policy/schedule.ts";
import { requireJob } from "./checks.ts";
import { type Reach, reachPerson } from "./reach.ts";
import { vDispatchOutcome } from "./tables.ts";
import { armTimer } from "./timer.ts";

const LIMIT_DEFAULT = 200;
const LIMIT_MAX = 1_000;
/** After a failure that could not even be recorded, the same jobs are not looked at again before this. */
const FAILURE_PAUSE_MS = 60_000;

const vSettled = v.union(
  v.literal("enqueued"),
  v.literal("skipped"),
  v.literal("failed"),
  v.literal("not_due"),
);
type Settled = "enqueued" | "skipped" | "failed" | "not_due";

const vCounts = v.object({
  scanned: v.number(),
  enqueued: v.number(),
  skipped: v.number(),
  failed: v.number(),
});
type Counts = { scanned: number; enqueued: number; skipped: number; failed: number };

/** Dispatches up to `limit` due jobs (default 200, at most 1000). Overlapping calls settle each slot once. */
export const dispatchDuePushJobs = internalAction({
  args: { limit: v.optional(v.number()) },
  returns: vCounts,
  handler: async (ctx, { limit = LIMIT_DEFAULT }): Promise<Counts> => {
    const wanted = Math.min(LIMIT_MAX, Math.max(1, Math.floor(limit)));
    const jobIds: Id<"pushJobs">[] = await ctx.runQuery(internal.schedules.dispatch.dueJobs, {
      limit: wanted,
    });
    const counts: Counts = { scanned: jobIds.length, enqueued: 0, skipped: 0, failed: 0 };
    let stuck = false;
    for (const jobId of jobIds) {
      const settled = await settleOne(jobId);
      if (settled === "stuck") stuck = true;
      else if (settled !== "not_due") counts[settled] += 1;
    }
    await ctx.runMutation(internal.schedules.dispatch.rearm, { pauseMs: stuck ? FAILURE_PAUSE_MS : 0 });
    return counts;

    async function settleOne(jobId: Id<"pushJobs">): Promise<Settled | "stuck"> {
      try {
        return await ctx.runMutation(internal.schedules.dispatch.dispatchJob, { jobId });
      } catch (error) {
        return await recordFailure(jobId, reasonOf(error));
      }
    }

    async function recordFailure(jobId: Id<"pushJobs">, reason: string): Promise<Settled | "stuck"> {
      try {
        return await ctx.runMutation(internal.schedules.dispatch.recordFailedSlot, { jobId, reason });
      } catch (error) {
        console.error(`push job ${jobId} could not be settled: ${reasonOf(error)}`);
        return "stuck";
      }
    }
  },
});

/** An error that is not ours says nothing that belongs in a row. */
export function reasonOf(error: unknown): string {
  return factoryErrorOf(error)?.message ?? "internal error";
}

export const dueJobs = internalQuery({
  args: { limit: v.number() },
  returns: v.array(v.id("pushJobs")),
  handler: async (ctx, { limit }) => {
    const jobs = await ctx.db
      .query("pushJobs")
      .withIndex("by_next_run", (q) => q.eq("enabled", true).gt("nextRunAt", 0).lte("nextRunAt", Date.now()))
      .take(limit);
    return jobs.map(({ _id }) => _id);
  },
});

export const rearm = internalMutation({
  args: { pauseMs: v.number() },
  returns: v.null(),
  handler: async (ctx, { pauseMs }) => {
    await armTimer(ctx, Date.now() + pauseMs);
    return null;
  },
});

async function findDispatch(
  ctx: MutationCtx,
  jobId: Id<"pushJobs">,
  slotKey: string,
): Promise<Doc<"pushDispatches"> | null> {
  return await ctx.db
    .query("pushDispatches")
    .withIndex("by_job_slot", (q) => q.eq("jobId", jobId).eq("slotKey", slotKey))
    .first();
}

type DueSlot = {
  job: Doc<"pushJobs">;
  slot: { key: string; at: number };
  /** Why the slot is not worth sending any more; null: send it. */
  tooLate: string | null;
  missed: number;
};

/** The slot to settle now. Advances nextRunAt in any case, so that no job is ever due for ever. */
async function takeDueSlot(ctx: MutationCtx, jobId: Id<"pushJobs">, now: number): Promise<DueSlot | null> {
  const job = await ctx.db.get("pushJobs", jobId);
  if (job === null || !job.enabled || job.nextRunAt === undefined) return null;
  const decision = decideDue(job.schedule, job.timeZone, job.nextRunAt, now);
  await ctx.db.patch("pushJobs", job._id, { nextRunAt: decision.nextRunAt ?? undefined });
  if (decision.kind === "not_due") return null;
  const { slot, missed } = decision;
  if ((await findDispatch(ctx, jobId, slot.key)) !== null) return null;
  const tooLate =
    decision.kind === "too_late" ? `missed by ${Math.round(decision.lateMs / 60_000)} minutes` : null;
  return { job, slot, tooLate, missed };
}

async function recordDispatch(
  ctx: MutationCtx,
  due: Pick<DueSlot, "job" | "slot"> & { missed?: number },
  result: Reach | { kind: "failed"; reason: string },
  now: number,
): Promise<Infer<typeof vDispatchOutcome>> {
  const missed = due.missed ? `${due.missed} earlier slots were missed` : null;
  const reason = [result.kind === "enqueued" ? null : result.reason, missed].filter(Boolean).join("; ");
  await ctx.db.insert("pushDispatches", {
    jobId: due.job._id,
    slotKey: due.slot.key,
    slotAt: due.slot.at,
    dispatchedAt: now,
    outcome: result.kind,
    ...(reason === "" ? {} : { reason }),
    ...(result.kind === "enqueued" ? { messageId: result.messageId } : {}),
  });
  await ctx.db.patch("pushJobs", due.job._id, { lastRunAt: now });
  return result.kind;
}

/** Sends one job's message, whatever its slot. @throws what enqueueMessage throws. */
async function sendJob(ctx: MutationCtx, job: Doc<"pushJobs">, slotKey: string): Promise<Reach> {
  const binding = await activeBinding(ctx, job);
  if (binding === null) return { kind: "skipped", reason: "no active binding for user" };
  return await reachPerson(ctx, binding, {
    title: job.title,
    text: job.text,
    externalMessageId: `push:${job._id}:${slotKey}`,
    source: "schedule",
    metadata: { pushJobId: job._id, slotKey },
  });
}

export const dispatchJob = internalMutation({
  args: { jobId: v.id("pushJobs") },
  returns: vSettled,
  handler: async (ctx, { jobId }): Promise<Settled> => {
    const now = Date.now();
    const due = await takeDueSlot(ctx, jobId, now);
    if (due === null) return "not_due";
    const result: Reach =
      due.tooLate === null
        ? await sendJob(ctx, due.job, due.slot.key)
        : { kind: "skipped", reason: due.tooLate };
    return await recordDispatch(ctx, due, result, now);
  },
});

/** After `dispatchJob` threw and rolled back: the slot failed, the job goes on to its next one. */
export const recordFailedSlot = internalMutation({
  args: { jobId: v.id("pushJobs"), reason: v.string() },
  returns: vSettled,
  handler: async (ctx, { jobId, reason }): Promise<Settled> => {
    const now = Date.now();
    const due = await takeDueSlot(ctx, jobId, now);
    if (due === null) return "not_due";
    return await recordDispatch(ctx, due, { kind: "failed", reason }, now);
  },
});

/**
 * `factory:triggerPushJobNow`: sends a job's message by hand, enabled or not; its slots are untouched. The same
 * `idempotencyKey` for the same job sends once, and says again what became of it.
 */
export const triggerPushJobNow = internalMutation({
  args: {
    companyId: v.string(),
    jobId: v.id("pushJobs"),
    idempotencyKey: v.optional(v.string()),
    actor: v.optional(v.string()),
  },
  returns: v.object({
    outcome: vDispatchOutcome,
    reason: v.union(v.string(), v.null()),
    messageId: v.union(v.id("messageQueue"), v.null()),
  }),
  handler: async (ctx, { companyId, jobId, idempotencyKey, actor }) => {
    const job = await requireJob(ctx, companyId, jobId);
    const now = Date.now();
    const slot = { key: `manual:${idempotencyKey ?? now}`, at: now };
    const before = idempotencyKey === undefined ? null : await findDispatch(ctx, jobId, slot.key);
    if (before !== null) {
      const { outcome, reason, messageId } = before;
      return { outcome, reason: reason ?? null, messageId: messageId ?? null };
    }
    const result = await sendJob(ctx, job, slot.key);
    const outcome = await recordDispatch(ctx, { job, slot }, result, now);
    await recordAudit(ctx, {
      actor: actor ?? "operator",
      action: "push_job.trigger",
      target: jobId,
      outcome: "ok",
      detail: outcome,
    });
    return {
      outcome,
      reason: result.kind === "skipped" ? result.reason : null,
      messageId: result.kind === "enqueued" ? result.messageId : null,
    };
  },
});
