/** Messages whose time has come: retries after their delay, and messages scheduled for later. */
import { v } from "convex/values";
import type { Doc } from "../_generated/dataModel.js";
import { internalMutation, type MutationCtx } from "../_generated/server.js";
import { readRuntimeConfig } from "../config/read.ts";
import type { RuntimeConfig } from "../policy/runtimeConfig.ts";
import { kickScaler } from "../scaler/kick.ts";
import { type HeadChange, refreshHead, settleDue } from "./heads.ts";
import { mendHead } from "./mendHead.ts";
import { openConversation, saveConversation } from "./openConversation.ts";
import { wakeForHead } from "./wake.ts";

/**
 * Promotes a message that is due. Safe to call at any time and any number of times: it acts only on a queued
 * message that is still marked as delayed and whose time has come. null when there was nothing to do.
 *
 * @param wakes false when the caller sees to whoever serves it.
 */
export async function promoteDue(
  ctx: MutationCtx,
  message: Doc<"messageQueue">,
  config: RuntimeConfig,
  now: number,
  wakes = true,
): Promise<HeadChange | null> {
  if (message.status !== "queued" || !message.delayed || message.dueAt > now) return null;
  const conversation = await ctx.db.get("conversations", message.conversation);
  if (conversation === null) return null;
  const open = openConversation(conversation, now);
  await settleDue(ctx, open, message);
  const head = await refreshHead(ctx, open);
  await saveConversation(ctx, open);
  if (head.becameReady && wakes) {
    await wakeForHead(ctx, open, head.message, config);
    await kickScaler(ctx, "a delayed message is due");
  }
  return head;
}

/** Promotes what a head that is overdue points at; one that points at nothing is mended and hides no other. */
export async function promoteHead(
  ctx: MutationCtx,
  head: Doc<"conversationHeads">,
  config: RuntimeConfig,
  now: number,
  wakes = true,
): Promise<HeadChange> {
  const message = await ctx.db.get("messageQueue", head.message);
  const change = message === null ? null : await promoteDue(ctx, message, config, now, wakes);
  return change ?? (await mendHead(ctx, head, message, now));
}

/** Scheduled for the due time by whoever delays a message. */
export const promoteMessage = internalMutation({
  args: { messageId: v.id("messageQueue") },
  returns: v.boolean(),
  handler: async (ctx, { messageId }): Promise<boolean> => {
    const message = await ctx.db.get("messageQueue", messageId);
    if (message === null) return false;
    const { config } = await readRuntimeConfig(ctx);
    return (await promoteDue(ctx, message, config, Date.now())) !== null;
  },
});
