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

export const MINUTE_MS = 60_000;

export type UseFacts = { minute: number; requests: number };

/** Counts one request in a fixed minute; refused ones are not counted, so that the row stays as it is. */
export function decideUse(
  use: UseFacts | null,
  limit: number,
  now: number,
): { allowed: true; use: UseFacts } | { allowed: false; retryAfterS: number } {
  const minute = Math.floor(now / MINUTE_MS);
  const requests = use?.minute === minute ? use.requests : 0;
  if (requests >= limit)
    return { allowed: false, retryAfterS: Math.ceil(((minute + 1) * MINUTE_MS - now) / 1_000) };
  return { allowed: true, use: { minute, requests: requests + 1 } };
}
