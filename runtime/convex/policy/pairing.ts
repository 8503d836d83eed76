/** Rules of one-time pairing codes: shape, life span, attempts. */

export const PAIRING_TTL_DEFAULT_MS = 15 * 60_000;
export const PAIRING_TTL_MIN_MS = 60_000;
export const PAIRING_TTL_MAX_MS = 24 * 60 * 60_000;

/** Failed attempts of one Telegram user before even a right code is refused for the rest of the window. */
export const PAIRING_FAILURES_MAX = 5;
export const PAIRING_WINDOW_MS = 15 * 60_000;

/** Telegram's own limit for a deep link's parameter is 64 characters of this alphabet. */
const CODE_SHAPE = /^[A-Za-z0-9_-]{4,128}$/;
/** Without characters that look alike: codes are read out and typed, too. 32 letters, 5 bits each. */
const ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
const CODE_LENGTH = 16;

export const pairingErrors = {
  notFound: "Pairing code not found",
  usedOrExpired: "Pairing code already used or expired",
  expired: "Pairing code expired",
  tooManyAttempts: "Too many failed pairing attempts. Try again in 15 minutes.",
  missing: "missing or invalid pairing code in /start command",
} as const;

export function isPairingCodeShape(code: string): boolean {
  return CODE_SHAPE.test(code);
}

/** A code from `CODE_LENGTH` random bytes: 80 bits. */
export function pairingCodeFrom(random: Uint8Array): string {
  return Array.from(random.subarray(0, CODE_LENGTH), (byte) => ALPHABET[byte % ALPHABET.length]).join("");
}

export const PAIRING_RANDOM_BYTES = CODE_LENGTH;

export type CodeFacts = { status: "pending" | "used" | "expired"; expiresAt: number };

/** What a code reads as at `now`: a pending one that lapsed is expired, though nobody has written so. */
export function effectiveStatus(code: CodeFacts, now: number): CodeFacts["status"] {
  return code.status === "pending" && code.expiresAt <= now ? "expired" : code.status;
}

export type ConsumeDecision = { ok: true } | { ok: false; error: string };

/** Whether a code may be used at `now`. `null`: there is no such code, or not for this bot. */
export function decideConsume(code: CodeFacts | null, now: number): ConsumeDecision {
  if (code === null) return { ok: false, error: pairingErrors.notFound };
  if (code.status !== "pending") return { ok: false, error: pairingErrors.usedOrExpired };
  if (code.expiresAt <= now) return { ok: false, error: pairingErrors.expired };
  return { ok: true };
}

export type AttemptFacts = { windowStartedAt: number; failed: number };

/** Whether this Telegram user has used up the failures of the current window. */
export function attemptsExhausted(attempts: AttemptFacts | null, now: number): boolean {
  return (
    attempts !== null &&
    now - attempts.windowStartedAt < PAIRING_WINDOW_MS &&
    attempts.failed >= PAIRING_FAILURES_MAX
  );
}

/** The record after one more failure. */
export function afterFailure(attempts: AttemptFacts | null, now: number): AttemptFacts {
  if (attempts === null || now - attempts.windowStartedAt >= PAIRING_WINDOW_MS) {
    return { windowStartedAt: now, failed: 1 };
  }
  return { windowStartedAt: attempts.windowStartedAt, failed: attempts.failed + 1 };
}
