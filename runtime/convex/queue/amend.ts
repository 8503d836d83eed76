/** Changing what a message says while it still waits. */
import type { Doc } from "../_generated/dataModel.js";
import type { MutationCtx } from "../_generated/server.js";
import { readRuntimeConfig } from "../config/read.ts";
import { FactoryError } from "../errors.ts";
import { checkPayload } from "../policy/payload.ts";
import type { Payload } from "../validators.ts";

/** Whether a message can still be changed: afterwards a worker may have read it. */
export function isWaiting(message: Doc<"messageQueue">): boolean {
  return message.status === "queued";
}

/**
 * Replaces the payload of a waiting message; its place in line, due time and external id stay. Callers check
 * `isWaiting` in the same transaction: against a claim, one of the two commits first.
 *
 * @throws invalid_argument, payload_too_large
 */
export async function amendWaiting(
  ctx: MutationCtx,
  message: Doc<"messageQueue">,
  payload: Payload,
): Promise<void> {
  if (!isWaiting(message)) throw new Error(`message ${message._id} no longer waits`);
  const { config } = await readRuntimeConfig(ctx);
  const problem = checkPayload({ ...message, payload }, config.queue.payloadMaxBytes);
  if (problem !== null) throw new FactoryError(problem.code, problem.message);
  await ctx.db.patch("messageQueue", message._id, { payload });
}
