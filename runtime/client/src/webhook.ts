/** Receiving the factory's webhooks (Standard Webhooks, symmetric signatures). */
import { AgentFactoryError } from "./errors.ts";

interface AboutMessage {
  messageId: string;
  conversationId: string;
  agentKey: string;
  userId: string;
}

/** What happened to a message. `id` is the same for every delivery of an event: deduplicate by it. */
export type WebhookEvent = { id: string; timestamp: string } & (
  | { type: "message.answered"; data: AboutMessage & { answer: string } }
  | { type: "message.failed" | "message.cancelled"; data: AboutMessage & { reason: string } }
);

/** Fetch's headers, or those of Node's `request.headers`. */
export type WebhookHeaders = Headers | Readonly<Record<string, string | readonly string[] | undefined>>;

export interface VerifyOptions {
  /** ms since the epoch. Default: the clock. */
  now?: number;
  /** How old or early a delivery may be, ms; bounds how long a captured one can be replayed. Default 5 minutes. */
  toleranceMs?: number;
}

const TOLERANCE_DEFAULT_MS = 5 * 60_000;
/** Signatures looked at in one header: the sender rotates between two secrets at most. */
const SIGNATURES_MAX = 10;

/**
 * Checks that a webhook comes from the factory and returns its event.
 *
 * @param secret the endpoint's `whsec_…`; several while the endpoint is being replaced
 * @param body the exact bytes or text that arrived, before any parsing
 * @throws AgentFactoryError `invalid_signature`, saying which part is wrong, never what would be right; answer 400
 */
export async function verifyWebhook(
  secret: string | readonly string[],
  headers: WebhookHeaders,
  body: string | Uint8Array,
  options: VerifyOptions = {},
): Promise<WebhookEvent> {
  const id = required(headers, "webhook-id");
  const timestamp = required(headers, "webhook-timestamp");
  const signatures = required(headers, "webhook-signature");
  const { now = Date.now(), toleranceMs = TOLERANCE_DEFAULT_MS } = options;
  if (!/^\d{1,12}$/.test(timestamp) || Math.abs(now - Number(timestamp) * 1_000) > toleranceMs) {
    throw refused("webhook-timestamp is malformed, too old or too new; check this machine's clock");
  }
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  const signed = concatenated(new TextEncoder().encode(`${id}.${timestamp}.`), bytes);
  for (const candidate of typeof secret === "string" ? [secret] : secret) {
    const key = await keyOf(candidate);
    for (const part of signatures.split(" ").slice(0, SIGNATURES_MAX)) {
      const signature = part.startsWith("v1,") ? decodeBase64(part.slice(3)) : null;
      if (signature !== null && (await crypto.subtle.verify("HMAC", key, signature, signed))) {
        return eventOf(id, new TextDecoder().decode(bytes));
      }
    }
  }
  throw refused(
    "webhook-signature does not match: the body was changed, or the secret is another endpoint's",
  );
}

function required(headers: WebhookHeaders, name: string): string {
  const value = headers instanceof Headers ? headers.get(name) : headers[name];
  if (typeof value !== "string" || value === "") throw refused(`The header ${name} is missing`);
  return value;
}

function keyOf(secret: string): Promise<CryptoKey> {
  const bytes = decodeBase64(secret.replace(/^whsec_/, ""));
  // Not part of the message: whoever reads the error must not learn the secret.
  if (bytes === null || bytes.length === 0) throw new TypeError("secret must be whsec_ and base64");
  return crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
}

function decodeBase64(text: string): Uint8Array<ArrayBuffer> | null {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text) || text.length % 4 === 1) return null;
  return Uint8Array.from(atob(text), (character) => character.codePointAt(0) ?? 0);
}

function concatenated(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

/** The signature vouches for the shape: only the factory can have written it. */
function eventOf(id: string, body: string): WebhookEvent {
  const { type, timestamp, data } = JSON.parse(body) as WebhookEvent;
  return { id, type, timestamp, data } as WebhookEvent;
}

function refused(message: string): AgentFactoryError {
  return new AgentFactoryError({ code: "invalid_signature", message, status: 0, retryable: false });
}
