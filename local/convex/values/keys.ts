import { CommitTsPlaceholder, type Value } from "convex/values";

/**
 * Ordered encoding of Convex values: `Buffer.compare(encode(a), encode(b))` has the sign of Convex's own
 * order (undefined < null < int64 < float64 < boolean < string < bytes < array < object). Every encoding is
 * self-delimiting, so the encodings of several fields can be concatenated and still compare field by field.
 */
const TAG = {
  undefined: 1,
  null: 2,
  int64: 3,
  float64: 4,
  false: 5,
  true: 6,
  string: 7,
  bytes: 8,
  array: 9,
  object: 10,
} as const;

/** Ends an array or object. Lower than every tag, so a shorter array sorts before its extensions. */
const END = 0;
/** Follows a 0 byte inside a string or bytes, which keeps the 0,0 terminator lower than any content. */
const ESCAPED_ZERO = 0xff;
/** Higher than every tag and END: `prefix + AFTER` is above every key that starts with `prefix`. */
const AFTER = 0xff;

const SIGN_BIT = 1n << 63n;
/** Until its commit, a commit timestamp sorts after every other one. */
const UNRESOLVED_COMMIT_TS = 2n ** 63n - 1n;
const SIGN_OF_HIGH_WORD = 0x80000000;

class KeyWriter {
  #bytes = Buffer.allocUnsafe(256);
  #length = 0;

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#length + count));
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
  }

  byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
  }

  escaped(content: Uint8Array): void {
    this.#reserve(content.length * 2 + 2);
    for (const value of content) {
      this.#bytes[this.#length++] = value;
      if (value === 0) this.#bytes[this.#length++] = ESCAPED_ZERO;
    }
    this.#bytes[this.#length++] = 0;
    this.#bytes[this.#length++] = 0;
  }

  int64(value: bigint): void {
    this.#reserve(8);
    this.#bytes.writeBigUInt64BE(BigInt.asUintN(64, value) ^ SIGN_BIT, this.#length);
    this.#length += 8;
  }

  /** IEEE total order: negative numbers have all bits flipped, positive ones only the sign. */
  float64(value: number): void {
    this.#reserve(8);
    this.#bytes.writeDoubleBE(value, this.#length);
    const high = this.#bytes.readUInt32BE(this.#length);
    const low = this.#bytes.readUInt32BE(this.#length + 4);
    const negative = high >= SIGN_OF_HIGH_WORD;
    this.#bytes.writeUInt32BE((negative ? ~high : high | SIGN_OF_HIGH_WORD) >>> 0, this.#length);
    this.#bytes.writeUInt32BE((negative ? ~low : low) >>> 0, this.#length + 4);
    this.#length += 8;
  }

  value(value: Value | undefined): void {
    if (value === undefined) return this.byte(TAG.undefined);
    if (value === null) return this.byte(TAG.null);
    switch (typeof value) {
      case "bigint":
        this.byte(TAG.int64);
        return this.int64(value);
      case "number":
        this.byte(TAG.float64);
        return this.float64(value);
      case "boolean":
        return this.byte(value ? TAG.true : TAG.false);
      case "string":
        this.byte(TAG.string);
        return this.escaped(Buffer.from(value, "utf8"));
      default:
        return this.#compound(value);
    }
  }

  #compound(value: Exclude<Value, null | bigint | number | boolean | string>): void {
    if (value instanceof ArrayBuffer) {
      this.byte(TAG.bytes);
      return this.escaped(new Uint8Array(value));
    }
    if (value instanceof CommitTsPlaceholder) {
      this.byte(TAG.int64);
      return this.int64(UNRESOLVED_COMMIT_TS);
    }
    if (Array.isArray(value)) {
      this.byte(TAG.array);
      for (const item of value) this.value(item);
      return this.byte(END);
    }
    this.byte(TAG.object);
    for (const [name, item] of Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))) {
      if (item === undefined) continue;
      this.byte(TAG.string);
      this.escaped(Buffer.from(name, "utf8"));
      this.value(item);
    }
    this.byte(END);
  }

  finish(): Buffer {
    return Buffer.from(this.#bytes.subarray(0, this.#length));
  }
}

/** Encodes field values one after the other into one ordered key. */
export function encodeKey(values: readonly (Value | undefined)[]): Buffer {
  const writer = new KeyWriter();
  for (const value of values) writer.value(value);
  return writer.finish();
}

/** The smallest key greater than every key that starts with `prefix`. */
export function afterPrefix(prefix: Uint8Array): Buffer {
  return Buffer.concat([prefix, Buffer.of(AFTER)]);
}

/** The smallest key greater than `key` itself. */
export function afterKey(key: Uint8Array): Buffer {
  return Buffer.concat([key, Buffer.of(0)]);
}

/** The value at a dotted field path, or undefined when any part of the path is missing. */
export function fieldAt(document: Value, path: string): Value | undefined {
  let current: Value | undefined = document;
  for (const part of path.split(".")) {
    if (current === null || typeof current !== "object") return undefined;
    if (current instanceof ArrayBuffer || Array.isArray(current)) return undefined;
    if (!Object.hasOwn(current, part)) return undefined;
    current = (current as Record<string, Value | undefined>)[part];
    if (current === undefined) return undefined;
  }
  return current;
}
