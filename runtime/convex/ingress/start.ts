/** `/start <code>` pairs; a bare `/start` greets whom the bot serves anyway. Never enqueued. */
import type { Doc } from "../_generated/dataModel.js";
import type { MutationCtx } from "../_generated/server.js";
import { consumeCode, type PairingResult } from "../identity/pairing.ts";
import type { Routing } from "../policy/addressing.ts";
import { isPairingCodeShape, pairingErrors } from "../policy/pairing.ts";
import { chatLane, type Incoming, say, tellStrangerOnce } from "./incoming.ts";
import { botAgentKey } from "./paths.ts";
import { texts } from "./texts.ts";

/** Carries `/start` out and tells the person; what comes back is what the webhook answers. */
export async function start(
  ctx: MutationCtx,
  incoming: Incoming,
  code: string,
  routing: Routing,
  chat: Doc<"telegramChats"> | null,
): Promise<PairingResult> {
  const { bot, message, now } = incoming;
  // Whom the bot serves gets every answer; a stranger, one.
  const served = routing.kind === "agent";
  const fail = async (error: string, text: string): Promise<PairingResult> => {
    if (served) await say(ctx, incoming, chatLane(incoming), text, "pairing");
    else await tellStrangerOnce(ctx, incoming, chat, text);
    return { status: "failed", error };
  };
  if (!isPairingCodeShape(code)) {
    const greeting = served ? texts.welcome : texts.stranger;
    return await fail(
      pairingErrors.missing,
      code === "" ? greeting : texts.pairingFailed(pairingErrors.missing),
    );
  }
  if (!message.chat.isPrivate) return await fail("pairing works in a private chat only", texts.pairInPrivate);
  const { result, isOwn } = await consumeCode(
    ctx,
    {
      code,
      telegramUserId: message.sender.id,
      telegramChatId: message.chat.id,
      botSecretRef: bot.secretRef,
      botAgentKey: botAgentKey(bot.secretRef),
    },
    now,
  );
  if (result.status === "failed") {
    // Opening one's own link again is no mistake worth an error in the chat.
    return await fail(result.error, isOwn ? texts.alreadyPaired : texts.pairingFailed(result.error));
  }
  await say(ctx, incoming, chatLane(incoming), texts.paired, "pairing");
  return result;
}
