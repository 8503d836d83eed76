/**
 * Whom a message is for, and which agent answers it.
 *
 * In a private chat every message is for the bot. In a group it is answered only when it is addressed: it mentions
 * the bot, replies to one of its messages, or is a command for it. The mention itself is not part of what was said.
 */
import type { PersonMessage } from "./telegramUpdate.ts";
import { wellFormed } from "./clipText.ts";

export type BotIdentity = { botId: string; username: string | null };

/** A bare command in a group is taken as ours only when it is one of these; other bots have theirs. */
export const COMMANDS = ["start", "stop", "status", "new", "help"] as const;
export type CommandName = (typeof COMMANDS)[number];

export type Addressed =
  | { addressed: false }
  | { addressed: true; command: { name: CommandName; argument: string } | null; text: string };

const isCommand = (name: string): name is CommandName => (COMMANDS as readonly string[]).includes(name);

/** Decides whether the bot is meant, and what was said to it. */
export function decideAddressed(message: PersonMessage, bot: BotIdentity): Addressed {
  const { command } = message;
  if (command !== null) {
    const named = command.addressee === null ? null : sameName(command.addressee, bot.username);
    if (named === false) return { addressed: false };
    if (isCommand(command.name)) {
      return {
        addressed: true,
        command: { name: command.name, argument: command.argument },
        text: message.text,
      };
    }
    // A command that is not ours is text for the agent, which may know it.
    if (named === true) return { addressed: true, command: null, text: message.text };
  }
  if (message.chat.isPrivate) return { addressed: true, command: null, text: message.text };
  const mention = message.mentions.find((candidate) =>
    candidate.kind === "user" ? candidate.userId === bot.botId : sameName(candidate.username, bot.username),
  );
  if (mention !== undefined) {
    const said = message.text.slice(0, mention.offset) + message.text.slice(mention.offset + mention.length);
    return { addressed: true, command: null, text: wellFormed(said.trim()) || message.text };
  }
  if (message.replyToUserId === bot.botId) return { addressed: true, command: null, text: message.text };
  return { addressed: false };
}

/** Usernames are case-insensitive. A bot that does not know its own name yet recognises none. */
function sameName(name: string, own: string | null): boolean {
  return own !== null && name.toLowerCase() === own.toLowerCase();
}

export type RoutingOptions = {
  resolveAgentKeyFromBinding: boolean;
  fallbackAgentKey: string;
  requireBindingForTelegram: boolean;
};

export type BindingFacts = { agentKey: string };

export type Routing =
  { kind: "agent"; agentKey: string; bound: boolean } | { kind: "refused"; reason: string };

export const NO_BINDING = "no active binding for telegram user";

/**
 * Chooses the agent. A bot of one agent only ever reaches that agent: a binding to another agent counts for nothing
 * there. On the shared bot the person's binding decides, then the chat's, then the fallback; in a group the chat's
 * own binding comes first, because it was made for the group.
 */
export function decideAgent(input: {
  /** Agent of a dedicated bot; null for the shared bot. */
  botAgentKey: string | null;
  isPrivate: boolean;
  userBinding: BindingFacts | null;
  chatBinding: BindingFacts | null;
  options: RoutingOptions;
}): Routing {
  const { botAgentKey, isPrivate, userBinding, chatBinding, options } = input;
  const ordered = isPrivate ? [userBinding, chatBinding] : [chatBinding, userBinding];
  const usable = ordered
    .filter((binding) => binding !== null)
    .filter((binding) => botAgentKey === null || binding.agentKey === botAgentKey);
  const binding = usable[0];
  if (binding === undefined && options.requireBindingForTelegram)
    return { kind: "refused", reason: NO_BINDING };
  if (botAgentKey !== null) return { kind: "agent", agentKey: botAgentKey, bound: binding !== undefined };
  if (binding !== undefined && options.resolveAgentKeyFromBinding) {
    return { kind: "agent", agentKey: binding.agentKey, bound: true };
  }
  return { kind: "agent", agentKey: options.fallbackAgentKey, bound: binding !== undefined };
}
