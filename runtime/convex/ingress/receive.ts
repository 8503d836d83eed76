/**
 * One Telegram update, one transaction: deduplicated, understood, and turned into a queued message, a command's
 * effect or nothing. What comes back is what Telegram is told.
 *
 * Status codes are chosen for Telegram's redelivery: 2xx for everything that a second delivery would not change.
 */
import { type Infer, v } from "convex/values";
import type { Doc } from "../_generated/dataModel.js";
import { internalMutation, type MutationCtx } from "../_generated/server.js";
import { moveChat } from "../identity/chatConversations.ts";
import { type Addressed, decideAddressed } from "../policy/addressing.ts";
import type { PersonMessage, UpdateEvent } from "../policy/telegramUpdate.ts";
import { findChat, rememberChat } from "../replies/chats.ts";
import { accept } from "./accept.ts";
import { keepPart, messageOfAlbum } from "./albums.ts";
import { ensureBot } from "./bots.ts";
import { runCommand } from "./commands.ts";
import { receiveEdit } from "./edits.ts";
import { type Incoming, say, tellStrangerOnce } from "./incoming.ts";
import { routeIncoming, vRoutingOverrides } from "./routing.ts";
import { start } from "./start.ts";
import { texts } from "./texts.ts";
import { firstDelivery, parseBody } from "./updates.ts";

/** What the webhook answers. */
export const vReception = v.union(
  v.object({ kind: v.literal("accepted") }),
  v.object({ kind: v.literal("handled") }),
  v.object({ kind: v.literal("duplicate") }),
  v.object({ kind: v.literal("ignored"), reason: v.string() }),
  v.object({
    kind: v.literal("pairing"),
    pairing: v.union(
      v.object({ status: v.literal("used"), consumerUserId: v.string(), agentKey: v.string() }),
      v.object({ status: v.literal("failed"), error: v.string() }),
    ),
  }),
);
export type Reception = Infer<typeof vReception>;

/** Acts on one update of an authenticated webhook call. */
export const receiveUpdate = internalMutation({
  args: {
    botSecretRef: v.string(),
    /** The request's body, already capped. */
    body: v.string(),
    overrides: vRoutingOverrides,
  },
  returns: vReception,
  handler: async (ctx, { botSecretRef, body, overrides }): Promise<Reception> => {
    const parsed = parseBody(body);
    if (!parsed.ok) return { kind: "ignored", reason: parsed.reason };
    const { event, updateId } = parsed;
    if (event.kind === "ignored") return { kind: "ignored", reason: event.reason };
    const bot = await ensureBot(ctx, botSecretRef);
    if (bot === null) return { kind: "ignored", reason: `no active '${botSecretRef}' secret` };
    const now = Date.now();
    const first = () => firstDelivery(ctx, { botSecretRef, updateId }, now);
    switch (event.kind) {
      case "message": {
        const addressed = await addressedBy(ctx, bot, event, now);
        if (!addressed.addressed) return await overhear(ctx, bot, event, now, first);
        if (!(await first())) return { kind: "duplicate" };
        return await receiveMessage(ctx, { bot, message: event, addressed, overrides, now });
      }
      case "edit": {
        const { message, editedAt } = event;
        const addressed = meant(message, decideAddressed(message, identityOf(bot)));
        const outcome = await receiveEdit(ctx, { bot, message, addressed, overrides, now }, editedAt, first);
        return outcome.kind === "amended" ? { kind: "handled" } : outcome;
      }
      case "migration":
      case "membership":
        if (!(await first())) return { kind: "duplicate" };
        await noteChat(ctx, bot, event, now);
        return { kind: "handled" };
    }
  },
});

const identityOf = (bot: Doc<"telegramBots">) => ({ botId: bot.botId, username: bot.username ?? null });

/** A message that is known to be meant for the bot, whatever it says. */
function meant(message: PersonMessage, addressed: Addressed): Extract<Addressed, { addressed: true }> {
  return addressed.addressed ? addressed : { addressed: true, command: null, text: message.text };
}

/** Whether the bot is meant: by the message itself, or by another part of its album. */
async function addressedBy(
  ctx: MutationCtx,
  bot: Doc<"telegramBots">,
  message: PersonMessage,
  now: number,
): Promise<Addressed> {
  const addressed = decideAddressed(message, identityOf(bot));
  if (addressed.addressed || (await messageOfAlbum(ctx, { bot, message, now })) === null) return addressed;
  return meant(message, addressed);
}

/** Talk among people. Before deduplication: a busy group's talk must not cost a write per line. */
async function overhear(
  ctx: MutationCtx,
  bot: Doc<"telegramBots">,
  message: PersonMessage,
  now: number,
  first: () => Promise<boolean>,
): Promise<Reception> {
  if (message.albumId !== null && (await first())) await keepPart(ctx, { bot, message, now });
  return { kind: "ignored", reason: "not addressed to the bot" };
}

async function noteChat(
  ctx: MutationCtx,
  { botId }: Doc<"telegramBots">,
  event: Extract<UpdateEvent, { kind: "migration" | "membership" }>,
  now: number,
): Promise<void> {
  if (event.kind === "migration") {
    await moveChat(ctx, botId, event.fromChatId, event.toChatId);
    await rememberChat(ctx, botId, event.fromChatId, { migratedTo: event.toChatId });
    return;
  }
  await rememberChat(ctx, botId, event.chatId, { unreachableSince: event.isMember ? undefined : now });
}

async function receiveMessage(ctx: MutationCtx, incoming: Incoming): Promise<Reception> {
  const { bot, message, addressed } = incoming;
  const chat = await findChat(ctx, bot.botId, message.chat.id);
  if (chat?.unreachableSince !== undefined)
    await ctx.db.patch("telegramChats", chat._id, { unreachableSince: undefined });

  const routed = await routeIncoming(ctx, incoming);
  const { command } = addressed;
  if (command?.name === "start") {
    const pairing = await start(ctx, incoming, command.argument, routed.routing, chat);
    return { kind: "pairing", pairing };
  }
  if (!("place" in routed)) {
    await tellStrangerOnce(ctx, incoming, chat, texts.stranger);
    return { kind: "ignored", reason: routed.routing.reason };
  }
  if (command !== null) {
    const { text, conversationId } = await runCommand(ctx, command.name, routed.place);
    await say(ctx, incoming, conversationId, text, "command");
    return { kind: "handled" };
  }
  await accept(ctx, incoming, routed);
  return { kind: "accepted" };
}
