/** Where a consumer's webhook may point, and how a call to it is signed and repeated. */

const PRIVATE_HOST =
  /^(?:localhost|.*\.(?:localhost|local|internal)|0\.|10\.|127\.|169\.254\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.|\[)/i;
const URL_UNITS_MAX = 2_048;

/** null when the URL may be called. `loopbackAllowed`: the embedded cloud, where everything is on this machine. */
export function webhookUrlProblem(text: string, loopbackAllowed: boolean): string | null {
  if (text.length > URL_UNITS_MAX || !URL.canParse(text)) return "url must be an absolute URL";
  const url = new URL(text);
  if (url.username !== "" || url.password !== "") return "url must not carry credentials";
  if (loopbackAllowed && url.protocol === "http:" && url.hostname === "127.0.0.1") return null;
  if (url.protocol !== "https:") return "url must start with https://";
  // A name may still resolve to a private address; the platform's own network is what stands behind this line.
  return PRIVATE_HOST.test(url.hostname) ? "url must not point into a private network" : null;
}

/** What is signed: the event's id, the attempt's time in seconds and the exact body (Standard Webhooks). */
export function signedContent(eventId: string, timestampS: number, body: string): string {
  return `${eventId}.${timestampS}.${body}`;
}

export const WEBHOOK_ATTEMPTS_MAX = 10;
const BACKOFF_BASE_MS = 5_000;
const BACKOFF_MAX_MS = 6 * 60 * 60_000;

export type WebhookDecision =
  { next: "delivered" } | { next: "retry"; at: number; error: string } | { next: "failed"; error: string };

/**
 * After an attempt. Events are delivered at least once: receivers deduplicate by id, so that, unlike a chat message, an
 * event whose fate is unknown is sent again. 410 means that the receiver wants no more.
 */
export function decideWebhook(
  attempts: number,
  outcome: { status: number } | { error: string },
  now: number,
): WebhookDecision {
  if ("status" in outcome && outcome.status >= 200 && outcome.status < 300) return { next: "delivered" };
  const error = "status" in outcome ? `HTTP ${outcome.status}` : outcome.error;
  if (("status" in outcome && outcome.status === 410) || attempts >= WEBHOOK_ATTEMPTS_MAX) {
    return { next: "failed", error };
  }
  return { next: "retry", at: now + Math.min(BACKOFF_MAX_MS, BACKOFF_BASE_MS * 3 ** (attempts - 1)), error };
}
