/**
 * The transactions of a delivery run: announce a part before it is sent, record what came of it, take a dead run's
 * lane back. The rule for each outcome is policy/delivery.ts; the sending itself is send.ts.
 */
import { v } from "convex/values";
import { internal } from "../_generated/api.js";
import type { Doc, Id } from "../_generated/dataModel.js";
import { internalMutation, type MutationCtx } from "../_generated/server.js";
import { readRuntimeConfig } from "../config/read.ts";
import { decideDelivery, type SendOutcome } from "../policy/delivery.ts";
import { readSecret } from "../secrets/read.ts";
import { noteUnreachable } from "./chats.ts";
import { editTarget } from "./editTarget.ts";
import { endRun, kickLane, scheduleRun, startRun } from "./lanes.ts";
import { vPartContent, vPartFallbacks, vTelegramDestination } from "./tables.ts";

/** Telegram usually answers in well under a second; a file may take as long as its upload. */
export const TEXT_TIMEOUT_MS = 20_000;
export const FILE_TIMEOUT_MS = 120_000;
/** Time to record the outcome after the send's own timeout, before the part is declared unknown. */
const RECORD_GRACE_MS = 15_000;
/** Far more than a lane can hold: each belongs to a message of its own, and they are dealt with one by one. */
const WITHDRAWALS_PASSED_MAX = 20;
/** Parts that will never be deliverable are closed together, this many per transaction. */
const UNREACHABLE_BATCH = 200;

const vOutcome = v.union(
  v.object({ kind: v.literal("sent"), telegramMessageId: v.union(v.number(), v.null()) }),
  v.object({
    kind: v.literal("refused"),
    status: v.number(),
    description: v.string(),
    retryAfterS: v.union(v.number(), v.null()),
    migrateToChatId: v.union(v.string(), v.null()),
  }),
  v.object({ kind: v.literal("not_sent"), description: v.string() }),
  v.object({ kind: v.literal("unknown"), description: v.string() }),
);

/** Everything one send needs. The token goes to the action and nowhere else. */
const vSendJob = v.object({
  partId: v.id("outbox"),
  attempt: v.number(),
  apiUrl: v.string(),
  token: v.string(),
  destination: vTelegramDestination,
  content: vPartContent,
  fallbacks: vPartFallbacks,
  editsMessageId: v.union(v.number(), v.null()),
  timeoutMs: v.number(),
});

/**
 * One step of a run: records the outcome of the part before, if any, then announces the next part and hands it out.
 * null ends the run: nothing left, a wait until later, or another run has taken over.
 */
export const step = internalMutation({
  args: {
    laneId: v.id("outboxLanes"),
    run: v.number(),
    finished: v.union(v.object({ partId: v.id("outbox"), attempt: v.number(), outcome: vOutcome }), v.null()),
    /** This action ends here: what is left goes to a fresh one, before the platform's limit for one action. */
    last: v.boolean(),
  },
  returns: v.union(vSendJob, v.null()),
  handler: async (ctx, { laneId, run, finished, last }) => {
    const now = Date.now();
    if (finished !== null) await recordOutcome(ctx, finished, now);
    const lane = await ctx.db.get("outboxLanes", laneId);
    if (lane === null || lane.run !== run || lane.busyUntil === undefined) return null;

    // An announced part without outcome: whoever took it may still be sending. Only the watchdog may go on.
    if ((await firstIn(ctx, lane.lane, "sending")) !== null) return null;
    const part = await firstSendable(ctx, lane.lane, now);
    if (part === null || part.nextAttemptAt > now) {
      await endRun(ctx, lane, part === null ? null : part.nextAttemptAt);
      return null;
    }
    if (last) {
      await startRun(ctx, lane, now);
      return null;
    }
    const attempt = part.attempts + 1;
    const token = await readSecret(ctx, part.destination.botSecretRef);
    if (token === null) {
      await ctx.db.patch("outbox", part._id, { attempts: attempt });
      const description = `Missing Telegram token. Import an active '${part.destination.botSecretRef}' secret.`;
      await applyOutcome(
        ctx,
        { ...part, attempts: attempt },
        { kind: "refused", status: 401, description, retryAfterS: null, migrateToChatId: null },
        now,
      );
      const waiting = await firstIn(ctx, lane.lane, "pending");
      await endRun(ctx, lane, waiting === null ? null : Math.max(now + 1, waiting.nextAttemptAt));
      return null;
    }
    const { config } = await readRuntimeConfig(ctx);
    const timeoutMs = part.content.kind === "file" ? FILE_TIMEOUT_MS : TEXT_TIMEOUT_MS;
    await ctx.db.patch("outbox", part._id, { state: "sending", attempts: attempt, intentAt: now });
    await ctx.db.patch("outboxLanes", lane._id, { busyUntil: now + timeoutMs + RECORD_GRACE_MS });
    return {
      partId: part._id,
      attempt,
      apiUrl: config.telegram.apiUrl,
      token,
      destination: part.destination,
      content: part.content,
      fallbacks: part.fallbacks,
      editsMessageId: await editTarget(ctx, part),
      timeoutMs,
    };
  },
});

/** Wakes a lane that waited for Telegram's retry_after or a backoff. */
export const wakeLane = internalMutation({
  args: { laneId: v.id("outboxLanes"), run: v.number() },
  returns: v.null(),
  handler: async (ctx, { laneId, run }) => {
    const lane = await ctx.db.get("outboxLanes", laneId);
    if (lane === null || lane.run !== run) return null;
    await kickLane(ctx, { ...lane, wakeAt: undefined }, Date.now());
    return null;
  },
});

/**
 * Takes the lane of a dead run back. A part that was announced and has no outcome may have arrived: it becomes
 * unknown, is never sent again, and the next part goes on, because a chat must not fall silent over one lost answer.
 * Only an edit is repeated, since editing twice is editing once.
 */
export const watchLane = internalMutation({
  args: { laneId: v.id("outboxLanes"), run: v.number() },
  returns: v.null(),
  handler: async (ctx, { laneId, run }) => {
    const lane = await ctx.db.get("outboxLanes", laneId);
    if (lane === null || lane.run !== run || lane.busyUntil === undefined) return null;
    const now = Date.now();
    if (lane.busyUntil > now) {
      await ctx.scheduler.runAt(lane.busyUntil, internal.replies.delivery.watchLane, { laneId, run });
      return null;
    }
    const sending = await firstIn(ctx, lane.lane, "sending");
    if (sending !== null) {
      const lastError = "the sender stopped between announcing the part and recording its outcome";
      const repeatable = (await editTarget(ctx, sending)) !== null;
      await ctx.db.patch(
        "outbox",
        sending._id,
        repeatable
          ? { state: "pending", nextAttemptAt: now, lastError }
          : { state: "unknown", finishedAt: now, lastError },
      );
    }
    if ((await firstIn(ctx, lane.lane, "pending")) === null) await endRun(ctx, lane, null);
    else if (sending === null) await scheduleRun(ctx, lane, lane.run, now);
    else await startRun(ctx, lane, now);
    return null;
  },
});

async function firstIn(
  ctx: MutationCtx,
  lane: string,
  state: "pending" | "sending",
): Promise<Doc<"outbox"> | null> {
  return await ctx.db
    .query("outbox")
    .withIndex("by_lane_state_seq", (q) => q.eq("lane", lane).eq("state", state))
    .first();
}

/** The lane's next part; withdrawals of previews that never appeared are passed over for good. */
async function firstSendable(ctx: MutationCtx, lane: string, now: number): Promise<Doc<"outbox"> | null> {
  for (let passed = 0; passed < WITHDRAWALS_PASSED_MAX; passed += 1) {
    const part = await firstIn(ctx, lane, "pending");
    const isVain =
      part !== null && part.content.kind === "withdrawal" && (await editTarget(ctx, part)) === null;
    if (!isVain) return part;
    await ctx.db.patch("outbox", part._id, { state: "cancelled", finishedAt: now });
  }
  return null;
}

/**
 * Records an outcome once. A report that comes after the watchdog gave up still replaces "unknown" with the truth,
 * but leads to no further attempt: later parts may have gone on meanwhile.
 */
async function recordOutcome(
  ctx: MutationCtx,
  report: { partId: Id<"outbox">; attempt: number; outcome: SendOutcome },
  now: number,
): Promise<void> {
  const part = await ctx.db.get("outbox", report.partId);
  if (part === null || part.attempts !== report.attempt) return;
  if (part.state === "sending") return await applyOutcome(ctx, part, report.outcome, now);
  if (part.state !== "unknown") return;
  const { outcome } = report;
  if (outcome.kind === "sent") {
    await ctx.db.patch("outbox", part._id, {
      state: "sent",
      ...sentFields(outcome.telegramMessageId),
      lastError: undefined,
    });
  } else if (outcome.kind !== "unknown") {
    await ctx.db.patch("outbox", part._id, { state: "failed", lastError: outcome.description });
  }
}

const sentFields = (telegramMessageId: number | null): Partial<Doc<"outbox">> =>
  telegramMessageId === null ? {} : { telegramMessageId };

async function applyOutcome(
  ctx: MutationCtx,
  part: Doc<"outbox">,
  outcome: SendOutcome,
  now: number,
): Promise<void> {
  const decision = decideDelivery(
    {
      attempts: part.attempts - (part.attemptsBefore ?? 0),
      contentKind: part.content.kind,
      fallbacks: part.fallbacks,
      editing:
        (await editTarget(ctx, part)) === null ? "none" : part.edits === undefined ? "preview" : "takeover",
    },
    outcome,
    now,
  );
  switch (decision.next) {
    case "sent":
      await ctx.db.patch("outbox", part._id, {
        state: "sent",
        finishedAt: now,
        lastError: undefined,
        ...sentFields(decision.telegramMessageId),
      });
      return;
    case "unknown":
      await ctx.db.patch("outbox", part._id, {
        state: "unknown",
        finishedAt: now,
        lastError: decision.error,
      });
      return;
    case "retry":
      await ctx.db.patch("outbox", part._id, {
        state: "pending",
        nextAttemptAt: decision.at,
        fallbacks: decision.fallbacks,
        lastError: decision.error,
        ...(decision.chatId === null
          ? {}
          : { destination: { ...part.destination, chatId: decision.chatId } }),
      });
      return;
    case "failed":
      await ctx.db.patch("outbox", part._id, {
        state: "failed",
        finishedAt: now,
        lastError: decision.error,
        ...(decision.unreachable ? { unreachable: true } : {}),
      });
      if (decision.unreachable) await closeUnreachable(ctx, part, decision.error, now);
      return;
  }
}

/** The chat cannot be reached: what waits for it in this lane fails at once instead of asking Telegram again. */
async function closeUnreachable(
  ctx: MutationCtx,
  part: Doc<"outbox">,
  error: string,
  now: number,
): Promise<void> {
  await noteUnreachable(ctx, part.destination.botSecretRef, part.destination.chatId, now);
  const waiting = await ctx.db
    .query("outbox")
    .withIndex("by_lane_state_seq", (q) => q.eq("lane", part.lane).eq("state", "pending"))
    .take(UNREACHABLE_BATCH);
  for (const other of waiting) {
    if (other.destination.chatId !== part.destination.chatId) continue;
    await ctx.db.patch("outbox", other._id, {
      state: "failed",
      finishedAt: now,
      lastError: error,
      unreachable: true,
    });
  }
}
