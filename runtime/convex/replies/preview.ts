/**
 * Previews: an answer shown while it is being written, by editing one message of the chat.
 *
 * A preview is a part of the outbox like any other, in its conversation's lane: announced before it is sent, with
 * its outcome recorded, never sent twice. What ends the message (answer, notice) takes the preview's message over by
 * editing it, so that the person never reads the same words in two messages. A later attempt of the same message
 * goes on in the same preview.
 */
import type { Doc, Id } from "../_generated/dataModel.js";
import type { MutationCtx } from "../_generated/server.js";
import { readRuntimeConfig } from "../config/read.ts";
import { PART_UNITS_MAX, textParts } from "../policy/telegramText/parts.ts";
import { ensureLane, kickLane } from "./lanes.ts";
import { clipText } from "../policy/clipText.ts";

/** Says that more is to come. */
const MORE = " \u2026";
/** Only the first part is shown; more text than can fill it is not looked at. */
const TEXT_UNITS_MAX = 3 * PART_UNITS_MAX;
/** A message's preview is its first row, or comes after a notice or two. */
const ROWS_READ_MAX = 8;

/**
 * Shows what an agent has written so far. The caller has checked the lease (queue/preview.ts).
 *
 * @returns false when no further preview is wanted: previews are off, the message has its answer, or Telegram refused.
 */
export async function showPreview(
  ctx: MutationCtx,
  message: Doc<"messageQueue">,
  text: string,
): Promise<boolean> {
  const now = Date.now();
  const { config } = await readRuntimeConfig(ctx);
  const intervalMs = config.turn.previewIntervalMs;
  const { destination } = message;
  if (intervalMs === null || destination?.kind !== "telegram") return false;
  const content = previewContent(text);
  if (content === null) return true;

  const { preview, ended } = await previewOf(ctx, message._id);
  if (ended) return false;
  const lane = await ensureLane(ctx, message.conversationId);
  if (preview === null) {
    // An earlier answer still waits for Telegram: a preview would only stand behind it.
    if (await isWaiting(ctx, lane.lane)) return true;
    await ctx.db.insert("outbox", {
      lane: lane.lane,
      seq: lane.nextSeq,
      conversationId: message.conversationId,
      messageId: message._id,
      reason: "preview",
      destination,
      content,
      state: "pending",
      fallbacks: { plainText: false, withoutThread: false, asDocument: false },
      attempts: 0,
      createdAt: now,
      nextAttemptAt: now,
    });
    await ctx.db.patch("outboxLanes", lane._id, { nextSeq: lane.nextSeq + 1 });
    await kickLane(ctx, lane, now);
    return true;
  }
  switch (preview.state) {
    case "failed":
    case "unknown":
    case "cancelled":
      return false;
    case "sending":
      return true;
    case "pending":
      await ctx.db.patch("outbox", preview._id, { content });
      return true;
    case "sent":
      // Half of it: the worker keeps the interval, and its calls do not arrive to the millisecond.
      if (now - (preview.intentAt ?? 0) < intervalMs / 2) return true;
      await ctx.db.patch("outbox", preview._id, {
        content,
        state: "pending",
        nextAttemptAt: now,
        finishedAt: undefined,
        attemptsBefore: preview.attempts,
      });
      await kickLane(ctx, lane, now);
      return true;
  }
}

/** What is shown of the text so far; null while it shows nothing. */
function previewContent(text: string): { kind: "text"; html: string; plain: string } | null {
  const [part] = textParts(clipText(text, TEXT_UNITS_MAX));
  if (part === undefined) return null;
  const more = part.html.length + MORE.length <= PART_UNITS_MAX ? MORE : "";
  return { kind: "text", html: part.html + more, plain: part.plain + more };
}

/**
 * Ends a message's preview, for what is said in its place. Whoever calls puts a part behind it that `edits` it.
 * null when there is none, or something has taken it before.
 */
export async function takePreview(
  ctx: MutationCtx,
  messageId: Id<"messageQueue">,
): Promise<Doc<"outbox"> | null> {
  const { preview, ended } = await previewOf(ctx, messageId);
  if (preview === null || ended) return null;
  const isShown = preview.telegramMessageId !== undefined;
  if (preview.state === "cancelled" || (preview.state === "failed" && !isShown)) return null;
  if (preview.state === "pending") {
    await ctx.db.patch("outbox", preview._id, {
      state: isShown ? "sent" : "cancelled",
      finishedAt: Date.now(),
    });
    if (!isShown) return null;
  }
  return preview;
}

/** A message's preview, and whether something has been said that ends it. */
async function previewOf(
  ctx: MutationCtx,
  messageId: Id<"messageQueue">,
): Promise<{ preview: Doc<"outbox"> | null; ended: boolean }> {
  const rows = await ctx.db
    .query("outbox")
    .withIndex("by_message_seq", (q) => q.eq("messageId", messageId))
    .take(ROWS_READ_MAX);
  const preview = rows.find(({ reason }) => reason === "preview") ?? null;
  const ended = rows.some(({ reason }) => ["answer", "given_up", "cancelled", "withdrawal"].includes(reason));
  return { preview, ended };
}

async function isWaiting(ctx: MutationCtx, lane: string): Promise<boolean> {
  for (const state of ["sending", "pending"] as const) {
    const part = await ctx.db
      .query("outbox")
      .withIndex("by_lane_state_seq", (q) => q.eq("lane", lane).eq("state", state))
      .first();
    if (part !== null) return true;
  }
  return false;
}
