/** What complete, fail and release begin with: the fence, the conversation, and somebody's wish to stop. */
import type { Doc, Id } from "../_generated/dataModel.js";
import type { MutationCtx } from "../_generated/server.js";
import { readRuntimeConfig } from "../config/read.ts";
import type { RuntimeConfig } from "../policy/runtimeConfig.ts";
import { heldMessage } from "./fence.ts";
import type { OpenConversation } from "./openConversation.ts";
import { endTurn, openForTurn } from "./turnEnd.ts";

/**
 * stale: the caller does not hold the lease, nothing was written. cancelled: somebody had said stop, and the turn
 * has been ended so; whatever the worker brings is not used. held: the caller goes on and ends the turn.
 */
export type HeldTurn =
  | { kind: "stale" }
  | { kind: "cancelled" }
  | {
      kind: "held";
      now: number;
      message: Doc<"messageQueue">;
      open: OpenConversation;
      config: RuntimeConfig;
    };

export async function takeHeldTurn(
  ctx: MutationCtx,
  worker: Doc<"workers">,
  ref: { messageId: Id<"messageQueue">; leaseId: string },
): Promise<HeldTurn> {
  const now = Date.now();
  const message = await heldMessage(ctx, worker, ref, now);
  if (message === null) return { kind: "stale" };
  const open = await openForTurn(ctx, message, now);
  if (open === null) return { kind: "stale" };
  const { config } = await readRuntimeConfig(ctx);
  if (message.cancelRequestedAt === undefined) return { kind: "held", now, message, open, config };
  await endTurn(ctx, {
    message,
    end: { kind: "cancelled" },
    holder: worker,
    verdict: "neutral",
    config,
    open,
  });
  return { kind: "cancelled" };
}
