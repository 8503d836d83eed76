/** The one writer of drain flags, and the row that each worker subscribes to. */
import type { Doc } from "../_generated/dataModel.js";
import type { MutationCtx, QueryCtx } from "../_generated/server.js";

export async function readSignals(ctx: QueryCtx, workerId: string): Promise<Doc<"workerSignals"> | null> {
  return await ctx.db
    .query("workerSignals")
    .withIndex("by_worker_id", (q) => q.eq("workerId", workerId))
    .unique();
}

/** Written with the worker's row, so that the subscription has something to read from the first moment. */
export async function createSignals(ctx: MutationCtx, workerId: string, tokenHash: string): Promise<void> {
  await ctx.db.insert("workerSignals", { workerId, wake: 0, draining: false, cancelled: [], tokenHash });
}

/** Tells a worker to claim nothing more and to finish or release by the deadline (backend time, ms). */
export async function signalDrain(ctx: MutationCtx, workerId: string, deadlineAt: number): Promise<void> {
  const signals = await readSignals(ctx, workerId);
  if (signals === null) return;
  await ctx.db.patch("workerSignals", signals._id, { draining: true, drainDeadlineAt: deadlineAt });
}

/** A resumed or restarted worker serves again: the drain is over, and it should look for work at once. */
export async function signalServe(ctx: MutationCtx, workerId: string): Promise<void> {
  const signals = await readSignals(ctx, workerId);
  if (signals === null) return;
  await ctx.db.patch("workerSignals", signals._id, {
    draining: false,
    drainDeadlineAt: undefined,
    wake: signals.wake + 1,
  });
}

/** The subscription of a stopped worker has nothing to say any more. */
export async function deleteSignals(ctx: MutationCtx, workerId: string): Promise<void> {
  const signals = await readSignals(ctx, workerId);
  if (signals !== null) await ctx.db.delete("workerSignals", signals._id);
}
