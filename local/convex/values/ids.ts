import { randomFillSync } from "node:crypto";

/**
 * Document ids: base32 (Crockford, lower case) of a varint table number, 16 random bytes and a Fletcher-16
 * checksum, so that an id names its table and a mistyped one is recognised.
 */
const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
const DECODE = new Map(Array.from(ALPHABET, (letter, value) => [letter, value] as const));
const RANDOM_BYTES = 16;
const MIN_LENGTH = 31;
const MAX_LENGTH = 37;

/** Random bytes are drawn in blocks: one system call per id would dominate the cost of an insert. */
const pool = Buffer.alloc(4096);
let poolUsed = pool.length;

function randomInto(target: Buffer, offset: number): void {
  if (poolUsed + RANDOM_BYTES > pool.length) {
    randomFillSync(pool);
    poolUsed = 0;
  }
  pool.copy(target, offset, poolUsed, poolUsed + RANDOM_BYTES);
  poolUsed += RANDOM_BYTES;
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  bytes.push(rest);
  return bytes;
}

function fletcher16(bytes: Uint8Array): number {
  let low = 0;
  let high = 0;
  for (const byte of bytes) {
    low = (low + byte) % 255;
    high = (high + low) % 255;
  }
  return (high << 8) | low;
}

function base32(bytes: Uint8Array): string {
  let text = "";
  let bits = 0;
  let held = 0;
  for (const byte of bytes) {
    held = (held << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += ALPHABET[(held >>> bits) & 31];
    }
    held &= (1 << bits) - 1;
  }
  if (bits > 0) text += ALPHABET[(held << (5 - bits)) & 31];
  return text;
}

function unbase32(text: string): Uint8Array | null {
  const bytes: number[] = [];
  let bits = 0;
  let held = 0;
  for (const letter of text) {
    const value = DECODE.get(letter);
    if (value === undefined) return null;
    held = (held << 5) | value;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes.push((held >>> bits) & 0xff);
      held &= (1 << bits) - 1;
    }
  }
  // A whole letter left over means that one was added.
  return held === 0 && bits < 5 ? Uint8Array.from(bytes) : null;
}

/** A new random id in the table with this number. */
export function newId(tableNumber: number): string {
  const prefix = varint(tableNumber);
  const bytes = Buffer.alloc(prefix.length + RANDOM_BYTES + 2);
  bytes.set(prefix);
  randomInto(bytes, prefix.length);
  const body = bytes.length - 2;
  bytes.writeUInt16LE(fletcher16(bytes.subarray(0, body)), body);
  return base32(bytes);
}

/** The table number that an id names, or null when the text is not an id. */
export function tableNumberOf(id: string): number | null {
  if (id.length < MIN_LENGTH || id.length > MAX_LENGTH) return null;
  const bytes = unbase32(id);
  if (bytes === null) return null;
  const body = bytes.length - 2;
  const checksum = new DataView(bytes.buffer).getUint16(body, true);
  if (fletcher16(bytes.subarray(0, body)) !== checksum) return null;
  let number = 0;
  let used = 0;
  for (const byte of bytes) {
    number += (byte & 0x7f) * 2 ** (7 * used);
    used += 1;
    if ((byte & 0x80) === 0) break;
    if (used > 4) return null;
  }
  return used + RANDOM_BYTES === body ? number : null;
}
