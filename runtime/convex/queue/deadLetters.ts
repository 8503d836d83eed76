/** Messages that were given up: seen, tried again, or discarded. */
import { paginationOptsValidator } from "convex/server";
import { v } from "convex/values";
import { internal } from "../_generated/api.js";
import type { Doc } from "../_generated/dataModel.js";
import { internalMutation, internalQuery, type MutationCtx } from "../_generated/server.js";
import { recordAudit } from "../audit/record.ts";
import { readRuntimeConfig } from "../config/read.ts";
import { BATCH_BYTES, type Taken, takeWithin } from "../policy/takeWithin.ts";
import type { RuntimeConfig } from "../policy/runtimeConfig.ts";
import { kickScaler } from "../scaler/kick.ts";
import { refreshHead } from "./heads.ts";
import { openConversation, saveConversation } from "./openConversation.ts";
import { listByStatus, vMessagePage } from "./stats.ts";
import { wakeForHead } from "./wake.ts";

/** Messages per transaction, and their bytes: a replay also reads what then stands first in line. */
const BATCH = 25;
const BYTES = BATCH_BYTES / 2;

/** Back to the end of its conversation's line, with all its attempts. */
async function replayOne(
  ctx: MutationCtx,
  message: Doc<"messageQueue">,
  config: RuntimeConfig,
): Promise<boolean> {
  if (message.status !== "dead_letter") return false;
  const conversation = await ctx.db.get("conversations", message.conversation);
  if (conversation === null) return false;
  const open = openConversation(conversation, Date.now());
  await ctx.db.patch("messageQueue", message._id, {
    status: "queued",
    seq: open.row.nextSeq++,
    dueAt: open.now,
    delayed: false,
    attempts: 0,
    finishedAt: undefined,
  });
  open.row.queuedCount += 1;
  open.tally.queued += 1;
  open.tally.deadLetter -= 1;
  const head = await refreshHead(ctx, open);
  await saveConversation(ctx, open);
  if (head.becameReady) await wakeForHead(ctx, open, head.message, config);
  return true;
}

async function discardOne(ctx: MutationCtx, message: Doc<"messageQueue">): Promise<boolean> {
  if (message.status !== "dead_letter") return false;
  const conversation = await ctx.db.get("conversations", message.conversation);
  if (conversation === null) return false;
  const open = openConversation(conversation, Date.now());
  open.tally.deadLetter -= 1;
  await ctx.db.patch("messageQueue", message._id, { status: "cancelled", finishedAt: open.now });
  await saveConversation(ctx, open);
  return true;
}

const selection = {
  /** These messages. Left out: all that were given up before the call. */
  messageIds: v.optional(v.array(v.id("messageQueue"))),
  actor: v.optional(v.string()),
  /** Set by the function itself when it goes on: only what was given up until then is meant. */
  until: v.optional(v.number()),
};

type Selection = {
  messageIds?: Array<Doc<"messageQueue">["_id"]> | undefined;
  actor?: string | undefined;
  until?: number | undefined;
};

async function select(
  ctx: MutationCtx,
  { messageIds, until }: Selection,
): Promise<Taken<Doc<"messageQueue">> & { looked: number }> {
  if (messageIds === undefined) {
    const all = ctx.db
      .query("messageQueue")
      .withIndex("by_status_finished", (q) =>
        q.eq("status", "dead_letter").lte("finishedAt", until ?? Date.now()),
      );
    return { ...(await takeWithin(all, BATCH, BYTES)), looked: 0 };
  }
  let looked = 0;
  async function* named(): AsyncGenerator<Doc<"messageQueue">> {
    for (const id of messageIds ?? []) {
      const message = await ctx.db.get("messageQueue", id);
      if (message !== null) yield message;
      looked += 1;
    }
  }
  return { ...(await takeWithin(named(), BATCH, BYTES)), looked };
}

/** What is left for the next transaction, or null. A batch in which nothing could be done ends the run. */
function rest(args: Selection, selected: { more: boolean; looked: number }, done: number): Selection | null {
  if (!selected.more) return null;
  if (args.messageIds !== undefined) return { ...args, messageIds: args.messageIds.slice(selected.looked) };
  return done > 0 ? { ...args, until: args.until ?? Date.now() } : null;
}

async function audit(ctx: MutationCtx, action: string, args: Selection, count: number): Promise<void> {
  if (count === 0) return;
  await recordAudit(ctx, {
    actor: args.actor ?? "operator",
    action,
    target: args.messageIds === undefined ? "all" : (args.messageIds[0] ?? "none"),
    outcome: "ok",
    detail: `${count} messages`,
  });
}

/** `factory:listDeadLetters`: newest first, without what was said. */
export const listDeadLetters = internalQuery({
  args: { paginationOpts: v.optional(paginationOptsValidator) },
  returns: vMessagePage,
  handler: async (ctx, { paginationOpts }) => await listByStatus(ctx, "dead_letter", paginationOpts),
});

/** `factory:replayDeadLetters`. `more`: the rest follows by itself. */
export const replayDeadLetters = internalMutation({
  args: selection,
  returns: v.object({ replayed: v.number(), more: v.boolean() }),
  handler: async (ctx, args): Promise<{ replayed: number; more: boolean }> => {
    const { config } = await readRuntimeConfig(ctx);
    const selected = await select(ctx, args);
    let replayed = 0;
    for (const message of selected.rows) if (await replayOne(ctx, message, config)) replayed += 1;
    const next = rest(args, selected, replayed);
    if (next !== null) await ctx.scheduler.runAfter(0, internal.queue.deadLetters.replayDeadLetters, next);
    if (replayed > 0) await kickScaler(ctx, "dead letters were replayed");
    await audit(ctx, "deadLetter.replay", args, replayed);
    return { replayed, more: next !== null };
  },
});

/** `factory:discardDeadLetters`: they end as cancelled, and retention deletes them. */
export const discardDeadLetters = internalMutation({
  args: selection,
  returns: v.object({ discarded: v.number(), more: v.boolean() }),
  handler: async (ctx, args): Promise<{ discarded: number; more: boolean }> => {
    const selected = await select(ctx, args);
    let discarded = 0;
    for (const message of selected.rows) if (await discardOne(ctx, message)) discarded += 1;
    const next = rest(args, selected, discarded);
    if (next !== null) await ctx.scheduler.runAfter(0, internal.queue.deadLetters.discardDeadLetters, next);
    await audit(ctx, "deadLetter.discard", args, discarded);
    return { discarded, more: next !== null };
  },
});
