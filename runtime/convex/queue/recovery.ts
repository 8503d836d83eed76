/**
 * Leases whose time is over. Three callers, one act (`recoverLease`):
 * - checkLease, scheduled by each claim for the moment of expiry, re-arms itself while heartbeats renew;
 * - sweepLeases, the cron's safety net, pages through everything that is overdue;
 * - recoverWorker, when a worker is known to be dead before its leases have run out.
 *
 * A recovery and a late completion may race: both read the message first, so that one of them sees the other's
 * commit and does nothing.
 */
import { v } from "convex/values";
import { internal } from "../_generated/api.js";
import type { Doc } from "../_generated/dataModel.js";
import { internalMutation, type MutationCtx } from "../_generated/server.js";
import { readRuntimeConfig, readRuntimeConfigOrNull } from "../config/read.ts";
import { isExpired } from "../policy/lease.ts";
import { decideRetry, type Setback } from "../policy/retry.ts";
import type { RuntimeConfig } from "../policy/runtimeConfig.ts";
import { kickScaler } from "../scaler/kick.ts";
import type { HeadChange, Repair } from "./heads.ts";
import { endTurn, openForTurn, type TurnEnd } from "./turnEnd.ts";

export const LEASE_EXPIRED_ERROR = "Lease expired while processing";

/**
 * Leases handled per transaction. Each reads its message and the next in line and writes the first, of up to half a MiB
 * each (queue.payloadMaxBytes): more of them would not fit Convex's 16 MiB of reads.
 */
const PAGE = 8;

type Taken = {
  message: Doc<"messageQueue">;
  setback: Setback;
  error: string;
  head?: Doc<"conversationHeads">;
  wakes?: boolean;
  /** The row of a worker that may be the holder, when the caller has read it in this transaction. */
  known?: Doc<"workers"> | undefined;
};

/**
 * Takes the lease away from its holder; the caller has found it expired, or its worker dead. null for a row that
 * is not fit for it.
 */
async function recoverLease(
  ctx: MutationCtx,
  { message, setback, error, head, wakes, known }: Taken,
  config: RuntimeConfig,
  now: number,
): Promise<HeadChange | null> {
  const open = await openForTurn(ctx, message, now);
  if (open === null) return null;
  const isKnown = known !== undefined && known.workerId === message.workerId;
  const holder = isKnown ? known : await findHolder(ctx, message.workerId);
  const decision = decideRetry(config.retry, message, setback, 0);
  const end: TurnEnd =
    message.cancelRequestedAt !== undefined
      ? { kind: "cancelled" }
      : decision.kind === "give_up"
        ? { kind: "dead_letter", lastError: error }
        : { kind: "requeue", dueAt: now, attempts: decision.attempts, lastError: error };
  const verdict = setback.kind === "release" ? "neutral" : "failed";
  return await endTurn(ctx, { message, end, holder, verdict, config, open, head, wakes });
}

async function findHolder(ctx: MutationCtx, workerId: string | undefined): Promise<Doc<"workers"> | null> {
  if (workerId === undefined) return null;
  return await ctx.db
    .query("workers")
    .withIndex("by_worker_id", (q) => q.eq("workerId", workerId))
    .first();
}

/** Scheduled for the expiry of a lease. */
export const checkLease = internalMutation({
  args: { messageId: v.id("messageQueue"), leaseId: v.string() },
  returns: v.null(),
  handler: async (ctx, { messageId, leaseId }): Promise<null> => {
    const message = await ctx.db.get("messageQueue", messageId);
    // Done, cancelled, requeued, or leased anew (that claim has its own check): nothing to look after.
    if (message === null || message.status !== "processing" || message.leaseId !== leaseId) return null;
    const now = Date.now();
    if (!isExpired(message, now)) {
      const at = message.leaseExpiresAt ?? now;
      await ctx.scheduler.runAt(at, internal.queue.recovery.checkLease, { messageId, leaseId });
      return null;
    }
    const { config } = await readRuntimeConfig(ctx);
    await recoverLease(ctx, { message, setback: { kind: "crash" }, error: LEASE_EXPIRED_ERROR }, config, now);
    await kickScaler(ctx, "a lease expired");
    return null;
  },
});

/**
 * For a claim that finds nothing ready: recovers the lease that expired first, if any. Nobody is woken, since
 * the caller takes what became ready, or sees to it.
 */
export async function recoverOneExpired(
  ctx: MutationCtx,
  config: RuntimeConfig,
  now: number,
  caller: Doc<"workers">,
): Promise<Repair | null> {
  const head = await ctx.db
    .query("conversationHeads")
    .withIndex("by_lease_expiry", (q) => q.eq("state", "leased").lte("leaseExpiresAt", now))
    .first();
  const change =
    head === null ? null : await recoverHead(ctx, head, config, now, { wakes: false, known: caller });
  if (head === null || change === null) return null;
  return { conversation: head.conversation, change, holder: head.workerId };
}

/** null for a row that is not fit to be recovered; the caller goes on with the next. */
async function recoverHead(
  ctx: MutationCtx,
  head: Doc<"conversationHeads">,
  config: RuntimeConfig,
  now: number,
  { wakes, known }: Pick<Taken, "wakes" | "known">,
): Promise<HeadChange | null> {
  const message = await ctx.db.get("messageQueue", head.message);
  if (message === null || !isExpired(message, now)) return null;
  const setback = { kind: "crash" as const };
  const taken = { message, setback, error: LEASE_EXPIRED_ERROR, head, wakes, known };
  return await recoverLease(ctx, taken, config, now);
}

/**
 * Recovers every expired lease, a page per transaction. Rows that cannot be recovered (a conversation deleted
 * by hand) stay where they are: the cursor has passed them, so that they never hide the rows behind.
 */
export const sweepLeases = internalMutation({
  args: { cursor: v.optional(v.string()), until: v.optional(v.number()) },
  returns: v.object({ recovered: v.number(), unfit: v.number(), more: v.boolean() }),
  handler: async (ctx, args): Promise<{ recovered: number; unfit: number; more: boolean }> => {
    const active = await readRuntimeConfigOrNull(ctx);
    if (active === null) return { recovered: 0, unfit: 0, more: false };
    const now = Date.now();
    // All pages of a sweep look at the same range, or a cursor of one would not fit the next.
    const until = args.until ?? now;
    const page = await ctx.db
      .query("conversationHeads")
      .withIndex("by_lease_expiry", (q) => q.eq("state", "leased").lte("leaseExpiresAt", until))
      .paginate({ numItems: PAGE, cursor: args.cursor ?? null });
    let recovered = 0;
    for (const head of page.page) {
      if ((await recoverHead(ctx, head, active.config, now, {})) !== null) recovered += 1;
    }
    const unfit = page.page.length - recovered;
    if (!page.isDone) {
      const next = { cursor: page.continueCursor, until };
      await ctx.scheduler.runAfter(0, internal.queue.recovery.sweepLeases, next);
    }
    if (recovered > 0) await kickScaler(ctx, `${recovered} leases expired`);
    if (unfit > 0) console.warn(`lease sweep passed ${unfit} rows that it cannot recover`);
    return { recovered, unfit, more: !page.isDone };
  },
});

/**
 * Takes all leases of a worker back at once, a page per transaction. Called by the scaler when a machine is gone: waiting for expiry
 * would only delay the people who wait.
 */
export const recoverWorker = internalMutation({
  args: {
    workerId: v.string(),
    reason: v.string(),
    /** true for a drain that ran out of time: planned, so no attempt is spent. Default false: a crash. */
    planned: v.optional(v.boolean()),
  },
  returns: v.object({ recovered: v.number(), more: v.boolean() }),
  handler: async (ctx, { workerId, reason, planned }): Promise<{ recovered: number; more: boolean }> => {
    const active = await readRuntimeConfigOrNull(ctx);
    if (active === null) return { recovered: 0, more: false };
    const now = Date.now();
    const setback: Setback = planned === true ? { kind: "release" } : { kind: "crash" };
    const heads = await ctx.db
      .query("conversationHeads")
      .withIndex("by_worker", (q) => q.eq("workerId", workerId))
      .take(PAGE);
    let recovered = 0;
    for (const head of heads) {
      const message = await ctx.db.get("messageQueue", head.message);
      if (message === null || message.status !== "processing" || message.workerId !== workerId) continue;
      const error = `Worker ${workerId} is gone: ${reason}`;
      const taken = { message, setback, error, head };
      if ((await recoverLease(ctx, taken, active.config, now)) !== null) recovered += 1;
    }
    if (recovered > 0) await kickScaler(ctx, `${workerId} lost ${recovered} leases`);
    // What was recovered has left the range. A page of rows that are not fit for it ends the run: the sweep passes them.
    const more = heads.length === PAGE && recovered > 0;
    if (more) {
      const rest = { workerId, reason, ...(planned === undefined ? {} : { planned }) };
      await ctx.scheduler.runAfter(0, internal.queue.recovery.recoverWorker, rest);
    }
    return { recovered, more };
  },
});
