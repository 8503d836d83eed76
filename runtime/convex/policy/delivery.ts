/**
 * What to do with a part after an attempt to send it. The rule behind all cases: Telegram's send is not idempotent,
 * so only a definite refusal may be tried again; whatever may have arrived is marked unknown and left alone.
 */

/** What one attempt came to, as seen from the sender. */
export type SendOutcome =
  | { kind: "sent"; telegramMessageId: number | null }
  /** Telegram answered and did not send. */
  | {
      kind: "refused";
      status: number;
      description: string;
      retryAfterS: number | null;
      migrateToChatId: string | null;
    }
  /** The request never left: connection refused, name not found, the file could not be read. */
  | { kind: "not_sent"; description: string }
  /** Timeout, broken connection, 5xx: it may have arrived. */
  | { kind: "unknown"; description: string };

export type Fallbacks = {
  plainText: boolean;
  withoutThread: boolean;
  asDocument: boolean;
  asNewMessage?: boolean | undefined;
};

/** What the decision needs to know of a part. */
export type AttemptedPart = {
  /** Attempts made, this one included. */
  attempts: number;
  contentKind: "text" | "file" | "withdrawal";
  fallbacks: Fallbacks;
  /**
   * The call changes a message that is there already, so that doing it twice is doing it once: a preview its own
   * (`preview`), or what takes a preview's place (`takeover`), which must be said even when that message is gone.
   */
  editing: "none" | "preview" | "takeover";
};

export type DeliveryDecision =
  | { next: "sent"; telegramMessageId: number | null }
  | { next: "retry"; at: number; fallbacks: Fallbacks; chatId: string | null; error: string }
  | { next: "failed"; error: string; unreachable: boolean }
  | { next: "unknown"; error: string };

/** Attempts of one part before it is given up: about ten minutes of refusals without a retry_after. */
export const DELIVERY_ATTEMPTS_MAX = 12;
const BACKOFF_BASE_MS = 1_000;
const BACKOFF_MAX_MS = 2 * 60_000;
/** Telegram has asked for hours in rare cases; longer than a day is treated as a refusal for good. */
const RETRY_AFTER_MAX_S = 86_400;

export function deliveryBackoffMs(attempts: number): number {
  return Math.min(BACKOFF_MAX_MS, BACKOFF_BASE_MS * 2 ** (attempts - 1));
}

const FORMAT_REFUSED =
  /can't parse entities|message is too long|unsupported start tag|unclosed start tag|entity/i;
const THREAD_GONE = /message thread not found|topic_(?:deleted|closed)|thread not found/i;
const CHAT_GONE =
  /chat not found|user is deactivated|bot was (?:blocked|kicked)|peer_id_invalid|have no rights to send/i;
/** The message says already what it should say, or is gone already: an earlier try of this very call did it. */
const EDIT_DONE = /message is not modified|message to delete not found/i;
const EDIT_TARGET_GONE = /message to edit not found|message can't be edited|message_id_invalid/i;
const PHOTO_REFUSED = /photo|image|wrong type of (?:the )?file|wrong file identifier/i;

/** Decides after one attempt. `now` is backend time, ms. */
export function decideDelivery(part: AttemptedPart, outcome: SendOutcome, now: number): DeliveryDecision {
  switch (outcome.kind) {
    case "sent":
      return { next: "sent", telegramMessageId: outcome.telegramMessageId };
    case "unknown":
      return part.editing !== "none" && part.attempts < DELIVERY_ATTEMPTS_MAX
        ? laterOrFailed(part, outcome.description, deliveryBackoffMs(part.attempts), now)
        : { next: "unknown", error: outcome.description };
    case "not_sent":
      return laterOrFailed(part, outcome.description, deliveryBackoffMs(part.attempts), now);
    case "refused":
      return decideRefused(part, outcome, now);
  }
}

function decideRefused(
  part: AttemptedPart,
  outcome: Extract<SendOutcome, { kind: "refused" }>,
  now: number,
): DeliveryDecision {
  const { status, description } = outcome;
  if (status === 429) {
    const retryAfterS = Math.max(1, outcome.retryAfterS ?? deliveryBackoffMs(part.attempts) / 1_000);
    if (retryAfterS > RETRY_AFTER_MAX_S) return { next: "failed", error: description, unreachable: false };
    return laterOrFailed(part, description, retryAfterS * 1_000, now);
  }
  if (outcome.migrateToChatId !== null) {
    return laterOrFailed(part, description, 0, now, part.fallbacks, outcome.migrateToChatId);
  }
  if (part.editing !== "none" && EDIT_DONE.test(description))
    return { next: "sent", telegramMessageId: null };
  if (status === 403 || CHAT_GONE.test(description))
    return { next: "failed", error: description, unreachable: true };
  // A wrong token gets better when the operator imports the right one, which takes minutes, not milliseconds.
  if (status === 401 || status === 404) {
    return laterOrFailed(part, description, deliveryBackoffMs(part.attempts + 3), now);
  }
  const fallbacks = nextFallback(part, description);
  if (fallbacks !== null) return laterOrFailed(part, description, 0, now, fallbacks);
  return { next: "failed", error: description, unreachable: false };
}

/** The next thing to leave out, each at most once; null when nothing is left. */
function nextFallback(part: AttemptedPart, description: string): Fallbacks | null {
  const { fallbacks } = part;
  if (part.editing === "takeover" && part.contentKind === "text" && EDIT_TARGET_GONE.test(description)) {
    return { ...fallbacks, asNewMessage: true };
  }
  if (THREAD_GONE.test(description) && !fallbacks.withoutThread) return { ...fallbacks, withoutThread: true };
  if (part.contentKind === "text" && FORMAT_REFUSED.test(description) && !fallbacks.plainText) {
    return { ...fallbacks, plainText: true };
  }
  if (part.contentKind === "file" && PHOTO_REFUSED.test(description) && !fallbacks.asDocument) {
    return { ...fallbacks, asDocument: true };
  }
  return null;
}

function laterOrFailed(
  part: AttemptedPart,
  error: string,
  delayMs: number,
  now: number,
  fallbacks: Fallbacks = part.fallbacks,
  chatId: string | null = null,
): DeliveryDecision {
  if (part.attempts >= DELIVERY_ATTEMPTS_MAX) return { next: "failed", error, unreachable: false };
  return { next: "retry", at: now + delayMs, fallbacks, chatId, error };
}
