/**
 * The end of a turn, whoever brings it about: complete, fail, release, cancel or an expired lease. One function
 * writes it, so that message, head, counts and worker never disagree.
 */
import { internal } from "../_generated/api.js";
import type { Doc } from "../_generated/dataModel.js";
import type { MutationCtx } from "../_generated/server.js";
import type { RuntimeConfig } from "../policy/runtimeConfig.ts";
import { hasRoom } from "../policy/wake.ts";
import { noteWorkerIdle } from "../scaler/kick.ts";
import { storeNotice, withdrawPreview } from "../replies/outbox.ts";
import { type HeadChange, refreshHead } from "./heads.ts";
import { openConversation, saveConversation, type OpenConversation } from "./openConversation.ts";
import { wakeForHead } from "./wake.ts";

export type TurnEnd =
  | { kind: "done"; answerText: string | null; facts: Partial<Doc<"messageQueue">> }
  | { kind: "requeue"; dueAt: number; attempts: number; lastError: string }
  | { kind: "dead_letter"; lastError: string }
  | { kind: "cancelled" };

/** What a person reads whose message was given up. */
export const GIVEN_UP_TEXT =
  "Sorry, I could not answer this message after several attempts. It has been set aside, and you can write again.";

/** How the turn counts for its worker: the rollout's health gate reads it. */
type WorkerVerdict = "done" | "failed" | "neutral";

export type EndingTurn = {
  message: Doc<"messageQueue">;
  end: TurnEnd;
  /** The worker whose lease ends, freshly read; null when its row is gone. */
  holder: Doc<"workers"> | null;
  verdict: WorkerVerdict;
  config: RuntimeConfig;
  open: OpenConversation;
  /** The conversation's head, when it has been read in this transaction. */
  head?: Doc<"conversationHeads"> | undefined;
  /** false: the caller itself serves the conversation next, or has it served. Default true. */
  wakes?: boolean | undefined;
};

/** Ends the turn of a message whose lease the caller has checked (or found expired). */
export async function endTurn(ctx: MutationCtx, turn: EndingTurn): Promise<HeadChange> {
  const { message, end, holder, open, config } = turn;
  open.tally.processing -= 1;
  await writeMessage(ctx, message, end, open);
  const change = await refreshHead(ctx, open, { leaseEnded: true, known: turn.head });
  await saveConversation(ctx, open);
  if (end.kind === "dead_letter") {
    await storeNotice(ctx, {
      conversation: message,
      destination: message.destination,
      text: GIVEN_UP_TEXT,
      reason: "given_up",
      messageId: message._id,
    });
  }
  // What was shown of an answer must not stay when there is none.
  const isSilent = end.kind === "cancelled" || (end.kind === "done" && end.answerText === null);
  if (isSilent) await withdrawPreview(ctx, message);
  if (holder !== null) await unloadWorker(ctx, holder, message, turn.verdict, config);
  if (change.becameReady && turn.wakes !== false) await wakeForHead(ctx, open, change.message, config);
  return change;
}

/** Opens the conversation of a message whose turn is about to end; null for a row that lost its conversation. */
export async function openForTurn(
  ctx: MutationCtx,
  message: Doc<"messageQueue">,
  now: number,
): Promise<OpenConversation | null> {
  const conversation = await ctx.db.get("conversations", message.conversation);
  return conversation === null ? null : openConversation(conversation, now);
}

async function writeMessage(
  ctx: MutationCtx,
  message: Doc<"messageQueue">,
  end: TurnEnd,
  open: OpenConversation,
): Promise<void> {
  const unleased = { leaseId: undefined, leaseExpiresAt: undefined, cancelRequestedAt: undefined };
  switch (end.kind) {
    case "done":
      await ctx.db.patch("messageQueue", message._id, {
        ...unleased,
        ...end.facts,
        status: "done",
        finishedAt: open.now,
        ...(end.answerText === null ? {} : { answerText: end.answerText }),
      });
      return;
    case "requeue": {
      const delayed = end.dueAt > open.now;
      await ctx.db.patch("messageQueue", message._id, {
        ...unleased,
        status: "queued",
        dueAt: end.dueAt,
        delayed,
        attempts: end.attempts,
        lastError: end.lastError,
      });
      open.row.queuedCount += 1;
      open.tally.queued += 1;
      if (delayed) {
        open.tally.delayed += 1;
        await ctx.scheduler.runAt(end.dueAt, internal.queue.promote.promoteMessage, {
          messageId: message._id,
        });
      }
      return;
    }
    case "dead_letter":
      await ctx.db.patch("messageQueue", message._id, {
        ...unleased,
        status: "dead_letter",
        finishedAt: open.now,
        lastError: end.lastError,
      });
      open.tally.deadLetter += 1;
      return;
    case "cancelled":
      await ctx.db.patch("messageQueue", message._id, {
        ...unleased,
        status: "cancelled",
        finishedAt: open.now,
      });
      return;
  }
}

async function unloadWorker(
  ctx: MutationCtx,
  worker: Doc<"workers">,
  message: Doc<"messageQueue">,
  verdict: WorkerVerdict,
  config: RuntimeConfig,
): Promise<void> {
  if (message.cancelRequestedAt !== undefined) await forgetCancel(ctx, worker.workerId, message._id);
  const load = Math.max(0, worker.load - 1);
  const fields = {
    load,
    hasFreeSlot: hasRoom(worker, load, config.turn.dedication),
    turnsDone: worker.turnsDone + (verdict === "done" ? 1 : 0),
    turnsFailed: worker.turnsFailed + (verdict === "failed" ? 1 : 0),
  };
  await ctx.db.patch("workers", worker._id, fields);
  if (load === 0) await noteWorkerIdle(ctx, { ...worker, ...fields }, config);
}

async function forgetCancel(
  ctx: MutationCtx,
  workerId: string,
  messageId: Doc<"messageQueue">["_id"],
): Promise<void> {
  const signals = await ctx.db
    .query("workerSignals")
    .withIndex("by_worker_id", (q) => q.eq("workerId", workerId))
    .first();
  if (signals === null || !signals.cancelled.includes(messageId)) return;
  await ctx.db.patch("workerSignals", signals._id, {
    cancelled: signals.cancelled.filter((id) => id !== messageId),
  });
}
