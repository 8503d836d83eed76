import { randomBytes, randomInt } from "node:crypto";

const CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LOWER_ALPHANUMERIC = "0123456789abcdefghijklmnopqrstuvwxyz";

function randomString(alphabet: string, length: number): string {
  return Array.from({ length }, () => alphabet[randomInt(alphabet.length)]).join("");
}

/** 26 characters that sort by creation time (milliseconds), as Fly's instance, event and request ids do. */
export function ulid(nowMs: number): string {
  let time = "";
  for (let rest = nowMs, i = 0; i < 10; i++, rest = Math.floor(rest / 32)) time = CROCKFORD[rest % 32] + time;
  return time + randomString(CROCKFORD, 16);
}

/** 14 hexadecimal digits, as Fly's machine ids. */
export const machineId = (): string => randomBytes(7).toString("hex");
/** `vol_` and 20 letters and digits, as Fly's volume ids. */
export const volumeId = (): string => `vol_${randomString(LOWER_ALPHANUMERIC, 20)}`;
export const snapshotId = (): string => `vs_${randomString(LOWER_ALPHANUMERIC, 20)}`;
/** Opaque node id of an app (also the GraphQL id). */
export const appId = (): string => randomString(LOWER_ALPHANUMERIC, 15);
export const leaseNonce = (): string => randomBytes(6).toString("hex");
export const tokenId = (): string => randomString(LOWER_ALPHANUMERIC, 24);

/**
 * A new token as Fly returns it: scheme prefix, then a comma-separated list of macaroons. The comma is on
 * purpose: a client that splits headers or shell arguments on it breaks here as it would on Fly.
 */
export function newToken(): string {
  const part = (bytes: number): string => `fm2_${randomBytes(bytes).toString("base64url")}`;
  return `FlyV1 ${part(48)},${part(24)}`;
}

/** A private address in Fly's fdaa::/16, unique enough for one emulator. */
export function privateIp(networkNumber: number): string {
  const group = (): string => randomInt(0x10000).toString(16);
  return `fdaa:0:${(networkNumber % 0x10000).toString(16)}:a7b:${group()}:${group()}:${group()}:2`;
}
