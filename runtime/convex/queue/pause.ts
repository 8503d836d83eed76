/** Holding a conversation: its messages wait, everybody else's go on. */
import { v } from "convex/values";
import { internalMutation, type MutationCtx } from "../_generated/server.js";
import { recordAudit } from "../audit/record.ts";
import { readRuntimeConfig } from "../config/read.ts";
import { FactoryError } from "../errors.ts";
import { kickScaler } from "../scaler/kick.ts";
import { refreshHead } from "./heads.ts";
import { findConversation, openConversation, saveConversation } from "./openConversation.ts";
import { wakeForHead } from "./wake.ts";

async function setPaused(
  ctx: MutationCtx,
  args: { conversationId: string; actor?: string | undefined },
  paused: boolean,
): Promise<boolean> {
  const conversation = await findConversation(ctx, args.conversationId);
  if (conversation === null) {
    throw new FactoryError("not_found", `Conversation '${args.conversationId}' not found`);
  }
  if ((conversation.pausedAt !== undefined) === paused) return false;
  const open = openConversation(conversation, Date.now());
  open.row.pausedAt = paused ? open.now : undefined;
  // A turn that runs is finished; the head pauses when it ends.
  const head = await refreshHead(ctx, open);
  await saveConversation(ctx, open);
  if (head.becameReady) {
    const { config } = await readRuntimeConfig(ctx);
    await wakeForHead(ctx, open, head.message, config);
    await kickScaler(ctx, "a conversation was resumed");
  }
  await recordAudit(ctx, {
    actor: args.actor ?? "operator",
    action: paused ? "conversation.pause" : "conversation.resume",
    target: args.conversationId,
    outcome: "ok",
  });
  return true;
}

const args = { conversationId: v.string(), actor: v.optional(v.string()) };

/** Returns false when it was paused already. New messages are still accepted. */
export const pauseConversation = internalMutation({
  args,
  returns: v.boolean(),
  handler: async (ctx, request): Promise<boolean> => await setPaused(ctx, request, true),
});

/** Returns false when it was not paused. */
export const resumeConversation = internalMutation({
  args,
  returns: v.boolean(),
  handler: async (ctx, request): Promise<boolean> => await setPaused(ctx, request, false),
});
