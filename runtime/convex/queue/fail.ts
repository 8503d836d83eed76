/** Turns that end without an answer: failed, or released by a drain. */
import type { Doc, Id } from "../_generated/dataModel.js";
import type { MutationCtx } from "../_generated/server.js";
import { decideRetry } from "../policy/retry.ts";
import type { FailOutcome } from "../validators.ts";
import { takeHeldTurn } from "./heldTurn.ts";
import { endTurn } from "./turnEnd.ts";
import { clipText } from "../policy/clipText.ts";

const ERROR_KEPT_CHARS = 2_000;

type Failure = {
  messageId: Id<"messageQueue">;
  leaseId: string;
  errorMessage: string;
  /** `permanent`: trying again cannot help. Default `retryable`. */
  errorKind?: "retryable" | "permanent" | undefined;
};

/** Retries with backoff until the attempts are spent, then dead-letters. false/false/null for a stale holder. */
export async function failMessage(
  ctx: MutationCtx,
  worker: Doc<"workers">,
  failure: Failure,
): Promise<FailOutcome> {
  const nothing = { requeued: false, deadLettered: false, nextScheduledFor: null };
  const turn = await takeHeldTurn(ctx, worker, failure);
  if (turn.kind !== "held") return nothing;
  const { now, message, open, config } = turn;
  const lastError = clipText(failure.errorMessage, ERROR_KEPT_CHARS);
  const setback = { kind: "error" as const, permanent: failure.errorKind === "permanent" };
  const decision = decideRetry(config.retry, message, setback, Math.random());
  if (decision.kind === "give_up") {
    await endTurn(ctx, {
      message,
      end: { kind: "dead_letter", lastError },
      holder: worker,
      verdict: "failed",
      config,
      open,
    });
    return { requeued: false, deadLettered: true, nextScheduledFor: null };
  }
  const dueAt = now + decision.delayMs;
  const end = { kind: "requeue" as const, dueAt, attempts: decision.attempts, lastError };
  await endTurn(ctx, { message, end, holder: worker, verdict: "failed", config, open });
  return { requeued: true, deadLettered: false, nextScheduledFor: dueAt };
}

/** Gives a message back, unspent: a planned drain or deploy is nobody's failure. false for a stale holder. */
export async function releaseMessage(
  ctx: MutationCtx,
  worker: Doc<"workers">,
  args: { messageId: Id<"messageQueue">; leaseId: string; reason: string },
): Promise<boolean> {
  const turn = await takeHeldTurn(ctx, worker, args);
  if (turn.kind !== "held") return turn.kind === "cancelled";
  const { now, message, open, config } = turn;
  const decision = decideRetry(config.retry, message, { kind: "release" }, 0);
  const end = {
    kind: "requeue" as const,
    dueAt: now,
    attempts: decision.attempts,
    lastError: clipText(`Released: ${args.reason}`, ERROR_KEPT_CHARS),
  };
  await endTurn(ctx, { message, end, holder: worker, verdict: "neutral", config, open });
  return true;
}
