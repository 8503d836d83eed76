/** Where webhooks live: one path per bot, and which secret ref a path stands for. */

/** Prefix under which http.ts mounts the routes. `telegram.pathPrefix` of the runtime config must say the same. */
export const DEFAULT_PATH_PREFIX = "/agent-factory";
export const WEBHOOK_PATH = "/telegram/webhook";

/** The shared bot: people reach the agent they are bound to. */
export const SHARED_BOT_REFS = ["telegram.botToken.default", "telegram.botToken"] as const;
const DEDICATED_PREFIX = "telegram.botToken.";

/** Agent of a bot's secret ref; null for the shared bot. */
export function botAgentKey(secretRef: string): string | null {
  if ((SHARED_BOT_REFS as readonly string[]).includes(secretRef)) return null;
  return secretRef.startsWith(DEDICATED_PREFIX) ? secretRef.slice(DEDICATED_PREFIX.length) : null;
}

export function botSecretRef(agentKey: string): string {
  return `${DEDICATED_PREFIX}${agentKey}`;
}

/** Path of a bot's webhook below the deployment's site URL. */
export function webhookPath(prefix: string, secretRef: string): string {
  const agentKey = botAgentKey(secretRef);
  return `${prefix}${WEBHOOK_PATH}${agentKey === null ? "" : `/${encodeURIComponent(agentKey)}`}`;
}

/** Secret refs that a request path may belong to; none for a path that is no webhook. */
export function refsOfPath(prefix: string, pathname: string): readonly string[] {
  const base = `${prefix}${WEBHOOK_PATH}`;
  if (pathname === base) return SHARED_BOT_REFS;
  if (!pathname.startsWith(`${base}/`)) return [];
  const agentKey = decodeSegment(pathname.slice(base.length + 1));
  if (agentKey === null || agentKey === "") return [];
  return [botSecretRef(agentKey)];
}

function decodeSegment(segment: string): string | null {
  if (segment.includes("/")) return null;
  try {
    return decodeURIComponent(segment);
  } catch (error) {
    if (error instanceof URIError) return null;
    throw error;
  }
}
