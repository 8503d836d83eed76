/** Which agent and conversation an incoming message belongs to. */
import { type Infer, v } from "convex/values";
import type { Doc } from "../_generated/dataModel.js";
import type { QueryCtx } from "../_generated/server.js";
import { readRuntimeConfig } from "../config/read.ts";
import { bindingOfTelegramChat, bindingOfTelegramUser } from "../identity/bindings.ts";
import type { ChatPlace } from "../identity/chatConversations.ts";
import { decideAgent, type Routing } from "../policy/addressing.ts";
import type { PersonMessage } from "../policy/telegramUpdate.ts";
import { botAgentKey } from "./paths.ts";

/** What a deployment's own http.ts says otherwise than the runtime config. */
export const vRoutingOverrides = v.object({
  resolveAgentKeyFromBinding: v.optional(v.boolean()),
  fallbackAgentKey: v.optional(v.string()),
  requireBindingForTelegram: v.optional(v.boolean()),
});
export type RoutingOverrides = Infer<typeof vRoutingOverrides>;

export type Routed =
  | { routing: Extract<Routing, { kind: "refused" }> }
  | {
      routing: Extract<Routing, { kind: "agent" }>;
      /** The binding on whose behalf the conversation is held. */
      owner: Doc<"identityBindings"> | null;
      place: ChatPlace;
    };

export async function routeIncoming(
  ctx: QueryCtx,
  incoming: { bot: Doc<"telegramBots">; message: PersonMessage; overrides: RoutingOverrides },
): Promise<Routed> {
  const { bot, message, overrides } = incoming;
  const { config } = await readRuntimeConfig(ctx);
  const userBinding = await bindingOfTelegramUser(ctx, message.sender.id);
  const chatBinding = await bindingOfTelegramChat(ctx, message.chat.id);
  const routing = decideAgent({
    botAgentKey: botAgentKey(bot.secretRef),
    isPrivate: message.chat.isPrivate,
    userBinding,
    chatBinding,
    options: { ...config.telegram, ...withoutUndefined(overrides) },
  });
  if (routing.kind === "refused") return { routing };
  // A private chat is its person's. A group is nobody's, unless it was bound itself: what its members say must not
  // come to belong to the company of whoever spoke first.
  const candidate = message.chat.isPrivate ? userBinding : chatBinding;
  const owner = candidate?.agentKey === routing.agentKey ? candidate : null;
  const place: ChatPlace = {
    botId: bot.botId,
    chatId: message.chat.id,
    threadId: message.threadId,
    agentKey: routing.agentKey,
    companyId: owner?.companyId ?? null,
    stableConversationId: message.chat.isPrivate ? (owner?.conversationId ?? null) : null,
  };
  return { routing, owner, place };
}

/** Overrides that were given; absent ones leave the runtime config's value. */
function withoutUndefined(overrides: RoutingOverrides): RoutingOverrides {
  return Object.fromEntries(Object.entries(overrides).filter(([, value]) => value !== undefined));
}
