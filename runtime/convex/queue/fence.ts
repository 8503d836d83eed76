/** The fence at the front of every write of a turn. */
import type { Doc, Id } from "../_generated/dataModel.js";
import type { QueryCtx } from "../_generated/server.js";
import { checkFence } from "../policy/lease.ts";

/**
 * The message, when this worker holds this lease on it now; else null. Call it first in the transaction that
 * writes: Convex then runs the transaction again should a recovery commit in between.
 */
export async function heldMessage(
  ctx: QueryCtx,
  worker: Pick<Doc<"workers">, "workerId">,
  ref: { messageId: Id<"messageQueue">; leaseId: string },
  now: number,
): Promise<Doc<"messageQueue"> | null> {
  const message = await ctx.db.get("messageQueue", ref.messageId);
  if (message === null) return null;
  const fence = checkFence(message, { leaseId: ref.leaseId, workerId: worker.workerId }, now);
  return fence.holds ? message : null;
}
