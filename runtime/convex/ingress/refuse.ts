/** Updates that were not accepted: settled so that a redelivery changes nothing, and the person told once in a while. */
import { v } from "convex/values";
import { internalMutation, type MutationCtx } from "../_generated/server.js";
import { recordAudit } from "../audit/record.ts";
import { findChat, rememberChat } from "../replies/chats.ts";
import { ensureBot } from "./bots.ts";
import { chatLane, type Incoming, say } from "./incoming.ts";
import { type Reception, vReception } from "./receive.ts";
import { texts } from "./texts.ts";
import { firstDelivery, parseBody, type UpdateKey } from "./updates.ts";

/** A flood is refused message by message, but told only this often. */
const TELL_INTERVAL_MS = 60_000;

/** After the queue refused a message (agent gone, too large, too many waiting) and its transaction rolled back. */
export const refuseUpdate = internalMutation({
  args: { botSecretRef: v.string(), body: v.string(), code: v.string(), message: v.string() },
  returns: vReception,
  handler: async (ctx, { botSecretRef, body, code, message: reason }): Promise<Reception> => {
    const parsed = parseBody(body);
    if (!parsed.ok || parsed.event.kind !== "message") return { kind: "ignored", reason };
    const bot = await ensureBot(ctx, botSecretRef);
    if (bot === null) return { kind: "ignored", reason };
    const now = Date.now();
    const key = { botSecretRef, updateId: parsed.updateId };
    if (!(await firstDelivery(ctx, key, now))) return { kind: "duplicate" };
    const addressed = { addressed: true, command: null, text: "" } as const;
    const incoming: Incoming = { bot, message: parsed.event, addressed, overrides: {}, now };
    const chatId = parsed.event.chat.id;
    const chat = await findChat(ctx, bot.botId, chatId);
    if (chat?.refusedToldAt !== undefined && now - chat.refusedToldAt < TELL_INTERVAL_MS) {
      return { kind: "ignored", reason };
    }
    await rememberChat(ctx, bot.botId, chatId, { refusedToldAt: now });
    await say(ctx, incoming, chatLane(incoming), textFor(code), "refused");
    return { kind: "ignored", reason };
  },
});

function textFor(code: string): string {
  if (code === "payload_too_large") return texts.tooLong;
  return code === "backlog_full" ? texts.tooMany : texts.unavailable;
}

/**
 * Deliveries of one update that end in a defect of ours before it is set aside. Telegram repeats a failed delivery,
 * and everything behind it waits: a defect that one update meets must not stop a bot.
 */
export const FAILURES_MAX = 10;

/**
 * After an update could not be digested for a reason that is not the queue's. `settled`: it has failed often enough,
 * and Telegram is told to forget it; the audit log names it.
 */
export const noteFailure = internalMutation({
  args: { botSecretRef: v.string(), body: v.string() },
  returns: v.object({ settled: v.boolean() }),
  handler: async (ctx, { botSecretRef, body }) => {
    const parsed = parseBody(body);
    if (!parsed.ok) return { settled: true };
    const key = { botSecretRef, updateId: parsed.updateId };
    const now = Date.now();
    if ((await countFailure(ctx, key, now)) < FAILURES_MAX) return { settled: false };
    await firstDelivery(ctx, key, now);
    await recordAudit(ctx, {
      actor: "ingress",
      action: "update.set_aside",
      target: `${botSecretRef}#${parsed.updateId}`,
      outcome: "failed",
      detail: `failed ${FAILURES_MAX} times`,
    });
    return { settled: true };
  },
});

async function countFailure(
  ctx: MutationCtx,
  { botSecretRef, updateId }: UpdateKey,
  now: number,
): Promise<number> {
  const known = await ctx.db
    .query("telegramFailures")
    .withIndex("by_bot_update", (q) => q.eq("botSecretRef", botSecretRef).eq("updateId", updateId))
    .first();
  if (known === null) {
    await ctx.db.insert("telegramFailures", { botSecretRef, updateId, failures: 1, firstAt: now });
    return 1;
  }
  await ctx.db.patch("telegramFailures", known._id, { failures: known.failures + 1 });
  return known.failures + 1;
}
