/** Which bot token a turn may use. */
import type { Destination } from "../validators.ts";

const BOT_REF = "telegram.botToken";

export function isBotSecretRef(secretRef: string): boolean {
  return secretRef === BOT_REF || secretRef.startsWith(`${BOT_REF}.`);
}

/**
 * The bot that received the message, since it alone may act in that chat; for other messages the agent's own
 * bot among its refs, `telegram.botToken.<agentKey>` before `telegram.botToken`. Never another kind of secret.
 */
export function botSecretRefOf(
  destination: Destination | null,
  agent: { agentKey: string; secretsRef: readonly string[] },
): string | null {
  if (destination?.kind === "telegram") {
    return isBotSecretRef(destination.botSecretRef) ? destination.botSecretRef : null;
  }
  const own = `${BOT_REF}.${agent.agentKey}`;
  return [own, BOT_REF].find((ref) => agent.secretsRef.includes(ref)) ?? null;
}
