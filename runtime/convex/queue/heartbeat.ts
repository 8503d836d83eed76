/** Liveness of a worker, and the renewal of its leases. */
import type { Doc, Id } from "../_generated/dataModel.js";
import type { MutationCtx } from "../_generated/server.js";
import { readRuntimeConfig } from "../config/read.ts";
import { FactoryError } from "../errors.ts";
import { renewedExpiry } from "../policy/lease.ts";
import { heldMessage } from "./fence.ts";
import { findHead, renewHead } from "./heads.ts";

/**
 * With a lease: renews it for its holder alone; false and no write for anybody else, and for a turn that has
 * had its time. The worker must then abort the turn. Without: says that an idle worker lives.
 */
export async function heartbeat(
  ctx: MutationCtx,
  worker: Doc<"workers">,
  args: { messageId?: Id<"messageQueue"> | undefined; leaseId?: string | undefined },
): Promise<boolean> {
  const now = Date.now();
  const { messageId, leaseId } = args;
  if ((messageId === undefined) !== (leaseId === undefined)) {
    throw new FactoryError("invalid_argument", "messageId and leaseId go together: pass both or neither");
  }
  if (messageId !== undefined && leaseId !== undefined) {
    const message = await heldMessage(ctx, worker, { messageId, leaseId }, now);
    if (message === null) return false;
    const { config } = await readRuntimeConfig(ctx);
    const leaseExpiresAt = renewedExpiry(
      { claimedAt: message.claimedAt ?? now },
      { leaseMs: config.lease.leaseMs, turnTimeoutMs: config.turn.turnTimeoutMs },
      now,
    );
    if (leaseExpiresAt === null) return false;
    await ctx.db.patch("messageQueue", message._id, { leaseExpiresAt });
    const head = await findHead(ctx, message.conversation);
    if (head !== null) await renewHead(ctx, head, leaseExpiresAt);
    // The row is written once for all leases of a worker: the scaler reads the rows of all workers, and a write in
    // between makes it begin again. Half an interval is no missed heartbeat.
    if (now - (worker.lastHeartbeatAt ?? 0) < config.lease.heartbeatIntervalMs / 2) return true;
  }
  await ctx.db.patch("workers", worker._id, { lastHeartbeatAt: now });
  return true;
}
