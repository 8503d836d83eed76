/** Rules of service keys: their shape, what they allow, how often they may ask. */

/** `afk_<id>_<secret>`: the id finds the row, the secret is 32 random bytes in base64url. */
const KEY_SHAPE = /^afk_([a-z2-9]{12})_[A-Za-z0-9_-]{43}$/;
const KEY_UNITS_MAX = 128;

export const SERVICE_KEY_ID_BYTES = 12;
export const SERVICE_KEY_SECRET_BYTES = 32;
const ID_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789";

export function serviceKeyId(random: Uint8Array): string {
  return Array.from(random.subarray(0, SERVICE_KEY_ID_BYTES), (byte) => ID_ALPHABET[byte % 32]).join("");
}

/** The key id inside an Authorization header; null for anything that is no service key. */
export function keyIdOfHeader(header: string | null): { keyId: string; key: string } | null {
  const key = /^Bearer (\S+)$/i.exec((header ?? "").slice(0, KEY_UNITS_MAX))?.[1];
  const keyId = key === undefined ? undefined : KEY_SHAPE.exec(key)?.[1];
  return key === undefined || keyId === undefined ? null : { keyId, key };
}

export type KeyFacts = {
  keyHash: string;
  previousHash?: string | undefined;
  previousUntil?: number | undefined;
  expiresAt?: number | undefined;
  revokedAt?: number | undefined;
};

/** Hashes that a key may have at `now`: none once it is revoked or expired, two while it rotates. */
export function acceptedHashes(key: KeyFacts, now: number): string[] {
  if (key.revokedAt !== undefined) return [];
  if (key.expiresAt !== undefined && key.expiresAt <= now) return [];
  const rotating =
    key.previousHash !== undefined && key.previousUntil !== undefined && key.previousUntil > now;
  return rotating && key.previousHash !== undefined ? [key.keyHash, key.previousHash] : [key.keyHash];
}

const MINUTE_MS = 60_000;

/** `tokens` requests were free at `at`. A key that was never used has a full bucket. */
export type UseFacts = { tokens: number; at: number };

/** Sums of fractions come out a hair below the whole; nobody is refused for that. */
const HAIR = 1e-9;

/**
 * Takes one request out of the key's bucket, which holds `perMinute` and refills evenly: a rested key may spend a
 * minute's worth at once, and in the long run gets its rate. Refused requests take nothing, so that the row stays as
 * it is and insisting does not prolong the wait.
 */
export function decideUse(
  use: UseFacts | null,
  perMinute: number,
  now: number,
): { allowed: true; use: UseFacts } | { allowed: false; retryAfterS: number } {
  const refilled =
    use === null ? perMinute : use.tokens + (Math.max(0, now - use.at) * perMinute) / MINUTE_MS;
  const tokens = Math.min(perMinute, refilled);
  if (tokens + HAIR < 1) {
    return { allowed: false, retryAfterS: Math.ceil(((1 - tokens) * MINUTE_MS) / perMinute / 1_000) };
  }
  return { allowed: true, use: { tokens: Math.max(0, tokens - 1), at: now } };
}
