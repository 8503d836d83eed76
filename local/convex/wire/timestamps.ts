import { RequestError } from "../engine/errors.ts";

const BYTES = 8;

/** Timestamps travel as base64 of a little-endian unsigned 64-bit number of nanoseconds. */
export function encodeTs(ts: bigint): string {
  const bytes = Buffer.alloc(BYTES);
  bytes.writeBigUInt64LE(ts);
  return bytes.toString("base64");
}

export function decodeTs(text: string): bigint {
  const bytes = Buffer.from(text, "base64");
  if (bytes.length !== BYTES)
    throw new RequestError(400, "InvalidTimestamp", "A timestamp must be base64 of eight bytes.");
  return bytes.readBigUInt64LE();
}
