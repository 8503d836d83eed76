/** The answer of a turn: stored, appended to history and handed to the outbox in one transaction. */
import type { Doc, Id } from "../_generated/dataModel.js";
import type { MutationCtx } from "../_generated/server.js";
import { appendHistory } from "../hydration/appendHistory.ts";
import { ANSWER_KEPT_CHARS, storeAnswer } from "../replies/outbox.ts";
import { commitSnapshot } from "../snapshots/finalize.ts";
import type { Answer, HistoryMessage } from "../validators.ts";
import { takeHeldTurn } from "./heldTurn.ts";
import { endTurn } from "./turnEnd.ts";
import { clipText } from "../policy/clipText.ts";

export type Completion = {
  messageId: Id<"messageQueue">;
  leaseId: string;
  /** null: the agent chose to say nothing. */
  answer: Answer | null;
  /** Appended to the conversation's history, in this order. */
  history: HistoryMessage[];
  snapshotId?: string | undefined;
  usage?: { inputTokens?: number | undefined; outputTokens?: number | undefined } | undefined;
  timings?: { hydrateMs?: number | undefined; modelMs?: number | undefined } | undefined;
};

/**
 * Ends a turn with its answer. false and no write for a stale holder: whoever holds the message now answers it.
 * A repeated call after a lost reply is also false, since the lease is gone; the worker then reads the
 * message's end from its inbox or simply goes on.
 */
export async function completeMessage(
  ctx: MutationCtx,
  worker: Doc<"workers">,
  completion: Completion,
): Promise<boolean> {
  const turn = await takeHeldTurn(ctx, worker, completion);
  // Cancelled: somebody said stop while the agent was writing, and what it wrote is not sent.
  if (turn.kind !== "held") return turn.kind === "cancelled";
  const { message, open, config } = turn;
  await appendHistory(ctx, open, completion.history);
  if (completion.answer !== null) await storeAnswer(ctx, message, completion.answer);
  const { snapshotId, usage, timings } = completion;
  if (snapshotId !== undefined) await commitSnapshot(ctx, message, snapshotId);
  const end = {
    kind: "done" as const,
    answerText: completion.answer === null ? null : clipText(completion.answer.text, ANSWER_KEPT_CHARS),
    facts: {
      ...(snapshotId === undefined ? {} : { snapshotId }),
      ...(usage === undefined ? {} : { usage }),
      ...(timings === undefined ? {} : { timings }),
    },
  };
  await endTurn(ctx, { message, end, holder: worker, verdict: "done", config, open });
  return true;
}
